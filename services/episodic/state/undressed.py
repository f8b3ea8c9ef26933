"""What a text may say beneath escapes, markup, encodings and marks of direction, for the probe.

Found by the decoders of the standard library and by brackets, whatever stands in them, so that a mistake of
``services.common.text.naming.shown`` cannot hide here too. Of encodings it knows base64, hexadecimal figures, and
what UTF-8 looks like in the code pages it is taken for.
"""

from __future__ import annotations

import binascii
import json
import re
import unicodedata
from binascii import a2b_qp
from collections.abc import Iterator
from encodings.idna import ToUnicode
from html import unescape
from string import ascii_uppercase
from urllib.parse import unquote_to_bytes

_ROUNDS = 4  # of escapes within escapes
_IN_JSON = re.compile(r"(?:\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4}))+")
_IN_SOURCES = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\[0-3][0-7]{2})+")
_POINT = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|U([0-9a-fA-F]{8}))|%u([0-9a-fA-F]{4})")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_QUOTED = re.compile(r"(?:=[0-9A-F]{2})+|(?:=[c-f][0-9a-f](?:=[89ab][0-9a-f])+)+")
_HOST = re.compile(r"\bxn--[\w-]{1,59}", re.IGNORECASE | re.ASCII)
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
    r"|\]\([^()]*\)|\[/?[a-z]+(?:=[^\[\]]*)?\](?!\()|\\[A-Za-z]+\*?\{|\\[A-Za-z] "
)


def _escapes(page: str) -> dict[int, int]:
    """The letter of a code page for each byte that is none of ASCII, as Python escapes it; of a few that have none, as
    Latin-1 has it."""
    letters = (bytes([byte]).decode(page, "replace").replace("\ufffd", chr(byte)) for byte in range(0x80, 0x100))
    return {0xDC80 + n: ord(letter) for n, letter in enumerate(letters)}


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}(?:\r?\n[A-Za-z0-9+/_-]+)*")
_FIGURES = re.compile(r"(?<![0-9A-Za-z])(?:0x)?(?:[0-9a-fA-F]{2}[ :]?){4,}(?![0-9A-Za-z])")
_NO_FIGURE = re.compile("0x|[ :]")
_FIELD_ENDS = re.compile(r"[\n,;|&{}\[\]<>，；、،؛\u3000]")
_MOST_IN_A_LABEL = 3  # words
_DROPPED = re.compile(r"(?<=[a-z])Ã(?=[a-z])")  # behind which a soft hyphen was, of "í": it shows nothing
_CODE_PAGES = [
    ({letter: escape for escape, letter in page.items()} | {byte: 0xDC00 + byte for byte in range(0x80, 0xA0)}, page)
    for page in map(
        _escapes, ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1256", "mac_roman", "cp437", "cp850")
    )
]
_TURNED = re.compile("\u202e([^\u202c\u2028\u2029\n]*)")  # shown from its end


def undressed(text: str) -> Iterator[str]:
    """Each other way to read a text: decoded, and with a space for all that is no part of what it says."""
    said = text
    for _ in range(_ROUNDS):
        before, said = said, _decoded(said)
        if said == before:
            break
    encoded = _encoded(said)
    whole = (said, encoded, *_reread(said))
    values = (_values(each) for each in (text, said))
    for reading in dict.fromkeys((*whole, *(_DRESS.sub(" ", each) for each in (*whole, text)), *values)):
        if reading not in (text, ""):
            yield reading


def _reread(text: str) -> Iterator[str]:
    """The text as it was if its UTF-8 was taken for one of the code pages: whatever of it is a character then."""
    if text.isascii():
        return
    whole = _DROPPED.sub("í", text.encode(errors="replace").decode()).replace("Å ", "Å\xa0")
    for to_bytes, to_letters in _CODE_PAGES:
        said = whole
        for _ in range(_ROUNDS):
            before, given = said, said.translate(to_bytes).encode(errors="surrogateescape")
            said = given.decode(errors="surrogateescape").translate(to_letters)
            if said == before:
                break
            yield said


def _values(text: str) -> str:
    """What the fields of a record or the lines of a form say, without their labels; "" where it has none."""
    fields = _FIELD_ENDS.split(text)
    values = list(map(_value, fields))
    return " ".join(values) if values != fields else ""


def _value(field: str) -> str:
    label, sign, value = field.replace("=", ":").replace("：", ":").partition(":")
    return value if sign and 0 < len(label.split()) <= _MOST_IN_A_LABEL else field


def _decoded(text: str) -> str:
    text = _IN_JSON.sub(lambda found: str(json.loads(f'"{found.group()}"')), text)
    text = _IN_SOURCES.sub(lambda found: _text(found.group().encode().decode("unicode_escape").encode("latin-1")), text)
    text = _POINT.sub(lambda found: unescape(f"&#x{found[found.lastindex or 0]};"), text)
    text = _HOST.sub(lambda found: _of_host(found.group().lower()), text)
    text = _PERCENT.sub(lambda found: _text(unquote_to_bytes(found.group())), text)
    text = _QUOTED.sub(lambda found: _text(a2b_qp(found.group())), text)
    text = _ENTITY.sub(lambda found: unescape(found.group()), text)
    text = _TURNED.sub(lambda found: found[1][::-1], text)
    text = _FLAGS.sub(lambda found: found.group().translate(_OF_FLAGS), text)
    text = _TAG_LETTERS.sub(lambda found: f" {found.group().encode('utf-32-be')[3::4].decode('latin-1')} ", text)
    return text.translate(_DRAWN)


def _of_host(label: str) -> str:
    try:
        return ToUnicode(label)
    except UnicodeError:  # nothing is coded so
        return label


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
