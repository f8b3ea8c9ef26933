"""Fits the weights and the threshold of services/episodic/recall/confidence.py on texts that are not the demo's.

    MNEME_EVAL_DATA=... python -m benchmarks.fit_confidence

What must be told apart, in two sets that count alike. Of LoCoMo's development half: its own questions (categories 1
to 4); *foreign* ones, asked of another conversation with the speakers' names mapped; and *altered* ones, whose rarest
plain word is replaced by one that the conversation never says. Of EpBench's development questions: those that one
chapter answers, and those that none does. An answerable question counts where its evidence is among the first five:
confidence is about what was recalled. The threshold refuses a tenth of those, whole. The adversarial category (what one
speaker did, asked of the other) is reported apart and not fitted.

And at several sizes, which count alike: windows of 1, 5 and 50 turns of LoCoMo around the evidence of a question, of
which are asked that question, a foreign one, and one of the same conversation that it does not answer (*elsewhere*).
Nothing is fitted on the small memories of tests/episodic/small_memories.yaml.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from benchmarks import epbench, locomo
from services.common.models.embed import Embedder
from services.common.text import lexical
from services.episodic import plugins as listed
from services.episodic.plugins.base import Plugin
from services.episodic.plugins.exact import ExactHost
from services.episodic.recall import confidence

REFUSED = 0.10  # of the answerable whose evidence was recalled
WHOLE = 0
WINDOWS = {1: 20, 5: 40, 50: 20}  # how many of each size, a conversation
_PLAIN = re.compile(r"\b[a-z]{4,}\b")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    kind: str  # "own", "foreign", "altered", "elsewhere", "adversarial"; "one chapter", "no chapter"
    group: str  # what it is asked of
    size: int  # engrams of that, or WHOLE
    recalled: bool  # its evidence was
    signals: tuple[float, ...]

    @property
    def answerable(self) -> bool:
        return self.kind in ("own", "one chapter")


def cases(conversations: Sequence[locomo.Conversation], book: locomo.Conversation, embedder: Embedder) -> list[Case]:
    plugins = listed.build(locomo.VARIANTS[locomo.SHIPPED])
    hosts = {c.name: locomo.remember(c, plugins, embedder) for c in (*conversations, book)}
    rng, out = random.Random(0), []
    for n, conversation in enumerate(conversations):
        other = conversations[(n + 1) % len(conversations)]
        strange = _strange(conversation, other)
        for question in conversation.questions:
            if question.category == 5:
                asked = [("adversarial", conversation, question.text)]
            else:
                altered = _altered(question.text, conversation, strange, hosts[conversation.name], rng)
                foreign = _mapped(question.text, conversation.speakers, other.speakers)
                asked = [("own", conversation, question.text), ("foreign", other, foreign)]
                asked += [("altered", conversation, altered)] if altered else []
            out += [_case(kind, hosts[to.name], to, text, question.evidence) for kind, to, text in asked]
        for size, count in WINDOWS.items():
            out += _windows(conversation, other, size, count, plugins, embedder, rng)
    for question in book.questions:
        kind = "one chapter" if question.evidence else "no chapter"
        out.append(_case(kind, hosts[book.name], book, question.text, question.evidence))
    return out


def _windows(
    conversation: locomo.Conversation,
    other: locomo.Conversation,
    size: int,
    count: int,
    plugins: Sequence[Plugin],
    embedder: Embedder,
    rng: random.Random,
) -> list[Case]:
    """So many memories of ``size`` consecutive turns, each around the one evidence of a question."""
    told = [turn for turns in conversation.sessions for turn in turns]
    mine, theirs = ([q for q in c.questions if q.category != 5] for c in (conversation, other))
    out = []
    for question in rng.sample([q for q in mine if len(q.evidence) == 1], count):
        at = next(n for n, turn in enumerate(told) if turn.id in question.evidence)
        start = max(0, min(len(told) - size, at - rng.randrange(size)))
        window = told[start : start + size]
        sessions = tuple(tuple(turns) for _, turns in groupby(window, lambda turn: turn.session))
        part = replace(conversation, sessions=sessions)
        elsewhere = rng.choice([q for q in mine if not q.evidence & {turn.id for turn in window}])
        foreign = _mapped(rng.choice(theirs).text, other.speakers, conversation.speakers)
        host = locomo.remember(part, plugins, embedder)
        out.append(_case("own", host, part, question.text, question.evidence, size))
        out.append(_case("elsewhere", host, part, elsewhere.text, frozenset(), size))
        out.append(_case("foreign", host, part, foreign, frozenset(), size))
    return out


def _case(
    kind: str,
    host: ExactHost,
    conversation: locomo.Conversation,
    text: str,
    evidence: frozenset[str],
    size: int = WHOLE,
) -> Case:
    recalled = locomo.recall(host, conversation, text, 5)
    found = confidence.signals(recalled.plan, recalled.ranked, host.context(conversation.asked_at))
    first = {i.record.id for i in recalled.ranked[: confidence.LOOKED_AT]}
    signals = astuple(found) if found is not None else confidence.NOTHING
    return Case(kind, conversation.name, size, bool(first & evidence), signals)


def _mapped(text: str, mine: tuple[str, str], theirs: tuple[str, str]) -> str:
    names = dict(zip(mine, theirs, strict=True))
    return re.sub("|".join(rf"\b{name}\b" for name in names), lambda m: names[m.group()], text)


def _strange(conversation: locomo.Conversation, other: locomo.Conversation) -> list[str]:
    """Plain words of ``other``'s questions that this conversation never says."""
    said = {t for turns in conversation.sessions for r in turns for t in lexical.terms(r.text)}
    return sorted({w for q in other.questions for w in _PLAIN.findall(q.text) if set(lexical.terms(w)) - said})


