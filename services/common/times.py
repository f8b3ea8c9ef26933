"""Time expressions in English text, and what they mean at a given time: half-open intervals, never the wall clock.

``dateparser`` resolves; what is handed to it is found by our own patterns, because its own search reads a
paragraph in a second and takes "may" and "sun" for dates. The precision of an expression is its unit: "two days
ago" is a day, "two weeks ago" the week (Monday to Monday) that lies two back, "in March" a month. What names no
year, or no week, means the latest such time that is not after ``now`` ("on Tuesday" is never today), unless its
sentence speaks of the future ("will", "going to", "next").

All days are UTC days. Used by perception on what was said and by episodic on what is asked, so both read a date alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

from dateparser.date import DateDataParser
from dateutil.easter import easter  # type: ignore[import-untyped]  # comes with dateparser

MAX_MENTIONS = 32  # of one text; a table of dates is not a text about a time
EARLIEST = datetime(1000, 1, 1, tzinfo=UTC)  # that anything may be claimed to have happened
LATEST = datetime(9000, 1, 1, tzinfo=UTC)  # that anything may be planned for, or asked as of


@dataclass(frozen=True, slots=True)
class Mention:
    """A time that a text speaks of: the words, where they stand, and [start, end) in UTC."""

    text: str
    start: datetime
    end: datetime
    at: int  # offset of the words in the text
    yearless: bool  # the words name no year and do not count from ``now``: other years are possible readings


def find(text: str, now: datetime) -> list[Mention]:
    """Times that ``text`` speaks of, read at ``now`` (aware), in order of appearance, at most MAX_MENTIONS.

    A pure function of its arguments. Expressions that no calendar has ("31 February") are left out.
    """
    today = now.astimezone(UTC).date()
    tried = islice(_EXPRESSION.finditer(text), 2 * MAX_MENTIONS)
    mentions = [mention for match in tried if (mention := _resolve(text, match, today)) is not None]
    return list(_join_ranges(text, mentions[:MAX_MENTIONS]))


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


# --- what is looked for -----------------------------------------------------------------------------------------

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?"
)
_WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_NTH = r"(?:[12]?\d|3[01])(?:st|nd|rd|th)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?:1\d{3}|20\d{2})"
_COUNT = (
    r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:a )?couple(?: of)?|(?:a )?few)"
)
_UNIT = r"(?:day|week|fortnight|month|year)s?"
_DATE = rf"(?:{_WEEKDAY},? )?(?:the )?(?:{_DAY} (?:of )?{_MONTH}|{_MONTH} {_DAY}(?!\d))(?:,? {_YEAR}\b)?"
_HOLIDAY = (
    r"Christmas Eve|Christmas Day|Christmas|Xmas|Boxing Day|New Year[’']?s Eve|New Year[’']?s Day|New Year[’']?s"
    r"|Hallowe[’']?en|Valentine[’']?s Day|Good Friday|Easter Sunday|Easter Monday|Easter"
)
_AGAIN = r"(?:last|past|previous|next|coming|this)"

# Name -> pattern; earlier ones win where two begin at the same place. Month and day names count with a capital only.
_PATTERNS = {
    "iso": rf"{_YEAR}-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])",
    "around": rf"(?i:the )?(?i:week|day) (?i:before|after|of) (?:{_DATE})",
    "date": _DATE,
    "monthyear": rf"{_MONTH},? (?:of )?{_YEAR}",
    "month": rf"(?i:{_AGAIN}|in|since|during|until|by|of) {_MONTH}(?! ?\d)",
    "nth": rf"(?i:on |since |until |by )?(?i:the) {_NTH}(?! (?:of|century|floor|birthday|anniversary|time|place|row))",
    "relative": (
        r"(?i:the day (?:before yesterday|after to-?morrow)|yesterday|to-?day|to-?morrow|to-?night|last night"
        r"|this (?:morning|afternoon|evening))"
    ),
    "ago": rf"(?i:{_COUNT} {_UNIT} (?:ago|before now|from now)|in {_COUNT} {_UNIT}(?:[’'] time)?)",
    "unit": r"(?i:(?:last|past|previous|next|coming|this) (?:week|fortnight|month|year))",
    "weekend": r"(?i:(?:last|past|previous|next|coming|this) weekend)",
    "season": rf"(?i:(?:{_AGAIN}|in(?: the)?|the) (?:spring|summer|autumn|fall|winter)(?: (?:of )?{_YEAR})?)",
    "weekday": rf"(?:(?i:{_AGAIN}|on|since|until|by) )?{_WEEKDAY}(?!s)",
    "holiday": rf"(?:(?i:{_AGAIN}) )?(?:{_HOLIDAY})(?:,? (?:of )?{_YEAR})?",
    "year": rf"(?i:in|since|during|of|year|until|by) {_YEAR}(?![-\d.,]*\d)",
}
_EXPRESSION = re.compile("|".join(rf"(?P<{name}>\b(?:{pattern})\b)" for name, pattern in _PATTERNS.items()))
_FUTURE = re.compile(r"\b(?:will|shall|going to|next|coming|tomorrow|to-morrow|is on|are on|be on)\b|[’']ll\b", re.I)
_SENTENCE_END = re.compile(r"[.!?;\n]\s")

# --- what it means ----------------------------------------------------------------------------------------------

_Days = tuple[date, date]  # half-open


def _resolve(text: str, match: re.Match[str], today: date) -> Mention | None:
    name, words = match.lastgroup or "", match.group()
    future = _FUTURE.search(_sentence(text, match.start(), match.end())) is not None
    try:
        days = _RESOLVERS[name](words, today, future)
    except (OverflowError, ValueError):  # 31 February; a year before 1
        return None
    if days is None or days[1] <= days[0]:
        return None
    yearless = name in _YEARLESS and re.search(_YEAR, words) is None and not re.match(rf"(?i){_AGAIN}\b", words)
    return Mention(words, _midnight(days[0]), _midnight(days[1]), match.start(), yearless)


_YEARLESS = {"date", "around", "month", "season", "holiday"}


def _iso(words: str, today: date, future: bool) -> _Days | None:
    return _day(date.fromisoformat(words))


def _date(words: str, today: date, future: bool) -> _Days | None:
    found = _ask(re.sub(r"(?i)^the ", "", words), today, future)
    return found and _day(found[0])


def _month_year(words: str, today: date, future: bool) -> _Days | None:
    found = _ask(words.replace(" of ", " "), today, future)
    return found and _month(found[0])


def _month_alone(words: str, today: date, future: bool) -> _Days | None:
    which, month = words.split(" ", 1)
    found = _ask(month, today, future=False)
    if found is None:
        return None
    first = _latest(found[0].replace(day=1), today)
    if which.lower() in ("next", "coming") or (future and first.month != today.month):
        first = first.replace(year=first.year + 1)
    elif which.lower() in ("last", "past", "previous") and (first.year, first.month) == (today.year, today.month):
        first = first.replace(year=first.year - 1)
    return _month(first)


def _nth(words: str, today: date, future: bool) -> _Days | None:
    number = re.search(r"\d+", words)
    assert number is not None
    day, first = int(number.group()), today.replace(day=1)
    months = [_add_months(first, step) for step in (range(13) if future else range(0, -13, -1))]
    fits = (m.replace(day=day) for m in months if day <= (_month(m)[1] - m).days)
    return next((_day(d) for d in fits if (d >= today if future else d <= today)), None)


def _relative(words: str, today: date, future: bool) -> _Days | None:
    plain = words.lower().replace("to-", "to")
    if plain == "tonight" or plain.startswith("this "):
        return _day(today)
    found = _ask(plain, today, future)
    return found and _day(found[0])


def _ago(words: str, today: date, future: bool) -> _Days | None:
    plain = re.sub(r"[’'] time$", "", words.lower()).replace("before now", "ago")
    low, high = (2, 4) if "few" in plain else (2, 2) if "couple" in plain else (0, 0)
    plain = re.sub(r"\b(?:a )?(?:few|couple(?: of)?)\b", "{n}", plain)
    ends = []
    for count in {low, high}:
        filled = _fortnights(plain.replace("{n}", str(count)))
        found = _ask(re.sub(r"(.*) from now$", r"in \1", filled), today, future)
        if found is None:
            return None
        ends.append(_span(*found))
    return min(start for start, _ in ends), max(end for _, end in ends)


def _unit(words: str, today: date, future: bool) -> _Days | None:
    which, unit = words.lower().split(" ")
    which = {"past": "last", "previous": "last", "coming": "next"}.get(which, which)
    if which == "this":
        return _span(today, unit)
    if unit == "fortnight":
        monday = _week(today)[0]
        return (monday - timedelta(14), monday) if which == "last" else (monday + timedelta(7), monday + timedelta(21))
    found = _ask(f"{which} {unit}", today, future)
    return found and _span(*found)


def _weekend(words: str, today: date, future: bool) -> _Days | None:
    saturday = _week(today)[0] + timedelta(5)
    which = words.lower().split(" ")[0]
    if which in ("next", "coming"):
        # Said on a weekday, "the coming weekend" is this week's; "next" and anything said at a weekend the one after.
        saturday += timedelta(7 if which == "next" or today >= saturday else 0)
    elif which != "this":
        saturday -= timedelta(7)
    return saturday, saturday + timedelta(2)


def _season(words: str, today: date, future: bool) -> _Days | None:
    lower = words.lower()
    start_month = next(m for s, m in _SEASONS.items() if s in lower)
    year = re.search(_YEAR, words)
    if year:
        start = date(int(year.group()), start_month, 1)
    else:
        start = _pick(lower, date(today.year, start_month, 1), today, future, length_months=3)
    return start, _add_months(start, 3)


_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}


def _weekday(words: str, today: date, future: bool) -> _Days | None:
    which, _, day = words.rpartition(" ")
    which = which.lower()
    if which in ("next", "coming", "this", "last", "past", "previous"):
        which = {"past": "last", "previous": "last", "coming": "next"}.get(which, which)
        found = _ask(f"{which} {day.lower()}", today, future)
    else:
        found = _ask(day, today, future)
    return found and _day(found[0])


def _holiday(words: str, today: date, future: bool) -> _Days | None:
    plain = words.replace("’", "'")
    name = next(n for n in _HOLIDAYS if n in plain.lower())
    year = re.search(_YEAR, plain)
    if year:
        return _day(_HOLIDAYS[name](int(year.group())))
    which = plain.lower().split(" ")[0]
    years = range(today.year - 2, today.year + 3)
    days = [_HOLIDAYS[name](y) for y in years]
    if which in ("next", "coming") or (future and which not in ("last", "past", "previous")):
        return next(_day(d) for d in days if d >= today)
    strictly = which in ("last", "past", "previous")
    return next(_day(d) for d in reversed(days) if (d < today if strictly else d <= today))


_HOLIDAYS: dict[str, Callable[[int], date]] = {
    "christmas eve": lambda y: date(y, 12, 24),
    "christmas": lambda y: date(y, 12, 25),
    "xmas": lambda y: date(y, 12, 25),
    "boxing day": lambda y: date(y, 12, 26),
    "new year's eve": lambda y: date(y, 12, 31),
    "new years eve": lambda y: date(y, 12, 31),
    "new year": lambda y: date(y, 1, 1),
    "hallowe": lambda y: date(y, 10, 31),
    "valentine": lambda y: date(y, 2, 14),
    "good friday": lambda y: easter(y) - timedelta(2),
    "easter monday": lambda y: easter(y) + timedelta(1),
    "easter": lambda y: easter(y),
}


def _year(words: str, today: date, future: bool) -> _Days | None:
    year = int(words[-4:])
    return date(year, 1, 1), date(year + 1, 1, 1)


def _around(words: str, today: date, future: bool) -> _Days | None:
    found = re.match(r"(?i)(?:the )?(week|day) (before|after|of) (.*)", words)
    assert found is not None
    unit, side, rest = found.group(1).lower(), found.group(2).lower(), found.group(3)
    days = _date(rest, today, future)
    if days is None:
        return None
    if side == "of":
        return _week(days[0]) if unit == "week" else days
    length = timedelta(7 if unit == "week" else 1)
    return (days[0] - length, days[0]) if side == "before" else (days[1], days[1] + length)


_RESOLVERS: dict[str, Callable[[str, date, bool], _Days | None]] = {
    "iso": _iso,
    "around": _around,
    "date": _date,
    "monthyear": _month_year,
    "month": _month_alone,
    "nth": _nth,
    "relative": _relative,
    "ago": _ago,
    "unit": _unit,
    "weekend": _weekend,
    "season": _season,
    "weekday": _weekday,
    "holiday": _holiday,
    "year": _year,
}

# --- the library, and the calendar ------------------------------------------------------------------------------


def _ask(words: str, today: date, future: bool) -> tuple[date, str] | None:
    """What dateparser makes of one expression at noon of ``today``, and its precision: day, week, month or year."""
    base = datetime.combine(today, time(12))
    parser = DateDataParser(
        languages=["en"],
        settings={
            "RELATIVE_BASE": base,
            "PREFER_DATES_FROM": "future" if future else "past",
            "PREFER_DAY_OF_MONTH": "first",
            "PREFER_MONTH_OF_YEAR": "first",
            "RETURN_AS_TIMEZONE_AWARE": False,
            "TIMEZONE": "UTC",
            "TO_TIMEZONE": "UTC",
        },
    )
    found = parser.get_date_data(words)
    return (found.date_obj.date(), found.period) if found.date_obj else None


def _span(day: date, period: str) -> _Days:
    if period == "week" or period == "fortnight":
        return _week(day)
    if period == "month":
        return _month(day)
    if period == "year":
        return date(day.year, 1, 1), date(day.year + 1, 1, 1)
    return _day(day)


def _day(day: date) -> _Days:
    return day, day + timedelta(1)


def _week(day: date) -> _Days:
    monday = day - timedelta(day.weekday())
    return monday, monday + timedelta(7)


def _month(day: date) -> _Days:
    return day.replace(day=1), _add_months(day.replace(day=1), 1)


def _add_months(first: date, months: int) -> date:
    index = first.year * 12 + first.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def _latest(first: date, today: date) -> date:
    """The same month of the latest year that begins no later than ``today``."""
    candidate = first.replace(year=today.year)
    return candidate if candidate <= today else candidate.replace(year=today.year - 1)


def _pick(lower: str, this_year: date, today: date, future: bool, length_months: int) -> date:
    """Which year's season is meant: the one that ``today`` lies in or the latest before it; "last", "next" move on."""
    latest = _latest(this_year, today)
    inside = today < _add_months(latest, length_months)
    if lower.startswith(("last", "past", "previous")):
        return latest.replace(year=latest.year - 1) if inside else latest
    if lower.startswith(("next", "coming")) or (future and not inside):
        return latest.replace(year=latest.year + 1)
    return latest


