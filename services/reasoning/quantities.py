"""What the figures of a text measure: times of the clock, and amounts with their unit or what they count.

Pure functions of texts as ``numerals.figures`` gives them. "14:35" is no 14, "7%" no 7 euros, "room 3" not room 14.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from services.common.text import lexical
from services.common.text.stems import stem
from services.reasoning import claims, numerals

# --- the clock --------------------------------------------------------------------------------------------------

_HOUR = r"(?:[01]?\d|2[0-4])"
_HALF = r"\s?[ap]\.?m\b\.?"
# What may follow a bare hour: "at 9 on Monday", but not "at 9 hotels".
_ENDS = (
    r"(?=\s*(?:$|[.,;:!?)\]\"”’](?!\d))|\s+(?:and|or|on|in|from|to|until|till|by|every|each|to-?day|to-?morrow|to-?night"
    r"|sharp|for|with|when|if|but|because|as|at|o'clock)\b)"
)
_CLOCK = re.compile(
    rf"(?i)(?<![\d.,:/-])(?:"
    rf"(?P<past>\bhalf(?= past)|\bquarter|[1-5]?\d(?: minutes)?(?= past)) (?P<side>past|to) (?P<of>1[0-2]|[1-9])"
    rf"(?P<of_half>{_HALF})?"
    rf"|\b(?:12 )?(?P<word>noon|midday|midnight)\b"
    rf"|(?P<hour>{_HOUR})(?::(?P<minute>[0-5]\d)(?::[0-5]\d)?(?P<half>{_HALF})?|(?:\.(?P<minute2>[0-5]\d))?(?P<half2>{_HALF})"
    rf"|\s?(?:o['’]clock|uhr)\b(?:\s?(?P<minute3>[0-5]\d))?|h(?P<minute4>[0-5]\d)\b)"
    rf"|(?<=\bat )(?P<bare>{_HOUR})(?:\.(?P<minute5>[0-5]\d))?{_ENDS}"
    rf"|(?:(?<=\bby )|(?<=\bto )|(?<=\bfrom )|(?<=\btill )|(?<=\buntil )|(?<=\bafter )|(?<=\bbefore )|(?<=\bsince ))"
    rf"(?P<loose>{_HOUR}){_ENDS}"
    rf")(?!\d|[:.]\d)"
)
_WORDS = {"noon": 720, "midday": 720, "midnight": 0}
# Minutes of the day that they name.
PARTS = {
    "morning": frozenset(range(4 * 60, 12 * 60)),
    "afternoon": frozenset(range(12 * 60, 18 * 60)),
    "evening": frozenset(range(17 * 60, 24 * 60)),
    "night": frozenset((*range(20 * 60, 24 * 60), *range(5 * 60))),
}


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of the clock, the minutes of the day that it may mean, and where it stands."""

    minutes: frozenset[int]
    at: int
    end: int
    is_bare: bool  # "9" behind "at": the figures of a number
    is_loose: bool  # "9" behind "by", "7.35" behind "at": as likely a number


def clocks(text: str) -> list[Clock]:
    found = []
    for m in _CLOCK.finditer(text):
        is_loose = m["loose"] is not None or m["minute5"] is not None
        found.append(Clock(_minutes(m), m.start(), m.end(), is_loose or m["bare"] is not None, is_loose))
    return found


def _minutes(m: re.Match[str]) -> frozenset[int]:
    if m["word"]:
        return frozenset({_WORDS[m["word"].lower()]})
    hour = int(claims.first(m, "of", "hour", "bare", "loose"))
    minute = int(claims.first(m, "minute", "minute2", "minute3", "minute4", "minute5") or 0)
    if m["past"]:
        away = {"half": 30, "quarter": 15}.get(m["past"].lower()) or int(m["past"].split()[0])
        hour, minute = (hour, away) if m["side"].lower() == "past" else (hour - 1, 60 - away)
    half = claims.first(m, "of_half", "half", "half2").strip().lower()[:1]
    if half:
        return frozenset({(hour % 12 + (12 if half == "p" else 0)) * 60 + minute})
    if 0 < hour < 12:
        return frozenset({hour * 60 + minute, (hour + 12) * 60 + minute})
    return frozenset({hour % 24 * 60 + minute})


