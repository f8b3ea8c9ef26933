"""What the host knows of an engram without opening it: ids, kinds, order, times; never texts. What a filter means."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern

from services.common.serving import clocks
from services.episodic.plugins.base import Filter, Interval, Kind, State
from services.episodic.search.columns import meets
from services.episodic.state.records import Stored, to_us


@dataclass(frozen=True, slots=True)
class Slot:
    """One engram, unopened."""

    id: str
    namespace: str
    kind: Kind
    state: State
    session: str
    actor: str
    source: str
    metadata: Mapping[str, str | float]
    start_us: int
    end_us: int
    shown_us: tuple[int, int]  # the event, as the clock of whoever spoke showed it
    times_us: tuple[tuple[int, int], ...]  # what the text speaks of, on the same clock
    sources: tuple[str, ...]
    seq: int
    place: int
    version: int
    id_mac: bytes
    content_mac: bytes
    session_mac: bytes
    superseded_by: str
    seal_key: str
    detail_key: str
    partition: int
    feed_offset: int
    rows: int  # in the index
    derived_from: tuple[str, ...] = ()  # as whoever sent it says

    @property
    def is_base(self) -> bool:
        return not self.sources

    @property
    def is_alone(self) -> bool:
        """Whether it was stated outside of any session, so that nothing goes before or follows it."""
        return not self.session

    @property
    def utc_offset_minutes(self) -> int:
        """Of the clock of whoever spoke."""
        return (self.shown_us[0] - self.start_us) // 60_000_000

    @property
    def active(self) -> bool:
        return self.state == "active"


@dataclass(frozen=True, slots=True)
class Document:
    """One lexical key of an engram: how often it holds each term hash."""

    counts: Mapping[int, int]
    weight: float


def slot_of(stored: Stored, feed_offset: int, rows: int) -> Slot:
    r = stored.record
    start_us, end_us = to_us(r.event.start), to_us(r.event.end)
    east_us = 60_000_000 * clocks.offset_of(r.event.start)
    return Slot(
        id=r.id,
        namespace=intern(r.namespace),
        kind=r.kind,
        state=r.state,
        session=intern(r.session),
        actor=intern(r.actor),
        source=intern(r.source),
        metadata=r.metadata,
        start_us=start_us,
        end_us=end_us,
        shown_us=(start_us + east_us, end_us + east_us),
        times_us=tuple((to_us(t.start) + east_us, to_us(t.end) + east_us) for t in r.times),
        sources=r.sources,
        seq=r.seq,
        place=stored.place,
        version=stored.version,
        id_mac=stored.id_mac,
        content_mac=stored.content_mac,
        session_mac=stored.session_mac,
        superseded_by=r.superseded_by,
        seal_key=stored.seal_key,
        detail_key=stored.detail_key,
        partition=stored.partition,
        feed_offset=feed_offset,
        rows=rows,
        derived_from=r.derived_from,
    )


def matches(slot: Slot, wanted: Filter) -> bool:
    """Whether an active engram meets a filter. The one meaning of a filter; the index only narrows by it."""
    return (
        slot.active
        and (not wanted.kinds or slot.kind in wanted.kinds)
        and (not wanted.actor or slot.actor == wanted.actor)
        and (not wanted.session or slot.session == wanted.session)
        and (not wanted.source or slot.source == wanted.source)
        and bool(meets(slot.start_us, slot.end_us, *_instants(wanted.event)))
        and (wanted.days is None or bool(meets(*slot.shown_us, *shown(wanted.days))))
        and all(slot.metadata.get(name) == value for name, value in wanted.metadata_equals.items())
        and all(_in_range(slot.metadata.get(n), low, high) for n, (low, high) in wanted.metadata_range.items())
    )


def shown(days: Interval) -> tuple[int, int]:
    """Its sides as their own clock shows them, in microseconds."""
    return to_us(clocks.as_shown(days.start)), to_us(clocks.as_shown(days.end))


def bounds(wanted: Filter) -> tuple[int | None, int | None]:
    """Instants between which every event lies that meets the filter; ``matches`` decides. A day on a clock begins and
    ends within the widest offset of the same day in UTC."""
    start, end = _instants(wanted.event)
    if wanted.days is not None:
        first, last = shown(wanted.days)
        start = max(first - _WIDEST_US, first - _WIDEST_US if start is None else start)
        end = min(last + _WIDEST_US, last + _WIDEST_US if end is None else end)
    return start, end


_WIDEST_US = 60_000_000 * clocks.MAX_OFFSET_MINUTES


def _instants(event: tuple[datetime | None, datetime | None]) -> tuple[int | None, int | None]:
    start, end = event
    return None if start is None else to_us(start), None if end is None else to_us(end)


def _in_range(value: str | float | None, low: float | None, high: float | None) -> bool:
    return isinstance(value, (int, float)) and (low is None or value >= low) and (high is None or value < high)


def around(turns: list[tuple[int, str]], place: int, id: str, before: int, after: int) -> tuple[list[str], list[str]]:
    """Neighbours of (place, id) in a sorted session, itself left out."""
    at = bisect_left(turns, (place, id))
    there = at < len(turns) and turns[at] == (place, id)
    previous = turns[max(0, at - before) : at]
    following = turns[at + there : at + there + after]
    return [i for _, i in previous], [i for _, i in following]
