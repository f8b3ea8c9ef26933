"""Unicode's normal forms of any text in linear time, and whether one can see anything of it."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import Literal

import regex

# As UAX #15 has it of stream-safe text; the half-wide voicing signs become marks.
_MANY_MARKS = regex.compile(r"[\p{M}\uff9e\uff9f]{30}")

_VISIBLE = regex.compile(r"[^\p{White_Space}\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]")


def is_blank(text: str) -> bool:
    """Whether no character of ``text`` is visible: it is empty, or white space and signs of no width."""
    return _VISIBLE.search(text) is None


def normalize(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
    """As ``unicodedata.normalize``, which takes the square of a run of marks: of more than 30 each 30 by themselves."""
    cuts = [0, *(match.end() for match in _MANY_MARKS.finditer(text)), len(text)]
    return "".join(unicodedata.normalize(form, text[start:end]) for start, end in pairwise(cuts))
