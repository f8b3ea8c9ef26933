"""What a text may say beneath escapes, markup, encodings and marks of direction, for the probe.

Found by the decoders of the standard library and by brackets, whatever stands in them, so that a mistake of
``services.common.text.naming.shown`` cannot hide here too. Of encodings it knows base64 and hexadecimal figures.
"""

from __future__ import annotations

import binascii
import json
import re
import unicodedata
from binascii import a2b_qp
from collections.abc import Iterator
from html import unescape
from string import ascii_uppercase
from urllib.parse import unquote_to_bytes

_ROUNDS = 4  # of escapes within escapes
_IN_JSON = re.compile(r"(?:\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4}))+")
_IN_SOURCES = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\[0-3][0-7]{2})+")
_POINT = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8}))")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_QUOTED = re.compile(r"(?:=[0-9A-F]{2})+")
_ENTITY = re.compile(r"&#?\w{1,32};?")
_TAG_LETTERS = re.compile("[\U000e0000-\U000e007f]+")
_FLAGS = re.compile("[\U0001f1e6-\U0001f1ff]{3,}")
_DRAWN = {
    ord(unicodedata.lookup(f"{kind} LATIN CAPITAL LETTER {c}")): c
    for kind in ("NEGATIVE CIRCLED", "NEGATIVE SQUARED")
    for c in ascii_uppercase
}
_OF_FLAGS = {ord(unicodedata.lookup(f"REGIONAL INDICATOR SYMBOL LETTER {c}")): c for c in ascii_uppercase}
_DRESS = re.compile(
    r"<[^<>]*>|\x1b\][^\x07\x1b]*|(?:[\x1b\x9b]|\\e\[|\^\[)[^A-Za-z~\\^\x1b\x9b]*[A-Za-z~]|\[[\d;]+m|.\x08"
    r"|\]\([^()]*\)|\[/?[a-z]+(?:=[^\[\]]*)?\](?!\()|\\[A-Za-z]+\*?\{"
)


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}(?:\r?\n[A-Za-z0-9+/_-]+)*")
_FIGURES = re.compile(r"(?<![0-9A-Za-z])(?:0x)?(?:[0-9a-fA-F]{2}[ :]?){4,}(?![0-9A-Za-z])")
_NO_FIGURE = re.compile("0x|[ :]")
_TURNED = re.compile("\u202e([^\u202c\u2028\u2029\n]*)")  # shown from its end


def undressed(text: str) -> Iterator[str]:
    """Each other way to read a text: decoded, and with a space for all that is no part of what it says."""
    said = text
    for _ in range(_ROUNDS):
        before, said = said, _decoded(said)
        if said == before:
            break
    encoded = _encoded(said)
    for reading in dict.fromkeys((said, encoded, *(_DRESS.sub(" ", each) for each in (said, text, encoded)))):
        if reading not in (text, ""):
            yield reading


def _decoded(text: str) -> str:
    text = _IN_JSON.sub(lambda found: str(json.loads(f'"{found.group()}"')), text)
    text = _IN_SOURCES.sub(lambda found: _text(found.group().encode().decode("unicode_escape").encode("latin-1")), text)
    text = _POINT.sub(lambda found: unescape(f"&#x{found.group(1) or found.group(2)};"), text)
    text = _PERCENT.sub(lambda found: _text(unquote_to_bytes(found.group())), text)
    text = _QUOTED.sub(lambda found: _text(a2b_qp(found.group())), text)
    text = _ENTITY.sub(lambda found: unescape(found.group()), text)
    text = _TURNED.sub(lambda found: found[1][::-1], text)
    text = _FLAGS.sub(lambda found: found.group().translate(_OF_FLAGS), text)
    text = _TAG_LETTERS.sub(lambda found: f" {found.group().encode('utf-32-be')[3::4].decode('latin-1')} ", text)
    return text.translate(_DRAWN)


def _encoded(text: str) -> str:
    """What stands in it in base64 or in hexadecimal figures, and what is encoded there in turn; "" for nothing."""
    found: list[str] = []
    for _ in range(_ROUNDS):
        pieces = [_of_base64(run.group()) for run in _BASE64.finditer(text)]
        pieces += [_of_figures(run.group()) for run in _FIGURES.finditer(text)]
        text = "\n".join(filter(None, pieces))
        if not text:
            break
        found.append(_decoded(text))
    return "\n".join(found)


def _of_base64(run: str) -> str:
    whole = "".join(run.split()).translate({ord("-"): "+", ord("_"): "/"})
    return _written(binascii.a2b_base64(whole[: len(whole) - (len(whole) % 4 == 1)] + "=" * (-len(whole) % 4)))


def _of_figures(run: str) -> str:
    return _written(bytes.fromhex(_NO_FIGURE.sub("", run)))


def _written(given: bytes) -> str:
    """A text, of its bytes; "" where they are none: of most words that only look encoded."""
    try:
        text = given.decode()
    except UnicodeDecodeError:
        return ""
    return text if all(c.isprintable() or c.isspace() for c in text) else ""


def _text(given: bytes) -> str:
    """Of UTF-8; else of Latin-1, in which anything may be."""
    try:
        return given.decode()
    except UnicodeDecodeError:
        return given.decode("latin-1")
