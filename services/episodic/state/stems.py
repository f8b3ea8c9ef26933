"""Names whose words may have other endings, looked for by the hashes of how each word begins.

No language is known here, only that a case keeps the head of a name and changes what follows, that an e or o before a
last consonant may go ("Marek", "Marka"), and that an ending begins with a vowel.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mneme.v1.ledger_pb2 import NameStem, NameWord

from services.episodic.state.letters import OTHERWISE, Word

NONE, POSSIBLE, LIKELY = 0, 1, 2
_CASED = ("LATIN", "GREEK", "CYRILLIC")
_VOWELS = frozenset("aeiouyæøаеиоуыэюяієαεηιουω")
_PLAIN = {ord(c): None for c in "ьъ"} | OTHERWISE  # cases drop the soft sign, or put it in
# Of an alphabet without case: letters that others take the place of, beside its vowel signs.
_REPLACED = frozenset("هي\u0d7a\u0d7b\u0d7c\u0d7d\u0d7e")
_LEAST_SMALL = 6  # letters of a stem in Latin that says something in a small word
_LONGEST_ENDING, _LONGEST_UNCASED = 4, 5
_BESIDE = 2  # further words that may stand between the first and the last of a name
_MOST_WORDS = 8  # of a name
_MOST_ALIKE = 8  # words of names with one beginning, or initial: no others are looked for by it
_INITIAL, _STEM, _WHOLE = range(3)
_ANY = "*"  # for a first vowel, which one with a mark may take the place of: "Anna", "Önnu"


@dataclass(frozen=True, slots=True)
class _Seen:
    """A word of a name at a word of the text: the hash of all its letters, what of it stands there, and how surely."""

    word: bytes
    what: int
    level: int


def name_words(words: Sequence[Word], mac: Callable[[str], bytes]) -> list[NameWord]:
    """What the ledger keeps of the words of a name, in order: hashes of each whole, and of what may begin its cases.

    Nothing of a name with more words than any person's, which is looked for as it was given alone.
    """
    words = [word for word in words if _plain(word)]
    if len(words) > _MOST_WORDS:
        return []
    return [
        NameWord(
            stems=[NameStem(mac=mac(stem), letters=len(stem), least=least) for stem, least in _stems(word)],
            initial=mac(_plain(word)[:1]) if word is not words[-1] else b"",
        )
        for word in words
    ]


def _stems(word: Word) -> Iterator[tuple[str, int]]:
    """The letters of a word, and what of them may stay in other cases, each with the least letters that follow then."""
    whole = _plain(word)
    yield whole, 0
    if len(whole) < 3:
        return
    is_closed = whole[-1] not in _VOWELS
    if word.script not in _CASED:
        if unicodedata.category(whole[-1])[0] == "M" or whole[-1] in _REPLACED:
            yield whole[:-1], 0
        return
    is_ending = whole[-1] in "srςσ" and len(whole) > 3  # of a first case, that others do without
    if is_ending or not is_closed:
        yield whole[:-1], int(not is_ending)
    if len(whole) > (4 if is_ending else 5 if not is_closed else 6):
        yield whole[:-2], int(not is_ending)
    if len(whole) > 4 and not is_closed and whole[-2] == whole[-3]:
        yield whole[:-2], 2  # "Matti", "Matin"
    if len(whole) > 7:
        yield whole[:-3], 2
    if is_closed and whole[-2] in _VOWELS:
        yield whole[:-2] + whole[-1], 1
    if not is_closed and len(whole) > 3 and (mutable := _mutable(whole[:-1])) is not None:
        yield mutable[1], 1


def _mutable(stem: str) -> tuple[int, str] | None:
    """Where the first vowel of a stem stands, and the stem with any vowel there; None where it has none."""
    at = next((n for n, letter in enumerate(stem) if letter in _VOWELS), None)
    return None if at is None else (at, stem[:at] + _ANY + stem[at + 1 :])


def _plain(word: Word) -> str:
    return str(word).translate(_PLAIN)


class Declined:
    """Looks for names of the ledger by their words. ``mac``: what they were hashed with."""

    def __init__(self, names: Iterable[Sequence[NameWord]], mac: Callable[[str], bytes]) -> None:
        self._mac = mac
        self._stems: dict[bytes, list[tuple[bytes, int]]] = defaultdict(list)  # the whole words, and the least after
        self._initials: dict[bytes, set[bytes]] = defaultdict(set)
        self._single: set[bytes] = set()
        self._pairs: dict[tuple[bytes, bytes], int] = {}  # of first and last word, how many stand between
        self._partners: dict[bytes, set[bytes]] = defaultdict(set)  # of a first or last word: the others
        lengths = set[int]()
        for words in names:
            heads = [word.stems[0].mac for word in words]
            if len(heads) == 1:
                self._single.update(heads)
            elif heads:
                self._pairs[heads[0], heads[-1]] = len(heads) - 2
                self._partners[heads[0]].add(heads[-1])
                self._partners[heads[-1]].add(heads[0])
            for word in (words[0], words[-1]) if words else ():
                lengths.update(stem.letters for stem in word.stems)
                self._add(word)
        self._lengths = sorted(lengths)
        self._longest = max(self._pairs.values(), default=0) + _BESIDE + 1

    def _add(self, word: NameWord) -> None:
        whole = word.stems[0].mac
        for stem in word.stems:
            alike = self._stems[stem.mac]
            if (whole, stem.least) not in alike and (stem.mac == whole or len(alike) < _MOST_ALIKE):
                alike.append((whole, stem.least))
        if word.initial and len(self._initials[word.initial]) < _MOST_ALIKE:
            self._initials[word.initial].add(whole)

    def within(self, words: Sequence[Word]) -> int:
        """LIKELY, POSSIBLE or NONE. A few µs a word."""
        best = NONE
        before: list[tuple[int, Mapping[bytes, _Seen]]] = []
        for at, word in enumerate(words):
            seen = self._seen(word)
            best = max([best, *(each.level for each in seen.values() if each.word in self._single)])
            if self._pairs and seen:
                before = [(place, others) for place, others in before if at - place <= self._longest]
                for place, others in before:
                    best = max([best, *self._pairs_of(others, seen, at - place - 1)])
                before.append((at, seen))
            if best == LIKELY:
                break
        return best

    def _pairs_of(self, first: Mapping[bytes, _Seen], second: Mapping[bytes, _Seen], between: int) -> Iterator[int]:
        for word, each in second.items():
            for other in self._partners.get(word, frozenset()) & first.keys():
                yield self._together(first[other], each, between)

    def _seen(self, word: Word) -> Mapping[bytes, _Seen]:
        """The words of names that a word of the text may be: each as the most that it is."""
        letters, found = _plain(word), dict[bytes, _Seen]()
        if len(letters) == 1:
            found |= {whole: _Seen(whole, _INITIAL, NONE) for whole in self._initials.get(self._mac(letters), ())}
        for length in self._lengths:
            if length > len(letters):
                break
            mac = self._mac(letters[:length])
            alike = self._stems.get(mac, ())
            usual = _level(word, length, letters) if alike else NONE
            for whole, least in alike:
                is_whole = mac == whole and length == len(letters)
                level = LIKELY if is_whole else usual
                if level != NONE and len(letters) - length >= least:
                    before = found.get(whole)
                    if is_whole or before is None or (before.what, before.level) < (_STEM, level):
                        found[whole] = _Seen(whole, _WHOLE if is_whole else _STEM, level)
        mutable = _mutable(letters[:-1]) if word.marked else None
        if mutable is not None and mutable[0] in word.marked:
            for whole, _ in self._stems.get(self._mac(mutable[1]), ()):
                found.setdefault(whole, _Seen(whole, _STEM, POSSIBLE))
        return found

    def _together(self, first: _Seen, second: _Seen, between: int) -> int:
        """What two words of a text are, with others between them."""
        usual = self._pairs.get((first.word, second.word))
        if usual is None:
            turned = self._pairs.get((second.word, first.word))
            is_name = turned is not None and between <= turned and first.what == second.what == _WHOLE
            return LIKELY if is_name else NONE
        if between != usual:
            return POSSIBLE if first.what == second.what == _WHOLE and between <= usual + _BESIDE else NONE
        if first.what == second.what:
            return LIKELY  # as given, or both declined
        return LIKELY if first.level == second.level == LIKELY else POSSIBLE


def _level(word: Word, stem: int, letters: str) -> int:
    """What the letters after so many of a name's say: whether they may be an ending."""
    rest = letters[stem:]
    if word.script not in _CASED:
        return POSSIBLE if len(rest) <= _LONGEST_UNCASED else NONE
    is_latin, opens = word.script == "LATIN", rest[:1] in _VOWELS
    if len(rest) > (_LONGEST_ENDING + (stem > 4) if stem > 2 else 1 if is_latin else 2):
        return NONE
    if (not opens and rest and stem < (4 if len(rest) < 4 else 5)) or (
        is_latin and not word.is_capital and stem < _LEAST_SMALL
    ):
        return NONE
    if not word.is_capital or (rest and not opens):
        return POSSIBLE
    if is_latin:
        has_mark = not word.marked.isdisjoint(range(stem, len(letters)))
        return LIKELY if stem > 2 and len(rest) < 3 and has_mark else POSSIBLE
    return LIKELY if (stem > 3 and len(rest) < 3) or (stem == 3 and len(rest) == 1) else POSSIBLE