def _altered(
    text: str, conversation: locomo.Conversation, strange: Sequence[str], host: ExactHost, rng: random.Random
) -> str | None:
    """``text`` with its rarest plain word replaced by a strange one; None where there is none."""
    idf = host.context(conversation.asked_at).idf(text, conversation.name)
    here = [w for w in _PLAIN.findall(text) if lexical.terms(w)]
    if not here or not strange:
        return None
    rarest = max(here, key=lambda w: (idf.get(lexical.terms(w)[0], 0.0), w))
    return re.sub(rf"\b{rarest}\b", rng.choice(strange), text)


# --- fitting ----------------------------------------------------------------------------------------------------


def fit(rows: Floats, answerable: Floats, counts: Floats) -> Floats:
    """Logistic regression by Newton's method with a little ridge: weights, then the bias. ``counts``: of each row."""
    design = np.column_stack([rows, np.ones(len(rows))])
    weights = np.zeros(design.shape[1])
    share = counts / counts.sum()
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-design @ weights))
        hessian = (design * (share * p * (1 - p))[:, None]).T @ design + 1e-4 * np.eye(len(weights))
        weights -= np.linalg.solve(hessian, design.T @ (share * (p - answerable)) + 1e-4 * weights)
    return weights


def auroc(positive: Floats, negative: Floats) -> float:
    """Chance that a positive scores above a negative; ties count half."""
    above = (positive[:, None] > negative[None, :]).mean()
    return float(above + 0.5 * (positive[:, None] == negative[None, :]).mean())


def learn(found: Sequence[Case]) -> tuple[Floats, float]:
    """Weights with the bias last, rounded as they are shipped, and the threshold."""
    told = [c for c in found if c.kind != "adversarial" and (c.recalled or not c.answerable)]
    kinds = [(c.size, c.group == epbench.NAME) for c in told]
    of_kind = Counter(kinds)
    counts = np.array([1.0 / of_kind[kind] for kind in kinds])
    answerable = np.array([c.answerable for c in told])
    weights = np.round(fit(_rows(told), answerable.astype(float), counts), 2)
    judged = answerable & np.array([c.size == WHOLE for c in told])
    scores, shares = _scores(told, weights)[judged], counts[judged]
    order = np.argsort(scores)
    refused = np.searchsorted(np.cumsum(shares[order]), REFUSED * shares.sum())
    return weights, float(scores[order][refused])


def _rows(found: Sequence[Case]) -> Floats:
    return np.array([c.signals for c in found])


def _scores(found: Sequence[Case], weights: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-(_rows(found) @ weights[:-1] + weights[-1]))))


def report(found: Sequence[Case]) -> None:
    weights, threshold = learn(found)
    print(f"BIAS = {weights[-1]}\nWEIGHTS = {tuple(float(w) for w in weights[:-1])}\nthreshold = {threshold:.3f}")
    _print("fitted and judged on all", [(found, weights, threshold)])
    folds = []
    for n in range(5):  # every conversation is held out once, and every fifth question of the book with it
        inside = [(c.group if c.group != epbench.NAME else i % 5) for i, c in enumerate(found)]
        out = {sorted({c.group for c in found if c.group != epbench.NAME})[n], n}
        weights, threshold = learn([c for c, i in zip(found, inside, strict=True) if i not in out])
        folds.append(([c for c, i in zip(found, inside, strict=True) if i in out], weights, threshold))
    _print("judged on what was held out", folds)


def _print(title: str, folds: Sequence[tuple[Sequence[Case], Floats, float]]) -> None:
    print(title)
    scored = [(c, float(x), t) for cases, w, t in folds for c, x in zip(cases, _scores(cases, w), strict=True)]
    for size in (WHOLE, *WINDOWS):
        at_size = [s for s in scored if s[0].size == size]
        for answerable, others in (
            ("own", ("foreign", "altered", "elsewhere", "adversarial")),
            ("one chapter", ("no chapter",)),
        ):
            own = [s for s in at_size if s[0].kind == answerable]
            _line(size, answerable, own, own)
            _line(size, f"{answerable}, recalled", [s for s in own if s[0].recalled], own)
            for kind in others:
                _line(size, kind, [s for s in at_size if s[0].kind == kind], own)


def _line(
    size: int, name: str, chosen: Sequence[tuple[Case, float, float]], own: Sequence[tuple[Case, float, float]]
) -> None:
    if not chosen:
        return
    refused = np.mean([x < t for _, x, t in chosen])
    line = f"  {size or 'whole':>5} {name:22} {len(chosen):4} questions, not found {refused:.3f}"
    if not chosen[0][0].answerable:
        line += f", AUROC {auroc(*(np.array([x for _, x, _ in some]) for some in (own, chosen))):.3f}"
    print(line)


def main() -> int:
    talk, book = locomo.path(), epbench.folder()
    if talk is None or book is None:
        print("MNEME_EVAL_DATA names no folder with locomo/locomo_dev5.json and epbench.", file=sys.stderr)
        return 2
    embedder = Embedder.packaged(threads=2, remembered=50_000)
    report(cases(locomo.load(talk), epbench.load(book), embedder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
