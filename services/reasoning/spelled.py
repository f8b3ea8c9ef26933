"""Numbers in words, weekdays and months of the languages that are written with capitals, English apart.

ICU spells them (``icu4py``), in every gender and case that CLDR has; no list of them is kept here. A number is not
read: what a text may mean by its words is looked for among the spellings of the numbers that a note holds. One, "first"
and "second" are no claims, for they are articles, units and conjunctions in most languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from itertools import product

from icu4py.messageformat import MessageFormat

from services.common.text import lexical, tagger
from services.common.text.words import CACHED_LENGTH, Word, cut, normal

# By script, as ``lexical`` tells them apart.
LANGUAGES: Sequence[frozenset[str]] = (
    lexical.LATIN - {"en"},
    frozenset(("ru", "uk", "bg")),
    frozenset(("el",)),
)
_SCRIPT_BEGINS = ("\u0370", "\u0400")  # Greek, Cyrillic; Latin before both
_EXTENDED = ("\u1e00", "\u1f00")  # Latin's, Greek's
_LARGEST = 10**12  # that is spelled
_MOST_NUMBERS = 64  # of one note that are spelled
_LONG_ENOUGH = 3  # letters of a word that English lacks, to be taken for another language's in an English text
_COMPOUND = 6  # letters, at least, of a number that is written together
_SMALL_WORDS = 2  # at either end of a number, that may be part of it

# Number words that are as often another word: alone they are no claim.
_HOMOGRAPHS = {
    "it": "sei secondo seconda", "es": "cuarto cuarta cuartos", "pt": "quarto quartos quinta quintas", "hu": "het",
    "fi": "kuusi", "tr": "alti yedi yuz bin on kirk pazar ocak", "vi": "nam ba tu bay", "id": "minggu",
    "ro": "luni mai noua nou", "ca": "nou nova set", "nl": "acht", "cs": "sto zari", "da": "to ni ti",
}  # fmt: skip
# Whose weekdays and months have cases; elsewhere they end like this at most.
_DECLINED = frozenset(("pl", "cs", "ru", "uk", "bg", "fi", "hu", "tr", "el"))
_ENDINGS = ("", "s", "e", "en", "es", "ens")
_LONGEST_ENDING = 4
_LEAST_STEM = 4
_SHORT_STEM = 3  # of the Slavic months "июнь", "maj"


@dataclass(frozen=True, slots=True)
class Number:
    """A number in words."""

    text: str
    at: int  # words before it
    end: int
    readings: dict[str, tuple[str, ...]]  # by language: as ``spellings``, with and without small words at its ends

    def is_any_of(self, values: Iterable[int]) -> bool:
        """Whether it spells one of these numbers."""
        tried = sorted(values)[:_MOST_NUMBERS]
        return any(
            not spellings(value, language).isdisjoint(forms)
            for language, forms in self.readings.items()
            for value in tried
        )


@dataclass(frozen=True, slots=True)
class Day:
    """The name of a weekday (0 to 6) or of a month (1 to 12)."""

    text: str
    is_month: bool
    value: int


def load() -> None:
    """Read ICU's rules of every language and the tagger's model now, some 3.5 s of a core; else the first text in which
    words of any language are looked for waits for them."""
    tagger.load()
    for language in sorted(frozenset[str]().union(*LANGUAGES)):
        _compound(language)
        _too_small(language)
        _calendar(language)
        if language in _DECLINED:
            _stems(language)


def languages(text: str, context: str) -> frozenset[str]:
    """What ``text`` may be written in, by its function words or by those of the text around it; empty where neither
    says, and where it is English."""
    likely = lexical.likely_languages(text)
    if not likely and not lexical.is_surely_english(text):
        likely = lexical.likely_languages(context)
    return frozenset() if "en" in likely else likely


def whole(figures: Iterable[str]) -> set[int]:
    """Of numbers in figures those that anybody spells."""
    return {int(number) for number in figures if number.isdecimal() and len(number) < len(str(_LARGEST))}


def numbers(text: str, spoken: frozenset[str]) -> list[Number]:
    """In any language that the text may be of; ``spoken`` as of ``languages``. Of those that overlap the longest."""
    read = normal(text)
    found = list(cut(read))
    spans: dict[tuple[int, int], Number] = {}
    for language in _meant(found, spoken):
        for number in _numbers(read, found, language, spoken):
            spans.setdefault((number.at, number.end), number).readings.update(number.readings)
    kept: list[Number] = []
    for number in sorted(spans.values(), key=lambda n: (n.at, -n.end)):
        if not kept or number.end > kept[-1].end:
            kept.append(number)
    return kept


def days(text: str, spoken: frozenset[str]) -> list[Day]:
    """Weekdays and months, the same."""
    found = list(cut(normal(text)))
    return [day for language in _meant(found, spoken) for day in _days(found, language, spoken)]


@lru_cache(maxsize=65_536)
def spellings(value: int, language: str) -> frozenset[str]:
    """How a language spells a number, in small letters without accents and spaces."""
    return frozenset(_joined(form) for form in _written(value, language)) if 0 <= value < _LARGEST else frozenset()


# --- the words of a text ------------------------------------------------------------------------------------------


def _meant(found: Sequence[Word], spoken: frozenset[str]) -> Iterator[str]:
    """The languages that a word of the text may be of."""
    for script in sorted({_script(word.folded) for word in found if word.folded[0].isalpha()} - {-1}):
        if said := spoken & LANGUAGES[script]:
            yield from sorted(said)
        elif any(_script(word.folded) == script and _is_foreign(word) for word in found):
            yield from sorted(LANGUAGES[script])


def _script(word: str) -> int:
    first = word[0]
    if first < _SCRIPT_BEGINS[0] or _EXTENDED[0] <= first < _EXTENDED[1]:
        return 0
    if first < _SCRIPT_BEGINS[1] or _EXTENDED[1] <= first < "\u2000":
        return 2
    return 1 if first < "\u0530" else -1


@lru_cache(maxsize=4_096)
def _is_foreign(word: Word) -> bool:
    """Whether English has no such word."""
    if word.written != word.written.lower() or len(word.folded) > CACHED_LENGTH:
        return False
    is_long = len(word.folded) >= _LONG_ENOUGH or not word.written.isascii()
    return is_long and not tagger.knows(word.written)


def _numbers(text: str, found: Sequence[Word], language: str, spoken: frozenset[str]) -> Iterator[Number]:
    start = end = 0  # of a run of words that numbers are made of
    for at, word in enumerate(found):
        if _is_part(_bare(word), language):
            if start == end or text[found[end - 1].end : word.start].strip(" -\u2010\u2011"):
                yield from _number(found, start, end, language, spoken)
                start = at
            end = at + 1
        elif start < end:
            yield from _number(found, start, end, language, spoken)
            start = end
    yield from _number(found, start, end, language, spoken)


def _number(found: Sequence[Word], at: int, end: int, language: str, spoken: frozenset[str]) -> Iterator[Number]:
    strong = [n for n in range(at, end) if not lexical.is_function_word_of(_bare(found[n]), language)]
    if len(strong) == 1 and _is_weak(_bare(found[strong[0]]), language):
        return
    if not strong or not (language in spoken or any(_is_foreign(found[n]) for n in strong)):
        return
    first, last = strong[0], strong[-1] + 1
    starts = range(max(at, first - _SMALL_WORDS), first + 1)
    ends = range(last, min(end, last + _SMALL_WORDS) + 1)
    forms = tuple("".join(map(_bare, found[start:stop])) for start, stop in product(starts, ends))
    if "".join(map(_bare, found[first:last])) not in _too_small(language):
        text = " ".join(word.written for word in found[first:last])
        yield Number(text, first, last, {language: forms})


def _days(found: Sequence[Word], language: str, spoken: frozenset[str]) -> Iterator[Day]:
    calendar = _calendar(language)
    for at, word in enumerate(found):
        if not (language in spoken or _is_foreign(word)) or _is_weak(word.folded, language):
            continue
        two = f"{word.folded} {found[at + 1].folded}" if at + 1 < len(found) else ""
        named = calendar.get(two) or _named(_bare(word), language)
        if named is not None:
            yield Day(word.written, *named)


def _named(word: str, language: str) -> tuple[bool, int] | None:
    calendar = _calendar(language)
    if word in calendar:
        return calendar[word]
    if language in _DECLINED:
        stems = _stems(language)
        if len(word) == _SHORT_STEM + 1:
            return stems.get(word[:_SHORT_STEM])
        longest = range(len(word), max(_LEAST_STEM, len(word) - _LONGEST_ENDING) - 1, -1)
        return next((stems[word[:n]] for n in longest if word[:n] in stems), None)
    return next((calendar[word.removesuffix(e)] for e in _ENDINGS if word.removesuffix(e) in calendar), None)


def _bare(word: Word) -> str:
    """Without apostrophes, and without an article before one."""
    head, apostrophe, tail = word.folded.rpartition("'")
    return tail if apostrophe and len(head) <= 2 and len(tail) > 2 and head != "п" else head + tail


# --- the words of a language --------------------------------------------------------------------------------------

_KINDS = ("cardinal", "ordinal")
_GENDERS = ("", "masculine", "feminine", "neuter", "common", "masculine-plural", "masculine-personal")
_SLAVIC = ("", "accusative", "genitive", "dative", "instrumental", "locative")
# Of the languages whose numbers have them in CLDR.
_CASES = {
    "ru": _SLAVIC,
    "pl": _SLAVIC,
    "fi": ("", "genitive", "partitive", "inessive", "elative", "illative", "adessive", "ablative", "allative"),
}
_GENDERS_OF = {"ru": ("masculine", "feminine", "neuter", "plural"), "fi": ("",)}
_TELLING = (1, 2, 3, 5, 8, 12, 20, 100)  # numbers by which two sets of rules differ, if they do
_MILLIONS = (10**6, 2 * 10**6, 5 * 10**6, 10**9, 2 * 10**9)
_ATOMS = (*range(100), *range(100, 1000, 100), *range(1000, 11_000, 1000), *_MILLIONS)
_MONDAY = datetime(2024, 1, 1, 12)


@cache
def _rules(language: str) -> tuple[tuple[str, MessageFormat], ...]:
    """ICU's sets of rules for a language, each that spells otherwise than the ones before: its kind, and itself."""
    kept: dict[tuple[str, ...], tuple[str, MessageFormat]] = {}
    for kind, gender, case in product(_KINDS, _GENDERS_OF.get(language, _GENDERS), _CASES.get(language, ("",))):
        name = "-".join(part for part in (f"%spellout-{kind}", gender, case) if part)
        rules = MessageFormat(f"{{n,spellout,{name}}}", language)
        kept.setdefault(tuple(rules.format({"n": n}) for n in _TELLING), (kind, rules))
    return tuple(kept.values())


