"""Reads that need no search: one engram, pages of them, their history, their changes, and counts."""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from mneme.v1.episodic_pb2 import HistoryEvent
from mneme.v1.ledger_pb2 import FeedRecord

from services.common.crypto.seal import KeyDestroyed
from services.common.ledger import topics
from services.common.log.base import partition_of
from services.common.serving.pages import PAGE_BYTES, WHOLE_BYTES, fitting, no_such_page
from services.episodic.plugins.base import Filter
from services.episodic.state.checks import not_found
from services.episodic.state.records import Stored, engram_bytes, full_history
from services.episodic.state.slots import Slot, matches
from services.episodic.state.state_hash import state_hash
from services.episodic.state.store import open_core
from services.episodic.write.writer import Host

_HASH_TRIES = 3
_ORDERS = 8  # of namespaces whose pages are being read
_WATCHED = 1_000  # feed records looked at for one page
_NUMBER = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Counts:
    by_kind: dict[str, int]
    state_hash: str


class Reads:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._hashes: dict[str, tuple[tuple[int, int], str]] = {}
        self._orders: deque[tuple[tuple[object, ...], list[Slot]]] = deque(maxlen=_ORDERS)
        self._lock = threading.Lock()

    def get(self, namespace: str, id: str) -> Stored:
        """NOT_FOUND when there is none, or it was erased."""
        stored = self._host.live.store.get(namespace, id)
        if stored is None:
            raise not_found("engram_id", id, "engram")
        return stored

    def page(self, namespace: str, wanted: Filter, size: int, token: str, *, by_time: bool) -> tuple[list[Stored], str]:
        """Engrams after ``token`` in order of id, or of event time and id; and the token of the next page.

        As many as a message holds, ``size`` at most.
        """
        key = _by_time if by_time else _by_id
        slots = self._sorted(namespace, key)
        start = bisect_right(slots, _place_in(token, by_time=by_time), key=key) if token else 0
        chosen = list(islice((s for s in islice(slots, start, None) if matches(s, wanted)), size + 1))
        opened = self._host.live.store.opened(namespace, [slot.id for slot in chosen[:size]])
        found, are_all = fitting(opened, engram_bytes)
        last = chosen[size - 1] if len(chosen) > size else None
        if not are_all:
            last = next(slot for slot in chosen if slot.id == found[-1].record.id)
        return found, _token(last, by_time=by_time) if last else ""

    def _sorted(self, namespace: str, key: Callable[[Slot], tuple[int, str]]) -> list[Slot]:
        """All of a namespace, sorted once for as many pages as are read while nothing changes."""
        store = self._host.live.store
        stamp = (namespace, key, store.number, store.directory.changed(namespace))
        with self._lock:
            for known, slots in self._orders:
                if known == stamp:
                    return slots
        slots = sorted(store.directory.slots(namespace), key=key)
        with self._lock:
            self._orders.append((stamp, slots))
        return slots

    def history(self, namespace: str, id: str) -> list[HistoryEvent]:
        """What happened to an engram, and before it to what it corrects. An erased one: that it was erased."""
        events: list[HistoryEvent] = []
        at: str | None = id
        while at is not None:
            stored = self._host.live.store.whole(namespace, at)
            if stored is None:
                break
            events = full_history(stored) + events
            at = next((dst for dst, relation, _ in stored.record.links if relation == "corrects"), None)
        if events:
            return _shortened(events)
        if self._host.registry.is_erased(namespace, id):
            return [HistoryEvent(what="erased")]
        raise not_found("engram_id", id, "engram")

    # --- watching ---

    def end(self, namespace: str) -> int:
        """Where a watch of what comes begins."""
        return self._host.parts.log.end_offset(topics.FEED, self._feed_partition(namespace))

    def changes(self, namespace: str, start: int, limit: int) -> tuple[list[tuple[Stored | FeedRecord, int]], int]:
        """Changes from feed offset ``start`` on, each with the offset after it, and where to go on."""
        number = self._host.live.number
        out: list[tuple[Stored | FeedRecord, int]] = []
        partition = self._feed_partition(namespace)
        end = min(self._host.parts.log.end_offset(topics.FEED, partition), start + _WATCHED)
        size_bytes = 0
        for record in self._host.parts.log.read(topics.FEED, partition, start, end):
            if len(out) == limit or size_bytes > PAGE_BYTES:
                return out, record.offset
            feed = FeedRecord.FromString(record.value) if record.value is not None else None
            if feed is not None and feed.namespace == namespace and feed.generation == number:
                out.append((self._opened(feed), record.offset + 1))
                size_bytes += feed.ByteSize()
        return out, end

    def _opened(self, feed: FeedRecord) -> Stored | FeedRecord:
        if feed.erased:
            return feed
        try:
            return open_core(feed, self._host.parts.keyring)
        except KeyDestroyed:
            return FeedRecord(namespace=feed.namespace, engram_id=feed.engram_id, version=feed.version, erased=True)

    def _feed_partition(self, namespace: str) -> int:
        return partition_of(namespace.encode(), self._host.parts.log.partitions(topics.FEED))

    # --- counting ---

    def counts(self, namespace: str, *, with_hash: bool) -> Counts:
        """Active engrams by kind, and the state hash; "" where the namespace changed each time while it was read."""
        store = self._host.live.store
        kinds = Counter(s.kind for s in store.directory.slots(namespace) if s.active)
        return Counts(dict(sorted(kinds.items())), self._hash(namespace) if with_hash else "")

    def _hash(self, namespace: str) -> str:
        """Computed anew when something changed, and beside the writer: it holds nobody up."""
        for _ in range(_HASH_TRIES):
            store = self._host.live.store
            with store.directory.held(namespace) as space:
                stamp = (store.number, space.changed)
                known = self._hashes.get(namespace)
                if known is not None and known[0] == stamp:
                    return known[1]
                try:
                    found = state_hash(store.collection, self._host.parts.keyring, namespace)
                except KeyDestroyed:
                    continue  # an erasure came in between
                # What is folded is visible only after the index has it; so nothing is half-written, and nothing was.
                if self._is_settled(namespace) and stamp == (self._host.live.number, space.changed):
                    self._hashes[namespace] = (stamp, found)
                    return found
        return ""

    def _is_settled(self, namespace: str) -> bool:
        """Whether all that the ledger has of the namespace's partition is visible."""
        log, reached = self._host.parts.log, self._host.progress.snapshot()
        partition = partition_of(namespace.encode(), len(reached))
        return reached[partition] >= log.end_offset(topics.LEDGER, partition)


def _shortened(events: list[HistoryEvent]) -> list[HistoryEvent]:
    """Without what was said in the oldest of them, where a message has no room for all."""
    left = WHOLE_BYTES
    for event in reversed(events):
        left -= event.ByteSize()
        if left < 0:
            for field in ("text", "people", "places", "metadata"):
                event.engram.ClearField(field)
    return events


def _by_time(slot: Slot) -> tuple[int, str]:
    return slot.start_us, slot.id


def _by_id(slot: Slot) -> tuple[int, str]:
    return 0, slot.id


def _token(last: Slot, *, by_time: bool) -> str:
    return f"{last.start_us}:{last.id}" if by_time else f"id:{last.id}"


def _place_in(token: str, *, by_time: bool) -> tuple[int, str]:
    """Where the page of a token begins. INVALID_FIELD, for one of the other order as well."""
    head, _, id = token.partition(":")
    if not (_NUMBER.fullmatch(head) if by_time else head == "id"):
        raise no_such_page("This list has no such page.")
    return int(head) if by_time else 0, id
