"""Reads the time a question asks about: dates, and times given by another event.

- A date without a year means a day of the memory's own time, not of the year in which one asks: it is read at the end
  of the namespace's span, and its other years there are kept as other readings. A diary of 1888 asked about today
  still has its "April 27".
- "the week after the ball", "two days before the move", "the evening of the dinner" name a time by an event: the host
  looks for the event first (``Anchor``). What is searched in that time is the rest of the question.
- "last week" counts from when the question is asked. "How long ..." asks for a time and gives none.

The range is a preference (``between``), never a gate. Source: LongMemEval's time-aware query, by rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from services.common import times
from services.episodic.plugins.base import Anchor, Context, Interval, Plan, Plugin

_NUMBERS = {w: n for n, w in enumerate("one two three four five six seven eight nine ten".split(), 1)} | {
    "a": 1,
    "an": 1,
}
_DAYS = {"day": 1, "week": 7, "fortnight": 14, "month": 30, "year": 365}
_PART_OF_DAY = ("morning", "afternoon", "evening", "night")
# A time so many units away is meant roughly: by how many days either way.
_SLACK = {"day": 0, "week": 2, "fortnight": 3, "month": 7, "year": 30}

_ANCHOR = re.compile(
    r"\b(?:(?:on|in|during|within|at)\s+)?"
    r"(?P<the>the\s+(?:very\s+|same\s+)?)?"
    rf"(?:(?P<count>{'|'.join(_NUMBERS)}|\d{{1,3}}|a\s+few|few|several|a\s+couple\s+of)\s+)?"
    rf"(?P<unit>{'|'.join((*_DAYS, *_PART_OF_DAY))})(?P<many>s)?\s+"
    r"(?:immediately\s+|just\s+|right\s+|directly\s+)?"
    r"(?P<side>after|following|before|preceding|of|when|that|on\s+which)\s+"
    r"(?P<event>[^,?;!]+)",
    re.IGNORECASE,
)
# Where the question itself goes on behind an event that stands first: "In the week after the ball who came?"
_GOES_ON = re.compile(
    r"\s+(?:did|was|were|does|do|had|has|who|whom|what|where|which|how)\b.*", re.IGNORECASE | re.DOTALL
)
_HOW_LONG = re.compile(r"\bhow (?:long|many (?:days|weeks|months|years))\b", re.IGNORECASE)
_READINGS = 5


@dataclass(frozen=True)
class TimePlan(Plugin):
    name: ClassVar[str] = "time_plan"

    def plan(self, plan: Plan, ctx: Context) -> Plan:
        text = plan.query.text
        if plan.time is not None or not text.strip():
            return plan
        match = None if _HOW_LONG.search(text) else _anchor(text)
        readings = _readings(plan, ctx)
        if match is not None and not any(m.at < match.event_at for m, _ in readings):
            return _at_event(plan, match, readings)
        if not readings or _HOW_LONG.search(text):
            return plan
        intervals = readings[0][1]
        return plan.with_(time=intervals[0], other_times=intervals[1:])


@dataclass(frozen=True, slots=True)
class _Match:
    event: str
    event_at: int
    rest: str
    start_days: int
    end_days: int


_Reading = tuple[times.Mention, tuple[Interval, ...]]


def _at_event(plan: Plan, match: _Match, readings: list[_Reading]) -> Plan:
    """The range from the event's date where the question gives it ("the day after Christmas"), else the anchor."""
    plan = plan.with_(text=match.rest)
    for _, intervals in readings:
        shifted = tuple(
            Interval(i.start + timedelta(match.start_days), i.start + timedelta(match.end_days)) for i in intervals
        )
        return plan.with_(time=shifted[0], other_times=shifted[1:])
    return plan.with_(anchor=Anchor(match.event, match.start_days, match.end_days))


def _anchor(text: str) -> _Match | None:
    found = _ANCHOR.search(text)
    if found is None:
        return None
    days = _range(
        found["unit"].lower(), (found["count"] or "").lower(), found["side"].lower(), found["the"], found["many"]
    )
    event, end = found["event"], found.end()
    if found.start() < 4:
        going_on = _GOES_ON.search(event)
        if going_on:
            end = found.start("event") + going_on.start()
            event = event[: going_on.start()]
    event = event.rstrip(" .")
    if days is None or not event:
        return None
    rest = " ".join((text[: found.start()] + " " + text[end:]).split()).strip(" ,")
    return _Match(event, found.start("event"), rest, *days)


def _range(unit: str, count: str, side: str, the: str | None, many: str | None) -> tuple[int, int] | None:
    """[start, end) in days from the event's; None where the words name no time."""
    length = _DAYS.get(unit, 1)
    if side not in ("after", "following", "before", "preceding"):
        # "the evening of", "the day when": the event's own day. "The days of his youth" are no time.
        if many or count or not the or unit in ("fortnight", "month", "year"):
            return None
        return (0, 1) if length == 1 else (-3, 4)
    number, rough = _number(count)
    if number is None and many:
        start, end = 1, 1 + 3 * length + 2  # "the days after"
    elif number is None or the:
        start, end = 1, 1 + (number or 1) * length  # "the week after", "the two weeks after"
    elif rough:
        start, end = 2 * length, 5 * length + 1  # "a few days after"
    else:
        slack = _SLACK.get(unit, 0)
        start, end = number * length - slack, number * length + slack + 1  # "two weeks after"
    return (start, end) if side in ("after", "following") else (1 - end, 1 - start)


def _number(count: str) -> tuple[int | None, bool]:
    if not count:
        return None, False
    if "few" in count or "several" in count or "couple" in count:
        return 3, True
    return (int(count) if count.isdigit() else _NUMBERS[count]), False


def _readings(plan: Plan, ctx: Context) -> list[_Reading]:
    """Times that the question names, each with what it may mean, likeliest first."""
    found = times.find(plan.query.text, plan.query.asked_at)
    span = _span(plan, ctx) if any(m.yearless for m in found) else None
    readings: list[_Reading] = []
    for mention in found:
        meant = tuple(_years(plan, mention, span)) if mention.yearless and span else ()
        readings.append((mention, meant or (Interval(mention.start, mention.end),)))
    return readings


def _span(plan: Plan, ctx: Context) -> Interval | None:
    spans = [s for ns in plan.query.namespaces if (s := ctx.span(ns)) is not None]
    return Interval(min(s.start for s in spans), max(s.end for s in spans)) if spans else None


def _years(plan: Plan, mention: times.Mention, span: Interval) -> Iterator[Interval]:
    """The mention as read in each year of the memory's span, latest first."""
    latest = min(span.end, plan.query.asked_at)
    seen: set[datetime] = set()
    for back in range(_READINGS):
        now = latest - timedelta(days=365 * back)
        same = next((m for m in times.find(plan.query.text, now) if m.at == mention.at), None)
        if same is not None and same.start <= span.end and same.end > span.start and same.start not in seen:
            seen.add(same.start)
            yield Interval(same.start, same.end)
        if now < span.start:
            return
