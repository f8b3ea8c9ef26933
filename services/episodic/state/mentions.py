"""Whether a text may hold a forgotten name: looked for as the selector does not look, so that the two can disagree.

The selector knows scripts, endings and words; this knows letters. A text is reduced to its letters without case and
marks, and every run of as many letters as a name has is compared with the name by keyed hash; so is how each word
begins with what a name's keep in other cases (``stems``). So nobody has to keep the name, and a mistake about where
names end in a script cannot hide here too. Of a long name its first words are hashed: a text is hashed once at each
place for every length that a name has.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import accumulate

from mneme.v1.ledger_pb2 import NameHash, NameWord

from services.common.cached import cached_property
from services.common.crypto.seal import Keyring
from services.common.ledger.entries import MAC_NAME
from services.common.text.normal import normalize
from services.episodic.state.letters import (
    DOTLESS,
    HIRAGANA,
    OTHERWISE,
    Word,
    as_latin,
    disguised,
    figured,
    is_unspaced,
    script_of,
    words,
)
from services.episodic.state.stems import LIKELY as LIKELY
from services.episodic.state.stems import NONE as NONE
from services.episodic.state.stems import POSSIBLE as POSSIBLE
from services.episodic.state.stems import Declined, name_words
from services.episodic.state.undressed import undressed

DOUBTFUL_BYTES = 4
_MAC_BYTES = 16
_LEAST_LETTERS = 2  # of a name in an alphabet: single letters stand everywhere
_LEAST_KANA = 3  # of one that is looked for in the other kana: fewer stand in many a word
_MOST_LETTERS = 32  # of a name, that are hashed
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
    found: dict[str, NameHash] = {}  # by all letters
    others: dict[bytes, NameHash] = {}
    for name in names:
        parts = words(name)
        letters = "".join(map(str, parts))
        if len(letters) < (1 if is_unspaced(letters[:1]) else _LEAST_LETTERS):
            continue
        if letters not in found:
            of = [] if is_unspaced(letters[:1]) else name_words(parts, partial(_mac, key=key))
            found[letters] = _hash(_head(parts), key, of)
        out = words(normalize("NFC", name).casefold().translate(_WRITTEN_OUT))
        head = _head(parts)
        kana = [head.translate(HIRAGANA)] if len(head) >= _LEAST_KANA else []
        for other in (head.translate(OTHERWISE), head.translate(DOTLESS), _head(out), *kana):
            others.setdefault(_mac(other, key), _hash(other, key))
    whole = {each.mac for each in found.values()}
    alone = [each for mac, each in others.items() if mac not in whole]
    return sorted([*found.values(), *alone], key=lambda each: each.mac)


def _hash(letters: str, key: bytes, words: Sequence[NameWord] = ()) -> NameHash:
    return NameHash(mac=_mac(letters, key), letters=len(letters), words=words)


@dataclass(frozen=True)
class Mentions:
    """Looks for names by their hashes. ``key``: 16 to 64 bytes, that they were made with."""

    hashes: Sequence[NameHash]
    key: bytes

    def within(self, text: str) -> int:
        """LIKELY, POSSIBLE (letters of a name inside a longer word, or the head of one in another) or NONE. Some µs a
        letter."""
        best = self._shown(text)
        for other in undressed(text):
            best = max(best, self._shown(other)) if best < LIKELY else best
        return best

    def _shown(self, text: str) -> int:
        """As ``within``, of a text whose signs all mean themselves."""
        read = words(text)
        best = self._read(read)
        for other in disguised(text, read):
            best = max(best, self._read(other)) if best < LIKELY else best
        for guessed in (as_latin(read), *(figured(text) if best == NONE else ())):
            best = max(best, min(self._read(guessed), POSSIBLE))
        return best

    def _read(self, read: Sequence[Word]) -> int:
        letters = "".join(map(str, read))
        numbers = array("I", (n for n, word in enumerate(read) for _ in word.letters))
        best = self._declined.within(read)
        for spelled in dict.fromkeys((letters, letters.translate(OTHERWISE), letters.translate(DOTLESS))):
            best = max(best, self._as_given(spelled, numbers, _judged)) if best < LIKELY else best
        if best < LIKELY and (kana := letters.translate(HIRAGANA)) != letters:
            best = max(best, self._as_given(kana, numbers, _bounded))
        return best

    def _as_given(self, letters: str, numbers: Sequence[int], judged: Callable[..., int]) -> int:
        """As ``within``, of names as they were given. ``numbers``: of the word of each letter."""
        starts = _starts(letters, numbers)
        best = NONE
        for count, wanted in self._wanted:
            for start in starts[: bisect_right(starts, len(letters) - count)]:
                if _mac(letters[start : start + count], self.key) in wanted:
                    best = max(best, judged(letters, numbers, start, start + count))
                    if best == LIKELY:
                        return best
        return best

    @cached_property
    def _wanted(self) -> Sequence[tuple[int, Collection[bytes]]]:
        """The hashes by how many letters they are of, fewest first."""
        found: dict[int, set[bytes]] = defaultdict(set)
        for name in self.hashes:
            found[name.letters].add(name.mac)
        return sorted(found.items())

    @cached_property
    def _declined(self) -> Declined:
        return Declined((name.words for name in self.hashes), partial(_mac, key=self.key))


def _head(parts: Sequence[Word]) -> str:
    """Of a long name the first words that are short enough together, and enough to tell it; else its first letters."""
    letters, ends = "".join(map(str, parts)), list(accumulate(len(word.letters) for word in parts))
    if len(letters) <= _MOST_LETTERS:
        return letters
    return letters[: max((end for end in ends if _MOST_LETTERS // 2 <= end <= _MOST_LETTERS), default=_MOST_LETTERS)]


def _starts(letters: str, words: Sequence[int]) -> Sequence[int]:
    """Where a name may begin: in scripts that write nothing before it at heads of words alone."""
    return [
        start
        for start in range(len(letters))
        if start == 0 or words[start - 1] != words[start] or script_of(letters[start]) not in _HEADED
    ]


def _judged(letters: str, words: Sequence[int], start: int, end: int) -> int:
    """How much more than the name stands in the words that hold it."""
    if is_unspaced(letters[end - 1]):
        return LIKELY
    script = script_of(letters[end - 1])
    added, most = 0, 0 if script in _BARE else _MOST_ADDED.get(script, _ADDED)
    while added <= most and start > 0 and words[start - 1] == words[start]:
        start, added = start - 1, added + 1
    while added <= most and end < len(letters) and words[end] == words[end - 1]:
        end, added = end + 1, added + 1
    return LIKELY if added <= most else POSSIBLE


def _bounded(letters: str, words: Sequence[int], start: int, end: int) -> int:
    """Of a name in the other kana: whether words of its text begin and end where it does."""
    is_begin = start == 0 or words[start - 1] != words[start]
    return LIKELY if is_begin and (end == len(letters) or words[end] != words[end - 1]) else POSSIBLE


def _mac(letters: str, key: bytes) -> bytes:
    return blake2b(letters.encode(), key=key, digest_size=_MAC_BYTES).digest()
