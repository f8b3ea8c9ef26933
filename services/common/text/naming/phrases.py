"""Names whose words are declined, turned round, apart or disguised: "Jana Kowalskiego", "Smith, Mary", "M. Smith".

For letters that have case. What stands as it was given is found by ``names``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from services.common.text.naming import inflection
from services.common.text.naming.folding import Folded
from services.common.text.naming.look_alikes import ANOTHER_ALPHABET, LATIN, OTHERS, STRANGE, LookAlikes, is_mixed

DECLINED = "it may be a case of the name"
ANOTHER_NAME = "another person's name is spelled so"
BETWEEN = "another name stands between its words"
INITIAL = "only an initial stands for a word of it"
TURNED = "its words stand in another order"
JOINED = "a stop joins its words"
LISTED = "its words may be two persons'"

_NAMED = re.compile(f"[{LATIN}{OTHERS}]+")
_TOKEN = re.compile(f"[{LATIN}{OTHERS}{STRANGE}]+")
_GAP = re.compile(r"\.?\s+|[-._]")
_GAP_BESIDE_OTHERS = re.compile(r"[\s\"“”'()«»]+|\.?\s+|-")
_COMMA = re.compile(r"\s*,\s*")
_NAME_BEFORE = re.compile(r"[^\W\d_][\w'’-]*\.?\s+$")
_NAME_AFTER = re.compile(r"(?:\s*,)?\s+(?:(?:and|or|und|et|y|e|i|a|и|та)\s+)?([^\W\d_])")
_GOES_ON = re.compile(r"[^\S\n]+[^\W\d_]")
_LOOK_ROUND = 48
_MOST_WORDS = 6  # of a name
_MOST_BETWEEN = 2
_MOST_BEGUN = 16  # at one place, whatever names are given; of further ones none is looked at


@dataclass(frozen=True, slots=True)
class Found:
    """A name at ``start`` to ``end`` of a folded text. ``doubt``: "" where its form raises none."""

    start: int
    end: int
    name: str
    words: tuple[str, ...]
    doubt: str = ""
    languages: frozenset[str] | None = None  # in which it is declined; None where it is not
    declined: int = 0  # of its words
    kept: int = 0  # letters of a declined word that are the name's
    is_plain: bool = True  # letters of an ending say that it is declined
    is_small: bool = False
    is_another: bool = False  # another person's name may be meant
    is_turned: bool = False


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    ends: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)  # by doubt: the first name, its words


@dataclass(frozen=True, slots=True)
class _Read:
    """A word of a name that a word of the text may be."""

    word: str
    languages: frozenset[str] | None = None
    is_plain: bool = True
    kept: int = 0
    is_disguised: bool = False
    is_another: bool = False
    doubt: str = ""


@dataclass(slots=True)
class _State:
    """A name that has begun."""

    node: _Node
    start: int
    end: int
    is_turned: bool
    taken: int = 0  # of its words
    between: int = 0  # words that are none of its
    is_beside: bool = False  # the last word is none of its
    languages: frozenset[str] | None = None
    declined: int = 0
    kept: int = 0  # letters that a declined word shares with the name's
    is_plain: bool = False
    is_odd: bool = False  # something else than its words as they were given
    is_small: bool = False
    is_another: bool = False
    doubt: str = ""


class Phrases:
    """Given names by their words. Immutable; time grows with the text."""

    def __init__(self, given: Iterable[tuple[str, Sequence[str]]]) -> None:
        """``given``: each name, and its folded words."""
        self._forward, self._turned = _Node(), _Node()
        for name, words in given:
            if all(map(_NAMED.fullmatch, words)) and 0 < len(words) <= _MOST_WORDS:
                self._add(name, tuple(words))
        self._words: set[str] = set()
        _gather(self._forward, self._words)
        # A mutated vowel changes a head (Icelandic), a fleeting one what follows it.
        self._heads = {word[:1] for word in self._words} | {"o" for word in self._words if word[:1] == "a"}
        self._alike = LookAlikes(self._words)
        self._heads |= self._alike.heads

    def _add(self, name: str, words: tuple[str, ...]) -> None:
        *first, last = words
        initials = [word[0] for word in first]
        _insert(self._forward, words, name, words, "")
        if first:
            _insert(self._turned, (last, *first), name, words, "")
            for short in ([*initials[:1], *first[1:]], [*first[:1], *initials[1:]], initials):
                if short != first:
                    _insert(self._forward, (*short, last), name, words, INITIAL)
                    _insert(self._turned, (last, *short), name, words, INITIAL)

    def find(self, folded: Folded) -> Iterator[Found]:
        """Every such name, and others inside it."""
        text, source = folded.text, folded.source
        states: list[_State] = []
        for match in _TOKEN.finditer(text):
            token = match.group()
            mixed = is_mixed(token)
            if not states and not mixed and token[0] not in self._heads:
                continue
            begin, finish = folded.span(match.start(), match.end())
            written = source[begin:finish]
            reads = list(self._disguised(token) if mixed else self._reads(token, written))
            begun = (*self._beginnings(match.start()), *states)
            states = list(islice(_gone_on(begun, text, match, written, reads), _MOST_BEGUN))
            for state in states:
                yield from _ended(state)

    def _beginnings(self, at: int) -> tuple[_State, _State]:
        return _State(self._forward, at, at, False), _State(self._turned, at, at, True)

    def _disguised(self, token: str) -> Iterator[_Read]:
        yield from (_Read(word, is_disguised=True) for word in self._alike.mixed(token))

    def _reads(self, token: str, written: str) -> Iterator[_Read]:
        if token in self._words:
            yield _Read(token)
        if written[0].isupper():
            yield from (_Read(word, is_disguised=True, doubt=ANOTHER_ALPHABET) for word in self._alike.whole(token))
        found: dict[str, list[inflection.Reading]] = defaultdict(list)
        for reading in inflection.readings(token, written, self._words):
            found[reading.word].append(reading)
        for word, of in found.items():
            languages = frozenset(reading.language for reading in of)
            plain = any(reading.is_plain for reading in of)
            kept = max(reading.kept for reading in of)
            yield _Read(word, languages, plain, kept, is_another=inflection.is_another_name(word, token, written))


def is_listed(text: str, start: int, end: int) -> bool:
    """Whether other names stand beside "Smith, Mary", or the sentence goes on: then each may be another person's."""
    before = _NAME_BEFORE.search(text[max(0, start - _LOOK_ROUND) : start])
    after = _NAME_AFTER.match(text, end, end + _LOOK_ROUND)
    if (before is not None and before.group()[0].isupper()) or (after is not None and after.group(1).isupper()):
        return True
    return _GOES_ON.match(text, end) is not None


