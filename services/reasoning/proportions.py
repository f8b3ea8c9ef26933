"""Shares and multiples ("two thirds", "doubled"), and rates ("a week") of an English text. Pure functions of texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

_HALF = Fraction(1, 2)
_COUNTS = dict(zip("two three four five six seven eight nine ten".split(), range(2, 11), strict=True))
_NUMERATORS = {**_COUNTS, "a": 1, "an": 1, "one": 1}
_PARTS = dict(zip("third fourth fifth sixth seventh eighth ninth tenth".split(), range(3, 11), strict=True))
_DENOMINATORS = {**_PARTS, "quarter": 4, "hundredth": 100, "thousandth": 1000}
_PART = "|".join(_DENOMINATORS.keys() - {"quarter"})
_MULTIPLES = {
    "tw": Fraction(2),
    "do": Fraction(2),
    "th": Fraction(3),
    "tr": Fraction(3),
    "qu": Fraction(4),
    "ha": _HALF,
}
_NUMBER = r"(?:an?|one|two|three|four|five|six|seven|eight|nine|ten|[1-9])"
_SHARE = re.compile(
    rf"""(?ix)
    \b(?P<many>{_NUMBER})[ -](?P<parts>(?:{_PART})s)\b
    | \b(?P<single>an?|one)[ -](?:{_PART})
      (?=(?:\ of|\ as|\ less|\ more)\b|\ \w{{1,20}}ed\b|\s*(?:$|[.,;:!?]))
    | \b(?P<quarters>{_NUMBER})[ -]quarters?\b(?!\ (?:past|to|before|after)\b|\ ?final)
    | (?<!first\ )(?<!second\ )(?<!and\ a\ )(?<!other\ )(?<!\d\ )(?P<half>\bhalf|\bhalves)\b
      (?!\ (?:past|a\ dozen|dozen|brother|sister|term)\b|-|\ past)
    | \b(?P<multiple>double[sd]|doubling|tripl(?:ed|es|ing)|trebled|quadrupl(?:ed|es)|halv(?:ed|ing)|twofold
      |(?:double|twice|thrice|triple|treble|quadruple)(?=\ (?:as|the|that|what|of|this)\b)
      |(?:double|triple|treble|quadruple)(?=\s*(?:$|[.,;:!?])))\b
    | \b(?P<fold>{_NUMBER}|1\d|20)[ -]?fold\b
    | \b(?P<times>{_NUMBER}|1\d|20)\ times(?=\ (?:as|more|the)\b)
    """
)
# "Half an hour", "a quarter of an hour", "three quarters of an hour".
_OF_HOUR = re.compile(r"(?i)\b(?:(?P<half>half)|(?:(?P<three>three)|a)[ -]quarters? of) an hour\b")


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, or a multiple of it, and where it stands."""

    value: Fraction
    at: int
    end: int


def shares(text: str) -> list[Share]:
    """In order."""
    return [Share(_value(m), m.start(), m.end()) for m in _SHARE.finditer(text)]


def in_minutes(text: str) -> str:
    """``text`` with parts of an hour in minutes."""
    return _OF_HOUR.sub(lambda m: f"{30 if m['half'] else 45 if m['three'] else 15} minutes", text)


def in_percent(numbers: Iterable[str]) -> frozenset[Fraction]:
    """Shares in per cent, as ``claims.values`` has numbers; figures in a chain are none."""
    return frozenset(Fraction(number) / 100 for number in numbers if _NUMERIC.fullmatch(number))


_NUMERIC = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def _value(m: re.Match[str]) -> Fraction:
    if m["multiple"]:
        return _MULTIPLES[m["multiple"][:2].lower()]
    if m["half"]:
        return _HALF
    number = m["many"] or m["single"] or m["quarters"] or m["fold"] or m["times"]
    whole = int(number) if number.isdigit() else _NUMERATORS[number.lower()]
    if m["fold"] or m["times"]:
        return Fraction(whole)
    last = re.split(r"[ -]", m.group().lower())[-1].removesuffix("s")
    return Fraction(whole, _DENOMINATORS[last])


_ADVERBS = {
    "hourly": "hour", "daily": "day", "nightly": "night", "weekly": "week", "monthly": "month", "quarterly": "quarter",
    "yearly": "year", "annual": "year", "annually": "year", "annum": "year", "mph": "hour", "kph": "hour",
}  # fmt: skip
_ADVERB = rf"\b(?P<adverb>{'|'.join(_ADVERBS)})\b"
_UNIT = (
    r"\b(?P<unit>second|minute|hour|day|night|week|month|quarter|year|person|head|piece|kilo|litre|liter|gram|mile|km"
    r"|dose)\b(?! (?:ago|later|before|earlier|or two)\b)"
)
_RATE = rf"(?:(?:\b(?:an?|per|each|every) |/ ?){_UNIT}|(?:\bper )?{_ADVERB})"
_NAMED = re.compile(_RATE, re.I)
_CLAIMED = re.compile(rf"\d(?: ?(?:%|[^\W\d_]{{1,15}}))? ?{_RATE}", re.I)


def rates(text: str) -> frozenset[str]:
    """Of what anything is so much: "week" of "12 euros a week" and of "the weekly rent"."""
    return frozenset(_rate(m) for m in _NAMED.finditer(text))


def claimed_rates(text: str) -> frozenset[str]:
    """The same of a text as of ``numerals.figures``, behind a number alone."""
    return frozenset(_rate(m) for m in _CLAIMED.finditer(text))


def _rate(m: re.Match[str]) -> str:
    return m["unit"].lower() if m["unit"] else _ADVERBS[m["adverb"].lower()]
