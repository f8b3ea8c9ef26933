"""What is shown of a text that a program wrote: without its markup, and with the letters that escapes, entities, signs,
figures and marks of direction stand for. Time grows with the text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from html import unescape

from services.common.text.naming import misread, tex
from services.common.turns import checkpoint

_MOST_ROUNDS = 3  # of escapes within escapes
_HEX = "[0-9A-Fa-f]"
_CODED = re.compile(
    rf"""
    (?P<units>(?:(?:(?<!\\)\\++|%)u{_HEX}{{4}})+)
    |(?P<bytes>(?:%{_HEX}{{2}}|=[0-9A-F]{{2}}|=[c-f][0-9a-f](?:=[89ab][0-9a-f])+|(?<!\\)\\++x{_HEX}{{2}}
     |(?<!\\)\\++[0-3][0-7]{{2}})+)
    |(?<!\\)\\++(?:u\{{|U)(?P<point>{_HEX}{{1,8}})\}}?
    |(?<!\\)\\++(?P<sign>[abefnrtv"'/])
    |(?P<entity>&(?:\#[0-9]{{1,7}}|\#[xX]{_HEX}{{1,6}}|[A-Za-z][0-9A-Za-z]{{1,31}});?)
    |(?<![0-9A-Za-z-])[xX][nN]--(?P<host>[0-9A-Za-z-]{{1,59}})(?![0-9A-Za-z-])
    |(?P<flags>[\U0001f1e6-\U0001f1ff]{{5,}})  # fewer are one or two countries'
    |(?P<tags>[\U000e0020-\U000e007e]+)
    |\u202e(?P<turned>[^\u202c\u2028\u2029\n]*+)  # shown from its end
    """,
    re.VERBOSE,
)
_SIGNED = re.compile(  # without one of these a text shows itself; most do
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\\%=&<\[\]{}*`~|_+\U0001f150-\U0001f1ff\U000e0020-\U000e007e\u202e]|''|[xX][nN]--"
)
_UNIT = re.compile(rf"u({_HEX}{{4}})")
_BYTE = re.compile(rf"\\([0-7]{{3}})|({_HEX}{{2}})")
_SIGNS = {"e": "\x1b", "t": "\t", '"': '"', "'": "'", "/": "/", "a": "", "b": " "}  # the others end a line
_LETTERS = {first + n: chr(ord("A") + n) for first in (0x1F150, 0x1F170) for n in range(26)}  # in discs and squares
_FLAGS = {0x1F1E6 + n: chr(ord("A") + n) for n in range(26)}
_FIGURED = re.compile(r"(?<!\w)(?=[^\W\d_]*\d)(?:[^\W\d_]|[01345789]){3,24}(?!\w)")
_FOR_FIGURES = [str.maketrans("01345789", f"o{one}easbtbg"[:8]) for one in "li"]
_COMMAND = re.compile(r"(?<!\\)\\[A-Za-z]{2,24}\*?\{")  # of TeX; read before escapes, which begin alike
_MARKUP = re.compile(
    r"""
    (?:(?:\x1b|\^\[)\[|\x9b)[0-?]*+[\x20-/]*+[@-~]  # what terminals are told
    |\x1b[\]PX^_][^\x07\x1b]*+(?:\x07|\x1b\\)?
    |\x1b[\x20-/]*+[0-~]?
    |\[[0-9][0-9;]*+m
    |[^\x08]\x08  # struck over
    |\x03(?:[0-9]{1,2}(?:,[0-9]{1,2})?)?  # a colour, in a chat
    |[\x00-\x08\x0e-\x1f\x7f-\x9f]
    |<(?:[/?]?[A-Za-z]|!)[^<>]*+>
    |\[/?(?:[abius]|code|colou?r|email|font|img|quote|size|spoiler|url|user)(?:=[^\[\]]*+)?\](?!\()
    |\]\([^()\s]*+\)
    |[\[\]{}]
    |\*+|`+|~+|={2,}|\|{2,}|'{2,}
    |(?<!\w)_++|(?<!_)_++(?!\w)  # within a word it is no markup
    |(?<=\w)\+(?=\w)  # a space, in a query
    |=\r?\n  # a line that goes on, in a mail
    """,
    re.VERBOSE,
)


def readings(text: str) -> Iterator[str]:
    """A text, and each other way to read it: decoded; without its markup; with a space in its place."""
    yield text
    known = {text}
    for given in dict.fromkeys((text, tex.with_letters(text))):
        for reading in _readings(given):
            if reading not in known:
                known.add(reading)
                yield reading


def _readings(text: str) -> Iterator[str]:
    plain = text if _SIGNED.search(text) is None else decoded(_COMMAND.sub("{", text))
    for said in (plain, *misread.readings(plain)):
        checkpoint()
        yield said
        if _SIGNED.search(said) is not None:
            yield _MARKUP.sub("", said)
            yield _MARKUP.sub(" ", said)


def with_letters(text: str) -> Iterator[str]:
    """The ways to read a text whose words have figures for letters ("R0th", "L1sa"); none without such words."""
    for table in _FOR_FIGURES:
        reading = _FIGURED.sub(partial(_lettered, table), text)
        if reading != text:
            yield reading


def _lettered(table: Mapping[int, int], found: re.Match[str]) -> str:
    word = found.group()
    return word.translate(table) if 2 * sum(map(str.isalpha, word)) >= len(word) else word


def decoded(text: str) -> str:
    """A text with the characters that are coded in it, also those coded more than once."""
    for _ in range(_MOST_ROUNDS):
        before, text = text, _CODED.sub(_meant, text)
        if text == before:
            break
    return text.translate(_LETTERS)


def _meant(coded: re.Match[str]) -> str:
    said, kind = coded.group(), coded.lastgroup
    match kind:
        case "units":
            return bytes.fromhex("".join(_UNIT.findall(said))).decode("utf-16-be", "replace")
        case "bytes":
            return _text(bytes(int(octal, 8) if octal else int(pair, 16) for octal, pair in _BYTE.findall(said)))
        case "point":
            return unescape(f"&#x{coded['point']};")
        case "host":
            return _of_host(coded["host"])
        case "sign":
            return _SIGNS.get(coded["sign"], "\n")
        case "turned":
            return coded["turned"][::-1]
        case "flags":
            return said.translate(_FLAGS)
        case "tags":
            return f" {''.join(chr(ord(c) - 0xE0000) for c in said)} "
    return unescape(said)


def _text(given: bytes) -> str:
    try:
        return given.decode()
    except UnicodeDecodeError:
        return given.decode("latin-1")


def _of_host(label: str) -> str:
    """A part of a host's name in letters, of those behind its "xn--"; as it is where it stands for none."""
    try:
        return label.encode().decode("punycode")
    except UnicodeError:
        return f"xn--{label}"
