"""How sure recall is that its first items answer the question: one number, and what it is made of.

Rules, no model: does one of the best items, with its neighbours, speak of what the question speaks of? Words count by
stem and by their rarity in the namespace; what nobody ever mentioned (a name, a thing) is the surest sign that there
is nothing to find. ``WEIGHTS``, ``BIAS`` and the threshold below which Mneme says "not found"
(``confidence_threshold`` of the episodic defaults) are fitted on LoCoMo's development set, and only there, by
``python -m benchmarks.locomo --fit-threshold``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from services.common import lexical
from services.episodic.plugins.base import Context, Plan, Ranked
from services.episodic.plugins.turns import day_words, said

LOOKED_AT = 5  # best items
SPAN, STEP = 30, 10  # terms

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
    """What confidence rests on; every field lies in [0, 1]."""

    window: float  # share (idf squared) of the question's words in one stretch of a best item and its neighbours
    rarest: float  # 1 when the question's rarest word is among the best items
    cosine: float  # best cosine of a best item
    unseen: float  # share of the question's words that the namespace has never seen
    together: float  # share (idf) of the question's words in those stretches together: more than in one is scattered


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
    weights = _weights(plan, ctx)
    if not best or not weights:
        return None
    squared = {term: weight * weight for term, weight in weights.items()}
    windows = [_window(item, squared, ctx) for item in best]
    everything: set[str] = set().union(*windows)
    rarest, never = max(weights.values()), _unseen(plan, ctx)
    return Signals(
        window=max(_share(squared, window) for window in windows),
        rarest=float(any(term in everything for term, weight in weights.items() if weight == rarest)),
        cosine=max(0.0, min(1.0, max(_cosine(item) for item in best))),
        unseen=sum(weight >= never for weight in weights.values()) / len(weights),
        together=_share(weights, everything),
    )


def _weights(plan: Plan, ctx: Context) -> Mapping[str, float]:
    """idf of the question's words, those of its form left out unless nothing else is there.

    Over several namespaces, of the one that knows a word best.
    """
    merged: dict[str, float] = {}
    for namespace in plan.query.namespaces:
        for term, weight in ctx.idf(plan.query.text, namespace).items():
            merged[term] = min(weight, merged.get(term, weight))
    told = {term: weight for term, weight in merged.items() if term not in _FRAME}
    return told or merged


def _unseen(plan: Plan, ctx: Context) -> float:
    """idf of a word that was never seen: in none of the namespaces, so the least of theirs."""
    return min(ctx.idf(_NEVER, namespace)[_NEVER] for namespace in plan.query.namespaces)


_NEVER = "zzqxvjw"


def _window(item: Ranked, weights: Mapping[str, float], ctx: Context) -> set[str]:
    """Terms of the stretch of an item and its neighbours that holds most of the question, with its speaker and date.

    ``SPAN`` terms long whatever the length of the texts: in a long one, words that lie far apart are not said together.
    """
    before, after = ctx.neighbours(item.record, 1, 1)
    own = ctx.terms(item.record.text)
    head = ctx.terms("\n".join(said(r) for r in before))[-SPAN:]
    tail = ctx.terms("\n".join(said(r) for r in after))[:SPAN]
    line, last = [*head, *own, *tail], len(head) + len(own)
    starts = range(0, max(1, len(line) - SPAN + STEP), STEP)
    stretches = [set(line[s : s + SPAN]) for s in starts if s + SPAN > len(head) and s < last]
    always = ctx.terms(f"{item.record.actor} {day_words(item.record.event.start)}")
    return max(stretches, key=lambda words: _share(weights, words | set(always)), default=set()) | set(always)


def _share(weights: Mapping[str, float], words: set[str]) -> float:
    total = sum(weights.values())
    return sum(w for term, w in weights.items() if term in words) / total if total else 0.0


def _cosine(item: Ranked) -> float:
    return next((score for stage, _, score in item.trace if stage == "dense"), 0.0)


# Fitted: see above.
BIAS = -3.22
WEIGHTS = (3.74, 1.32, 4.92, -4.92, -2.77)