def _written(value: int, language: str, kinds: Sequence[str] = _KINDS) -> set[str]:
    return {rules.format({"n": value}) for kind, rules in _rules(language) if kind in kinds}


def _joined(written: str) -> str:
    return "".join(_bare(word) for word in cut(normal(written)))


@cache
def _atoms(language: str) -> frozenset[str]:
    """The words that numbers are made of; of those that are written together, the parts that ICU tells."""
    written = {part for value in _ATOMS for form in _written(value, language) for part in form.split("\u00ad")}
    words = {_bare(word) for part in written for word in cut(normal(part))}
    return frozenset(word for word in words if len(word) > 1 or lexical.is_function_word_of(word, language))


@cache
def _compound(language: str) -> re.Pattern[str]:
    parts = sorted((atom for atom in _atoms(language) if len(atom) > 1), key=len, reverse=True)
    return re.compile(f"(?:{'|'.join(map(re.escape, parts))}){{2,8}}")


@lru_cache(maxsize=65_536)
def _is_part(word: str, language: str) -> bool:
    if word in _atoms(language):
        return True
    return _COMPOUND <= len(word) <= CACHED_LENGTH and _compound(language).fullmatch(word) is not None


@cache
def _weak(language: str) -> frozenset[str]:
    return frozenset(_HOMOGRAPHS.get(language, "").split())


