"""Days, weeks, months and seasons of the calendar, as half-open pairs of dates. No words, no clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from dateutil.easter import easter
from dateutil.relativedelta import relativedelta

Days = tuple[date, date]  # half-open


def day(at: date) -> Days:
    return at, at + timedelta(1)


def week(at: date) -> Days:
    """Monday to Monday."""
    monday = at - timedelta(at.weekday())
    return monday, monday + timedelta(7)


def month(at: date) -> Days:
    first = at.replace(day=1)
    return first, first + relativedelta(months=1)


def year(number: int, many: int = 1) -> Days:
    return date(number, 1, 1), date(number + many, 1, 1)


def season(name: str, number: int) -> Days:
    """Three whole months, as meteorologists count them; the winter of a year begins in it."""
    start = date(number, _SEASONS[name], 1)
    return start, start + relativedelta(months=3)


_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}


def moved(today: date, unit: str, by: int) -> Days:
    """The day, week, month, year or decade that lies so many from today's; a fortnight is two weeks, by the week."""
    if unit == "day":
        return day(today + timedelta(by))
    if unit in ("week", "fortnight"):
        return week(today + timedelta(by * (7 if unit == "week" else 14)))
    if unit == "month":
        return month(today.replace(day=1) + relativedelta(months=by))
    return year(today.year + by * (10 if unit == "decade" else 1))


def near(make: Callable[[int], Days], today: date, future: bool) -> Days:
    """Which year's is meant: the one that holds ``today``; else the next to come, or the latest that has begun.

    A year that has none (29 February) is passed over.
    """
    found = []
    for number in range(max(1, today.year - 8), min(9998, today.year + 8) + 1):
        try:
            found.append(make(number))
        except ValueError:
            continue
    if future:
        return next(days for days in found if days[1] > today)
    return next(days for days in reversed(found) if days[0] <= today)


HOLIDAYS: dict[str, Callable[[int], date]] = {
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
