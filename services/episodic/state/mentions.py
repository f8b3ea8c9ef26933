"""Whether a text may hold a forgotten name: looked for as the selector does not look, so that the two can disagree.

The selector knows scripts, endings and words; this knows letters. A text is reduced to its letters without case and
marks, and every run of as many letters as a name has is compared with the name by keyed hash. So nobody has to keep
the name, and a mistake about where names end in a script cannot hide here too.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from mneme.v1.ledger_pb2 import NameHash

from services.common.crypto.seal import Keyring
from services.common.ledger.entries import MAC_NAME

NONE, POSSIBLE, LIKELY = 0, 1, 2
DOUBTFUL_BYTES = 4
_MAC_BYTES = 16
_LEAST_LETTERS = 2  # of a name in an alphabet: single letters stand everywhere
# Scripts of which a name's neighbours within a word say nothing, and those that write endings onto names.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "IDEOGRAPHIC")
_BARE = ("LATIN", "GREEK")
_HEADED = ("LATIN", "GREEK", "CYRILLIC")
_MOST_ADDED = {"CYRILLIC": 2, "HANGUL": 9}  # letters beside the name in one word; Hangul counts its parts
_ADDED = 3


def mentions_key(keyring: Keyring, namespace: str) -> bytes:
    """What a namespace's forgotten names are hashed with."""
    return keyring.mac(namespace, MAC_NAME, "")


def short_id(engram_id: str) -> bytes:
    """What an Erased entry keeps of a doubtful engram's id."""
    return bytes.fromhex(engram_id)[:DOUBTFUL_BYTES]


def name_hashes(names: Iterable[str], key: bytes) -> list[NameHash]:
    """What the ledger keeps of names. Equal for names of the same letters."""
    found: dict[bytes, int] = {}
    for name in names:
        letters = "".join(c for c, _ in _letters(name))
        if len(letters) >= (1 if _unspaced(letters[:1]) else _LEAST_LETTERS):
            found[_mac(letters, key)] = len(letters)
    return [NameHash(mac=mac, letters=count) for mac, count in sorted(found.items())]


@dataclass(frozen=True, slots=True)
class Mentions:
    """Looks for names by their hashes. ``key``: 16 to 64 bytes, that they were made with."""

    hashes: Sequence[NameHash]
    key: bytes

    def within(self, text: str) -> int:
        """LIKELY, POSSIBLE (letters of a name inside a longer word) or NONE. About 1 µs a letter."""
        pairs = list(_letters(text))
        letters, words = "".join(c for c, _ in pairs), array("I", (word for _, word in pairs))
        wanted = {(name.letters, name.mac) for name in self.hashes}
        best = NONE
        for count in sorted({name.letters for name in self.hashes}):
            for start in _starts(letters, words, count):
                if (count, _mac(letters[start : start + count], self.key)) in wanted:
                    best = max(best, _judged(letters, words, start, start + count))
                    if best == LIKELY:
                        return best
        return best


def _starts(letters: str, words: Sequence[int], count: int) -> Iterable[int]:
    """Where a name of so many letters may begin: in scripts that write nothing before it at heads of words alone."""
    for start in range(len(letters) - count + 1):
        if start == 0 or words[start - 1] != words[start] or _script(letters[start]) not in _HEADED:
            yield start


def _judged(letters: str, words: Sequence[int], start: int, end: int) -> int:
    """How much more than the name stands in the words that hold it."""
    added, last = 0, end - 1
    while start > 0 and words[start - 1] == words[start]:
        start, added = start - 1, added + 1
    while end < len(letters) and words[end] == words[end - 1]:
        end, added = end + 1, added + 1
    if added == 0 or _unspaced(letters[last]):
        return LIKELY
    script = _script(letters[last])
    return LIKELY if script not in _BARE and added <= _MOST_ADDED.get(script, _ADDED) else POSSIBLE


def _letters(text: str) -> Iterable[tuple[str, int]]:
    """Letters, and marks that are letters (vowel signs), each with the number of its word, which is of one script."""
    word, inside = 0, ""  # the script of the word that goes on
    for c in unicodedata.normalize("NFKD", text.casefold()):
        category = unicodedata.category(c)
        if category[0] == "L" or (category[0] == "M" and unicodedata.combining(c) == 0):
            script = _script(c)
            word += script != inside
            inside = script
            yield c, word
        elif category not in ("Cf", "Mn"):
            inside = ""


@lru_cache(maxsize=65_536)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "-").split(" ")[0]


def _unspaced(letter: str) -> bool:
    return unicodedata.name(letter or " ", "").startswith(_UNSPACED)


def _mac(letters: str, key: bytes) -> bytes:
    return blake2b(letters.encode(), key=key, digest_size=_MAC_BYTES).digest()