def _is_weak(word: str, language: str) -> bool:
    return word in _weak(language) or lexical.is_function_word_of(word, language)


@cache
def _too_small(language: str) -> frozenset[str]:
    """One, and the ordinals of one and two."""
    cardinals = {_joined(form) for value in range(2, 13) for form in _written(value, language, ("cardinal",))}
    small = _written(1, language) | _written(2, language, ("ordinal",))
    return frozenset(map(_joined, small)) - cardinals


@cache
def _calendar(language: str) -> dict[str, tuple[bool, int]]:
    """Weekdays and months: whether it is a month, and which."""
    named = [(False, n, "EEEE", _MONDAY + timedelta(days=n)) for n in range(7)]
    named += [(True, n, form, datetime(2024, n, 1, 12)) for n in range(1, 13) for form in ("MMMM", "LLLL")]
    calendar = {}
    for is_month, value, form, day in named:
        written = MessageFormat(f"{{d,date,{form}}}", language).format({"d": day})
        words = [_bare(word) for word in cut(normal(written))]
        while words and lexical.is_function_word_of(words[0], language):
            words.pop(0)
        if words and not written[-1].isdigit():
            calendar[" ".join(words)] = (is_month, value)
    return calendar


@cache
def _stems(language: str) -> dict[str, tuple[bool, int]]:
    """Weekdays and months less the letter that their cases change."""
    least = _SHORT_STEM if language in ("ru", "uk", "pl") else _LEAST_STEM
    return {name[:-1]: named for name, named in _calendar(language).items() if len(name) > least}
