"""What words mean that count from the day they are said: "two weeks ago", "next Friday", "the coming weekend"."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from dateutil.relativedelta import relativedelta

from services.common.text.times import calendar, words
from services.common.text.times.calendar import Days

_Match = re.Match[str]


def relative(match: _Match, now: datetime, future: bool | None) -> Days:
    plain = match.group().lower().replace("to-", "to").removeprefix("the ")
    steps = {"day before yesterday": -2, "yesterday": -1, "last night": -1, "tomorrow": 1, "day after tomorrow": 2}
    return calendar.day(now.date() + timedelta(steps.get(plain, 0)))


def now(match: _Match, now: datetime, future: bool | None) -> Days:
    return calendar.day(now.date())


def tomorrow(now: datetime) -> date:
    return now.date() + timedelta(1)


LENGTHS = {
    "day": {"days": 1},
    "week": {"weeks": 1},
    "fortnight": {"weeks": 2},
    "month": {"months": 1},
    "year": {"years": 1},
    "decade": {"years": 10},
}


def _unit_of(match: _Match) -> str:
    return match["unit"].lower().removesuffix("s")


def length(unit: str, many: int = 1) -> relativedelta:
    return many * relativedelta(**LENGTHS[unit])


def ago(match: _Match, now: datetime, future: bool | None) -> Days:
    least, most = words.count(match["count"])
    most = words.count(match["more"])[1] if match["more"] else most  # "a week or two ago"
    unit, on = _unit_of(match), (match["on"] or "").lower()
    if on and unit in LENGTHS:  # "two weeks ago today": to the day
        counted_from = now.date() - timedelta(1 if on == "yesterday" else 0)
        return calendar.day(counted_from - length(unit, most))
    if unit in ("hour", "minute"):
        lengths = {"hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
        return (now - most * lengths[unit]).date(), (now - least * lengths[unit]).date() + timedelta(1)
    return calendar.moved(now.date(), unit, -most)[0], calendar.moved(now.date(), unit, -least)[1]


def before_last(match: _Match, now: datetime, future: bool | None) -> Days:
    """ "The week before last", "the Friday before last": the one before that which "last" means."""
    step = -2 if match["side"] else 2
    if match["unit"]:
        unit = match["unit"].lower()
        if unit == "weekend":
            monday = calendar.moved(now.date(), "week", step)[0]
            return monday + timedelta(5), monday + timedelta(7)
        return calendar.moved(now.date(), "day" if unit == "night" else unit, step)
    number, today = words.weekday(match["day"]), now.date()
    ahead = (number - today.weekday()) % 7 or 7
    behind = (today.weekday() - number) % 7 or 7
    return calendar.day(today + timedelta(ahead + 7 if step > 0 else -behind - 7))


def weekdays(start: date, last: int, today: date, future: bool | None) -> Days:
    """ "From Monday to Friday": the end follows the start; past, the last such days that have begun by today.

    OverflowError at the ends of the calendar.
    """
    length = timedelta((last - start.weekday()) % 7 or 7)
    back = timedelta(7 if future is not True and start + length > today else 0)
    return start - back, start - back + length + timedelta(1)


def ahead(match: _Match, now: datetime, future: bool | None) -> Days | None:
    """None where the sentence is past: "built in three years" is how long it took."""
    return None if future is False else from_now(match, now, future)


def from_now(match: _Match, now: datetime, future: bool | None) -> Days:
    least, most = words.count(match["count"])
    return calendar.moved(now.date(), _unit_of(match), least)[0], calendar.moved(now.date(), _unit_of(match), most)[1]


def spell(match: _Match, now: datetime, future: bool | None) -> Days:
    """ "The last three weeks" end today, "the next three weeks" begin today; by the day."""
    _, most = words.count(match["count"])
    unit = _unit_of(match)
    reach = length(unit, most)
    today = now.date()
    is_past = words.which(match) == "last"
    return (today - reach, today + timedelta(1)) if is_past else (today, today + reach + timedelta(1))


def unit(match: _Match, now: datetime, future: bool | None) -> Days:
    unit, step = _unit_of(match), {"last": -1, "this": 0, "next": 1}[words.which(match)]
    if unit == "fortnight":
        monday = calendar.week(now.date())[0]
        return monday + timedelta({-1: -14, 0: 0, 1: 7}[step]), monday + timedelta({-1: 0, 0: 14, 1: 21}[step])
    return calendar.moved(now.date(), unit, step)


def weekend(match: _Match, now: datetime, future: bool | None) -> Days:
    """Said on a weekday, "the coming weekend" is this week's; "next", and anything said at a weekend, the one after."""
    today = now.date()
    saturday = calendar.week(today)[0] + timedelta(5)
    which, word = words.which(match), match["which"].lower()
    if which == "next":
        saturday += timedelta(7 if word == "next" or today >= saturday else 0)
    elif which == "last" or (which != "this" and future is not True and today < saturday):
        saturday -= timedelta(7)
    return saturday, saturday + timedelta(2)


def weekday(match: _Match, now: datetime, future: bool | None) -> Days:
    """Never today: that would be said "today". "This Friday" is the one to come, unless the sentence is past."""
    which, number, today = (match["then"] or "").lower() or words.which(match), words.weekday(match["day"]), now.date()
    if which == "this" and future is not False and today.weekday() == number:
        return calendar.day(today)
    ahead = which == "next" or (which == "this" and future is not False) or (which != "last" and future is True)
    step = (number - today.weekday()) % 7 or 7
    return calendar.day(today + timedelta(step if ahead else step - 7 if step < 7 else -7))


def day_of_week(match: _Match, now: datetime, future: bool | None) -> Days:
    which = words.group(match, "which", "which2").lower()
    monday = calendar.moved(now.date(), "week", {"last": -1, "this": 0, "next": 1}[which])[0]
    return calendar.day(monday + timedelta(words.weekday(words.group(match, "day", "day2"))))