def _insert(root: _Node, path: Sequence[str], name: str, words: tuple[str, ...], doubt: str) -> None:
    for word in path:
        root = root.children.setdefault(word, _Node())
    root.ends.setdefault(doubt, (name, words))


def _gather(node: _Node, words: set[str]) -> None:
    for word, child in node.children.items():
        words.add(word)
        _gather(child, words)


def _gone_on(
    begun: Iterable[_State], text: str, token: re.Match[str], written: str, reads: Sequence[_Read]
) -> Iterator[_State]:
    """The states after a word of the text, the first of each kind."""
    known = set[tuple[int, bool, int]]()
    for state in begun:
        gap = text[state.end : token.start()]
        beside = _beside(state, gap, token.end(), written)
        for each in (*_advanced(state, gap, token.end(), written, reads), *([beside] if beside else [])):
            kind = id(each.node), each.is_turned, each.between
            if kind not in known:
                known.add(kind)
                yield each


def _advanced(state: _State, gap: str, end: int, written: str, reads: Sequence[_Read]) -> Iterator[_State]:
    """The states after a word of the text that may be the name's next."""
    joined = _joined(state, gap)
    if joined is None:
        return
    for read in reads:
        child = state.node.children.get(read.word)
        if child is None:
            continue
        languages, is_declined = state.languages, read.languages is not None
        if read.languages is not None:
            languages = read.languages if languages is None else languages & read.languages
        yield replace(
            state,
            node=child,
            end=end,
            taken=state.taken + 1,
            is_beside=False,
            languages=languages,
            declined=state.declined + is_declined,
            kept=max(state.kept, read.kept),
            is_plain=state.is_plain or (is_declined and read.is_plain),
            is_odd=state.is_odd or state.is_turned or is_declined or read.is_disguised or gap in (".", "_"),
            is_small=state.is_small or not written[0].isupper(),
            is_another=state.is_another or read.is_another,
            doubt=state.doubt or joined or read.doubt,
        )


def _joined(state: _State, gap: str) -> str | None:
    """Whether what stands before the next word joins it to the name: "", a doubt, or None (no)."""
    if state.taken == 0:
        return ""
    if state.is_turned and state.taken == 1:
        return "" if _COMMA.fullmatch(gap) else TURNED if gap.isspace() or gap in (".", "_") else None
    if state.between:
        return None if _GAP_BESIDE_OTHERS.fullmatch(gap) is None else BETWEEN
    return None if _GAP.fullmatch(gap) is None else JOINED if gap == "." else ""


def _beside(state: _State, gap: str, end: int, written: str) -> _State | None:
    """The state after a word that is none of the name's, and may be another name of the same person."""
    if not state.taken or state.is_turned or state.between == _MOST_BETWEEN or not state.node.children:
        return None
    if "." in gap or _GAP_BESIDE_OTHERS.fullmatch(gap) is None or not written[0].isupper():
        return None
    return replace(state, end=end, between=state.between + 1, is_beside=True, is_odd=True, doubt=BETWEEN)


def _ended(state: _State) -> Iterator[Found]:
    for doubt, (name, words) in state.node.ends.items():
        if state.is_beside or not (state.is_odd or doubt):
            continue
        if state.languages is not None and not state.languages:
            continue  # its words are declined in languages that have nothing in common
        yield Found(
            state.start,
            state.end,
            name,
            words,
            doubt or state.doubt,
            state.languages,
            state.declined,
            state.kept,
            state.is_plain,
            state.is_small,
            state.is_another and len(words) == 1,
            state.is_turned,
        )
