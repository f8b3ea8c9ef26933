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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from services.common.text import times
from services.episodic.plugins.base import Anchor, Context, Interval, Plan, Plugin

_NUMBERS = {w: n for n, w in enumerate("one two three four five six seven eight nine ten".split(), 1)} | {
    "a": 1,
    "an": 1,
}
_DAYS = {"day": 1, "week": 7, "fortnight": 14, "month": 30, "year": 365}
_PART_OF_DAY = ("morning", "afternoon", "evening", "night")
_WEEKDAY = tuple(f"{d}day" for d in ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun"))
# A time so many units away is meant roughly: by how many days either way.
_SLACK = {"day": 0, "week": 2, "fortnight": 3, "month": 7, "year": 30}

_ANCHOR = re.compile(
    r"\b(?:(?:on|in|during|within|at)\s+)?"
    r"(?P<the>the\s+(?:(?:very|same|next|first|following|whole)\s+)*)?"
    rf"(?:(?P<count>{'|'.join(_NUMBERS)}|\d{{1,3}}|a\s+few|few|several|a\s+couple\s+of)\s+)?"
    rf"(?P<unit>{'|'.join((*_DAYS, *_PART_OF_DAY, *_WEEKDAY))})(?P<many>s)?\s+"
    r"(?:immediately\s+|just\s+|right\s+|directly\s+)?"
    r"(?:(?P<side>after|following|before|preceding|of|when|that|as|on\s+which)\s+"
    # "the day the pipes burst": nothing stands between
    r"|(?=(?:the|his|her|their|my|our|he|she|they|we|I|(?-i:[A-Z])[\w.’'-]+)\s+\w))"
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
        if _HOW_LONG.search(text):
            return plan
        match, readings = _anchor(text), _readings(plan, ctx)
        if match is not None and not any(_before(m, match) for m, _ in readings):
            return _at_event(plan, match, [r for r in readings if r[0].at >= match.event_at])
        if not readings:
            return plan
        intervals = readings[0][1]
        return plan.with_(time=intervals[0], other_times=intervals[1:])


@dataclass(frozen=True, slots=True)
class _Match:
    """Where an anchor stands in the question, and what it says."""

    start: int
    end: int
    event: str
    event_at: int
    days: tuple[int, int]


def _before(mention: times.Mention, match: _Match) -> bool:
    """Whether a mention goes before an anchor: it stands in front of it, or reads it whole ("the week after May 20").

    The anchor's own "Sunday" does not.
    """
    return mention.at < match.start or mention.at < match.event_at < mention.at + len(mention.text)


_Reading = tuple[times.Mention, tuple[Interval, ...]]


def _at_event(plan: Plan, match: _Match, readings: list[_Reading]) -> Plan:
    """The range counted from the event, found first, or from its date where that is the event ("after Christmas")."""
    if not readings:
        return plan.with_(
            text=_without(plan.query.text, match.start, match.end), anchor=Anchor(match.event, *match.days)
        )
    mention, intervals = readings[0]
    first, end = match.days
    meant = tuple(Interval(times.shifted(i.start, first), times.shifted(i.start, end)) for i in intervals)
    plan = plan.with_(time=meant[0], other_times=meant[1:])
    if match.days == (0, 1):
        return plan  # that very day: keys hold its date in words
    rest = _without(plan.query.text, match.start, max(match.end, mention.at + len(mention.text)))
    return plan.with_(text=rest, anchor=Anchor(match.event, *match.days))


def _without(text: str, start: int, end: int) -> str:
    return " ".join((text[:start] + " " + text[end:]).split()).strip(" ,")


def _anchor(text: str) -> _Match | None:
    found = _ANCHOR.search(text)
    if found is None:
        return None
    days = _range(
        found["unit"].lower(),
        (found["count"] or "").lower(),
        (found["side"] or "").lower(),
        found["the"],
        found["many"],
    )
    event, end = found["event"], found.end()
    if found.start() < 4:
        going_on = _GOES_ON.search(event)
        if going_on:
            end = found.start("event") + going_on.start()
            event = event[: going_on.start()]
    event = event.rstrip(" .")
    return _Match(found.start(), end, event, found.start("event"), days) if days and event else None


def _range(unit: str, count: str, side: str, the: str | None, many: str | None) -> tuple[int, int] | None:
    """[start, end) in days from the event's; None where the words name no time."""
    length = 7 if unit in _WEEKDAY else _DAYS.get(unit, 1)  # "the Sunday after": one of the next seven days
    if side not in ("after", "following", "before", "preceding"):
        # "the evening of", "the day when": the event's own day. "The days of his youth" are no time.
        if many or count or not the or unit in ("fortnight", "month", "year", *_WEEKDAY):
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
    """Times that the question names, each with what it may mean, likeliest first; those of a calendar before those
    that count from when one asks ("last weekend before April 10")."""
    spoken = times.read(plan.query.text)
    found = spoken.at(plan.query.asked_at)
    span = _span(plan, ctx) if any(m.yearless for m in found) else None
    readings: list[_Reading] = []
    years = _in_other_years(plan, spoken, span) if span else []
    for mention in found:
        own = Interval(mention.start, mention.end)
        meant = tuple(_years(years, mention, span)) if mention.yearless and span else ()
        if span and _is_ahead(plan, own, span):
            meant = (own, *(m for m in meant if m != own))
        readings.append((mention, meant or (own,)))
    if len(readings) > 1:
        later = {m.at: m.start for m in spoken.at(times.shifted(plan.query.asked_at, 800))}
        readings.sort(key=lambda r: not r[0].yearless and later.get(r[0].at) != r[0].start)
    return readings


def _is_ahead(plan: Plan, own: Interval, span: Interval) -> bool:
    """ "What is due on June 1?": the day to come, of a memory that is still kept."""
    return plan.query.asked_at < own.end and own.start < times.shifted(span.end, 400)


def _span(plan: Plan, ctx: Context) -> Interval | None:
    spans = [s for ns in plan.query.namespaces if (s := ctx.span(ns)) is not None]
    return Interval(min(s.start for s in spans), max(s.end for s in spans)) if spans else None


def _in_other_years(plan: Plan, spoken: times.Spoken, span: Interval) -> list[dict[int, times.Mention]]:
    """What the question names, by place, as read in each year of the memory's span, latest first."""
    latest = min(span.end, plan.query.asked_at).astimezone(plan.query.asked_at.tzinfo)
    read: list[dict[int, times.Mention]] = []
    for back in range(_READINGS):
        now = times.shifted(latest, -365 * back)
        read.append({m.at: m for m in spoken.at(now)})
        if now < span.start:
            break
    return read


def _years(years: Sequence[dict[int, times.Mention]], mention: times.Mention, span: Interval) -> Iterator[Interval]:
    """The mention as read in those years, where the memory has them."""
    seen: set[datetime] = set()
    for read in years:
        same = read.get(mention.at)
        if same is not None and same.start <= span.end and same.end > span.start and same.start not in seen:
            seen.add(same.start)
            yield Interval(same.start, same.end)
