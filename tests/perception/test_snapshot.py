"""A start from a snapshot: it reads what came since and knows the same; one that may not be used is refused by name."""

from __future__ import annotations

import logging
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mneme.v1.admin_pb2 import AliasGroup, AliasGroups, UpdateNamespaceRequest

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import topics
from services.common.ledger.named import Named
from services.common.ledger.snapshot import SnapshotFile, SnapshotRefused
from services.common.log.base import Log, Record
from services.common.log.sqlite import SqliteLog
from services.common.text.extract import Extractor
from services.perception.ledger_facts import LedgerFacts, NamespaceSettings
from tests.perception.test_deleted import delete
from tests.perception.world import ANYBODY, PARTITIONS, World, observation

HOME, OTHER = "acme/user", "acme/other"
CARRIE = AliasGroup(name="Carrie Pooter", aliases=["my wife"])
POSH = AliasGroup(name="Murray Posh", aliases=["Mr. Posh"])
MASTER = MasterKey(bytes(range(32)))


class Counting(SqliteLog):
    """Counts the entries of the ledger that were read."""

    entries = 0

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Record]:
        for record in super().read(topic, partition, start, end):
            self.entries += topic == topics.LEDGER
            yield record


class Start:
    """A process that starts on a world's log: with what snapshot there is, and what it read of the ledger."""

    def __init__(self, world: World, file: Path) -> None:
        counting = Counting(world.folder / "log.db")
        self.log: Log = Named(counting)
        keyring = Keyring(self.log, MASTER)
        self.file = SnapshotFile(file, self.log, keyring, range(PARTITIONS))
        self.known = LedgerFacts(self.log, keyring)
        self.snapshots = self.known.kept_in(file)
        self.snapshots.restore()
        self.known.catch_up()
        self.read = counting.entries


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "perception" / "facts.snapshot"


@pytest.fixture
def start(world: World, file: Path) -> Iterator[Callable[..., Start]]:
    started: list[Start] = []

    def make(of: World = world) -> Start:
        started.append(Start(of, file))
        return started[-1]

    yield make
    for one in started:
        one.log.close()


def facts(known: LedgerFacts) -> list[bytes]:
    """All that is known, by partition: the state, to be compared."""
    out = []
    for partition in known.snapshot():
        for one in partition.namespaces:
            one.erasures.engram_ids.sort()
            one.settings.late.sort()
            one.settings.needless_key_ids.sort()
        partition.namespaces.sort(key=lambda one: one.pseudonym)
        out.append(partition.SerializeToString(deterministic=True))
    return out


def settings(known: LedgerFacts, name: str = HOME) -> NamespaceSettings:
    found = known.namespace(name)
    assert found is not None
    return found


def changed(id: str, group: AliasGroup) -> UpdateNamespaceRequest:
    return UpdateNamespaceRequest(namespace=HOME, id=id, aliases=AliasGroups(groups=[group]))


def made_anew(world: World) -> None:
    delete(world, OTHER)
    world.create(OTHER, aliases=[CARRIE])


def refusal(one: Start) -> str:
    with pytest.raises(SnapshotRefused) as caught:
        one.file.read()
    return str(caught.value)


def test_only_what_came_since_is_read(world: World, start: Callable[..., Start]) -> None:
    world.observe(*[observation(n) for n in range(20)])
    first = start()
    assert first.read == len(world.entries())
    first.snapshots.write()
    last_entries = sum(world.log.end_offset(topics.LEDGER, p) > 0 for p in range(PARTITIONS))
    assert start().read == last_entries, "one of each partition, to know the ledger again"
    world.observe(*[observation(n) for n in range(20, 23)])
    assert start().read == last_entries + 3


