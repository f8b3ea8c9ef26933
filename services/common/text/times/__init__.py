"""Time expressions in English text, and what they mean at a given time: half-open intervals, never the wall clock.

``words`` finds the forms, ``doubt`` leaves out what may be a number, a noun or a name, ``tense`` says whether the
sentence looks back or ahead, ``meaning`` counts on the calendar. The precision of an expression is its unit: "two days
ago" is a day, "two weeks ago" the week (Monday to Monday) that lies two back, "in March" a month. What names no year,
or no week, means the latest such time that is not after ``now`` ("on Tuesday" is never today), or the next where the
sentence looks ahead ("is due on Tuesday", "moved to Tuesday"). Where it may be either ("we planned to go on Tuesday"),
it is left out (``plans``).

A day is the day on the clock that ``now`` carries: its offset is the speaker's. Used by perception on what was said
and by episodic on what is asked, so both read a date alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from services.common.text.tagger import Token
from services.common.text.times import doubt, meaning, tense, words
from services.common.text.times.calendar import Days

MAX_MENTIONS = 32  # of one text; a table of dates is not a text about a time
EARLIEST = datetime(1000, 1, 1, tzinfo=UTC)  # that anything may be claimed to have happened
LATEST = datetime(9000, 1, 1, tzinfo=UTC)  # that anything may be planned for, or asked as of
_MAX_TRIED = 8 * MAX_MENTIONS  # forms looked at in one text
_LOOK = 80  # characters to either side that decide whether it is a time


@dataclass(frozen=True, slots=True)
class Mention:
    """A time that a text speaks of: the words, where they stand, and [start, end), midnights of the zone of ``now``."""

    text: str
    start: datetime
    end: datetime
    at: int  # offset of the words in the text
    yearless: bool  # the words name no year and do not count from ``now``: other years are possible readings


def find(text: str, now: datetime) -> list[Mention]:
    """Times that ``text`` surely speaks of, read at ``now`` (aware), in order of appearance, at most MAX_MENTIONS.

    A pure function of its arguments. Left out: expressions that no calendar has ("31 February"), words that may
    be a time or may be a name, a noun or a number, and times that may be past or to come.
    """
    return read(text).at(now)


def read(text: str) -> Spoken:
    """The same in two steps, for a text that is to be read at several times."""
    return Spoken(text, tuple(_expressions(text)))


@dataclass(frozen=True, slots=True)
class _Expression:
    """Words in a form of time, whatever they mean: that needs a ``now``."""

    form: str
    match: re.Match[str]  # of the form alone
    at: int
    future: tense.Future

    @property
    def end(self) -> int:
        return self.at + len(self.match.group())

    def days(self, now: datetime) -> Days | None:
        """None too where they are those before ``now`` or those to come, and the sentence leaves it open."""
        if self.future != tense.DOUBTFUL:
            return meaning.resolve(self.form, self.match, now, self.future)
        past, ahead = (meaning.resolve(self.form, self.match, now, future) for future in (False, True))
        return past if past == ahead else None


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text and the expressions of time in it."""

    text: str
    _expressions: Sequence[_Expression]

    def at(self, now: datetime) -> list[Mention]:
        """As ``find``."""
        found = [(e, days) for e in self._expressions if (days := e.days(now))]
        proper = [(e, days) for e, days in found if days[0] < days[1]]
        return [
            Mention(self.text[at:end], _midnight(days[0], now), _midnight(days[1], now), at, yearless)
            for at, end, days, yearless in _join_ranges(self.text, proper, now)
        ]


def _midnight(day: date, now: datetime) -> datetime:
    return datetime.combine(day, time(), now.tzinfo)


def _expressions(text: str) -> Iterator[_Expression]:
    """At most MAX_MENTIONS."""
    place = count = 0
    tagged: dict[str, list[Token]] = {}
    for _ in range(_MAX_TRIED):
        match = words.EXPRESSION.search(text, place)
        if match is None or count == MAX_MENTIONS:
            return
        form, start, end = match.lastgroup or "", match.start(), match.end()
        alone = words.FORMS[form].fullmatch(match.group())  # None of "2026-01/20": there both dashes must be one
        if alone is not None and _is_time(form, alone, text, start):
            future = tense.future(text, start, end, form, tagged) if form in meaning.OF_TENSE else None
            yield _Expression(form, alone, start, future)
            place, count = end, count + 1
        elif alone is not None and _is_other(form, alone, text, start):
            place = end  # "31 June 2024" is no day, nor is it June; nor is "two days after 3 June 2024"
        else:  # a time may begin within: "7 and 9 April"
            first = _FIRST_WORD.match(text, start)
            place = max(start + 1, first.end() if first else 0)


