"""What words of time mean on a given day: half-open days. One function for each form of ``words``."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from services.common.times import calendar, words
from services.common.times.calendar import Days

_Match = re.Match[str]

# No year stands in these, and none is counted from the day they are said: other years are possible readings.
YEARLESS = frozenset({"date", "days", "around", "months", "month", "season", "holiday"})
# For these the tense decides between the one before and the one to come.
OF_TENSE = YEARLESS | {"nth", "nths", "weekday", "weekend", "ahead", "unit"}


def resolve(form: str, match: _Match, now: datetime, future: bool | None) -> Days | None:
    """The days that a match of ``form`` means at ``now`` (aware; its days are those of its own zone).

    ``future``: what the sentence says, None where it says nothing. None for what no calendar has.
    """
    try:
        return _RESOLVERS[form](match, now, future)
    except (OverflowError, ValueError, StopIteration):  # 31 February; a year before 1; a holiday of the year 10000
        return None


def within(form: str, match: _Match, year: int) -> Days | None:
    """The same words in a year that other words give ("2 April to 5 May 2024")."""
    if form != "date" or match["year"]:
        return None
    try:
        return calendar.day(date(year, *_month_and_day(match)))
    except ValueError:
        return None


def is_yearless(form: str, match: _Match) -> bool:
    return form in YEARLESS and re.search(words.YEAR, match.group()) is None and not _AGAIN.match(match.group())


_AGAIN = re.compile(r"(?i)(?:(?:this |the )?(?:past|coming)|(?:the )?(?:previous|following)|last|next|this)\b")


def _which(match: _Match, group: str = "which") -> str:
    """ "last", "next" or "this", whatever word says so; the preposition, or "", where none does."""
    word = (match[group] or "").lower()
    last = word.rpartition(" ")[2]
    return {"past": "last", "previous": "last", "coming": "next", "following": "next"}.get(last, word)


def _group(match: _Match, *names: str) -> str:
    """The first of these groups that took part; "" where none did."""
    return next((match[name] for name in names if match.groupdict().get(name)), "")


# --- figures ----------------------------------------------------------------------------------------------------


def _iso(match: _Match, now: datetime, future: bool | None) -> Days:
    """The day as it is written: one on the clock that a time and an offset behind it were read from."""
    return calendar.day(date(int(match["year"]), int(match["month"]), int(match["day"])))


def _numeric(match: _Match, now: datetime, future: bool | None) -> Days:
    a, b = int(match["a"]), int(match["b"])
    day, month = (a, b) if b <= 12 and (match["dash"] == "." or a > 12 or a == b) else (b, a)
    return calendar.day(date(int(match["year"]), month, day))


# --- dates ------------------------------------------------------------------------------------------------------


def _month_and_day(match: _Match) -> tuple[int, int]:
    return words.month(_group(match, "month", "month2")), words.day(_group(match, "day", "word", "day2"))


def _date(match: _Match, now: datetime, future: bool | None) -> Days:
    month, day = _month_and_day(match)
    if match["year"]:
        return calendar.day(date(int(match["year"]), month, day))
    return calendar.near(lambda year: calendar.day(date(year, month, day)), now.date(), future is True)


def _days(match: _Match, now: datetime, future: bool | None) -> Days:
    month = words.month(_group(match, "month", "month2"))
    first, last = words.day(_group(match, "first", "first2")), words.day(_group(match, "last", "last2"))

    def of(year: int) -> Days:
        return date(year, month, first), date(year, month, last) + timedelta(1)

    return of(int(match["year"])) if match["year"] else calendar.near(of, now.date(), future is True)


def _around(match: _Match, now: datetime, future: bool | None) -> Days | None:
    inner = words.FORMS["date"].fullmatch(match["date"])
    assert inner is not None
    start, end = _date(inner, now, future)
    unit, side = match["unit"].lower(), match["side"].lower()
    if unit not in ("week", "day"):
        first, many = (5, 2) if unit == "weekend" else (words.weekday(unit), 1)
        return _days_around(start, end, side, first, timedelta(many))
    if side == "of":
        return calendar.week(start) if unit == "week" else (start, end)
    length = timedelta(7 if unit == "week" else 1)
    return (start - length, start) if side == "before" else (end, end + length)


def _days_around(start: date, end: date, side: str, first: int, length: timedelta) -> Days | None:
    """The weekday, or the weekend, nearest before or after [start, end), or of its week; a weekday is of no day."""
    if side == "before":
        begins = start - length - timedelta((start - length).weekday() - first) % timedelta(7)
    elif side == "after":
        begins = end + timedelta(first - end.weekday()) % timedelta(7)
    else:
        begins = calendar.week(start)[0] + timedelta(first)
    return (begins, begins + length) if side != "of" or length > timedelta(1) else None


def _nth(match: _Match, now: datetime, future: bool | None) -> Days:
    day = words.day(match["day"])
    return _of_month(day, day, now.date(), future)


def _nths(match: _Match, now: datetime, future: bool | None) -> Days:
    return _of_month(words.day(match["first"]), words.day(match["last"]), now.date(), future)


def _of_month(first: int, last: int, today: date, future: bool | None) -> Days:
    """Days by number of the nearest month that has them."""
    steps = range(13) if future else range(0, -13, -1)
    for step in steps:
        month = today.replace(day=1) + relativedelta(months=step)
        if last > (calendar.month(month)[1] - month).days:
            continue
        start, end = month.replace(day=first), month.replace(day=last) + timedelta(1)
        if end > today if future else start <= today:
            return start, end
    raise ValueError("no month has these days")


# --- months, seasons, years -------------------------------------------------------------------------------------


def _month_year(match: _Match, now: datetime, future: bool | None) -> Days:
    return calendar.month(date(int(match["year"]), words.month(match["month"]), 1))


def _months(match: _Match, now: datetime, future: bool | None) -> Days:
    first, last = words.month(match["first"]), words.month(match["last"])
    over = last < first  # "from November to February": into the next year

    def to(year: int) -> Days:
        begins = int(match["year1"]) if match["year1"] and match["year"] else year - over
        return date(begins, first, 1), calendar.month(date(year, last, 1))[1]

    if match["year"]:
        return to(int(match["year"]))
    if match["year1"]:
        return to(int(match["year1"]) + over)
    return calendar.near(to, now.date(), future is True)


def _month(match: _Match, now: datetime, future: bool | None) -> Days:
    number = words.month(match["month"])
    return _again(match, lambda year: calendar.month(date(year, number, 1)), now.date(), future)


def _season(match: _Match, now: datetime, future: bool | None) -> Days:
    name = match["season"].lower()
    if match["year"]:
        return calendar.season(name, int(match["year"]))
    return _again(match, lambda year: calendar.season(name, year), now.date(), future)


def _holiday(match: _Match, now: datetime, future: bool | None) -> Days:
    plain = match["name"].lower().replace("’", "'")
    of = next(of for name, of in calendar.HOLIDAYS.items() if name in plain)
    if match["year"]:
        return calendar.day(of(int(match["year"])))
    return _again(match, lambda year: calendar.day(of(year)), now.date(), future)


def _again(match: _Match, make: Callable[[int], Days], today: date, future: bool | None) -> Days:
    """The one of a thing that comes every year. "Last" and "next" leave out the one that holds today."""
    which = _which(match)
    latest = calendar.near(make, today, future=False)
    if which == "last":
        return latest if latest[1] <= today else calendar.near(make, latest[0] - timedelta(1), future=False)
    if which == "next":
        here = calendar.near(make, today, future=True)
        return here if here[0] > today else calendar.near(make, here[1], future=True)
    ahead = future is not False if which == "this" else future is True
    return calendar.near(make, today, future=True) if ahead else latest


def _decade(match: _Match, now: datetime, future: bool | None) -> Days:
    return calendar.year(int(match["decade"]), many=10)


def _year(match: _Match, now: datetime, future: bool | None) -> Days:
    return calendar.year(int(match["year"]))


def _years(match: _Match, now: datetime, future: bool | None) -> Days:
    return date(int(match["first"]), 1, 1), date(int(match["last"]) + 1, 1, 1)


# --- counted from now -------------------------------------------------------------------------------------------


def _relative(match: _Match, now: datetime, future: bool | None) -> Days:
    plain = match.group().lower().replace("to-", "to").removeprefix("the ")
    steps = {"day before yesterday": -2, "yesterday": -1, "last night": -1, "tomorrow": 1, "day after tomorrow": 2}
    return calendar.day(now.date() + timedelta(steps.get(plain, 0)))


_LENGTHS = {
    "day": {"days": 1},
    "week": {"weeks": 1},
    "fortnight": {"weeks": 2},
    "month": {"months": 1},
    "year": {"years": 1},
    "decade": {"years": 10},
}


def _unit_of(match: _Match) -> str:
    return match["unit"].lower().removesuffix("s")


def _ago(match: _Match, now: datetime, future: bool | None) -> Days:
    least, most = words.count(match["count"])
    unit, on = _unit_of(match), (match["on"] or "").lower()
    if on:  # "two weeks ago today": to the day
        length = relativedelta(**_LENGTHS.get(unit, {"days": 1}))
        return calendar.day(now.date() - timedelta(on == "yesterday") - most * length)
    if unit in ("hour", "minute"):
        lengths = {"hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
        return (now - most * lengths[unit]).date(), (now - least * lengths[unit]).date() + timedelta(1)
    return calendar.moved(now.date(), unit, -most)[0], calendar.moved(now.date(), unit, -least)[1]


def _before_last(match: _Match, now: datetime, future: bool | None) -> Days:
    """ "The week before last", "the Friday before last": the one before that which "last" means."""
    step = -2 if match["side"] else 2
    if match["unit"]:
        unit = match["unit"].lower()
        return calendar.moved(now.date(), "day" if unit == "night" else unit, step)
    number, today = words.weekday(match["day"]), now.date()
    ahead = (number - today.weekday()) % 7 or 7
    behind = (today.weekday() - number) % 7 or 7
    return calendar.day(today + timedelta(ahead + 7 if step > 0 else -behind - 7))


def weekdays(one: _Match, other: _Match, now: datetime, future: bool | None) -> Days:
    """ "From Monday to Friday": the end follows the start; past, the last such days that have begun by today."""
    start = _weekday(one, now, future)[0]
    length = timedelta((words.weekday(other["day"]) - start.weekday()) % 7 or 7)
    back = timedelta(7 if future is not True and start + length > now.date() else 0)
    return start - back, start - back + length + timedelta(1)


def _ahead(match: _Match, now: datetime, future: bool | None) -> Days | None:
    """None where the sentence is past: "built in three years" is how long it took."""
    return None if future is False else _from_now(match, now, future)


def _from_now(match: _Match, now: datetime, future: bool | None) -> Days:
    least, most = words.count(match["count"])
    return calendar.moved(now.date(), _unit_of(match), least)[0], calendar.moved(now.date(), _unit_of(match), most)[1]


def _spell(match: _Match, now: datetime, future: bool | None) -> Days:
    """ "The last three weeks" end today, "the next three weeks" begin today; by the day."""
    _, most = words.count(match["count"])
    unit = _unit_of(match)
    length = most * relativedelta(**_LENGTHS[unit])
    today = now.date()
    return (today - length, today + timedelta(1)) if _which(match) == "last" else (today, today + length + timedelta(1))


def _unit(match: _Match, now: datetime, future: bool | None) -> Days:
    unit, step = _unit_of(match), {"last": -1, "this": 0, "next": 1}[_which(match)]
    if unit == "fortnight":
        monday = calendar.week(now.date())[0]
        return monday + timedelta({-1: -14, 0: 0, 1: 7}[step]), monday + timedelta({-1: 0, 0: 14, 1: 21}[step])
    return calendar.moved(now.date(), unit, step)


def _weekend(match: _Match, now: datetime, future: bool | None) -> Days:
    """Said on a weekday, "the coming weekend" is this week's; "next", and anything said at a weekend, the one after."""
    today = now.date()
    saturday = calendar.week(today)[0] + timedelta(5)
    which, word = _which(match), match["which"].lower()
    if which == "next":
        saturday += timedelta(7 if word == "next" or today >= saturday else 0)
    elif which == "last" or (which != "this" and future is not True and today < saturday):
        saturday -= timedelta(7)
    return saturday, saturday + timedelta(2)


