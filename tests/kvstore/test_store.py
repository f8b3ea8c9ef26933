"""The host alone, over a real arena and a clock that the test moves: what is kept, refused, evicted and counted."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.common.ledger.erasures import Erasure
from services.kvstore import layout
from services.kvstore.arena import Arena, Paths
from services.kvstore.erasures import Erasures
from services.kvstore.index import IndexWriter
from services.kvstore.staging import Reservation
from services.kvstore.store import Dropped, Origin, Outcome, Staged, Store
from tests.kvstore.running import BLOCK, IDENTITY, config

NS = "acme/ann"
PLAIN = Origin(NS, {NS: 1}, {}, unknown=False)
# The engrams that a chain read, by their places: e1 in every block, e2 from the second block on.
READ = Origin(NS, {NS: 1}, {(NS, "e1"): 0, (NS, "e2"): 1}, unknown=False)
WHOLE = 1 << 18  # the payload: one extent of 32 blocks


class World:
    def __init__(self, folder: Path, **changes: Any) -> None:
        self.now = 100.0
        self.is_open = True
        settings = {"arena_bytes": WHOLE, "hold_ttl_s": 5.0, **changes}
        self.config = config(**settings)
        self.arena = Arena(
            Paths.of(folder, folder),
            payload_bytes=self.config.arena_bytes,
            min_block_bytes=self.config.min_block_bytes,
            staging_bytes=self.config.staging_bytes,
            owner_timeout_s=self.config.owner_timeout_s,
        )
        self.erasures = Erasures(folder / "erasures.db", self.config.erased_ids)
        self.store = Store(self.config, self.arena, self.erasures, lambda: self.now)

    def close(self) -> None:
        if self.is_open:
            self.store.close()
        self.erasures.close()
        self.arena.close()

    def stage(self, key: bytes, content: bytes, lent: Reservation, slot: int = 0, count: int = 2) -> Staged:
        offset = lent.offsets[slot]
        self.arena.staging[offset : offset + len(content)] = content
        return Staged(key, offset, len(content), layout.payload_digest(content, key, IDENTITY), count)

    def put(
        self, number: int, origin: Origin = PLAIN, *, size: int = BLOCK, count: int = 2, holder: str = "h"
    ) -> Outcome:
        """The block of this number, through a reservation of its own that is given back."""
        got = self.store.reserve(holder, 1, size)
        assert got is not None
        staged = self.stage(key(number), content(number, size), got[1], count=count)
        outcome = self.store.put(staged, IDENTITY, origin, got[1])
        self.store.give_back(got[0], holder)
        return outcome

    def has(self, *numbers: int) -> list[bool]:
        return [self.store.prefix([key(number)]) == 1 for number in numbers]

    def is_in_memory(self, number: int, size: int = BLOCK) -> bool:
        """Whether its bytes lie anywhere, in the arena or in the ring."""
        piece = content(number, size)[:64]
        return piece in bytes(self.arena.bytes) or piece in bytes(self.arena.staging)


def key(number: int) -> bytes:
    return hashlib.blake2b(number.to_bytes(4, "big"), digest_size=16).digest()  # spread over the index


def content(number: int, size: int = BLOCK) -> bytes:
    return (number.to_bytes(8, "big") + b"\x5a" * 24) * (size // 32)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []
    folders = (tmp_path / str(n) for n in itertools.count())

    def made(**changes: Any) -> World:
        folder = next(folders)
        folder.mkdir()
        worlds.append(World(folder, **changes))
        return worlds[-1]

    yield made
    for world in worlds:
        world.close()


def test_a_block_is_stored_once_and_counted(make: Callable[..., World]) -> None:
    world = make()
    assert [world.put(1), world.put(1), world.put(2)] == [Outcome.STORED, Outcome.EXISTS, Outcome.STORED]
    stats = world.store.stats()
    assert (stats["blocks"], stats["used_bytes"], stats["capacity_bytes"]) == (2, 2 * BLOCK, WHOLE)
    assert (stats["staging_used_bytes"], stats["staging_capacity_bytes"]) == (0, world.config.staging_bytes)
    assert (world.store.counts["stored"], world.store.counts["exists"]) == (2, 1)
    assert world.store.prefix([key(1), key(2), key(3), key(1)]) == 2
    assert world.store.prefix([key(3), key(1)]) == 0


def test_what_was_staged_is_what_is_stored(make: Callable[..., World]) -> None:
    world = make()
    got = world.store.reserve("h", 3, BLOCK)
    assert got is not None
    number, lent = got
    for slot in range(3):
        staged = world.stage(key(slot), content(slot), lent, slot)
        assert world.store.put(staged, IDENTITY, PLAIN, lent) is Outcome.STORED
    world.store.give_back(number, "h")
    assert bytes(world.arena.bytes).count(content(1)[:64] * (BLOCK // 64)) == 1


def test_bytes_that_are_not_what_was_digested_are_wiped_and_their_slot_comes_back(make: Callable[..., World]) -> None:
    world = make()
    for _ in range(33):  # more than there is room for
        got = world.store.reserve("h", 1, BLOCK)
        assert got is not None
        staged = world.stage(key(1), content(1), got[1])
        world.arena.staging[staged.offset] ^= 1
        assert world.store.put(staged, IDENTITY, PLAIN, got[1]) is Outcome.CORRUPT
        world.store.give_back(got[0], "h")
    assert world.has(1) == [False]
    assert content(1)[1:64] not in bytes(world.arena.bytes)
    assert world.store.counts["corrupt"] == 33


def test_a_full_store_gives_up_what_was_used_least_lately(make: Callable[..., World]) -> None:
    world = make()
    assert [world.put(n) for n in range(32)] == [Outcome.STORED] * 32
    assert world.store.counts["evicted"] == 0
    world.store.used([key(0)])
    assert world.put(32) is Outcome.STORED
    assert world.has(0, 1, 2, 32) == [True, False, True, True]
    assert world.store.counts["evicted"] == 1
    assert world.store.stats()["blocks"] == 32
    assert not world.is_in_memory(1)


def test_what_is_leased_is_not_evicted_and_only_its_holder_ends_a_lease(make: Callable[..., World]) -> None:
    world = make()
    for n in range(32):
        world.put(n)
    lease, pinned = world.store.lease("h", [key(n) for n in (*range(32), 99, 0)])
    assert (pinned, world.store.stats()["leases"]) == (32, 1)
    assert lease is not None
    world.store.release_lease(lease, "thief")
    assert world.put(32) is Outcome.NO_SPACE
    assert all(world.has(*range(32)))
    world.store.release_lease(lease, "h")
    assert world.put(32) is Outcome.STORED


def test_of_leased_blocks_the_next_one_in_turn_goes(make: Callable[..., World]) -> None:
    world = make()
    for n in range(32):
        world.put(n)
    world.store.lease("h", [key(0), key(1)])
    world.put(32)
    assert world.has(0, 1, 2) == [True, True, False]


def test_a_namespace_keeps_to_its_share_and_evicts_its_own(make: Callable[..., World]) -> None:
    world = make(namespace_share=0.25)
    other = Origin("bolt", {"bolt": 1}, {}, unknown=False)
    assert world.put(100, other) is Outcome.STORED
    assert [world.put(n) for n in range(9)] == [Outcome.STORED] * 9  # eight fit its share
    assert world.has(100, *range(9)) == [True, False, *[True] * 8]
    assert world.store.stats()["used_bytes"] == 9 * BLOCK
    world.store.lease("h", [key(n) for n in range(1, 9)])
    assert world.put(9) is Outcome.NO_SPACE
    assert world.put(101, other) is Outcome.STORED


def test_a_share_with_room_for_one_block_has_one(make: Callable[..., World]) -> None:
    world = make(namespace_share=1.5 * BLOCK / WHOLE)
    assert [world.put(n) for n in range(2)] == [Outcome.STORED] * 2
    assert world.has(0, 1) == [False, True]


def test_room_for_another_size_is_made_by_giving_up_an_extent(make: Callable[..., World]) -> None:
    world = make(arena_bytes=2 * WHOLE)
    assert [world.put(n) for n in range(64)] == [Outcome.STORED] * 64
    world.store.used([key(n) for n in range(32)])
    assert world.put(100, size=4 * BLOCK) is Outcome.STORED
    assert world.store.counts["evicted"] == 32
    assert world.has(*range(32)) == [True] * 32
    assert world.has(*range(32, 64)) == [False] * 32
    assert world.store.stats()["used_bytes"] == 36 * BLOCK


def test_an_extent_with_a_leased_block_in_it_stays_whole(make: Callable[..., World]) -> None:
    world = make()
    for n in range(32):
        world.put(n)
    world.store.lease("h", [key(31)])
    other = Origin("bolt", {"bolt": 1}, {}, unknown=False)
    assert world.put(100, other, size=4 * BLOCK) is Outcome.NO_SPACE
    assert all(world.has(*range(32)))


def test_a_put_from_before_an_erasure_or_of_what_was_erased_is_refused_and_wiped(make: Callable[..., World]) -> None:
    world = make()
    world.store.drop([Erasure(NS, 2, ("e2",))])
    fresh = Origin(NS, {NS: 2}, READ.first, unknown=False)
    assert world.put(1) is Outcome.STALE_EPOCH
    assert world.put(2, fresh, count=2) is Outcome.ERASED
    assert world.put(3, fresh, count=1) is Outcome.STORED  # it ends before e2 begins
    assert world.put(4, Origin(NS, {NS: 2, "bolt": 0}, {}, unknown=False)) is Outcome.STORED
    assert [world.is_in_memory(n) for n in (1, 2)] == [False, False]
    assert (world.store.counts["stale_epoch"], world.store.counts["erased"]) == (1, 1)


def test_a_drop_reaches_what_attended_to_the_erased_and_what_an_older_epoch_recalled(
    make: Callable[..., World],
) -> None:
    world = make()
    newer = Origin(NS, {NS: 2}, READ.first, unknown=False)
    elsewhere = Origin("bolt", {"bolt": 1}, {("bolt", "e2"): 0}, unknown=False)
    for n, origin, count in ((1, newer, 1), (2, newer, 2), (3, PLAIN, 0), (4, elsewhere, 1)):
        assert world.put(n, origin, count=count) is Outcome.STORED
    done = world.store.drop([Erasure(NS, 2, ("e2",))], {0: 7})
    assert done == Dropped(named=1, unreachable=1, overwritten_bytes=2 * BLOCK)
    assert world.has(1, 2, 3, 4) == [True, False, False, True]
    assert [world.is_in_memory(n) for n in (2, 3)] == [False, False]
    assert (world.store.counts["dropped"], world.erasures.positions) == (2, {0: 7})
    assert world.store.stats()["used_bytes"] == 2 * BLOCK
    assert world.store.drop([Erasure(NS, 2, ("e2",))]) == done  # counts included
    assert world.store.drop([Erasure(NS, 3, ())]).unreachable == 1
    both = world.store.drop([Erasure(NS, 2, ("e2",)), Erasure(NS, 3, ())])
    assert both == Dropped(1, 2, 3 * BLOCK)


def test_a_block_of_unknown_content_goes_with_any_erasure_in_its_own_namespace(make: Callable[..., World]) -> None:
    world = make()
    unknown = Origin(NS, {NS: 9, "bolt": 9}, {}, unknown=True)
    assert world.put(1, unknown) is Outcome.STORED
    assert world.store.drop([Erasure("bolt", 2, ("x",))]) == Dropped()
    assert world.store.drop([Erasure(NS, 2, ("x",))]) == Dropped(named=1, overwritten_bytes=BLOCK)


def test_an_erasure_wipes_the_ring_and_what_is_lent_of_it_when_it_comes_back(make: Callable[..., World]) -> None:
    world = make()
    lent = [world.store.reserve("h", 2, BLOCK) for _ in range(2)]
    assert lent[0] is not None
    assert lent[1] is not None
    for slot, (_, reservation) in enumerate((lent[0], lent[1])):
        for at in (0, 1):
            staged = world.stage(key(2 * slot + at), content(2 * slot + at), reservation, at)
            if slot == 0:
                assert world.store.put(staged, IDENTITY, PLAIN, reservation) is Outcome.STORED
    world.store.give_back(lent[0][0], "h")
    world.store.drop([Erasure(NS, 2, ())])
    assert [world.is_in_memory(n) for n in range(4)] == [False, False, True, True]
    world.store.give_back(lent[1][0], "thief")
    assert world.is_in_memory(2)
    world.store.give_back(lent[1][0], "h")
    assert not any(world.is_in_memory(n) for n in range(4))


def test_a_slot_that_was_put_and_lent_during_an_erasure_is_wiped_when_it_ends(make: Callable[..., World]) -> None:
    world = make()
    got = world.store.reserve("h", 1, BLOCK)
    assert got is not None
    staged = world.stage(key(1), content(1), got[1])
    assert world.store.put(staged, IDENTITY, PLAIN, got[1]) is Outcome.STORED
    world.store.drop([Erasure(NS, 2, ())])
    assert world.is_in_memory(1)
    world.now += 5.0
    world.store.tick()
    assert not world.is_in_memory(1)


def test_what_is_lent_ends_at_its_time_and_not_before_and_a_renewal_prolongs_claims(make: Callable[..., World]) -> None:
    world = make()
    world.put(1)
    assert world.store.claim("h", [key(n) for n in (1, 2, 3)]) == (1, 2, 0)
    assert world.store.claim("x", [key(4)]) == (0, 1, 0)
    assert world.store.claim("other", [key(2), key(3), key(5)]) == (0, 0, 2)
    world.store.lease("h", [key(1)])
    assert world.store.reserve("h", 1, BLOCK) is not None
    world.now += 4.0
    world.store.renew("h", [key(2)])
    world.now += 0.9
    world.store.tick()
    stats = world.store.stats()
    assert (stats["claims"], stats["leases"], stats["staging_used_bytes"]) == (3, 1, BLOCK)
    world.now += 0.1
    world.store.tick()
    stats = world.store.stats()
    assert (stats["claims"], stats["leases"], stats["staging_used_bytes"]) == (1, 0, 0)
    assert (world.store.counts["claims_expired"], world.store.counts["leases_expired"]) == (2, 1)


def test_a_claim_ends_with_its_block_and_a_refused_put_ends_its_holder_s_alone(make: Callable[..., World]) -> None:
    world = make()
    assert world.store.claim("h", [key(1), key(2)]) == (0, 2, 0)
    world.put(1, holder="other")  # stored: there is nothing left to wait for
    assert world.store.stats()["claims"] == 1
    world.store.drop([Erasure(NS, 2, ())])
    assert world.put(2, holder="other") is Outcome.STALE_EPOCH
    assert world.store.stats()["claims"] == 1
    assert world.put(2, holder="h") is Outcome.STALE_EPOCH
    assert world.store.stats()["claims"] == 0


def test_a_claim_stops_where_a_later_block_is_stored(make: Callable[..., World]) -> None:
    world = make()
    world.put(3)
    assert world.store.claim("h", [key(n) for n in (1, 2, 3, 4)]) == (0, 2, 0)


@pytest.mark.parametrize("part", ["payload", "entry"])
def test_a_damaged_block_is_dropped_when_it_is_looked_at_and_replaced_when_it_is_put(
    make: Callable[..., World], part: str
) -> None:
    world = make()

    def damage(number: int) -> None:
        at = bytes(world.arena.bytes).index(content(number) if part == "payload" else key(number))
        world.arena.bytes[at + 3] ^= 1

    for n in (1, 2, 3):
        world.put(n)
    damage(1)
    world.store.check([key(1), key(2), key(99)])
    assert world.has(1, 2, 3) == [False, True, True]
    damage(3)
    assert world.put(3) is Outcome.STORED
    assert world.store.counts["corrupt"] == 2
    assert world.store.stats()["used_bytes"] == 2 * BLOCK


def test_of_drops_the_newest_are_remembered(make: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kvstore.store._REMEMBERED_DROPS", 2)
    world = make()
    world.put(1, READ)
    assert world.store.drop([Erasure(NS, 2, ("e1",))]).named == 1
    world.store.drop([Erasure(NS, 3, ())])
    assert world.store.drop([Erasure(NS, 2, ("e1",))]).named == 1
    world.store.drop([Erasure(NS, 4, ()), Erasure(NS, 5, ())])
    assert world.store.drop([Erasure(NS, 2, ("e1",))]).named == 0


def test_a_full_neighbourhood_of_the_index_gives_up_one_of_its_own(make: Callable[..., World]) -> None:
    """Blocks whose keys have their homes in the same places of the index, of which there are fewer than of slots."""
    world = make(min_block_bytes=BLOCK)
    index = IndexWriter(world.arena.header, world.arena.bytes)

    def homes_of(number: int) -> list[int]:
        return index.homes(key(number))

    homes = set(homes_of(0))
    same = list(itertools.islice((n for n in itertools.count() if set(homes_of(n)) == homes), len(homes) + 2))
    index.release()
    elsewhere = next(n for n in itertools.count() if n not in same)
    for n in (elsewhere, *same[: len(homes)]):
        assert world.put(n) is Outcome.STORED
    assert world.store.counts["evicted"] == 0
    assert world.put(same[-2]) is Outcome.STORED
    assert world.has(elsewhere, *same) == [True, False, *[True] * len(homes), False]
    world.store.lease("h", [key(n) for n in same[1:-1]])
    assert {world.put(same[-1]) for _ in range(40)} == {Outcome.NO_SPACE}
    assert world.store.stats()["used_bytes"] == (len(homes) + 1) * BLOCK
    free = next(n for n in itertools.count() if n != elsewhere and not homes & set(homes_of(n)))
    assert world.put(free) is Outcome.STORED  # the slots of the forty came back
    assert world.store.counts["evicted"] == 1


def test_closing_leaves_nothing_in_memory(make: Callable[..., World]) -> None:
    world = make()
    world.put(1)
    got = world.store.reserve("h", 1, BLOCK)
    assert got is not None
    world.stage(key(2), content(2), got[1])
    world.store.close()
    world.is_open = False
    assert [world.is_in_memory(n) for n in (1, 2)] == [False, False]
