"""Fits the weights and the threshold of services/episodic/confidence.py on LoCoMo's development half.

Three kinds of questions: its own answerable ones (categories 1 to 4); *foreign* ones, asked of another conversation
with the speakers' names mapped; and *altered* ones, whose rarest plain word is replaced by one that the conversation
never says. The adversarial category (what one speaker did, asked of the other) is reported apart and not fitted.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from benchmarks import locomo
from services.common import lexical
from services.common.embed import Embedder
from services.episodic import confidence
from services.episodic import plugins as listed
from services.episodic.plugins.exact import ExactHost

REFUSED = 0.10  # of the answerable, at most
_PLAIN = re.compile(r"\b[a-z]{4,}\b")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    kind: str  # "own", "foreign", "altered", "adversarial"
    conversation: str
    signals: tuple[float, ...]


def cases(conversations: Sequence[locomo.Conversation], embedder: Embedder) -> list[Case]:
    plugins = listed.build(locomo.VARIANTS[locomo.SHIPPED])
    hosts = {c.name: locomo.remember(c, plugins, embedder) for c in conversations}
    rng, out = random.Random(0), []
    for n, conversation in enumerate(conversations):
        other = conversations[(n + 1) % len(conversations)]
        for question in conversation.questions:
            if question.category == 5:
                asked = [("adversarial", conversation, question.text)]
            else:
                altered = _altered(question.text, conversation, other, hosts[conversation.name], rng)
                foreign = _mapped(question.text, conversation.speakers, other.speakers)
                asked = [("own", conversation, question.text), ("foreign", other, foreign)]
                asked += [("altered", conversation, altered)] if altered else []
            out += [Case(kind, to.name, _signals(hosts[to.name], to, text)) for kind, to, text in asked]
    return out


def _signals(host: ExactHost, conversation: locomo.Conversation, text: str) -> tuple[float, ...]:
    recalled = locomo.recall(host, conversation, text, 5)
    found = confidence.signals(recalled.plan, recalled.ranked, host.context(conversation.asked_at))
    assert found is not None, text
    return astuple(found)


def _mapped(text: str, mine: tuple[str, str], theirs: tuple[str, str]) -> str:
    names = dict(zip(mine, theirs, strict=True))
    return re.sub("|".join(rf"\b{name}\b" for name in names), lambda m: names[m.group()], text)


def _altered(
    text: str, conversation: locomo.Conversation, other: locomo.Conversation, host: ExactHost, rng: random.Random
) -> str | None:
    """``text`` with its rarest plain word replaced by one of ``other``'s questions that this conversation lacks."""
    said = {t for turns in conversation.sessions for r in turns for t in lexical.terms(r.text)}
    idf = host.context(conversation.asked_at).idf(text, conversation.name)
    here = [w for w in _PLAIN.findall(text) if lexical.terms(w)]
    strange = sorted({w for q in other.questions for w in _PLAIN.findall(q.text) if set(lexical.terms(w)) - said})
    if not here or not strange:
        return None
    rarest = max(here, key=lambda w: (idf.get(lexical.terms(w)[0], 0.0), w))
    return re.sub(rf"\b{rarest}\b", rng.choice(strange), text)


# --- fitting ----------------------------------------------------------------------------------------------------


def fit(rows: Floats, answerable: Floats) -> Floats:
    """Logistic regression by Newton's method with a little ridge: weights, then the bias."""
    design = np.column_stack([rows, np.ones(len(rows))])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-design @ weights))
        hessian = (design * (p * (1 - p))[:, None]).T @ design / len(rows) + 1e-4 * np.eye(len(weights))
        weights -= np.linalg.solve(hessian, design.T @ (p - answerable) / len(rows) + 1e-4 * weights)
    return weights


def auroc(positive: Floats, negative: Floats) -> float:
    """Chance that a positive scores above a negative; ties count half."""
    above = (positive[:, None] > negative[None, :]).mean()
    return float(above + 0.5 * (positive[:, None] == negative[None, :]).mean())


def report(conversations: Sequence[locomo.Conversation], embedder: Embedder) -> None:
    found = cases(conversations, embedder)
    fitted = [c for c in found if c.kind != "adversarial"]
    weights = np.round(_fit(fitted), 2)
    threshold = np.floor(1e3 * np.quantile(_scores(found, "own", weights), REFUSED)) / 1e3
    print(f"BIAS = {weights[-1]}\nWEIGHTS = {tuple(float(w) for w in weights[:-1])}\nthreshold = {threshold:.3f}")
    _print("fitted and judged on all", found, {c.name: (weights, float(threshold)) for c in conversations})
    held_out = {}
    for name in {c.name for c in conversations}:
        train = [c for c in fitted if c.conversation != name]
        w = _fit(train)
        held_out[name] = (w, float(np.quantile(_scores(train, "own", w), REFUSED)))
    _print("judged on a conversation, fitted on the others", found, held_out)


def _fit(train: Sequence[Case]) -> Floats:
    return fit(np.array([c.signals for c in train]), np.array([float(c.kind == "own") for c in train]))


def _scores(found: Sequence[Case], kind: str, weights: Floats) -> Floats:
    rows = np.array([c.signals for c in found if c.kind == kind])
    return np.asarray(1.0 / (1.0 + np.exp(-(rows @ weights[:-1] + weights[-1]))))


def _print(title: str, found: Sequence[Case], by: dict[str, tuple[Floats, float]]) -> None:
    print(title)
    own = np.concatenate([_scores([c for c in found if c.conversation == n], "own", w) for n, (w, _) in by.items()])
    for kind in ("own", "foreign", "altered", "adversarial"):
        scores, below = [], []
        for name, (weights, threshold) in by.items():
            mine = _scores([c for c in found if c.conversation == name], kind, weights)
            scores.append(mine)
            below.append(mine < threshold)
        refused, everything = np.concatenate(below), np.concatenate(scores)
        line = f"  {kind:12} {len(refused):4} questions, not found {refused.mean():.3f}"
        print(line if kind == "own" else f"{line}, AUROC against own {auroc(own, everything):.3f}")