def _weekday(match: _Match, now: datetime, future: bool | None) -> Days:
    """Never today: that would be said "today". "This Friday" is the one to come, unless the sentence is past."""
    which, number, today = _which(match), words.weekday(match["day"]), now.date()
    if which == "this" and future is not False and today.weekday() == number:
        return calendar.day(today)
    ahead = which == "next" or (which == "this" and future is not False) or (which != "last" and future is True)
    step = (number - today.weekday()) % 7 or 7
    return calendar.day(today + timedelta(step if ahead else step - 7 if step < 7 else -7))


def _day_of_week(match: _Match, now: datetime, future: bool | None) -> Days:
    which = _group(match, "which", "which2").lower()
    monday = calendar.moved(now.date(), "week", {"last": -1, "this": 0, "next": 1}[which])[0]
    return calendar.day(monday + timedelta(words.weekday(_group(match, "day", "day2"))))


_RESOLVERS: dict[str, Callable[[_Match, datetime, bool | None], Days | None]] = {
    "iso": _iso,
    "numeric": _numeric,
    "around": _around,
    "days": _days,
    "date": _date,
    "months": _months,
    "monthyear": _month_year,
    "month": _month,
    "nths": _nths,
    "nth": _nth,
    "relative": _relative,
    "ago": _ago,
    "beforelast": _before_last,
    "ahead": _ahead,
    "fromnow": _from_now,
    "spell": _spell,
    "dayofweek": _day_of_week,
    "unit": _unit,
    "weekend": _weekend,
    "season": _season,
    "holiday": _holiday,
    "weekday": _weekday,
    "decade": _decade,
    "years": _years,
    "year": _year,
}
