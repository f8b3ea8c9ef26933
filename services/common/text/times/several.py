"""Whether words in the form of several times at once are times: as ``doubt``, which judges a single one."""

from __future__ import annotations

import re
from collections.abc import Callable

from services.common.text.times import doubt, words
from services.common.text.times.doubt import CAPITAL_AFTER, DATED, FREE, OPENS, are_digits, is_number_of_something

_Match = re.Match[str]

_LEADS = re.compile(r"(?i)(?:from|between|in|during|on|of|since|for|the)\b")
_RANGES = re.compile(r"(?i)[-–—]|\b(?:to|through|thru|until|till)\b")
_IS_RANGE = re.compile(r"(?i)(?:from|between)\b")


def is_time(form: str, match: _Match, before: str, after: str) -> bool:
    """As ``doubt.is_time``, for every form."""
    rule = _RULES.get(form)
    return doubt.is_time(form, match, before, after) and (rule is None or rule(match, before, after))


def _is_led(match: _Match, before: str) -> bool:
    return _LEADS.match(match.group()) is not None or DATED.search(before) is not None


def _days(match: _Match, before: str, after: str) -> bool:
    """Not "we bought 7 and 9 April was cold"; a list of bare numbers has something that leads to it."""
    given = match.group()
    if is_number_of_something(before) and given[0].isdigit():
        return False
    year, items = match["year"], match["items"]
    if year is None and re.match(r"[-/.]\d", after):
        return False
    if items and re.search(r"[a-z]{5}", items.lower()) and not (match["of"] or match["back"]):
        return False  # "the first and second March"
    if match["back"]:
        return _is_led(match, before) and all(re.search("[a-z]", item) for item in re.findall(words.DAY_OF_LIST, items))
    is_list = items and not _RANGES.search(items)
    if not is_list and not _ascend(items or match["items2"]):
        return False  # "open 9-5 May 2020"
    if is_list and not (_is_led(match, before) or OPENS.search(before) or re.match(r"\d+[a-z]", given)):
        return False
    if not items and is_list is None and re.search(r"(?i) (?:and|or|&) ", given) and not FREE.match(after):
        return False  # "on May 3 and 5 friends came"
    is_small = (match["month"] or match["month2"]) in doubt.WORDS
    return not is_small or year is not None or _is_led(match, before)


def _ascend(items: str) -> bool:
    days = [words.day(item.rstrip(".")) for item in re.findall(words.DAY_OF_LIST, items)]
    return days == sorted(set(days))


def _months(match: _Match, before: str, after: str) -> bool:
    if re.search(words.ANY_YEAR, match.group()):
        return True
    given = [word.lower().rstrip(".") for word in re.findall(words.MONTH, match.group())]
    if any(word in doubt.WORDS for word in re.findall(words.MONTH, match.group())):
        return False
    return _LEADS.match(match.group()) is not None or not any(word in doubt.NAMES for word in given)


def _seasons(match: _Match, before: str, after: str) -> bool:
    """Not "the spring and fall of a ball"."""
    if re.search(words.ANY_YEAR, match.group()):
        return True
    led = re.match(r"(?i)(?:from|between|in|during)\b", match.group()) is not None
    return led and not doubt.SPRINGS.match(after) and not CAPITAL_AFTER.match(after)


def _holidays(match: _Match, before: str, after: str) -> bool:
    return re.search(words.YEAR, match.group()) is not None or (
        _IS_RANGE.match(match.group()) is not None and FREE.match(after) is not None
    )


def _numerics(match: _Match, before: str, after: str) -> bool:
    """A day alone may be any number, unless a range ends with the date, or something leads to a list."""
    between = match.string[match.end("month" if match["month"] else "day") : match.start("last")]
    sure = match["month"] or _RANGES.search(between) or _is_led(match, before)
    last = words.FORMS["numeric"].fullmatch(match["last"])
    return bool(sure) and last is not None and doubt.is_time("numeric", last, before, after)


def _isos(match: _Match, before: str, after: str) -> bool:
    """Not "2026-01-20 to 25 people", nor "2026-01-20 to 25 March"."""
    if re.match(rf"\.? (?i:of )?{words.MONTH}", after) or not FREE.match(after):
        return False
    listed = re.search(r"(?i) (?:and|or) ", match.group()) is not None
    return are_digits(match, before, after) and (not listed or _is_led(match, before))


def _nths(match: _Match, before: str, after: str) -> bool:
    return FREE.match(after) is not None and not CAPITAL_AFTER.match(after)


