r"""Letters that TeX and BibTeX write as commands: ``M{\"u}ller``, ``Fran\c{c}ois``, ``Strau{\ss}``. Time grows with the
text."""

from __future__ import annotations

import re

from services.common.text.normal import normalize

_MARKS = dict(
    zip(
        "\"'`^~=.uvHcdbrk",
        "\u0308\u0301\u0300\u0302\u0303\u0304\u0307\u0306\u030c\u030b\u0327\u0323\u0331\u030a\u0328",
        strict=True,
    )
)
_LETTERS = {"ss": "ß", "o": "ø", "l": "ł", "ae": "æ", "oe": "œ", "aa": "å", "dh": "ð", "th": "þ", "dj": "đ", "i": "ı"}
_LETTERS |= {name.upper(): letter.upper() for name, letter in _LETTERS.items() if name not in ("ss", "i")}
# Any number of backslashes: a string of JSON has more of them.
_ACCENT = re.compile(
    r"""(?<!\\)\\++(?:(["'`^~=.])|([uvHcdbrk])(?:\s+|(?=\{)))(?:\{\\*+([A-Za-z])\}|\\++([ij])(?![A-Za-z])\s?|([A-Za-z]))"""
)
_LETTER = re.compile(rf"(?<!\\)\\++({'|'.join(_LETTERS)})(?![A-Za-z])(?:\{{\}}|\s)?")


def with_letters(text: str) -> str:
    """The text with what such commands stand for; the braces about them stay."""
    return _LETTER.sub(lambda found: _LETTERS[found[1]], _ACCENT.sub(_accented, text)) if "\\" in text else text


def _accented(found: re.Match[str]) -> str:
    """A letter with its accent; where there is none so, it is no command: an escaped quotation mark before a word."""
    sign, letter = found[1] or found[2], found[3] or found[4] or found[5]
    written = normalize("NFC", letter + _MARKS[sign])
    return written if len(written) == 1 else found.group()