@pytest.mark.parametrize("seed", range(4))
def test_the_same_is_known_with_and_without(world: World, start: Callable[..., Start], file: Path, seed: int) -> None:
    draw = random.Random(seed)
    steps: list[Callable[[int], object]] = [
        lambda n: world.intake.observe([observation(n % 9, session=f"s{n % 3}")], ANYBODY),  # some again, some erased
        lambda n: world.observe(observation(n, namespace=draw.choice([HOME, OTHER]))),
        lambda n: world.intake.end_session(HOME, "s0", ANYBODY),
        lambda n: world.intake.change_namespace(changed(f"n{n}", draw.choice([CARRIE, POSH])), ANYBODY),
        lambda n: world.erase(f"o{draw.randrange(9)}"),
        lambda n: world.erase_names([POSH], HOME),
        lambda n: made_anew(world),
    ]
    world.create(OTHER)
    world.observe(observation(0, session="s0"))
    for n in range(40):
        draw.choices(steps, [4, 4, 1, 1, 1, 1, 0.5])[0](100 + n)
        if draw.random() < 0.2:
            start().snapshots.write()
    with_snapshot = start()
    file.unlink(missing_ok=True)
    without = start()
    assert with_snapshot.read < without.read
    assert facts(with_snapshot.known) == facts(without.known)
    for name in (HOME, OTHER):
        assert settings(with_snapshot.known, name).settings == settings(without.known, name).settings
        assert settings(with_snapshot.known, name).names_erased == settings(without.known, name).names_erased


def test_invariant_13_what_was_erased_since_stays_erased(world: World, start: Callable[..., Start]) -> None:
    world.observe(observation(0), observation(1))
    world.create(OTHER)
    world.observe(observation(0, namespace=OTHER))
    start().snapshots.write()
    world.erase("o0")
    delete(world, OTHER)
    known = start().known
    assert known.erased(HOME, world.id_mac("o0")) is not None
    assert known.erased(HOME, world.id_mac("o1")) is None
    assert known.is_gone(OTHER)
    assert known.first(OTHER, world.id_mac("o0", OTHER)) is None
    assert known.namespace(OTHER) is None


def test_invariant_14_nothing_in_it_can_be_read_once_its_key_is_gone(
    world: World, start: Callable[..., Start], file: Path
) -> None:
    world.create("acme/home", aliases=[CARRIE, POSH])
    world.observe(observation(0, "Mr. Posh called on my wife.", namespace="acme/home", session="by the fire"))
    start().snapshots.write()
    before = file.read_bytes()
    for text in (b"acme", b"home", b"Posh", b"Carrie", b"my wife", b"fire", b"o0"):
        assert text not in before
    world.erase_names([CARRIE], "acme/home")
    assert list(settings(start().known, "acme/home").settings.aliases) == [CARRIE]
    key_ids = [a.sealed.key_id for p in start().file.read() for n in p.namespaces for a in n.settings.aliases]
    assert any(world.keyring.has(key_id) for key_id in key_ids)
    assert not all(world.keyring.has(key_id) for key_id in key_ids), "the one that held the name"


def test_a_namespace_of_a_snapshot_goes_on_without_its_name_in_the_ledger(
    world: World, start: Callable[..., Start]
) -> None:
    world.observe(observation(0))
    start().snapshots.write()
    one = start()
    world.intake._log, world.intake.known = one.log, one.known
    world.observe(observation(1))
    ledger = SqliteLog(world.folder / "log.db")
    keys = [r.key for p in range(PARTITIONS) for r in ledger.read(topics.LEDGER, p)]
    ledger.close()
    assert keys == 3 * [b"\0" + world.keyring.pseudonym(HOME)]


def damaged(raw: bytes) -> bytes:
    return raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda raw: b"", "format"),
        (lambda raw: b"SQLite format 3\0" + raw, "format"),
        (lambda raw: raw.replace(b"mneme-facts 3\n", b"mneme-facts 2\n", 1), "format"),
        (lambda raw: raw[:20], "length"),
        (lambda raw: raw[:-1], "length"),
        (lambda raw: raw + b"x", "length"),
        (damaged, "checksum"),
    ],
)
def test_one_that_is_no_whole_snapshot_is_refused_and_the_ledger_read(
    world: World,
    start: Callable[..., Start],
    file: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[bytes], bytes],
    field: str,
) -> None:
    world.observe(observation(0))
    start().snapshots.write()
    file.write_bytes(change(file.read_bytes()))
    with caplog.at_level(logging.WARNING):
        again = start()
    assert again.read >= len(world.entries())
    assert again.known.first(HOME, world.id_mac("o0")) is not None
    [line] = [r for r in caplog.records if r.levelno == logging.WARNING and "snapshot" in r.message]
    assert f"{file}: {field}: " in line.error  # type: ignore[attr-defined]
    assert "next snapshot takes its place" in line.error  # type: ignore[attr-defined]
    again.snapshots.write()
    assert start().read < again.read