def _year_list(match: _Match, before: str, after: str) -> bool:
    """Not "by 1900 and 2000 men"."""
    items, which = re.findall(words.YEAR, match["items"]), match["which"].lower()
    first, last = (doubt.is_year_here(items[0], which, before, ""), doubt.is_year_here(items[-1], which, before, after))
    return first and last and all(item >= "1700" for item in items)


def _decades(match: _Match, before: str, after: str) -> bool:
    """Not "the 80s and 90s" of a temperature."""
    given = re.findall(words.DECADE_OF_LIST, match.group())
    read = [words.FORMS["decade"].fullmatch(f"the {item}") for item in given]
    return all(one is not None and doubt.is_time("decade", one, before, after) for one in read)


def _same_of(match: _Match, before: str, after: str) -> bool:
    """Not "in March 2019 and 2020 men"."""
    years = re.findall(words.YEAR, match["items"])
    return years[0] >= "1700" and doubt.is_year_here(years[-1], "in", "and ", after)


def _over_years(match: _Match, before: str, after: str) -> bool:
    """Two years written as one: "in 2019/20", "the 2019/2020 season". Without a word that leads to them, any number."""
    first, last = match["first"], match["last"]
    end = int(last) if len(last) == 4 else int(first[:2] + last) + 100 * (first[2:] == "99" and last == "00")
    if match["dash"] != "/":
        if len(last) == 4 or int(last) <= _MONTHS_IN_YEAR:
            return False  # another form's; "2010-12" is a month
    elif end != int(first) + 1 and (len(last) == 2 or not match["which"]):
        return False
    is_named = (
        match["named"] is not None or _SEASON_AFTER.match(after) is not None or _ANOTHER.search(before) is not None
    )
    if first < "1700" or not 0 < end - int(first) < _MOST_YEARS:
        return False
    if not (match["which"] or is_named):
        return len(last) == 4 and first >= "1900" and bool(_HEADS.search(before)) and _stands_alone(last, before, after)
    return is_named or (doubt.is_year_here(first, "in", before, "") and doubt.is_year_here(str(end), "in", "", after))


_MONTHS_IN_YEAR = 12
_MOST_YEARS = 40
_HEADS = re.compile(r"(?:^|[(\[,;:\n.!?])\s*$")
_ANOTHER = re.compile(r"\b\d{4}/\d{2,4}(?:,| and| or|, and) (?:in )?$")
_SEASON_AFTER = re.compile(r"(?i) (?:season|(?:school|academic|fiscal|financial|tax) year)\b")


def _years(match: _Match, before: str, after: str) -> bool:
    which, first, last = (match["which"] or "").lower(), match["first"], match["last"]
    if not last.isdigit():  # "2019 to the present"
        return not is_number_of_something(before) and first >= "1700"
    if first >= last or (" and " in match.group() and which != "between"):
        return False
    if which in ("of", "for") and doubt.QUANTITY.search(before):
        return False  # "a budget of 1800-2000"
    is_bare = not which and not match["named"]
    if is_bare and (first < "1900" or is_number_of_something(before) or not _stands_alone(last, before, after)):
        return False
    return doubt.is_year_here(first, "in", before, "") and doubt.is_year_here(last, "in", "and ", after)


def _stands_alone(last: str, before: str, after: str) -> bool:
    """Whether nothing beside two figures without a preposition measures or counts: "he was mayor (2010-2014)"."""
    opens = re.search(r"(?:^|\n)\W*$", before) is not None
    heads_line = opens and re.match(r" [A-Z]", after)  # "2003-2007 University of Leeds"
    is_told_of = OPENS.search(before) and last < "2100" and _WAS.match(after)
    closes = _OPENS_YEARS.search(before) and re.match(r"\s*(?:$|[.,;:!?)\]])", after)
    return bool(heads_line or is_told_of or closes)


_WAS = re.compile(
    r" (?:was|were|is|are|has been|have been|had|saw|brought|felt|went)\b(?! (?:the|a) (?:price|sum|cost)\b)"
)
_OPENS_YEARS = re.compile(r"(?:^|[(\[,;:\n]|\b(?:there|here|then|home|abroad|together|\w+ed|[A-Z]\w+))\s*$")

_RULES: dict[str, Callable[[_Match, str, str], bool]] = {
    "days": _days,
    "months": _months,
    "seasons": _seasons,
    "holidays": _holidays,
    "numerics": _numerics,
    "isos": _isos,
    "nths": _nths,
    "decades": _decades,
    "sameof": _same_of,
    "overyears": _over_years,
    "yearlist": _year_list,
    "years": _years,
}
