"""Codes, ids and passwords: letters with figures in one word, which stand in a note whole or not at all.

"heron-pond-77" is no "heron-lake-77", though 77 stands there; "LH454" is "LH 454". Pure functions of texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from services.common.text import lexical
from services.common.text.naming.folding import folded
from services.reasoning import quantities

_TOKEN = re.compile(r"(?<![\w-])[^\W_]++(?:[-_][^\W_]++)*+")
_PART = re.compile(r"\d+|[^\W\d_]+")
_JOINS = frozenset(("", "-", "_"))
_DIVIDES = _JOINS | {" "}  # as a code may be spoken: "heron lake 77"
_CLOCK_WORDS = frozenset(("am", "pm", "a", "p", "m", "h", "uhr"))
_MANY = 3  # parts: "mother-in-law" has so many, but says in
_WORD = 3  # letters, at least, of a word that is joined to a code: "A4-sized"


@dataclass(frozen=True, slots=True)
class Part:
    """Letters or digits, and what stands before them."""

    text: str
    gap: str


def claimed(text: str) -> list[tuple[str, int, int]]:
    """The codes of a text, folded, and where each stands.

    Not amounts ("5km", "15-year-old", "9am-5pm") and words of scripts without capitals.
    """
    found = ((folded(m.group()), *m.span()) for m in _TOKEN.finditer(text))
    return [each for each in found if _is_code(each[0], _PART.findall(each[0]))]


def parts(text: str) -> list[Part]:
    """Of a folded text."""
    found, end = [], 0
    for m in _PART.finditer(text):
        found.append(Part(m.group(), text[end : m.start()]))
        end = m.end()
    return found


def stands(code: str, held: Sequence[Part]) -> bool:
    """Whether a text of these parts holds the code, neither less nor more."""
    sought = [part.text for part in parts(code)]
    for at in range(len(held) - len(sought) + 1):
        if held[at].text != sought[0]:
            continue
        found = held[at : at + len(sought)]
        if [part.text for part in found] == sought and all(part.gap in _DIVIDES for part in found[1:]):
            after = held[at + len(sought)] if at + len(sought) < len(held) else None
            goes_on = after is not None and after.gap in _JOINS and not _is_joined_word(after)
            if not goes_on and (at == 0 or found[0].gap not in _JOINS):
                return True
    return False


def _is_code(token: str, found: Sequence[str]) -> bool:
    words = [part for part in found if not part.isdecimal()]
    if any(letter.lower() == letter.upper() for word in words for letter in word):
        return False
    if len(words) == len(found):
        is_phrase = any(lexical.is_function_word(word) for word in words)
        return "_" in token or (len(words) >= _MANY and not is_phrase)
    names = [word for word in words if word not in _CLOCK_WORDS and not quantities.units(word)]
    if not names:
        return False
    runs = [is_number for is_number, _ in groupby(part.isdecimal() for part in found)]
    return not runs[0] or runs.count(True) > 1


def _is_joined_word(part: Part) -> bool:
    return part.gap == "-" and not part.text.isdecimal() and len(part.text) >= _WORD
