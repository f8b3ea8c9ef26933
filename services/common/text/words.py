"""A text cut into words, in any script: what UAX #29 calls a word, folded as a searcher would write it.

Scripts without spaces are cut by ICU's dictionaries (Chinese, Japanese, Thai, Lao, Khmer, Burmese). What a word is
folded to depends on nothing but the word: a text and a question about it meet whatever language each is taken for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import regex
from icu4py.breakers import WordBreaker

from services.common.text.normal import normalize

CACHED_LENGTH = 64  # characters of a word that is worth keeping; beyond it, it is no word of a language

_IDEOGRAPHS = r"\p{Han}\p{Hiragana}\p{Katakana}ー々〆〻"
_UNSPACED = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# A letter with two signs or a hash is another name ("C++", "C--", "F#"), and so are a grade ("A+", "B-") and ".NET".
_TOKEN = regex.compile(
    rf"""(?V1)
    (?P<cjk>[{_IDEOGRAPHS}]+)
    | (?P<unspaced>[{_UNSPACED}](?:[{_UNSPACED}]|\p{{M}})*)
    | (?P<hangul>\p{{Hangul}}+)
    | (?P<symbol>(?<![\p{{L}}\p{{N}}])\p{{L}}
        (?:\+\+(?![\p{{L}}+\#])|--(?![\p{{L}}\p{{N}}-])|[+\#](?![\p{{L}}\p{{N}}+\#]))
        |(?<![\p{{L}}\p{{N}}-])\p{{Lu}}-(?![\p{{L}}\p{{N}}\p{{Pd}}])
        |(?<![\p{{L}}\p{{N}}.])\.(?i:net)(?![\p{{L}}\p{{N}}]))
    | (?P<word>[[\p{{L}}\p{{N}}]--[{_IDEOGRAPHS}{_UNSPACED}\p{{Hangul}}]]
        (?:'?+[[\p{{L}}\p{{N}}]--[{_IDEOGRAPHS}{_UNSPACED}\p{{Hangul}}]]|\p{{M}})*+)
    """,
    regex.VERBOSE,
)
# The same of a text of ASCII letters, four times as fast; \x01 stands for a dash that ASCII has not.
_ASCII_TOKEN = re.compile(
    r"""(?x)
    (?P<symbol>(?<![A-Za-z0-9])[A-Za-z]
        (?:\+\+(?![A-Za-z+\#])|--(?![A-Za-z0-9-])|[+\#](?![A-Za-z0-9+\#]))
        |(?<![A-Za-z0-9-])[A-Z]-(?![A-Za-z0-9\x01-])
        |(?<![A-Za-z0-9.])\.(?i:net)(?![A-Za-z0-9]))
    | [A-Za-z0-9](?:'?[A-Za-z0-9])*+
    """
)
_PRINTED = re.compile("[\u00a0«»“”„…]")
_DASHES = re.compile("[–—]")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02b9\u02bb\u02bc\u2032\u00b4\uff07`", "'"))
_INVISIBLE = regex.compile(r"(?V1)[\p{Cf}--\u200b]+")  # less the space of no width, which parts words
# Groups of three figures, whatever stands between them: "99,000", "99.000", "99'000", "99\u00a0000"; "1,00,000".
_GROUPED = regex.compile(
    r"(?<=(?<!\p{Nd})\p{Nd}{1,3})[,.'\u2019\u066c\u00a0\u2007\u2009\u202f](?=(?:\p{Nd}{2},)?\p{Nd}{3}(?!\p{Nd}))"
)
# By plain spaces too, where that is sure: three groups, or thousands; not a number that one dials.
_SPACED = regex.compile(r"(?<![\p{Nd}+.,:/()-] ?)[1-9]\d{0,2}(?:(?: \d{3}){2,6}|(?: \d{3}){0,5}+(?<= 000))(?![ -]?\d)")
_GERESH = regex.compile(r"(?<=\p{Hebrew})[\"\u05f3\u05f4](?=\p{Hebrew})")
_ORDINAL = regex.compile(r"(?<!\d)(\d{1,9})(?:st|nd|rd|th)")
# NFKC takes these apart, and the dictionaries hold them whole: Thai and Lao AM.
_SARA_AM = (("\u0e4d\u0e32", "\u0e33"), ("\u0ecd\u0eb2", "\u0eb3"))


class Word(NamedTuple):
    """A word of a text."""

    folded: str  # without case, and without the marks that a searcher leaves out
    written: str
    kind: str  # "word", "symbol", "hangul", "unspaced" or "cjk"
    start: int  # in the normal text
    end: int
    run: int  # characters of what is written together, it among them


def normal(text: str) -> str:
    """``text`` with one spelling for what reads alike: NFKC, one apostrophe, no invisible characters, no grouping of
    figures."""
    text = _SPACED.sub(lambda match: match.group().replace(" ", ""), _GROUPED.sub("", text))
    if text.isascii():
        return text.replace("`", "'")
    text = normalize("NFKC", _INVISIBLE.sub("", text.translate(_APOSTROPHES)))
    for apart, whole in _SARA_AM:
        text = text.replace(apart, whole)
    return _GERESH.sub("", text)


def cut(text: str) -> Iterator[Word]:
    """The words of a ``normal`` text, in order."""
    plain = with_ascii_marks(text)
    if plain.isascii():
        yield from _cut_ascii(plain)
        return
    for match in _TOKEN.finditer(text):
        kind, written, at = str(match.lastgroup), match.group(), match.start()
        if kind in ("cjk", "unspaced"):
            for start, end in WordBreaker(written, "ja").segments():
                word = written[start:end]
                yield Word(word, word, kind, at + start, at + end, len(written))
        else:
            yield Word(fold(written), written, kind, at, match.end(), len(written))


def with_ascii_marks(text: str) -> str:
    """A text, as long as it was, without the quotes and dashes of print, which part words as others do: a space stands
    for each, \\x01 for a dash. It is of ASCII then, unless it has letters that ASCII has not."""
    plain = text.replace("\x01", " ")
    return plain if plain.isascii() else _DASHES.sub("\x01", _PRINTED.sub(" ", plain))


def _cut_ascii(text: str) -> Iterator[Word]:
    for match in _ASCII_TOKEN.finditer(text):
        written = match.group()
        yield Word(fold(written), written, match.lastgroup or "word", match.start(), match.end(), len(written))


def fold(word: str) -> str:
    """A word without case and without such marks as a searcher leaves out: "Résumé" is "resume", "İlk" "ilk".

    Marks that make another letter stay: Devanagari's vowel signs, the Russian short i.
    """
    if word.isascii():
        return word.lower() if word.isalpha() else _ORDINAL.sub(r"\1", word.lower())
    return _fold(word) if len(word) <= CACHED_LENGTH else _folded(word)


def _folded(word: str) -> str:
    out: list[str] = []
    base = ""
    for character in normalize("NFD", word.casefold().translate(_LETTERS).replace(_HALF_N, "ं")):
        if not unicodedata.combining(character):
            base = character
        elif _is_left_out(character, base):
            continue
        out.append(_figure(character))
    return _ORDINAL.sub(r"\1", normalize("NFC", "".join(out)))


_fold = lru_cache(maxsize=65_536)(_folded)

# Letters that Unicode gives no base, and the spellings of one letter in which keyboards differ.
_LETTERS = str.maketrans(
    {
        "ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ŧ": "t", "ı": "i", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe",
        "ŋ": "n", "ё": "е", "ґ": "г", "\u0640": "", "ٱ": "ا", "ى": "ي", "ی": "ي", "ک": "ك", "ہ": "ه", "ھ": "ه",
        "ँ": "ं", "־": "",
    }
)  # fmt: skip
_HALF_N = "न्"  # before another letter, the sign for a nasal is written as well
_NUKTA = "\u093c"


def _is_left_out(mark: str, base: str) -> bool:
    """Whether a searcher leaves a mark out: any of Latin and Greek letters, the stress of Cyrillic ones (й keeps its
    breve), points and signs of Hebrew and Arabic ones, the dot of borrowed sounds in Devanagari."""
    if base < "\u0400" or "\u1e00" <= base < "\u2000":
        return True
    if base < "\u0530":
        return mark in "\u0300\u0301"
    return base < "\u0700" or mark == _NUKTA


def _figure(character: str) -> str:
    """A decimal figure of any script as ASCII's."""
    return str(unicodedata.decimal(character)) if not character.isascii() and character.isdecimal() else character
