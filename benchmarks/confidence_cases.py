"""What confidence is fitted and judged on: questions to memories of one engram to 50,000, of two halves.

The halves share no text: of LoCoMo's five conversations three and two, of EpBench's book the first chapters and the
last, of ``plain_memories.yaml`` two lists, and filler of its own for each (``benchmarks.filler``). What is asked:

- *own*: answered there. Where its evidence is not among the first items it is left out of the fit: confidence is about
  what was recalled.
- *foreign*: a question to another memory of the half, with the speakers' names mapped.
- *elsewhere*: a question to the same conversation or book that this part of it does not answer.
- *altered*: one whose rarest plain word is replaced by a word that the conversation never says.
- *adversarial* (LoCoMo's fifth category: what one speaker did, asked of the other): reported and not fitted.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from benchmarks import epbench, filler, locomo
from benchmarks.grown import Filler, Grown
from benchmarks.locomo import Conversation, Question
from services.common.text import lexical
from services.episodic import plugins as listed
from services.episodic.plugins.base import Interval, Record
from services.episodic.plugins.exact import Embed, ExactHost
from services.episodic.recall import confidence

HALVES = ("tuned", "held_out")
WHOLE = 0
WINDOWS = {1: 20, 5: 40, 50: 20, 200: 10}  # how many of each size, a conversation
GROWN = (5_000, 50_000)
ASKED = 40  # own questions of a conversation, and as many of each other kind
LONG = 250  # sentences of a long note: 20 kB
_PLAIN = re.compile(r"\b[a-z]{4,}\b")
_AT = datetime(2024, 5, 6, 9, tzinfo=UTC)


def folder() -> Path | None:
    """Where MNEME_EVAL_DATA has both LoCoMo and EpBench; None, and a line that says so, where it has not."""
    talk, book = locomo.path(), epbench.folder()
    if talk is None or book is None:
        print("MNEME_EVAL_DATA names no folder with locomo/locomo_dev5.json and epbench.", file=sys.stderr)
        return None
    return book.parent


@dataclass(frozen=True, slots=True)
class Case:
    source: str
    size: int  # engrams, or WHOLE: the text's own
    kind: str  # see above
    recalled: bool  # its evidence was
    signals: npt.NDArray[np.float64]  # of each of the best items

    @property
    def answerable(self) -> bool:
        return self.kind == "own"


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions to one text. ``foreign`` and the like have no evidence there."""

    source: str
    text: Conversation
    questions: Sequence[tuple[str, Question]]  # by kind