def _fortnights(plain: str) -> str:
    def weeks(m: re.Match[str]) -> str:
        count = {"a": 1, "one": 1, "two": 2, "three": 3}.get(m.group(1)) or int(m.group(1))
        return f"{2 * count} weeks"

    return re.sub(r"\b(a|one|two|three|\d+) fortnights?\b", weeks, plain)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _sentence(text: str, start: int, end: int) -> str:
    begin = max(
        (m.end() for m in _SENTENCE_END.finditer(text, max(0, start - 400), start)), default=max(0, start - 400)
    )
    stop = _SENTENCE_END.search(text, end, end + 400)
    return text[begin : stop.start() if stop else end + 400]


_BETWEEN = re.compile(r"(?i)\b(?:between|from)\s+(?:the\s+|in\s+)?$")
_AND = re.compile(r"(?i)\s*(?:and|to|until|till|–|-)\s*(?:the\s+|in\s+)?")


def _join_ranges(text: str, mentions: list[Mention]) -> Iterator[Mention]:
    """ "between 3 March and 5 March" is one mention."""
    waiting = list(reversed(mentions))
    while waiting:
        first = waiting.pop()
        if waiting and first.at >= 5:
            second = waiting[-1]
            gap = text[first.at + len(first.text) : second.at]
            if (
                _AND.fullmatch(gap)
                and _BETWEEN.search(text, max(0, first.at - 14), first.at)
                and first.end <= second.end
            ):
                waiting.pop()
                words = text[first.at : second.at + len(second.text)]
                first = Mention(words, first.start, second.end, first.at, first.yearless and second.yearless)
        yield first