def parts(text: str) -> frozenset[str]:
    """Parts of the day that a text names; those of greetings ("good morning") are none."""
    return frozenset(found[1].lower() for found in _PART.finditer(text))


_PART = re.compile(rf"(?i)(?<!\bgood )\b(?:to)?({'|'.join(PARTS)})s?\b")


def blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """``text`` with spaces at these places, which are in order and do not overlap."""
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], " " * (end - start)]
        at = end
    return "".join([*parts, text[at:]])


# --- amounts ----------------------------------------------------------------------------------------------------

_UNITS = {
    "eur": "€ eur euro",
    "usd": "$ usd dollar buck",
    "gbp": "£ gbp pound quid",
    "lb": "pound lb lbs",
    "jpy": "¥ jpy yen",
    "chf": "chf franc",
    "cent": "cent ct",
    "penny": "pence penny p",
    "percent": "% percent",
    "km": "km kilometre kilometer",
    "m": "m metre meter",
    "cm": "cm centimetre centimeter",
    "mm": "mm millimetre millimeter",
    "mile": "mile mi",
    "foot": "foot feet ft",
    "inch": "inch inches",
    "yard": "yard yd",
    "kg": "kg kilo kilogram kilogramme",
    "g": "g gram gramme",
    "mg": "mg milligram",
    "ounce": "ounce oz",
    "tonne": "tonne ton",
    "second": "second sec",
    "minute": "minute min",
    "hour": "hour hr h",
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "year yr",
    "litre": "litre liter l",
    "ml": "ml millilitre milliliter",
    "gallon": "gallon",
    "degree": "° °c °f degree celsius fahrenheit",
    "kb": "kb kilobyte",
    "mb": "mb megabyte",
    "gb": "gb gigabyte",
    "tb": "tb terabyte",
    "mph": "mph",
    "kmh": "km/h kph",
    "watt": "w watt",
    "kw": "kw kilowatt",
    "kwh": "kwh",
}
_UNIT_OF: dict[str, frozenset[str]] = {
    word: frozenset(unit for unit, words in _UNITS.items() if word in words.split())
    for words in _UNITS.values()
    for word in words.split()
}
_BEFORE = re.compile(r"(?i)(?:([€$£¥])|\b(eur|usd|gbp|chf)) ?$")
_AFTER = re.compile(r"(?i)(?:\s?|-)(?P<unit>%|per ?cent\b|[€$£¥]|°[cf]?(?!\w)|km/h\b|[^\W\d_]+)(?P<old>[ -]olds?\b)?")
_COUNTED = re.compile(r" ([^\W\d_]+)")
_LABEL = re.compile(rf"(?i)\b({numerals.LABELS})\b[.:#]? ?#?$")
_LABEL_AFTER = re.compile(r"(?i)(?:st|nd|rd|th) (floor|row|grade|class|page|chapter|level|stage)\b")
_NAME_BEFORE = re.compile(r"(?<![^\s\"“(])([A-Z][^\W\d_]+) $")  # "Mill Road 14"
_SUFFIX = re.compile(r"[A-Za-z](?!\w)")  # "12B"
_ORDINAL = re.compile(r"(?i)(?:st|nd|rd|th)\b")
_NEGATIVE = re.compile(r"(?:^|[\s(:])[-–]$")
_PLURALS = frozenset("people children men women mice geese feet teeth sheep fish".split())


@dataclass(frozen=True, slots=True)
class Amount:
    """Digits that stand together, what they may be read as, and what they measure, count or number."""

    run: str
    values: frozenset[str]
    units: frozenset[str]  # "pound" is two; none where nothing says
    counted: str  # the stem of a plural or a name behind it; of one thing, of the thing
    label: str  # "room", or a name, before it
    is_hour: bool  # as likely a time of the clock
    is_ordinal: bool
    at: int
    end: int  # of the unit


def amounts(text: str) -> list[Amount]:
    hours = {clock.at for clock in clocks(text) if clock.is_bare}
    return [_amount(text, m, m.start() in hours) for m in claims.RUN.finditer(text)]


