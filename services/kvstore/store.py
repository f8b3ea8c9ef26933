"""The host: applies puts, drops and evictions to the arena. The only writer of shared memory; one thread.

Policies propose, this disposes: pins, quotas and sizes are applied here. What is stored is known from this
object's own tables; shared memory is a published copy that readers verify and that is never read back as truth.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from services.common.ledger.erasures import Erasure
from services.kvstore import layout
from services.kvstore.arena import Arena
from services.kvstore.config import KvstoreConfig
from services.kvstore.erasures import Erasures
from services.kvstore.eviction import POLICIES
from services.kvstore.flights import Flights
from services.kvstore.index import IndexWriter
from services.kvstore.leases import Leases
from services.kvstore.slabs import Slabs
from services.kvstore.staging import Reservation, StagingRing

_REMEMBERED_DROPS = 1024


class Outcome(Enum):
    STORED = "stored"
    EXISTS = "exists"
    STALE_EPOCH = "stale_epoch"
    ERASED = "erased"
    CORRUPT = "corrupt"
    NO_SPACE = "no_space"


@dataclass(frozen=True, slots=True)
class Origin:
    """What the blocks of one put were computed from; shared by them."""

    namespace: str
    epochs: Mapping[str, int]
    first: Mapping[tuple[str, str], int]  # (namespace, engram id) -> its place in the chain's lineage
    unknown: bool

    def first_of(self, erased: set[tuple[str, str]]) -> int:
        """The first place in the lineage that names one of ``erased``; beyond every lineage when none does."""
        return min((self.first[e] for e in erased & self.first.keys()), default=sys.maxsize)


@dataclass(frozen=True, slots=True)
class Staged:
    """A block to publish: where it lies in the staging ring, and what it must be."""

    key: bytes
    offset: int
    length: int
    digest: bytes
    lineage_count: int


@dataclass(frozen=True, slots=True)
class Dropped:
    named: int = 0
    unreachable: int = 0
    overwritten_bytes: int = 0

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(
            self.named + other.named,
            self.unreachable + other.unreachable,
            self.overwritten_bytes + other.overwritten_bytes,
        )


@dataclass(slots=True)
class _Block:
    key: bytes
    entry: int
    offset: int
    length: int
    digest: bytes
    identity: bytes
    origin: Origin
    lineage_count: int


class Store:
    """Blocks by key, in one arena. ``clock`` gives seconds that never go back."""

    def __init__(self, config: KvstoreConfig, arena: Arena, erasures: Erasures, clock: Callable[[], float]) -> None:
        header = arena.header
        self._config = config
        self._arena = arena
        self._erasures = erasures
        self._clock = clock
        self._index = IndexWriter(header, arena.bytes)
        self._slabs = Slabs(header.payload_offset, header.payload_bytes, config.extent_bytes)
        self._policy = POLICIES[config.eviction]()
        self._blocks: dict[bytes, _Block] = {}
        self._by_entry: dict[int, bytes] = {}
        self._namespace_bytes: Counter[str] = Counter()
        self._drops: OrderedDict[tuple[str, int], Dropped] = OrderedDict()
        self._staging = StagingRing(config.staging_bytes)
        self.flights = Flights(config.max_claims)
        self._leases = Leases(config.max_leases)
        self.counts: Counter[str] = Counter()

    # --- blocks ---------------------------------------------------------------------------------------------------

    def prefix(self, keys: Sequence[bytes]) -> int:
        """How many leading keys are stored."""
        return next((n for n, key in enumerate(keys) if key not in self._blocks), len(keys))

    def put(self, staged: Staged, identity: bytes, origin: Origin, reservation: Reservation) -> Outcome:
        """Publish one block staged in ``reservation``, or say why not. Its claim ends either way.

        What an erasure refuses is overwritten at once: that erasure has been over the ring already.
        """
        outcome = self._put(staged, identity, origin)
        if outcome in (Outcome.STALE_EPOCH, Outcome.ERASED):
            self._arena.wipe_staging(staged.offset, reservation.block_bytes)
        reservation.unsettled.discard(staged.offset)
        is_there = outcome in (Outcome.STORED, Outcome.EXISTS)
        self.flights.end(staged.key, None if is_there else reservation.holder)
        self.counts[outcome.value] += 1
        return outcome

    def drop(self, erasures: Sequence[Erasure], positions: Mapping[int, int] = MappingProxyType({})) -> Dropped:
        """Remember erasures for ever, then overwrite every block they reach. Idempotent, counts included.

        ``positions``: how far the ledger was read for them.
        """
        self._erasures.record(erasures, positions)
        total = Dropped()
        for erasure in erasures:
            done = (erasure.namespace, erasure.epoch)
            self._drops[done] = self._drops.get(done, Dropped()) + self._drop(erasure)
            total += self._drops[done]
        while len(self._drops) > _REMEMBERED_DROPS:
            self._drops.popitem(last=False)
        if erasures:
            self._wipe_staging()
        return total

    def used(self, keys: Sequence[bytes]) -> None:
        """Readers hit these: the policy learns of it late, since hits need no call."""
        self._policy.used(keys)

    def check(self, suspects: Sequence[bytes]) -> None:
        """Look at blocks that a reader could not verify, and drop those that are wrong."""
        for key in suspects:
            block = self._blocks.get(key)
            if block is not None and not self._is_intact(block):
                self._remove(block, "corrupt")

    # --- what is lent ---------------------------------------------------------------------------------------------

    def reserve(self, holder: str, blocks: int, block_bytes: int) -> tuple[int, Reservation] | None:
        """Staging slots for up to ``blocks`` blocks; None when the ring is full."""
        return self._staging.reserve(holder, blocks, block_bytes, self._ends_at())

    def reservation(self, number: int, holder: str) -> Reservation | None:
        found = self._staging.get(number)
        return found if found is not None and found.holder == holder else None

    def give_back(self, number: int, holder: str) -> None:
        """End a reservation."""
        reservation = self.reservation(number, holder)
        if reservation is not None:
            self._end_reservation(number, reservation)

    def claim(self, holder: str, keys: Sequence[bytes]) -> tuple[int, int, int]:
        """(present, claimed, held), as ClaimBlocks answers."""
        present = self.prefix(keys)
        rest = keys[present:]
        missing = next((n for n, key in enumerate(rest) if key in self._blocks), len(rest))
        return present, *self.flights.claim(holder, rest[:missing], self._ends_at())

    def lease(self, holder: str, keys: Sequence[bytes]) -> tuple[int | None, int]:
        """(lease or None when there are too many, how many leading keys are pinned by it)."""
        pinned = self.prefix(keys)
        return self._leases.take(holder, keys[:pinned], self._ends_at()), pinned

    def release_lease(self, number: int, holder: str) -> None:
        self._leases.release(number, holder)

    def renew(self, holder: str, claimed: Iterable[bytes]) -> None:
        """Prolong the claims that ``holder`` names. Leases and slots have more time than a copy or a put takes."""
        self.flights.renew(holder, claimed, self._ends_at())

    def tick(self) -> None:
        """Beat, and end what was not given back in time. Call every ``heartbeat_s``."""
        self._arena.beat()
        now = self._clock()
        self.counts["claims_expired"] += self.flights.expire(now)
        self.counts["leases_expired"] += self._leases.expire(now)
        for number in self._staging.expired(now):
            reservation = self._staging.get(number)
            if reservation is not None:
                self._end_reservation(number, reservation)

    def stats(self) -> dict[str, int]:
        """Sizes now, in bytes and numbers."""
        return {
            "blocks": len(self._blocks),
            "used_bytes": sum(self._namespace_bytes.values()),
            "capacity_bytes": self._arena.header.payload_bytes,
            "staging_used_bytes": self._staging.used_bytes,
            "staging_capacity_bytes": self._config.staging_bytes,
            "claims": len(self.flights),
            "leases": len(self._leases),
        }

    @property
    def owner_epoch(self) -> int:
        return self._arena.header.owner_epoch

    def staged_bytes(self, offset: int, length: int) -> memoryview:
        return self._arena.staging[offset : offset + length]

    def close(self) -> None:
        """Overwrite what is stored and what went through the ring: whoever maps the files keeps their memory."""
        for block in self._blocks.values():
            self._index.withdraw(block.entry)
            self._arena.wipe(block.offset, block.length)
        self._arena.wipe_staging(0, self._config.staging_bytes)
        self._index.release()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _ends_at(self) -> float:
        return self._clock() + self._config.hold_ttl_s

    def _put(self, staged: Staged, identity: bytes, origin: Origin) -> Outcome:
        refusal = self._refusal(origin, staged.lineage_count)
        if refusal is not None:
            return refusal
        present = self._blocks.get(staged.key)
        if present is not None:
            if self._is_intact(present):
                return Outcome.EXISTS
            self._remove(present, "corrupt")
        offset = self._place(staged.length, origin.namespace)
        entry = None if offset is None else self._entry_for(staged.key)
        if offset is None:
            return Outcome.NO_SPACE
        if entry is None:
            self._slabs.free(offset)
            return Outcome.NO_SPACE
        target = self._arena.bytes[offset : offset + staged.length]
        target[:] = self.staged_bytes(staged.offset, staged.length)
        # The copy is what is verified: nobody but this process can write it any more.
        if layout.payload_digest(target, staged.key, identity) != staged.digest:
            self._arena.wipe(offset, staged.length)
            self._slabs.free(offset)
            return Outcome.CORRUPT
        self._index.publish(entry, staged.key, offset, staged.length, staged.digest, identity)
        self._blocks[staged.key] = _Block(
            staged.key, entry, offset, staged.length, staged.digest, identity, origin, staged.lineage_count
        )
        self._by_entry[entry] = staged.key
        self._namespace_bytes[origin.namespace] += Slabs.slot_bytes(staged.length)
        self._policy.stored([staged.key])
        return Outcome.STORED

    def _refusal(self, origin: Origin, count: int) -> Outcome | None:
        if any(epoch < self._erasures.epoch(namespace) for namespace, epoch in origin.epochs.items()):
            return Outcome.STALE_EPOCH
        if self._erasures.any_erased(engram for engram, place in origin.first.items() if place < count):
            return Outcome.ERASED
        return None

    def _is_intact(self, block: _Block) -> bool:
        payload = self._arena.bytes[block.offset : block.offset + block.length]
        return (
            self._index.is_intact(block.entry, block.key, block.offset, block.length, block.digest, block.identity)
            and layout.payload_digest(payload, block.key, block.identity) == block.digest
        )

    def _remove(self, block: _Block, reason: str) -> None:
        """Unlink, overwrite, free, in this order: outside stored blocks the payload is zero."""
        self._index.withdraw(block.entry)
        self._arena.wipe(block.offset, block.length)
        self._slabs.free(block.offset)
        self._policy.removed(block.key)
        del self._blocks[block.key], self._by_entry[block.entry]
        namespace = block.origin.namespace
        self._namespace_bytes[namespace] -= Slabs.slot_bytes(block.length)
        if not self._namespace_bytes[namespace]:
            del self._namespace_bytes[namespace]
        self.counts[reason] += 1

    def _place(self, length: int, namespace: str) -> int | None:
        """A free slot, made by evicting where needed and allowed."""
        size = Slabs.slot_bytes(length)
        quota = self._config.namespace_share * self._arena.header.payload_bytes
        while self._namespace_bytes[namespace] + size > quota:
            own = self._victim(lambda block: block.origin.namespace == namespace)
            if own is None:
                return None
            self._remove(own, "evicted")
        while (offset := self._slabs.allocate(length)) is None:
            if not self._make_room(size):
                return None
        return offset

    def _make_room(self, size: int) -> bool:
        """Evict the first victim of this class, or the whole extent of one of another class that goes before it."""
        for key in self._policy.victims():
            block = self._blocks[key]
            group = [block] if Slabs.slot_bytes(block.length) == size else self._extent(block)
            if not any(self._leases.is_pinned(b.key) for b in group):
                for b in group:
                    self._remove(b, "evicted")
                return True
        return False

    def _extent(self, block: _Block) -> list[_Block]:
        number = self._slabs.extent_of(block.offset)
        return [b for b in self._blocks.values() if self._slabs.extent_of(b.offset) == number]

    def _victim(self, may_go: Callable[[_Block], bool]) -> _Block | None:
        for key in self._policy.victims():
            if may_go(self._blocks[key]) and not self._leases.is_pinned(key):
                return self._blocks[key]
        return None

    def _entry_for(self, key: bytes) -> int | None:
        """A free entry of the index where ``key`` may lie."""
        homes = self._index.homes(key)
        free = next((entry for entry in homes if entry not in self._by_entry), None)
        if free is not None:
            return free
        neighbours = set(homes)
        victim = self._victim(lambda block: block.entry in neighbours)
        if victim is None:
            return None
        self._remove(victim, "evicted")
        return victim.entry

    def _drop(self, erasure: Erasure) -> Dropped:
        erased = {(erasure.namespace, id) for id in erasure.engram_ids}
        places: dict[int, int] = {}  # by origin: the first place in its lineage that was erased
        done = Dropped()
        for block in list(self._blocks.values()):
            origin = block.origin
            if id(origin) not in places:
                places[id(origin)] = origin.first_of(erased)
            named = places[id(origin)] < block.lineage_count or (
                origin.unknown and origin.namespace == erasure.namespace
            )
            if named or origin.epochs.get(erasure.namespace, erasure.epoch) < erasure.epoch:
                self._remove(block, "dropped")
                done += Dropped(int(named), int(not named), block.length)
        return done

    def _wipe_staging(self) -> None:
        """Overwrite what was put through the ring; what is lent is overwritten when it comes back."""
        lent = sorted(offset for r in self._staging.lent() for offset in r.offsets)
        ends = {o: layout.round_up(r.block_bytes, layout.PAGE) for r in self._staging.lent() for o in r.offsets}
        for reservation in self._staging.lent():
            reservation.unsettled.update(reservation.offsets)
        at = 0
        for offset in lent:
            self._arena.wipe_staging(at, offset - at)
            at = offset + ends[offset]
        self._arena.wipe_staging(at, self._config.staging_bytes - at)

    def _end_reservation(self, number: int, reservation: Reservation) -> None:
        for offset in reservation.unsettled:
            self._arena.wipe_staging(offset, reservation.block_bytes)
        self._staging.release(number)
