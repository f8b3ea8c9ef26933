"""How sure recall is that its first items answer the question: one number, and what it is made of.

Rules, no model. Is the question near an item in meaning? Has the namespace ever seen its words? Is whom and what it
names spoken of there, and how much of it is said in one place? A share alone deceives where a question has few words
("What is the name of the Pooters' cat?" is met by every sentence with their cat), so what is said counts in full, not
as a share. What the question asks of a time that was resolved ("the week after the ball") was found already and is not
asked of the items again.

``WEIGHTS``, ``BIAS`` and the threshold below which Mneme says "not found" (``confidence_threshold`` of the episodic
defaults) are fitted on LoCoMo's development set and EpBench's development questions, and only there, by
``python -m benchmarks.fit_confidence``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass

import regex

from services.common import lexical
from services.episodic.plugins.base import Context, Plan, Ranked
from services.episodic.plugins.turns import day_words, said

LOOKED_AT = 5  # best items
SPAN, STEP = 30, 10  # terms
IDF_UNIT = 10.0  # of ``Signals.said``

# What a question says about its own form ("what kind of", "how many times"), and words that only join others. Evidence
# seldom repeats them, and that it does not says nothing.
_FRAME = frozenset(
    lexical.terms(
        """
        kind type sort name many much long often happen happened describe tell say said mention mentioned give gave
        first last time times day date year month week thing things person people specific according exactly
        among between during upon within without against toward towards whether either neither both each every another
        several since while although though however instead despite regarding concerning ever never yet still again
        anyone anything someone something else shall may might must ought
        """
    )
)


@dataclass(frozen=True, slots=True)
class Signals:
    """What confidence rests on."""

    cosine: float  # best cosine of a best item, 0 to 1
    unseen: float  # share of the question's words that the namespace has never seen
    names: float  # share of the names in the question that a best item or its neighbours speak; 1 without names
    said: float  # idf of the question's words that one stretch of a best item says, in IDF_UNIT


def assess(plan: Plan, items: Sequence[Ranked], ctx: Context) -> float:
    """0 to 1: how likely it is that the first of ``items`` (best first, before compose) hold the answer.

    0 without items, or for a question without words.
    """
    found = signals(plan, items, ctx)
    return score(found) if found is not None else 0.0


def score(found: Signals) -> float:
    """The logistic sum of the signals."""
    total = BIAS + sum(w * x for w, x in zip(WEIGHTS, astuple(found), strict=True))
    return round(1.0 / (1.0 + math.exp(-total)), 6)


def signals(plan: Plan, items: Sequence[Ranked], ctx: Context) -> Signals | None:
    """None without items, or for a question without words."""
    best = items[:LOOKED_AT]
    text = plan.text if lexical.terms(plan.text) else plan.query.text
    weights = _weights(text, plan.query.namespaces, ctx)
    if not best or not weights:
        return None
    names, never = [t for t in _names(text) if t in weights], _unseen(plan, ctx)
    passages = [_passage(item, ctx) for item in best]
    return Signals(
        cosine=max(0.0, min(1.0, max(_cosine(item) for item in best))),
        unseen=sum(weight >= never for weight in weights.values()) / len(weights),
        names=max(sum(t in p.everything for t in names) for p in passages) / len(names) if names else 1.0,
        said=max(sum(w for t, w in weights.items() if t in stretch) for p in passages for stretch in p.stretches())
        / IDF_UNIT,
    )


def _weights(text: str, namespaces: Sequence[str], ctx: Context) -> Mapping[str, float]:
    """idf of the question's words, those of its form left out unless nothing else is there.

    Over several namespaces, of the one that knows a word best.
    """
    merged: dict[str, float] = {}
    for namespace in namespaces:
        for term, weight in ctx.idf(text, namespace).items():
            merged[term] = min(weight, merged.get(term, weight))
    told = {term: weight for term, weight in merged.items() if term not in _FRAME}
    return told or merged


def _unseen(plan: Plan, ctx: Context) -> float:
    """idf of a word that was never seen: in none of the namespaces, so the least of theirs."""
    return min(ctx.idf(_NEVER, namespace)[_NEVER] for namespace in plan.query.namespaces)


_NEVER = "zzqxvjw"

# A word with a capital that does not begin a sentence ("Mr. Abernethy" does not; "¿Dónde" does), titles left out.
_NAME = regex.compile(
    r"(?<!^)(?<![?!] )(?<!\p{Ll}{3}\. )(?<![¿¡])\b(?!(?:Mr|Mrs|Ms|Miss|Dr|St)\b)\p{Lu}\p{M}*(?:\p{Ll}\p{M}*)+"
)
# A common noun with a name in it does not speak of that name: "plaster-of-Paris", "jack-in-the-Green".
_COMPOUND = regex.compile(r"\b\p{Ll}\w*(?:-\w+){2,}")


def _names(text: str) -> list[str]:
    """Terms of the names in a question."""
    return list(dict.fromkeys(t for m in _NAME.finditer(text) for t in lexical.terms(m.group())))


def _spoken(text: str, ctx: Context) -> list[str]:
    """Terms of a text, without the names inside common nouns."""
    return ctx.terms(_COMPOUND.sub(lambda m: _NAME.sub("", f" {m.group()}"), text))


@dataclass(frozen=True, slots=True)
class _Passage:
    """An item with its neighbours, as terms."""

    line: Sequence[str]
    first: int  # where the item's own terms begin in ``line``
    last: int  # and end
    always: frozenset[str]  # who said it, and when

    @property
    def everything(self) -> frozenset[str]:
        return self.always.union(self.line)

    def stretches(self) -> Iterator[frozenset[str]]:
        """``SPAN`` terms each, whatever the length of the texts, all with some of the item: in a long text, words
        that lie far apart are not said together."""
        for start in range(0, max(1, len(self.line) - SPAN + STEP), STEP):
            if start + SPAN > self.first and start < self.last:
                yield self.always.union(self.line[start : start + SPAN])
        yield self.always


def _passage(item: Ranked, ctx: Context) -> _Passage:
    before, after = ctx.neighbours(item.record, 1, 1)
    own = _spoken(item.record.text, ctx)
    head = _spoken("\n".join(said(r) for r in before), ctx)[-SPAN:]
    tail = _spoken("\n".join(said(r) for r in after), ctx)[:SPAN]
    always = frozenset(ctx.terms(f"{item.record.actor} {day_words(item.record.event.start)}"))
    return _Passage((*head, *own, *tail), len(head), len(head) + len(own), always)


def _cosine(item: Ranked) -> float:
    return next((score for stage, _, score in item.trace if stage == "dense"), 0.0)


# Fitted: see above.
BIAS = -7.34
WEIGHTS = (2.03, -8.31, 5.38, 1.88)
