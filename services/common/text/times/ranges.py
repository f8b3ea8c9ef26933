"""Times beside each other: the two ends of a range become one, and a year that stands once is that of all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from services.common.text.times import doubt, meaning, tense, words
from services.common.text.times.calendar import Days

_LOOK = 80  # characters before a range that decide whether it is one


@dataclass(frozen=True, slots=True)
class Expression:
    """Words in a form of time, whatever they mean: that needs a ``now``."""

    form: str
    match: re.Match[str]  # of the form alone; in full, where other words are shared
    at: int  # where it stands in the text
    end: int
    future: tense.Future
    shares: int | None = None  # where the words begin that it shares a month or a year with
    of: Expression | None = None  # of a weekday: the week that it is a day of, or another day of that week

    def days(self, now: datetime) -> Days | None:
        """None too where they are those before ``now`` or those to come, and the sentence leaves it open."""
        if self.of is not None:
            week = self.of.days(now)
            return meaning.weekday_of(self.match, week) if week else None
        if self.future != tense.DOUBTFUL:
            return meaning.resolve(self.form, self.match, now, self.future)
        past, ahead = (meaning.resolve(self.form, self.match, now, future) for future in (False, True))
        return past if past == ahead else None

    @property
    def is_yearless(self) -> bool:
        return meaning.is_yearless(self.form, self.match) if self.of is None else self.of.is_yearless

    @property
    def is_plain_weekday(self) -> bool:
        return self.form == "weekday" and self.of is None

    @property
    def names_year(self) -> bool:
        return self.form in _FIGURES or re.search(words.ANY_YEAR, self.match.group()) is not None

    def in_years(self, years: Sequence[int], fits: Callable[[Days], bool]) -> Days | None:
        """The words in the first of these years that fits: "from 20 December to 5 January 2024" begins in 2023."""
        read = (meaning.within(self.form, self.match, year) for year in years if 0 < year < 9999)
        return next((days for days in read if days is not None and fits(days)), None)


Joined = tuple[int, int, Days, bool]  # place, end, days, yearless
Link = Literal["range", "list"] | None

_LED = re.compile(r"(?i)(?:between|from)\b")
_LED_BEFORE = re.compile(r"(?i)\b(?:between|from)\s+(?:the\s+|in\s+)?$")
_RANGE = r"(?:to|until|till|through|thru|[-–—])"
_LEADS = r"(?:(?:the|in|on|start|beginning|middle|end)\s+)*"
_JOINS = re.compile(rf"(?i)\.?\s*(?:and|/|{_RANGE})\s*{_LEADS}")
_JOINS_IN = re.compile(rf"(?i){_RANGE}\b")  # a preposition that is taken with its time
_LISTS = re.compile(rf"(?i)\.?(?:,?\s*(?:and|or|&)\s*|,\s*|/){_LEADS}")
# Two alike need no word before them.
_FIGURES = ("iso", "numeric", "dashed", "stamp")
_ALIKE = (
    "weekday",
    "dayofweek",
    "weekdaynth",
    "date",
    *_FIGURES,
    "yearmonth",
    "monthyear",
    "month",
    "season",
    "holiday",
    "part",
    "decade",
    "year",
)
_KINDS = dict.fromkeys(_FIGURES, "date") | {"monthyear": "month", "dayofweek": "weekday", "weekdaynth": "weekday"}


def joined(text: str, found: Sequence[Expression], now: datetime) -> Iterator[Joined]:
    """Every time of ``text`` at ``now``: "between 3 March and 5 March 2024" is one, and its year is that of both."""
    links: list[Link] = [link(text, one, other) for one, other in pairwise(found)]
    days, dated = _dated(found, links, now)
    place = 0
    while place < len(found):
        one, its, at = found[place], days[place], place
        place += 1
        if its is None:
            continue
        end, yearless = one.end, one.is_yearless and not dated[at]
        until = days[place] if place < len(found) and links[at] == "range" else None
        if until is not None and (span := _span(one, found[place], its, until, now)) is not None:
            its, end, yearless = span, found[place].end, yearless and found[place].is_yearless and not dated[place]
            place += 1
        elif one.form == "now":
            continue
        if its[0] < its[1]:
            yield one.at, end, its, yearless


def joins(gap: str, words: str) -> bool:
    """Whether such words may end a range that such a gap parts them from."""
    return _JOINS.fullmatch(gap) is not None or (not gap.strip() and _ENDS_WITH_NOW.match(words) is not None)


_ENDS_WITH_NOW = re.compile(rf"(?i)(?:and|{_RANGE})\b")


def _dated(found: Sequence[Expression], links: Sequence[Link], now: datetime) -> tuple[list[Days | None], list[bool]]:
    """The days of each, and whether its year comes of one that it is linked to."""
    days = [one.days(now) for one in found]
    dated = [False] * len(found)
    for at in reversed(range(len(links))):
        one, right = found[at], days[at + 1]
        if links[at] == "range" and right is not None and one.is_plain_weekday and not found[at + 1].is_plain_weekday:
            days[at] = meaning.weekday_of(one.match, (right[0] - _WEEK, right[0]))  # "from Monday to Friday the 15th"
        has_year = found[at + 1].names_year or dated[at + 1]
        if links[at] and one.is_yearless and has_year and right is not None:
            dated[at], days[at] = _before(one, right, days[at])
    for at, link in enumerate(links):
        one, other = found[at], found[at + 1]
        left, right = days[at], days[at + 1]
        if not (link == "range" or (link and one.shares is not None and one.shares == other.shares)):
            continue
        if not other.is_yearless or dated[at + 1]:
            continue
        if one.is_yearless and not dated[at] and one.future is True and right is not None:
            days[at] = _before(one, right, left)[1]  # "we are away from 1 to 9 May", said on the 6th
        elif left is not None:
            days[at + 1] = _after(other, left) or right
            dated[at + 1] = one.names_year or dated[at]
    return days, dated


def _before(one: Expression, right: Days, alone: Days | None) -> tuple[bool, Days | None]:
    """Whether ``one`` has a year in which it comes before ``right``, and its days then."""
    found = one.in_years((right[0].year, right[0].year - 1), lambda days: days[0] <= right[0])
    return found is not None, found or alone


def _after(other: Expression, left: Days) -> Days | None:
    return other.in_years((left[0].year, left[0].year + 1), lambda days: days[0] >= left[0])


def _span(one: Expression, other: Expression, days: Days, until: Days, now: datetime) -> Days | None:
    """From the start of the one to the end of the other; None where that comes first."""
    if one.is_plain_weekday and other.is_plain_weekday:
        return meaning.weekdays(days[0], other.match, now, one.future is True or None)
    if one.of is not None and days[0] > until[0]:
        return days[0] - _WEEK, until[1]  # "from Friday to Monday next week"
    return (days[0], until[1]) if days[1] <= until[1] else None


def link(text: str, one: Expression, other: Expression) -> Link:
    """Whether the two are the ends of a range, or beside each other in a list."""
    gap = text[one.end : other.at]
    if len(gap) > _LONGEST_GAP:
        return None
    is_range = bool(_JOINS.fullmatch(gap) or (not gap.strip() and _JOINS_IN.match(text, other.at)))
    if other.form == "now":
        is_range = is_range or not gap.strip()
    if is_range and not doubt.MOVED.search(text[max(0, one.at - _LOOK) : one.at]):  # "moved from Monday to Thursday"
        led = _LED.match(text, one.at, one.end) or _LED_BEFORE.search(text[max(0, one.at - 16) : one.at])
        # "and" alone joins two times, where nothing led to it; so does "until" ("shut on Monday until Friday" is rare).
        alike = _is_alike(one, other) or other.form == "now"
        is_pair = _AND.match(text, one.end) is not None or ("/" in gap and one.form != "iso")
        if led or (alike and not is_pair):
            return "range"
    return "list" if _LISTS.fullmatch(gap) and _is_alike(one, other) else None


_AND = re.compile(r"(?i)\s*and\b")
_LONGEST_GAP = 24
_WEEK = timedelta(7)


def _is_alike(one: Expression, other: Expression) -> bool:
    return one.form in _ALIKE and _KINDS.get(one.form, one.form) == _KINDS.get(other.form, other.form)