def _amount(text: str, m: re.Match[str], is_hour: bool) -> Amount:
    start, end = m.span()
    before = text[max(0, start - 24) : start]
    symbol = _BEFORE.search(before)
    units, end_of_unit = _unit(text, end)
    if symbol is not None:
        units, start = _UNIT_OF[(symbol[1] or symbol[2]).lower()], start - len(symbol.group())
    run = f"-{m.group()}" if _NEGATIVE.search(before) else m.group()
    suffix, ordinal = None if units else _SUFFIX.match(text, end), _ORDINAL.match(text, end)
    if suffix is not None:
        run, end_of_unit = run + suffix.group().lower(), suffix.end()
    elif ordinal is not None:
        end_of_unit = ordinal.end()
    counted = "" if units else _counted(text, end, run)
    values, label = frozenset(claims.values_of(run)), _label(text, before, end)
    return Amount(run, values, units, counted, label, is_hour, ordinal is not None, start, end_of_unit)


def _label(text: str, before: str, end: int) -> str:
    found = _LABEL.search(before) or _LABEL_AFTER.match(text, end, end + 16)
    if found is None:
        found = _NAME_BEFORE.search(before)
        if found is not None and lexical.is_function_word(found[1]):
            return ""
    return found[1].lower() if found is not None else ""


def units(text: str) -> frozenset[str]:
    """Every unit that a text names, beside a number or not."""
    words = (word.removesuffix("s") for word in claims.words(text))
    return frozenset(unit for word in words if len(word) > 1 for unit in _UNIT_OF.get(word, ()))


def _unit(text: str, end: int) -> tuple[frozenset[str], int]:
    found = _AFTER.match(text, end, end + 24)
    if found is None or found["old"]:
        return frozenset(), end
    word = found["unit"].lower().replace(" ", "")
    known = _UNIT_OF.get(word) or _UNIT_OF.get(word.removesuffix("s"))
    return (known, found.end()) if known else (frozenset(), end)


def _counted(text: str, end: int, run: str) -> str:
    found = _COUNTED.match(text, end, end + 32)
    word = found[1].lower() if found else ""
    if found is None or lexical.is_function_word(word):
        return ""
    return stem(word) if _is_plural(word) or run in ("0", "1") or found[1][0].isupper() else ""


def _is_plural(word: str) -> bool:
    return word in _PLURALS or (word.endswith("s") and not word.endswith("ss"))


def is_single(claimed: Amount, text: str) -> bool:
    """Whether a text says "a child" of "one child", or "no child" of "zero"."""
    article = {"1": r"an?|another|his|her|my", "0": "no"}.get(claimed.run)
    if article is None or not claimed.counted:
        return False
    found = re.finditer(rf"(?i)\b(?:{article}) (?:[^\W\d_]+ )?[^\W\d_]+\b", text)
    words = (word for m in found for word in m.group().lower().split()[1:])
    return any(stem(word) == claimed.counted and (claimed.run == "0" or not _is_plural(word)) for word in words)


def is_borne_out(claimed: Amount, value: Collection[str], held: Collection[Amount], named: Collection[str]) -> bool:
    """Whether ``value``, a number of ``claimed``, stands in ``held`` as the same kind of quantity.

    ``named``: units that the question, or the rest of the text, names: a number without one may be of them ("5 and 7
    km"). What it counts or numbers may be another word for the same, unless the text counts that word too.
    """
    same = [a for a in held if a.values & frozenset(value) and _may_be_one(claimed, a)]
    if claimed.units:
        bare = bool(claimed.units & frozenset(named))
        same = [a for a in same if a.units & claimed.units or (bare and not a.units)]
    if claimed.counted and any(a.counted == claimed.counted for a in held):
        same = [a for a in same if a.counted == claimed.counted or not (a.counted or a.label)]
    if claimed.label and any(a.label == claimed.label for a in held):
        same = [a for a in same if a.label == claimed.label or _is_free(a, claimed.counted)]
    return bool(same)


def _may_be_one(one: Amount, other: Amount) -> bool:
    """Whether neither is a place in an order where the other counts or measures."""
    if one.is_ordinal == other.is_ordinal:
        return True
    place, count = (one, other) if one.is_ordinal else (other, one)
    if count.label:
        return place.label in ("", count.label)
    return not (count.counted or count.units)


def _is_free(amount: Amount, counted: str) -> bool:
    """Whether nothing says that it numbers another thing."""
    if counted and amount.counted == counted:
        return True
    return not (amount.label or amount.is_hour or amount.counted)