class Cases:
    """Makes the cases of one half."""

    def __init__(self, data: Path, half: int, embed: Embed, say: Callable[[str], None]) -> None:
        self._data, self._half, self._embed, self._say = data, half, embed, say
        self._plugins = listed.build(locomo.VARIANTS[locomo.SHIPPED])
        self._rng = random.Random(half)

    def __iter__(self) -> Iterator[Case]:
        texts, plain = self.whole(), self.plain()
        told = filler.texts(self._data, self._half, GROWN[-1])
        for asked in texts:
            yield from self._ask(asked, self._remember(asked.text), WHOLE)
        for asked in [*plain, *self._single(plain), *self._long(plain, told)]:
            yield from self._ask(asked, self._remember(asked.text), _size(asked.text))
        for talk, other in self._talks():
            for size, count in WINDOWS.items():
                for asked in self._windows(talk, other, size, count):
                    yield from self._ask(asked, self._remember(asked.text), size)
        for size in GROWN:
            yield from self.grown([*texts, *plain], Filler(told[:size], self._embed), size)

    def whole(self) -> list[Asked]:
        """Conversations and the book, as they are."""
        return [*(self._talk(talk, other) for talk, other in self._talks()), self._book()]

    def grown(self, texts: Sequence[Asked], beside: Filler, size: int) -> Iterator[Case]:
        """Each text amid the same filler."""
        for asked in texts:
            host = Grown(self._remember(asked.text), asked.text.name, beside)
            yield from self._ask(asked, host, size)
            host.close()

    def _talks(self) -> Iterator[tuple[Conversation, Conversation]]:
        """Each with another one."""
        talks = locomo.load(self._data / "locomo" / "locomo_dev5.json")[self._half :: 2]
        return pairwise([*talks, talks[0]])

    def _remember(self, text: Conversation) -> ExactHost:
        return locomo.remember(text, self._plugins, self._embed)

    def _ask(self, asked: Asked, host: locomo.Host, size: int) -> Iterator[Case]:
        for kind, question in asked.questions:
            recalled = locomo.recall(host, asked.text, question.text, 5)
            ctx = host.context(asked.text.asked_at)
            first = {i.record.id for i in recalled.ranked[: confidence.LOOKED_AT]}
            signals = [astuple(s) for s in confidence.of_each(recalled.plan, recalled.ranked, ctx)]
            if signals:  # else it is not found, whatever the weights
                yield Case(asked.source, size, kind, bool(first & question.evidence), np.array(signals))
        if len(asked.questions) > ASKED:
            self._say(f"  {asked.source}, {size or _size(asked.text)} engrams: {len(asked.questions)} questions asked")

    # --- what is asked of what ---

    def _talk(self, talk: Conversation, other: Conversation) -> Asked:
        strange, host = _strange(talk, other), self._remember(talk)
        own = self._some([q for q in talk.questions if q.category != 5], ASKED)
        theirs = self._some([q for q in other.questions if q.category != 5], ASKED)
        asked = [("own", q) for q in own]
        asked += [("foreign", _foreign(q, other, talk)) for q in theirs]
        asked += [("altered", _asked(a)) for q in own if (a := _altered(q.text, talk, strange, host, self._rng))]
        asked += [("adversarial", q) for q in self._some([q for q in talk.questions if q.category == 5], ASKED // 2)]
        return Asked("LoCoMo", talk, asked)

    def _windows(self, talk: Conversation, other: Conversation, size: int, count: int) -> Iterator[Asked]:
        """So many memories of ``size`` consecutive turns, each around the one evidence of a question."""
        told = [turn for turns in talk.sessions for turn in turns]
        mine, theirs = ([q for q in c.questions if q.category != 5] for c in (talk, other))
        for question in self._some([q for q in mine if len(q.evidence) == 1], count):
            at = next(n for n, turn in enumerate(told) if turn.id in question.evidence)
            start = max(0, min(len(told) - size, at - self._rng.randrange(size)))
            window = told[start : start + size]
            held = {turn.id for turn in window}
            elsewhere = self._rng.choice([q for q in mine if not q.evidence & held])
            foreign = _foreign(self._rng.choice(theirs), other, talk)
            asked = [("own", question), ("elsewhere", _asked(elsewhere.text)), ("foreign", foreign)]
            yield Asked("LoCoMo", _part(talk, window), asked)

    def _book(self) -> Asked:
        """Half of EpBench's chapters, and of the questions that one chapter answers or none."""
        book = epbench.load(self._data / "epbench")
        middle = len(book.sessions) // 2
        part = replace(book, sessions=book.sessions[:middle] if self._half == 0 else book.sessions[middle:])
        held = {turn.id for turns in part.sessions for turn in turns}
        own = [q for q in book.questions if q.evidence & held]
        none = [q for q in book.questions if not q.evidence][self._half :: 2]
        return Asked("EpBench", part, [*(("own", q) for q in own), *(("elsewhere", q) for q in none)])

    def plain(self) -> list[Asked]:
        memories = yaml.safe_load(Path(__file__).with_name("plain_memories.yaml").read_text())[HALVES[self._half]]
        out = []
        for n, memory in enumerate(memories):
            turns = [_turn(f"plain-{n}", i, line) for i, (line, _) in enumerate(memory)]
            asked = [("own", Question(q, frozenset({t.id}), 0)) for t, (_, q) in zip(turns, memory, strict=True)]
            asked += [("foreign", _asked(q)) for other in (3, 5) for _, q in memories[(n + other) % len(memories)]]
            out.append(Asked("plain", Conversation(f"plain-{n}", ("", ""), (tuple(turns),), ()), asked))
        return out

    def _single(self, plain: Sequence[Asked]) -> Iterator[Asked]:
        """Each plain turn alone."""
        for asked in plain:
            for n, turn in enumerate(asked.text.sessions[0]):
                chosen = [asked.questions[n], asked.questions[5 + n]]
                yield Asked("plain", replace(asked.text, sessions=((turn,),)), chosen)

    def _long(self, plain: Sequence[Asked], told: Sequence[str]) -> Iterator[Asked]:
        """A plain turn amid a note of 20 kB."""
        for n, asked in enumerate(plain):
            around = list(told[n * LONG : (n + 1) * LONG])
            first, *others = asked.text.sessions[0]
            around.insert(LONG * 2 // 3, first.text)
            turns = (replace(first, text=" ".join(around)), *others)
            yield Asked("long note", replace(asked.text, sessions=(turns,)), [asked.questions[0], *asked.questions[5:]])

    def _some(self, questions: Sequence[Question], count: int) -> list[Question]:
        return self._rng.sample(questions, min(count, len(questions)))


def _size(text: Conversation) -> int:
    return sum(map(len, text.sessions))


def _part(talk: Conversation, turns: Sequence[Record]) -> Conversation:
    return replace(talk, sessions=tuple(tuple(some) for _, some in groupby(turns, lambda turn: turn.session)))


def _turn(namespace: str, n: int, line: str) -> Record:
    actor, _, text = line.partition(":")
    at = _AT + timedelta(minutes=n)
    return Record(f"{namespace}/{n}", namespace, "turn", text.strip(), Interval(at, at), namespace, actor, seq=n)


def _asked(text: str) -> Question:
    return Question(text, frozenset(), 0)


def _foreign(question: Question, theirs: Conversation, mine: Conversation) -> Question:
    names = dict(zip(theirs.speakers, mine.speakers, strict=True))
    return _asked(re.sub("|".join(rf"\b{name}\b" for name in names), lambda m: names[m.group()], question.text))


def _strange(conversation: Conversation, other: Conversation) -> list[str]:
    """Plain words of ``other``'s questions that this conversation never says."""
    said = {t for turns in conversation.sessions for r in turns for t in lexical.terms(r.text)}
    return sorted({w for q in other.questions for w in _PLAIN.findall(q.text) if set(lexical.terms(w)) - said})


def _altered(text: str, talk: Conversation, strange: Sequence[str], host: ExactHost, rng: random.Random) -> str | None:
    """``text`` with its rarest plain word replaced by a strange one; None where there is none."""
    idf = host.context(talk.asked_at).idf(text, talk.name)
    here = [w for w in _PLAIN.findall(text) if lexical.terms(w)]
    if not here or not strange:
        return None
    rarest = max(here, key=lambda w: (idf.get(lexical.terms(w)[0], 0.0), w))
    return re.sub(rf"\b{rarest}\b", rng.choice(strange), text)
