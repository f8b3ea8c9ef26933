"""What a text said before its UTF-8 was read in another encoding ("MÃ¼ller" for "Müller"). Time grows with the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from services.common.turns import checkpoint

_PAGES = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1256", "mac_roman", "cp437", "cp850")
_MOST_ROUNDS = 3  # of what was so read more than once
_SOFT_HYPHEN = re.compile(r"(?<=[a-z])Ã(?=[a-z])")  # that followed, of "í", and is often dropped as it shows nothing
_SPACE = re.compile(r"\bÅ (?=[a-z])")  # without a break, of "Š", and is often kept as any other


def readings(text: str) -> Iterator[str]:
    """Each other way to read a text: none of most, which are not misread. Of what was so twice both, for what is right
    after the first time may look misread again ("Пё" in Cyrillic)."""
    if not text.isascii():
        whole = _SPACE.sub("Å\xa0", _SOFT_HYPHEN.sub("Ã\xad", text))
        yield from dict.fromkeys(said for page in _PAGES for said in _read_again(whole, page))


def _read_again(text: str, page: str) -> Iterator[str]:
    sequence, given = _SEQUENCES[page]
    for _ in range(_MOST_ROUNDS):
        checkpoint()
        before, text = text, sequence.sub(partial(_decoded, given), text)
        if text == before:
            break
        yield text


def _decoded(given: dict[str, int], found: re.Match[str]) -> str:
    try:
        return bytes(given[c] for c in found.group()).decode()
    except UnicodeDecodeError:  # no character is coded so
        return found.group()


def _sequences(page: str) -> tuple[re.Pattern[str], dict[str, int]]:
    """What one character of UTF-8 looks like in a code page, and the byte of each letter there.

    A byte that the page has no letter for is often read as a control character.
    """
    given = {chr(byte): byte for byte in range(0x80, 0xA0)}
    given |= {bytes([byte]).decode(page, "replace"): byte for byte in range(0x80, 0x100)}
    given.pop("\ufffd", None)

    def one_of(first: int, last: int) -> str:
        return f"[{re.escape(''.join(c for c, byte in given.items() if first <= byte <= last))}]"

    more = one_of(0x80, 0xBF)
    two, three, four = one_of(0xC2, 0xDF), one_of(0xE0, 0xEF), one_of(0xF0, 0xF4)
    return re.compile(f"{two}{more}|{three}{more}{{2}}|{four}{more}{{3}}"), given


_SEQUENCES = {page: _sequences(page) for page in _PAGES}
