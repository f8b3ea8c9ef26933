"""Two processes that own a partition one after the other: what the first one writes late loses (invariants 5, 37)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from mneme.v1.ledger_pb2 import FeedRecord

from services.common.ledger import topics
from services.common.models.embed import Embedder
from services.episodic.write import writer
from tests.episodic.world import NAMESPACE, World

# The owner that is paused: between what it has folded and its commit, and it loses its partition as soon as it may.
OWNER = """
import os, sys, time
from pathlib import Path
from services.common.models.embed import Embedder
from services.episodic.write import writer
from tests.episodic.world import World

writer.BETWEEN_POLLS_S = 1.0
world = World(Path(sys.argv[1]), Embedder.packaged(threads=1))

def say(word):
    os.write(1, f"{word}\\n".encode())  # whole, whichever thread speaks

def step(name):
    if name == "folded":
        say("folded")
        time.sleep(2.0)
    elif name == "committed":
        say("committed")

world.open(step=step)
say("ready")
sys.stdin.readline()
world.settle(60.0)
say(world.hash())
world.close()
"""


def test_invariant_05_an_owner_that_was_paused_writes_nothing_when_it_wakes(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, embedder)
    world.create()
    world.observe("o0", "The lantern was lit.")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
    )
    assert owner.stdout is not None
    said = {owner.stdout.readline().strip() for _ in range(2)}
    assert said == {"ready", "folded"}
    owner.send_signal(signal.SIGSTOP)
    try:
        monkeypatch.setattr(writer, "BETWEEN_POLLS_S", 5.0)
        world.index_uri = str(tmp_path / "successor.db")  # of another node
        world.open()
        world.observe("o1", "The lantern was put out.")
        world.close_episode(["o0", "o1"])
        world.settle()
        after = world.hash()
        owner.send_signal(signal.SIGCONT)
        world.observe("o2", "Nobody saw it.")
        world.settle()
        assert world.hash() != after
        versions = Counter(
            (feed.engram_id, feed.version)
            for record in world.log.read(topics.FEED, 0)
            if (feed := FeedRecord.FromString(record.value or b"")).engram_id
        )
        assert set(versions.values()) == {1}  # nothing twice, nothing late
        assert len(world.host.live.store.directory.slots(NAMESPACE)) > 3
        world.host.check()
        last = world.hash()
        world.close()
        rest, _ = owner.communicate("\n", timeout=90)  # it has the partition again, and what its successor wrote
        assert rest.split() == [last]
    finally:
        owner.kill()
        owner.wait()
