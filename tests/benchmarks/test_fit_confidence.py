"""The fit of confidence: what it learns of cases that are known, and that its halves share nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import confidence_cases, fit_confidence
from benchmarks.confidence_cases import HALVES, Case
from services.episodic.recall import confidence

FIRST, LAST = 0, -2  # of the weights


def cases(source: str, count: int, rng: np.random.Generator) -> list[Case]:
    """Answerable where one item's first signal is high; all else is noise."""
    found = []
    for n in range(count):
        signals = rng.random((confidence.LOOKED_AT, len(confidence.WEIGHTS))) * 0.5
        if n % 2:
            signals[rng.integers(confidence.LOOKED_AT), FIRST] += 0.7
        found.append(Case(source, 5, "own" if n % 2 else "foreign", True, signals))
    return found


def test_it_finds_the_signal_that_tells_and_refuses_the_share_it_says() -> None:
    found = cases("talk", 800, np.random.default_rng(0))
    weights, threshold = fit_confidence.learn(found)
    assert weights[FIRST] > 4 * np.abs(weights[FIRST + 1 : LAST]).max()
    scores = fit_confidence._scores([c for c in found if c.answerable], weights)
    assert np.mean(scores < threshold) == pytest.approx(fit_confidence.REFUSED, abs=0.01)
    assert fit_confidence.auroc(scores, fit_confidence._scores([c for c in found if not c.answerable], weights)) > 0.95


def test_a_text_counts_alike_whatever_the_number_of_its_questions() -> None:
    rng = np.random.default_rng(1)
    found = [*cases("talk", 400, rng), *cases("book", 400, rng)]
    once, _ = fit_confidence.learn(found)
    often, _ = fit_confidence.learn([*found, *(c for c in found if c.source == "talk")])
    assert often == pytest.approx(once, abs=0.011)


def test_the_halves_of_the_plain_memories_share_no_question() -> None:
    lists = yaml.safe_load(Path(confidence_cases.__file__).with_name("plain_memories.yaml").read_text(encoding="utf-8"))
    tuned, held_out = ({tuple(pair) for memory in lists[half] for pair in memory} for half in HALVES)
    assert len(tuned) == len(held_out) == 50
    assert not {q for _, q in tuned} & {q for _, q in held_out}
