"""Several times that share a month or a year, taken apart: "3 and 5 May 2022", "20.01. to 25.01.2026", "June or July
2020". Each becomes a time in a form of its own; a year that stands once is shared out by ``ranges``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from services.common.text.times import words

_Match = re.Match[str]
Part = tuple[str, _Match, int, int]  # form, words in full, where what was said of it begins and ends in the expression


def parts(form: str, match: _Match) -> list[Part]:
    """The times that a match of ``form``, one of ``words.SHARED``, names, in order; none where one is no time.

    The first takes the words that lead to it, the last those that follow.
    """
    found = list(_IN_FULL[form](match))
    made: list[Part] = []
    for number, (of, full, at, to) in enumerate(found):
        alone = words.FORMS[of].fullmatch(full)
        if alone is None:
            return []
        is_last = number == len(found) - 1
        made.append((of, alone, at if number else 0, len(match.group()) if is_last else to))
    return made


_Said = tuple[str, str, int, int]  # form, words in full, begin, end


def _items(match: _Match, item: str) -> list[_Match]:
    name = "items" if match["items"] else "items2"
    return list(re.compile(item).finditer(match.group(), *match.span(name)))


def _days(match: _Match) -> Iterator[_Said]:
    month = words.group(match, "month", "month2", "back")
    form = "nthof" if match["back"] else "date"
    items = _items(match, words.DAY_OF_LIST)
    for item in items:
        year = (match["year"] or "") if item is items[-1] else ""
        day = item.group().rstrip(".")
        the = "the " if match["back"] or day[0].isalpha() else ""
        yield form, f"{the}{day} of {month}{year.replace(' of', '')}", *item.span()


def _months(match: _Match) -> Iterator[_Said]:
    for item in _items(match, words.MONTH_OF_LIST):
        dated = words.FORMS["monthyear"].fullmatch(item.group())
        yield ("monthyear", item.group(), *item.span()) if dated else ("month", f"in {item.group()}", *item.span())


def _seasons(match: _Match) -> Iterator[_Said]:
    for item in _items(match, words.SEASON_OF_LIST):
        yield "season", item.group(), *item.span()


def _holidays(match: _Match) -> Iterator[_Said]:
    for item in _items(match, words.HOLIDAY_OF_LIST):
        yield "holiday", item.group(), *item.span()


def _decades(match: _Match) -> Iterator[_Said]:
    for item in _items(match, words.DECADE_OF_LIST):
        yield "decade", f"the {item.group()}", *item.span()


def _same_of(match: _Match) -> Iterator[_Said]:
    """ "The summers of 2018 and 2019"."""
    for item in _items(match, words.YEAR_OF_LIST):
        form = "season" if match["season"] else "monthyear"
        yield form, f"{words.group(match, 'season', 'month')} {item.group()}", *item.span()


def _quarters(match: _Match) -> Iterator[_Said]:
    for item in _items(match, words.QUARTER):
        yield "part", f"{item.group()} {match['year'][-4:]}", *item.span()


def _years(match: _Match) -> Iterator[_Said]:
    for item in _items(match, words.YEAR):
        yield "year", f"in {item.group()}", *item.span()


def _figures(match: _Match) -> Iterator[_Said]:
    """Day and month of the first are in the order of the last."""
    last = words.FORMS["numeric"].fullmatch(match["last"])
    if last is None:
        return
    day, month = match["day"], (match["month"] or "")[1:]
    is_month_first = last["dash"] == "/" and int(last["b"]) > 12
    if is_month_first and month:
        day, month = month, day
    number = int(month or last["a" if is_month_first else "b"])
    if number <= 12 and (month or not is_month_first):
        yield "date", f"{day} {words.month_name(number)}", match.start("day"), match.end("month" if month else "day")
        yield "numeric", match["last"], *match.span("last")


def _isos(match: _Match) -> Iterator[_Said]:
    first = words.FORMS["iso"].fullmatch(match["first"])
    month = int((match["month"] or (first["month"] if first else "0")).rstrip("-/."))
    if first is not None and 1 <= month <= 12:
        yield "iso", match["first"], *match.span("first")
        begin = match.start("month") if match["month"] else match.start("day")
        yield "date", f"{match['day']} {words.month_name(month)}", begin, match.end("day")


_IN_FULL: dict[str, Callable[[_Match], Iterator[_Said]]] = {
    "numerics": _figures,
    "isos": _isos,
    "days": _days,
    "months": _months,
    "seasons": _seasons,
    "holidays": _holidays,
    "decades": _decades,
    "sameof": _same_of,
    "parts": _quarters,
    "yearlist": _years,
}
