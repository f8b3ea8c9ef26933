"""The extractive answer: the best sentences of what was recalled, word for word, each with its source.

A sentence counts by the question's words in it (rare ones more, by stem), by the same words in its whole text, and
a little by the rank of its text. Nothing is rewritten and nothing is added, so what is quoted can be looked up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.common.text import lexical
from services.common.text.sentences import sentences

__all__ = ["Sentence", "Source", "extract", "sentences"]

# Shares of a sentence's score; tried on LoCoMo's development set (README.md).
_OWN, _AROUND, _RANK = 1.0, 0.8, 0.2
# A further sentence is quoted only if it comes this close to the best.
_CLOSE = 0.4


@dataclass(frozen=True, slots=True)
class Source:
    """A recalled text, in order of rank."""

    engram_id: str
    text: str
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A part of a source's text, as it stands there."""

    text: str
    engram_id: str
    score: float


def extract(question: str, sources: Sequence[Source], limit: int) -> list[Sentence]:
    """At most ``limit`` sentences of ``sources`` (best first) that best answer ``question``, best first.

    Empty without sources. No sentence is given twice. Scores lie in [0, 1].
    """
    found = list(_candidates(sources))
    if not found or limit <= 0:
        return []
    weights = _weights(question, [terms for _, _, terms in found])
    actors = [set(lexical.terms(f"{source.actor}:")) for source in sources]
    around = [_share(weights, actor.union(lexical.terms(s.text))) for actor, s in zip(actors, sources, strict=True)]
    scored = []
    for at, text, terms in found:
        own = _share(weights, actors[at] | terms)
        total = (_OWN * own + _AROUND * around[at] + _RANK / (at + 1)) / (_OWN + _AROUND + _RANK)
        scored.append(Sentence(text, sources[at].engram_id, round(total, 6)))
    scored.sort(key=lambda s: -s.score)  # stable: equal scores stay in order of rank and place
    floor = _CLOSE * scored[0].score
    return [s for s in scored if s.score >= floor][:limit]


def _candidates(sources: Sequence[Source]) -> Iterator[tuple[int, str, set[str]]]:
    """Every sentence that has a word, with the place of its source and its terms."""
    seen: set[str] = set()
    for at, source in enumerate(sources):
        for text in sentences(source.text):
            if text not in seen and any(map(str.isalnum, text)):
                seen.add(text)
                yield at, text, set(lexical.terms(text))


def _weights(question: str, documents: Sequence[set[str]]) -> dict[str, float]:
    """idf of the question's terms among the candidate sentences."""
    frequency = Counter(t for d in documents for t in d)
    return {t: lexical.idf(len(documents), frequency[t]) for t in set(lexical.terms(question))}


def _share(weights: dict[str, float], there: set[str]) -> float:
    total = sum(weights.values())
    return sum(w for t, w in weights.items() if t in there) / total if total else 0.0
