"""Whether a text may hold a forgotten name: looked for as the selector does not look, so that the two can disagree.

The selector knows scripts, endings and words; this knows letters. A text is reduced to its letters without case and
marks, and every run of as many letters as a name has is compared with the name by keyed hash; so is how each word
begins with what a name's keep in other cases (``stems``). So nobody has to keep the name, and a mistake about where
names end in a script cannot hide here too.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b

from mneme.v1.ledger_pb2 import NameHash

from services.common.crypto.seal import Keyring
from services.common.ledger.entries import MAC_NAME
from services.episodic.state.letters import OTHERWISE, is_unspaced, script_of, words
from services.episodic.state.stems import LIKELY as LIKELY
from services.episodic.state.stems import NONE as NONE
from services.episodic.state.stems import POSSIBLE as POSSIBLE
from services.episodic.state.stems import Declined, name_words

DOUBTFUL_BYTES = 4
_MAC_BYTES = 16
_LEAST_LETTERS = 2  # of a name in an alphabet: single letters stand everywhere
# Scripts that write few endings onto names or none, and that write nothing before them.
_BARE = ("LATIN", "GREEK")
_HEADED = ("LATIN", "GREEK", "CYRILLIC")
# Letters beside the name in one word; Hangul counts its parts.
_MOST_ADDED = {"HANGUL": 9} | dict.fromkeys(("CYRILLIC", "ARABIC", "DEVANAGARI", "BENGALI", "GUJARATI", "GURMUKHI"), 2)
_ADDED = 3
_WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae"})


def mentions_key(keyring: Keyring, namespace: str) -> bytes:
    """What a namespace's forgotten names are hashed with."""
    return keyring.mac(namespace, MAC_NAME, "")


def short_id(engram_id: str) -> bytes:
    """What an Erased entry keeps of a doubtful engram's id."""
    return bytes.fromhex(engram_id)[:DOUBTFUL_BYTES]


def name_hashes(names: Iterable[str], key: bytes) -> list[NameHash]:
    """What the ledger keeps of names. Equal for names of the same letters."""
    found: dict[bytes, NameHash] = {}
    for name in names:
        parts = words(name)
        letters = "".join(map(str, parts))
        if len(letters) >= (1 if is_unspaced(letters[:1]) else _LEAST_LETTERS):
            mac = _mac(letters, key)
            of = [] if is_unspaced(letters[:1]) else name_words(parts, partial(_mac, key=key))
            found.setdefault(mac, NameHash(mac=mac, letters=len(letters), words=of))
            out = "".join(map(str, words(unicodedata.normalize("NFC", name).casefold().translate(_WRITTEN_OUT))))
            for other in (letters.translate(OTHERWISE), out):
                found.setdefault(_mac(other, key), NameHash(mac=_mac(other, key), letters=len(other)))
    return [each for _, each in sorted(found.items())]


@dataclass(frozen=True)
class Mentions:
    """Looks for names by their hashes. ``key``: 16 to 64 bytes, that they were made with."""

    hashes: Sequence[NameHash]
    key: bytes

    def within(self, text: str) -> int:
        """LIKELY, POSSIBLE (letters of a name inside a longer word, or the head of one in another) or NONE. Some µs a
        letter."""
        read = words(text)
        letters = "".join(map(str, read))
        numbers = array("I", (n for n, word in enumerate(read) for _ in word.letters))
        best = self._declined.within(read)
        for spelled in dict.fromkeys((letters, letters.translate(OTHERWISE))):
            best = max(best, self._as_given(spelled, numbers)) if best < LIKELY else best
        return best

    def _as_given(self, letters: str, numbers: Sequence[int]) -> int:
        """As ``within``, of names as they were given. ``numbers``: of the word of each letter."""
        wanted = {(name.letters, name.mac) for name in self.hashes}
        best = NONE
        for count in sorted({name.letters for name in self.hashes}):
            for start in _starts(letters, numbers, count):
                if (count, _mac(letters[start : start + count], self.key)) in wanted:
                    best = max(best, _judged(letters, numbers, start, start + count))
                    if best == LIKELY:
                        return best
        return best

    @cached_property
    def _declined(self) -> Declined:
        return Declined((name.words for name in self.hashes), partial(_mac, key=self.key))


def _starts(letters: str, words: Sequence[int], count: int) -> Iterable[int]:
    """Where a name of so many letters may begin: in scripts that write nothing before it at heads of words alone."""
    for start in range(len(letters) - count + 1):
        if start == 0 or words[start - 1] != words[start] or script_of(letters[start]) not in _HEADED:
            yield start


def _judged(letters: str, words: Sequence[int], start: int, end: int) -> int:
    """How much more than the name stands in the words that hold it."""
    added, last = 0, end - 1
    while start > 0 and words[start - 1] == words[start]:
        start, added = start - 1, added + 1
    while end < len(letters) and words[end] == words[end - 1]:
        end, added = end + 1, added + 1
    if added == 0 or is_unspaced(letters[last]):
        return LIKELY
    script = script_of(letters[last])
    return LIKELY if script not in _BARE and added <= _MOST_ADDED.get(script, _ADDED) else POSSIBLE


def _mac(letters: str, key: bytes) -> bytes:
    return blake2b(letters.encode(), key=key, digest_size=_MAC_BYTES).digest()
