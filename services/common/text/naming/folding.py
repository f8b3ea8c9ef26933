"""What all spellings of a name have in common, and where each folded character stood in the text.

Folded away: case, compatible forms (NFKC), what is invisible, kinds of apostrophe and dash, variants of Han characters
(``variants.txt``), and the marks that writers leave off: accents of Latin, Greek and Cyrillic letters, vowel points of
Hebrew and Arabic, the Indic nukta. Kept: the marks that make another letter, as Indic vowel signs or the Japanese
dakuten.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.common.text.naming.word_lists import entries
from services.common.text.normal import normalize

# Not all of these come together in NFKC.
APOSTROPHES = "\u2018\u2019\u201b\u02b9\u02bb\u02bc\u2032\u00b4\uff07`\u05f3"
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
# Soft hyphens, joiners, marks of direction and of order, fillers, variants: what Unicode calls default ignorable.
INVISIBLE = frozenset(
    map(
        chr,
        [
            *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0x200B, 0x2010),
            *range(0x202A, 0x202F),
            *range(0x2060, 0x2070),
            *range(0xFE00, 0xFE10),
            *range(0xFFF9, 0xFFFC),  # annotations
            *range(0x1D173, 0x1D17B),
            *range(0xE0000, 0xE1000),
        ],
    )
)


def _variants() -> Iterator[tuple[str, str]]:
    for line in entries("variants.txt"):
        yield from ((other, alike[0]) for alike in line.split() for other in alike[1:])


# Letters that Unicode does not take apart, as people without them on their keyboards write them.
_LETTERS = {
    **dict.fromkeys(APOSTROPHES, "'"),
    **dict.fromkeys(DASHES, "-"),
    **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢɑɡƒ", "abcdefghijklmnoprstuvwyzagf", strict=True)),
    **{"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ħ": "h", "ŧ": "t", "ı": "i"},
    **{"ٱ": "ا", "ى": "ي", "ی": "ي", "ې": "ي", "ة": "ه", "ہ": "ه", "ھ": "ه", "ۀ": "ه", "ک": "ك", "ـ": ""},
    **{"ך": "כ", "ם": "מ", "ן": "נ", "ף": "פ", "ץ": "צ"},
    **dict(_variants()),
}
_SIGNS = str.maketrans({**dict.fromkeys(APOSTROPHES, "'"), **dict.fromkeys(DASHES, "-")})
_DROPPED = (
    (0x300, 0x36F),  # accents
    (0x483, 0x489),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),  # for symbols, and what is drawn round letters
    (0xA66F, 0xA672),
    (0xFE20, 0xFE2F),
    (0x591, 0x5C7),  # Hebrew points
    (0x610, 0x61A),  # Arabic signs and vowels
    (0x64B, 0x65F),
    (0x670, 0x670),
    (0x6D6, 0x6ED),
    *((nukta, nukta) for nukta in (0x93C, 0x9BC, 0xA3C, 0xABC, 0xB3C)),
)
_OVERLAY = 1  # among Unicode's classes of combining marks
# German and Nordic letters written out.
_WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae"})
UMLAUT = re.compile("[äöüåøæÄÖÜÅØÆ\u212b\u0308\u030a]")  # without one, nothing is written out


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text. ``starts`` and ``ends``: of each of its characters, in ``source``; None where none has moved."""

    text: str
    source: str
    starts: array[int] | None = None
    ends: array[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a slice of the folded text stood in the source. ``start`` < ``end``."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def fold(text: str) -> Folded:
    """Fold a text; time and memory grow with its length."""
    if text.isascii():
        return Folded(text.lower().replace("`", "'"), text)
    if unicodedata.is_normalized("NFKC", text):
        pieces = [_OF[c] for c in text]
        folded = "".join(pieces)
        if all(len(piece) == 1 for piece in pieces):
            return Folded(folded, text)
        return _placed(text, ((n, n + 1, piece) for n, piece in enumerate(pieces)))
    return _placed(text, _clusters(text))


def folded(text: str) -> str:
    """The folded text alone."""
    return fold(text).text


def written_out(text: str) -> str:
    """As ``folded``, of a text whose umlauts are written out: "Jörg" as "joerg"."""
    return folded(normalize("NFC", text).casefold().translate(_WRITTEN_OUT))


def accented(text: str) -> str:
    """A text without case, its accents kept: to tell one accent from another."""
    kept = "".join(c for c in with_plain_signs(text) if c not in INVISIBLE and not _is_drawn(c))
    return normalize("NFKC", kept).casefold()


def with_plain_signs(text: str) -> str:
    """A text with one apostrophe and one hyphen, whichever its writer's keyboard has. As long as the text."""
    return text.translate(_SIGNS)


def _is_drawn(c: str) -> bool:
    """Whether it is drawn round or through the letter before it, and is no accent."""
    return unicodedata.category(c) == "Me" or unicodedata.combining(c) == _OVERLAY


def _placed(text: str, pieces: Iterable[tuple[int, int, str]]) -> Folded:
    out: list[str] = []
    starts, ends = array("I"), array("I")
    for start, end, piece in pieces:
        out.append(piece)
        starts.extend([start] * len(piece))
        ends.extend([end] * len(piece))
    return Folded("".join(out), text, starts, ends)


def _clusters(text: str) -> Iterator[tuple[int, int, str]]:
    """Each character with the marks after it, folded together."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not _joins(text[end]):
            composed = normalize("NFKC", text[start:end])
            yield start, end, "".join(_OF[c] for c in composed)
            start = end


def _joins(c: str) -> bool:
    """Whether a character is composed with those before it: marks, Korean vowels and finals, half-wide voicing."""
    return unicodedata.category(c)[0] == "M" or "\u1160" <= c <= "\u11ff" or c in "\uff9e\uff9f"


class _Of(dict[str, str]):
    """What each character folds to; filled as they come, and no larger than Unicode."""

    def __missing__(self, c: str) -> str:
        out = self[c] = "" if c in INVISIBLE else "".join(map(_letter, _parts(c.casefold())))
        return out


_OF = _Of()


def _parts(c: str) -> str:
    """Taken apart where the marks go: not Hangul or kana, whose parts are letters."""
    parts = normalize("NFD", c)
    kept = "".join(p for p in parts if not any(low <= ord(p) <= high for low, high in _DROPPED))
    return normalize("NFC", kept)


def _letter(c: str) -> str:
    return _LETTERS.get(c, c)
