"""What words of time mean on a given day: half-open days. One function for each form of ``words``; those that count
from that day are in ``counting``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from services.common.text.times import calendar, counting, words
from services.common.text.times.calendar import Days

_Match = re.Match[str]

# No year stands in these, and none is counted from the day they are said: other years are possible readings.
YEARLESS = frozenset({"date", "dayofmonth", "around", "offset", "month", "season", "holiday"})
# For these the tense decides between the one before and the one to come.
OF_TENSE = YEARLESS | frozenset(words.SHARED) | {"nth", "nths", "weekday", "weekdaynth", "weekend", "ahead"}


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
    make = _IN_YEAR.get(form)
    try:
        return make(match, year) if make and is_yearless(form, match) else None
    except (ValueError, StopIteration):
        return None


def weekdays(start: date, last: _Match, now: datetime, future: bool | None) -> Days | None:
    """From a weekday, ``start``, to another; None where the calendar ends before."""
    try:
        return counting.weekdays(start, words.weekday(last["day"]), now.date(), future)
    except OverflowError:
        return None


def weekday_of(match: _Match, week: Days) -> Days:
    """The day that a match of "weekday" names, in a week or a weekend, or in the week of the one day given; all of
    ``week`` where it has none or many such days ("on Sunday a few weeks ago")."""
    length = (week[1] - week[0]).days
    first, end = calendar.week(week[0]) if length == 1 else week
    day = first + timedelta((words.weekday(match["day"]) - first.weekday()) % 7)
    return calendar.day(day) if day < end and length <= 7 else week


_ANY_TIME = datetime(2000, 6, 15, tzinfo=UTC)  # "31 February" means nothing at any
_BY_MONTH = ("weekdaynth", "nthof")  # which month it is decides whether it has such a day


def is_possible(form: str, match: _Match) -> bool:
    """Whether the words mean something at some time."""
    return form in _BY_MONTH or resolve(form, match, _ANY_TIME, None) is not None


def is_yearless(form: str, match: _Match) -> bool:
    if form not in YEARLESS or match.groupdict().get("back"):
        return False
    return re.search(words.ANY_YEAR, match.group()) is None and not _AGAIN.match(match.group())


_AGAIN = re.compile(rf"{words.AGAIN}\b")


# --- figures ----------------------------------------------------------------------------------------------------


def _iso(match: _Match, now: datetime, future: bool | None) -> Days:
    """The day as it is written: one on the clock that a time and an offset behind it were read from."""
    return calendar.day(date(int(match["year"]), int(match["month"]), int(match["day"])))


def _numeric(match: _Match, now: datetime, future: bool | None) -> Days:
    a, b = int(match["a"]), int(match["b"])
    day, month = (a, b) if b <= 12 and (match["dash"] == "." or a > 12 or a == b) else (b, a)
    return calendar.day(date(words.year(match["year"], now), month, day))


def _interval(match: _Match, now: datetime, future: bool | None) -> Days | None:
    start, end = (_written(match[name], now, None, ("iso", "numeric")) for name in ("start", "end"))
    return (start[0], end[1]) if start and end and start[0] <= end[0] else None


def _written(day: str, now: datetime, future: bool | None, forms: Sequence[str]) -> Days | None:
    """A day within an expression, in the first of these forms that it has."""
    for form in forms:
        match = words.FORMS[form].fullmatch(day)
        if match is not None:
            return resolve(form, match, now, future)
    return None


# --- dates ------------------------------------------------------------------------------------------------------


def _month_and_day(match: _Match) -> tuple[int, int]:
    return words.month(words.group(match, "month", "month2")), words.day(words.group(match, "day", "word", "day2"))


def _date(match: _Match, now: datetime, future: bool | None) -> Days:
    month, day = _month_and_day(match)
    if match["year"]:
        return calendar.day(date(words.year(match["year"], now), month, day))
    return _of_some_year(lambda year: calendar.day(date(year, month, day)), now.date(), future)


def _date_in_full(match: _Match, now: datetime, future: bool | None) -> Days:
    return calendar.day(date(int(match["year"]), words.month(match["month"]), int(match["day"])))


def _year_month_in_figures(match: _Match, now: datetime, future: bool | None) -> Days:
    return calendar.month(date(int(match["year"]), int(match["month"]), 1))


def _of_some_year(make: Callable[[int], Days], today: date, future: bool | None) -> Days:
    """The latest; or the next, where the sentence looks ahead, or says nothing and only that one is near."""
    if future:
        return calendar.near(make, today, future=True)
    latest = calendar.near(make, today, future=False)
    if future is None and today - latest[1] > _FAR:
        ahead = calendar.near(make, today, future=True)
        return ahead if ahead[0] - today < _NEAR else latest
    return latest


_FAR, _NEAR = timedelta(300), timedelta(31)


def _around(match: _Match, now: datetime, future: bool | None) -> Days | None:
    days = _written(match["date"], now, future, ("date", "holiday"))
    if days is None:
        return None
    start, end = days
    unit, side = re.sub(r"^night$", "day", match["unit"].lower()), match["side"].lower()
    if unit not in counting.LENGTHS:
        first, many = (5, 2) if unit == "weekend" else (words.weekday(unit), 1)
        return _days_around(start, end, side, first, timedelta(many))
    if side == "of":
        return {"week": calendar.week(start), "day": days}.get(unit)
    return _beside(days, side, counting.length(unit))


def _beside(days: Days, side: str, length: relativedelta) -> Days:
    return (days[0] - length, days[0]) if side == "before" else (days[1], days[1] + length)


def _offset(match: _Match, now: datetime, future: bool | None) -> Days | None:
    """ "Two weeks before 3 May": as "two weeks ago" is counted, from that day; "the two weeks before" are both."""
    days = _written(match["date"], now, future, ("date", "holiday"))
    if days is None:
        return None
    least, most = words.count(match["count"])
    unit, side = match["unit"].lower().removesuffix("s"), match["side"].lower()
    sign = -1 if side == "before" else 1
    if unit == "weekend":
        shift = sign * timedelta(7 * (most - 1))
        return _days_around(days[0] + shift, days[1] + shift, side, 5, timedelta(2))
    if match["the"]:
        return _beside(days, side, counting.length(unit, most))
    first, last = sorted((sign * least, sign * most))
    return calendar.moved(days[0], unit, first)[0], calendar.moved(days[0], unit, last)[1]


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


def _weekday_nth(match: _Match, now: datetime, future: bool | None) -> Days:
    """ "Tuesday the 19th": the nearest such day, of two months back and ahead; none of them may have one."""
    number, today = words.day(words.group(match, "nth", "nth2", "nth3", "word")), now.date()
    weekday = words.weekday(words.group(match, "day", "day2", "day3"))
    days = [day for step in range(-2, 3) if (day := _numbered(today.replace(day=1), step, number))]
    fit = [
        day for day in days if day.weekday() == weekday and (future is None or day == today or (day > today) is future)
    ]
    return calendar.day(min(fit, key=lambda day: abs(day - today)))


def _numbered(month: date, step: int, number: int) -> date | None:
    """The day of that number, of the month so many on; None where it has none."""
    first, end = calendar.month(month + relativedelta(months=step))
    return first.replace(day=number) if number <= (end - first).days else None


def _nth_of(match: _Match, now: datetime, future: bool | None) -> Days | None:
    """ "The 14th of last month"; None where its weekday is another."""
    first = _month_back(match["back"], now)[0]
    day = first.replace(day=words.day(words.group(match, "day", "day2")))
    return calendar.day(day) if not match["weekday"] or words.weekday(match["weekday"]) == day.weekday() else None


def _month_back(said: str, now: datetime) -> Days:
    days = _written(said, now, None, ("unit", "beforelast"))
    if days is None:
        raise ValueError("the calendar has no such month")
    return days


def _day_of_month(match: _Match, now: datetime, future: bool | None) -> Days:
    """ "The third Thursday of November": by its month, where no year is named."""
    number = words.weekday(match["day"])
    nth = 0 if match["nth"].lower() == "last" else words.day(match["nth"])

    def within(month: Days) -> Days:
        first, end = month
        days = [first + timedelta(n) for n in range((end - first).days) if (first.weekday() + n) % 7 == number]
        if nth > len(days):
            raise ValueError("the month has fewer")
        return calendar.day(days[nth - 1])

    if match["back"]:
        return within(_month_back(match["back"], now))
    month = words.month(match["month"])
    if match["year"]:
        return within(calendar.month(date(int(match["year"]), month, 1)))
    return _of_some_year(lambda year: within(calendar.month(date(year, month, 1))), now.date(), future)


# --- months, seasons, years -------------------------------------------------------------------------------------


def _month_year(match: _Match, now: datetime, future: bool | None) -> Days:
    return calendar.month(date(words.year(match["year"], now), words.month(match["month"]), 1))


def _month(match: _Match, now: datetime, future: bool | None) -> Days:
    number = words.month(match["month"])
    return _again(match, lambda year: calendar.month(date(year, number, 1)), now.date(), future)


def _season(match: _Match, now: datetime, future: bool | None) -> Days:
    name = match["season"].lower()
    if match["year"]:
        return calendar.season(name, words.year(match["year"], now))
    return _again(match, lambda year: calendar.season(name, year), now.date(), future)


def _holiday(match: _Match, now: datetime, future: bool | None) -> Days:
    of = _holiday_of(match)
    if match["year"]:
        return calendar.day(of(int(match["year"])))
    return _again(match, lambda year: calendar.day(of(year)), now.date(), future)


def _holiday_of(match: _Match) -> Callable[[int], date]:
    plain = match["name"].lower().replace("’", "'")
    return next(of for name, of in calendar.HOLIDAYS.items() if name in plain)


def _again(match: _Match, make: Callable[[int], Days], today: date, future: bool | None) -> Days:
    """The one of a thing that comes every year. "Last" and "next" leave out the one that holds today."""
    which = words.which(match)
    latest = calendar.near(make, today, future=False)
    if which == "last":
        return latest if latest[1] <= today else calendar.near(make, latest[0] - timedelta(1), future=False)
    if which == "next":
        here = calendar.near(make, today, future=True)
        return here if here[0] > today else calendar.near(make, here[1], future=True)
    ahead = future is not False if which == "this" else future is True
    return calendar.near(make, today, future=True) if ahead else latest


def _decade(match: _Match, now: datetime, future: bool | None) -> Days:
    if match["decade"]:
        first = int(match["decade"])
        return calendar.year(first, many=100 if first % 100 == 0 and first < 2000 else 10)  # "the 1800s" are a century
    short = int(match["short"]) if match["short"] else words.DECADES[match["word"].lower()]
    return calendar.year(1900 + short, many=10)


def _part(match: _Match, now: datetime, future: bool | None) -> Days:
    """A quarter or a half of a year."""
    year, part = int(words.group(match, "year", "year2")), words.group(match, "part", "part2").lower()
    if part:
        months, nth = 3 if part[0] == "q" else 6, int(part[1])
    else:
        months = 3 if match["unit"].lower() == "quarter" else 6
        nth = 12 // months if match["nth"].lower() == "last" else words.day(match["nth"])
    start = date(year, months * (nth - 1) + 1, 1)  # ValueError: "the third half"
    return start, start + relativedelta(months=months)


def _year(match: _Match, now: datetime, future: bool | None) -> Days:
    return calendar.year(words.year(match["year"], now))


def _years(match: _Match, now: datetime, future: bool | None) -> Days:
    last = match["last"]
    return date(int(match["first"]), 1, 1), date(int(last) + 1, 1, 1) if last.isdigit() else counting.tomorrow(now)


def _over_years(match: _Match, now: datetime, future: bool | None) -> Days:
    """ "2019/20" is both years, from the start of the one to the end of the other."""
    first = int(match["first"])
    last = int(match["last"]) % 100
    return date(first, 1, 1), date(first + (last - first) % 100 + 1, 1, 1)


_RESOLVERS: dict[str, Callable[[_Match, datetime, bool | None], Days | None]] = {
    "interval": _interval,
    "stamp": _iso,
    "iso": _iso,
    "dashed": _date_in_full,
    "yearmonth": _year_month_in_figures,
    "numeric": _numeric,
    "around": _around,
    "offset": _offset,
    "date": _date,
    "monthyear": _month_year,
    "month": _month,
    "nths": _nths,
    "nth": _nth,
    "weekdaynth": _weekday_nth,
    "nthof": _nth_of,
    "now": counting.now,
    "relative": counting.relative,
    "ago": counting.ago,
    "beforelast": counting.before_last,
    "ahead": counting.ahead,
    "fromnow": counting.from_now,
    "spell": counting.spell,
    "dayofmonth": _day_of_month,
    "dayofweek": counting.day_of_week,
    "unit": counting.unit,
    "weekend": counting.weekend,
    "season": _season,
    "holiday": _holiday,
    "weekday": counting.weekday,
    "decade": _decade,
    "part": _part,
    "overyears": _over_years,
    "years": _years,
    "year": _year,
}

_IN_YEAR: dict[str, Callable[[_Match, int], Days]] = {
    "date": lambda match, year: calendar.day(date(year, *_month_and_day(match))),
    "month": lambda match, year: calendar.month(date(year, words.month(match["month"]), 1)),
    "season": lambda match, year: calendar.season(match["season"].lower(), year),
    "holiday": lambda match, year: calendar.day(_holiday_of(match)(year)),
}