def test_one_of_another_ledger_is_refused(
    world: World, start: Callable[..., Start], tmp_path: Path, extractor: Extractor
) -> None:
    """As long as this one, and written by the same calls: restored from a backup, say, and gone on with."""
    (tmp_path / "foreign").mkdir()
    foreign = World(tmp_path / "foreign", extractor)
    foreign.create(HOME)
    for one in (world, foreign):
        one.observe(observation(0))
    start(foreign).snapshots.write()
    assert ": last_mac: it is of another ledger" in refusal(start())
    foreign.close()


def test_one_that_knows_more_than_the_ledger_holds_is_refused(
    world: World, start: Callable[..., Start], file: Path
) -> None:
    one = start()
    one.snapshots.write()
    taken = one.known.snapshot()
    partition = world.known.partition(HOME)
    taken[partition].next += 7
    one.file.write(taken)
    assert f": next: it knows partition {partition} up to offset" in refusal(start())


def test_one_of_another_number_of_partitions_is_refused(start: Callable[..., Start]) -> None:
    one = start()
    one.file.write(one.known.snapshot()[:-1])
    assert ": partitions: it is of [0, 1, 2], and of [0, 1, 2, 3]" in refusal(start())


def test_one_made_with_another_master_key_is_refused(start: Callable[..., Start]) -> None:
    one = start()
    one.snapshots.write()
    other = SnapshotFile(one.file.path, one.log, Keyring(one.log, MasterKey(bytes(32))), range(PARTITIONS))
    with pytest.raises(SnapshotRefused, match=r": checksum: .* another master key"):
        other.read()


def test_one_that_cannot_be_read_is_refused(start: Callable[..., Start], file: Path) -> None:
    file.mkdir(parents=True)
    assert f"{file}: file: it cannot be read" in refusal(start())


def test_a_full_disk_leaves_the_one_before_and_says_so(
    world: World, start: Callable[..., Start], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = start()
    one.snapshots.write()
    before = file.read_bytes()
    world.observe(observation(0))
    one.known.catch_up()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        one.snapshots.write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    [line] = [r for r in caplog.records if r.levelno == logging.WARNING and "snapshot" in r.message]
    assert "Make room there" in line.error  # type: ignore[attr-defined]
    assert file.read_bytes() == before
    assert not list(file.parent.glob("*.part"))
    one.snapshots.write()
    assert file.read_bytes() != before, "tried again, though nothing came since"


KILLED = """
import os, signal, sys
from pathlib import Path
from services.common.ledger import snapshot
snapshot.os.replace = lambda part, path: os.kill(os.getpid(), signal.SIGKILL)
from tests.perception.test_snapshot import MASTER
from services.common.crypto.seal import Keyring
from services.common.ledger.named import Named
from services.common.log.sqlite import SqliteLog
from services.perception.ledger_facts import LedgerFacts
log = Named(SqliteLog(Path(sys.argv[1])))
keyring = Keyring(log, MASTER)
known = LedgerFacts(log, keyring)
known.catch_up()
known.kept_in(Path(sys.argv[2])).write()
"""


def test_killed_before_it_takes_its_place_the_one_before_counts(
    world: World, start: Callable[..., Start], file: Path
) -> None:
    start().snapshots.write()
    before = file.read_bytes()
    world.observe(observation(0))
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, str(world.folder / "log.db"), str(file)], timeout=60)
        assert killed.returncode == -signal.SIGKILL
        assert file.read_bytes() == before
        assert len(list(file.parent.glob("*.part"))) == 1, "what the one before it left is gone"
    one = start()
    assert one.known.first(HOME, world.id_mac("o0")) is not None
    one.snapshots.write()
    assert file.read_bytes() != before
    assert not list(file.parent.glob("*.part"))


def test_only_this_user_may_read_it(start: Callable[..., Start], file: Path) -> None:
    start().snapshots.write()
    assert file.stat().st_mode & 0o777 == 0o600
