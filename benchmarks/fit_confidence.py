"""Fits the weights and the threshold of services/episodic/recall/confidence.py on texts that are not the demo's.

    MNEME_EVAL_DATA=... python -m benchmarks.fit_confidence

On one half of the texts (``benchmarks.confidence_cases``), and prints what that does on both. Each text at each size of
memory counts alike. The threshold refuses REFUSED of the answerable whose evidence was recalled. Vectors are made once
and kept in --vectors: the first run embeds 110,000 texts, most of them short, and says how far it is; those after it
take a few minutes. Nothing is fitted on tests/episodic/small_memories.yaml, the demo or benchmarks.untouched.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.cached import CachedEmbedder
from benchmarks.confidence_cases import WHOLE, Case, Cases, folder
from services.common.models.embed import Embedder
from services.episodic.recall import confidence

REFUSED = 0.08  # of the answerable whose evidence was recalled
ROUNDS = 5

Floats = npt.NDArray[np.float64]


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
    of_text = Counter((c.source, c.size) for c in told)
    counts = np.array([1.0 / of_text[c.source, c.size] for c in told])
    answerable = np.array([c.answerable for c in told])
    weights = np.array([*confidence.WEIGHTS, confidence.BIAS])
    for _ in range(ROUNDS):  # which item is the surest depends on the weights
        rows = np.array([c.signals[np.argmax(c.signals @ weights[:-1])] for c in told])
        weights = np.round(fit(rows, answerable.astype(float), counts), 2)
    scores, shares = _scores(told, weights)[answerable], counts[answerable]
    order = np.argsort(scores)
    refused = np.searchsorted(np.cumsum(shares[order]), REFUSED * shares.sum())
    return weights, round(float(scores[order][refused]), 3)


def _scores(found: Sequence[Case], weights: Floats) -> Floats:
    return np.array([1.0 / (1.0 + np.exp(-(c.signals @ weights[:-1]).max() - weights[-1])) for c in found])


def report(half: str, found: Sequence[Case], weights: Floats, threshold: float) -> None:
    """A row for each text at each size: the share of every kind of question that is "not found"."""
    kinds = ("foreign", "elsewhere", "altered", "adversarial")
    print(f"\n| {half}: text | engrams | answerable, recalled | {' | '.join(kinds)} | AUROC |\n|---{'|---' * 7}|")
    for source, size in sorted({(c.source, c.size) for c in found}):
        there = [c for c in found if (c.source, c.size) == (source, size)]
        scores = {kind: _scores(some, weights) for kind in kinds if (some := [c for c in there if c.kind == kind])}
        own = _scores([c for c in there if c.answerable and c.recalled], weights)
        others = np.concatenate([s for kind, s in scores.items() if kind != "adversarial"])
        cells = [_share(own, threshold), *(_share(scores[k], threshold) if k in scores else "" for k in kinds)]
        print(f"| {source} | {'whole' if size == WHOLE else size} | {' | '.join(cells)} | {auroc(own, others):.3f} |")


def _share(scores: Floats, threshold: float) -> str:
    return f"{np.mean(scores < threshold):.2f} of {len(scores)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, default=Path(".cache/vectors.sqlite"), help="a file that keeps vectors")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    arguments = parser.parse_args()
    data = folder()
    if data is None:
        return 2
    embedder = CachedEmbedder(Embedder.packaged(threads=arguments.threads), arguments.vectors)
    tuned, held_out = (Cases(data, half, embedder.embed, partial(print, flush=True)) for half in range(2))
    found = list(tuned)
    weights, threshold = learn(found)
    print(f"BIAS = {weights[-1]}\nWEIGHTS = {tuple(float(w) for w in weights[:-1])}\nthreshold = {threshold}")
    report("tuned", found, weights, threshold)
    report("held out", list(held_out), weights, threshold)
    return 0


if __name__ == "__main__":
    sys.exit(main())
