"""Time expressions in English text, and what they mean at a given time: half-open intervals, never the wall clock.

``words`` finds the forms, ``doubt`` and ``several`` leave out what may be a number, a noun or a name, ``tense`` says
whether the sentence looks back or ahead, ``meaning`` counts on the calendar; ``shared`` takes apart what shares a month
or a year ("3 and 5 May 2022"), ``weeks`` puts a weekday into the week that stands beside it, ``ranges`` joins the ends
of a range. The precision of an expression is its unit: "two days ago" is a day, "two weeks ago" the week (Monday to
Monday) that lies two back, "in March" a month. What names no year, or no week, means the latest such time that is not
after ``now`` ("on Tuesday" is never today), or the next where the sentence looks ahead ("is due on Tuesday", "moved to
Tuesday"). Where it may be either ("we planned to go on Tuesday"), it is left out (``plans``).

A day is the day on the clock that ``now`` carries: its offset is the speaker's. Used by perception on what was said
and by episodic on what is asked, so both read a date alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from services.common.text.tagger import Token
from services.common.text.times import doubt, meaning, ranges, several, shared, tense, weeks, words
from services.common.text.times.ranges import Expression
from services.common.turns import checkpoint

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
    return Spoken(text, tuple(weeks.placed(text, _expressions(text))))


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text and the expressions of time in it."""

    text: str
    _expressions: Sequence[Expression]

    def places(self) -> list[tuple[int, int]]:
        """Where it speaks of a time, also of one that may be past or to come, which ``at`` leaves out."""
        return [(one.at, one.end) for one in self._expressions]

    def at(self, now: datetime) -> list[Mention]:
        """As ``find``."""
        return [
            Mention(self.text[at:end], _midnight(days[0], now), _midnight(days[1], now), at, yearless)
            for at, end, days, yearless in ranges.joined(self.text, self._expressions, now)
        ]


def _midnight(day: date, now: datetime) -> datetime:
    return datetime.combine(day, time(), now.tzinfo)


def _expressions(text: str) -> Iterator[Expression]:
    """At most MAX_MENTIONS, and what shares a month or a year with the last."""
    place = count = last = 0
    tagged: dict[str, list[Token]] = {}
    for _ in range(_MAX_TRIED):
        checkpoint()
        match = _next(text, place, place == last)
        if match is None or count >= MAX_MENTIONS:
            return
        found, place = _read(text, match, last, tagged)
        yield from found
        count, last = count + len(found), place if found else last


def _next(text: str, place: int, is_behind_one: bool) -> re.Match[str] | None:
    """The next words in a form of time; behind a time, a dash may stand between: "May 3-June 5"."""
    beside = words.ONE.match(text, place + 1) if is_behind_one and text[place : place + 1] == "-" else None
    return beside or words.EXPRESSION.search(text, place)


def _read(
    text: str, match: re.Match[str], last: int, tagged: dict[str, list[Token]]
) -> tuple[Sequence[Expression], int]:
    """What ``match`` surely speaks of, and where to look on; ``last``: where the time before it ends, 0 for none."""
    form, start, end = match.lastgroup or "", match.start(), match.end()
    alone = words.FORMS[form].fullmatch(match.group())  # None of "2026-01/20": there both dashes must be one
    if alone is not None and _is_time(form, alone, text, start, last):
        future = tense.future(text, start, end, form, tagged) if form in meaning.OF_TENSE else None
        if form not in words.SHARED:
            return [Expression(form, alone, start, end, future)], end
        parts = shared.parts(form, alone)
        return [Expression(f, m, start + at, start + to, future, start) for f, m, at, to in parts], end
    if form in words.SHARED or form == "weekdaynth":
        one = (words.ONE if form in words.SHARED else words.WEEKDAY_ALONE).match(text, start)
        if one is not None:
            return _read(text, one, last, tagged)
    elif alone is not None and _is_other(form, alone, text, start):
        return (), end  # "31 June 2024" is no day, nor is it June; nor is "two days after 3 June 2024"
    first = _FIRST_WORD.match(text, start)  # a time may begin within: "7 and 9 April"
    return (), max(start + 1, first.end() if first else 0)


def _is_time(form: str, alone: re.Match[str], text: str, start: int, last: int) -> bool:
    end = start + len(alone.group())
    if form == "now":
        return bool(last) and ranges.joins(text[last:start], alone.group())
    before, after = text[max(0, start - _LOOK) : start], text[end : end + _LOOK]
    if not several.is_time(form, alone, before, after):
        return False
    if form not in words.SHARED:
        return meaning.is_possible(form, alone)
    parts = shared.parts(form, alone)
    return bool(parts) and all(meaning.is_possible(f, m) for f, m, _, _ in parts)


def _is_other(form: str, alone: re.Match[str], text: str, start: int) -> bool:
    """Whether nothing within is a time either, for the whole of it would be one."""
    if not meaning.is_possible(form, alone):
        return True
    return doubt.is_counted_from(alone, text[max(0, start - _LOOK) : start])


_FIRST_WORD = re.compile(r"\w+")


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
