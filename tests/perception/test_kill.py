"""kill -9 of a real process, in the middle of its work, twice; then a third one finishes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.common.text.extract import Extractor
from services.perception.sessions.segmentation.surprise import Surprise
from tests.perception.test_inbox import as_json
from tests.perception.test_segment import Episodes, by_session, story
from tests.perception.world import World, observation

COUNT = 120


def send_all(world: World) -> None:
    world.create("acme/user")
    for n, text in enumerate(story(COUNT)):
        world.send(as_json(observation(n, text, session=f"s{n % 3}")))


def accepted(world: World) -> list[bytes]:
    return [e.observation_accepted.id_mac for e in world.entries() if e.HasField("observation_accepted")]


def finish(world: World) -> Episodes:
    inbox, segmenter = world.inbox(batch=5), world.segmenter(Surprise(gamma=0.0), batch=5)
    while len(accepted(world)) < COUNT:
        inbox.step()
    world.drain(segmenter)
    return by_session(world)


@pytest.mark.timeout(90)
def test_invariant_6_a_killed_process_loses_and_doubles_nothing(tmp_path: Path, extractor: Extractor) -> None:
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    undisturbed, killed = World(tmp_path / "undisturbed", extractor), World(tmp_path / "killed", extractor)
    send_all(undisturbed)
    send_all(killed)

    for episodes_before in (1, 4):
        victim = subprocess.Popen([sys.executable, "-m", "tests.perception.victim", str(tmp_path / "killed")])
        try:
            wait_for_episodes(killed, episodes_before, victim)
        finally:
            victim.kill()
            victim.wait(10)
        assert 0 < len(accepted(killed)) < COUNT  # it died in the middle

    expected = finish(undisturbed)
    assert finish(killed) == expected
    assert sum(len(e) for e in expected.values()) > 10
    assert sorted(accepted(killed)) == sorted(killed.id_mac(f"o{n}") for n in range(COUNT))
    assert killed.dead_letters() == []
    undisturbed.close()
    killed.close()


def wait_for_episodes(world: World, count: int, victim: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 40
    while sum(len(e) for e in by_session(world).values()) < count:
        assert victim.poll() is None, "the process ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.01)