def _is_time(form: str, alone: re.Match[str], text: str, start: int) -> bool:
    end = start + len(alone.group())
    surely = doubt.is_time(form, alone, text[max(0, start - _LOOK) : start], text[end : end + _LOOK])
    return surely and meaning.resolve(form, alone, _ANY_TIME, None) is not None


def _is_other(form: str, alone: re.Match[str], text: str, start: int) -> bool:
    """Whether nothing within is a time either, for the whole of it would be one."""
    if meaning.resolve(form, alone, _ANY_TIME, None) is None:
        return True
    return doubt.is_counted_from(alone, text[max(0, start - _LOOK) : start])


_FIRST_WORD = re.compile(r"\w+")
_ANY_TIME = datetime(2000, 6, 15, tzinfo=UTC)  # "31 February" means nothing at any


_Joined = tuple[int, int, Days, bool]  # place, end, days, yearless
_LED = re.compile(r"(?i)(?:between|from)\b")
_LED_BEFORE = re.compile(r"(?i)\b(?:between|from)\s+(?:the\s+|in\s+)?$")
_JOINS = re.compile(r"(?i)\s*(?:and|to|until|till|through|–|-)\s*(?:the\s+|in\s+)?")
_ALIKE = ("weekday", "date", "iso", "numeric", "yearmonth")  # two of these need no word before them
_JOINS_IN = re.compile(r"(?i)(?:to|until|till)\b")  # a preposition that is taken with its time


def _join_ranges(text: str, found: Sequence[tuple[_Expression, Days]], now: datetime) -> Iterator[_Joined]:
    """ "between 3 March and 5 March 2024" is one mention, and its year is that of both."""
    waiting = list(reversed(found))
    while waiting:
        one, days = waiting.pop()
        at, end, yearless = one.at, one.end, _is_yearless(one)
        if waiting:
            other, until = waiting[-1]
            joined = _joined(one, other, days, until, now) if _is_range(text, one, other) else None
            if joined is not None:
                waiting.pop()
                days, end = joined, other.end
                yearless = yearless and _is_yearless(other)
        yield at, end, days, yearless


def _joined(one: _Expression, other: _Expression, days: Days, until: Days, now: datetime) -> Days | None:
    """From the start of the one to the end of the other; None where that comes first."""
    if one.form == other.form == "weekday":
        return meaning.weekdays(days[0], other.match, now, one.future is True or None)
    if re.search(words.ANY_YEAR, other.match.group()) or (one.future is True and _is_yearless(one)):
        days = _in_years(one, (until[0].year, until[0].year - 1), lambda days: days[0] <= until[0]) or days
    elif _is_yearless(other):
        until = _in_years(other, (days[0].year, days[0].year + 1), lambda until: until[0] >= days[0]) or until
    return (days[0], until[1]) if days[1] <= until[1] else None


def _is_range(text: str, one: _Expression, other: _Expression) -> bool:
    if doubt.MOVED.search(text[max(0, one.at - _LOOK) : one.at]):
        return False  # "moved from Monday to Thursday"
    led = _LED.match(one.match.group()) or _LED_BEFORE.search(text[max(0, one.at - 16) : one.at])
    gap = text[one.end : other.at]
    joins = _JOINS.fullmatch(gap) or (not gap.strip() and _JOINS_IN.match(other.match.group()))
    # "and" alone joins two times, where nothing led to it; so does "until" ("shut on Monday until Friday" is rare).
    alike = one.form == other.form and one.form in _ALIKE and "and" not in gap.lower()
    return bool(joins and (led or alike))


def _is_yearless(one: _Expression) -> bool:
    return meaning.is_yearless(one.form, one.match)


def _in_years(one: _Expression, years: Sequence[int], fits: Callable[[Days], bool]) -> Days | None:
    """The same words in the first of these years that fits: "from 20 December to 5 January 2024" begins in 2023."""
    read = (meaning.within(one.form, one.match, year) for year in years if year > 0)
    return next((days for days in read if days is not None and fits(days)), None)


def misdated(at: datetime, latest: datetime) -> tuple[str, str] | None:
    """What is wrong with a time that a caller sent, and the remedy; None from ``EARLIEST`` to ``latest``.

    What lies further out comes of a wrong unit; and weeks and years are counted from it, which no calendar bears there.
    """
    if at < EARLIEST:
        return "It lies before the year 1000.", "Check the unit: it counts seconds since 1970-01-01."
    if at > latest:
        return f"It lies after {latest:%Y-%m-%d}.", "Check the unit (seconds, not milliseconds) and the clock."
    return None


def shifted(at: datetime, days: int) -> datetime:
    """``at`` so many days on; where the calendar does not reach that far, its first or its last midnight."""
    try:
        return at + timedelta(days)
    except OverflowError:
        return datetime(9999, 12, 31, tzinfo=UTC) if days > 0 else datetime(1, 1, 1, tzinfo=UTC)
