"""The extractive answer: the best sentences of what was recalled, word for word, each with its source.

A sentence counts by the question's words in it (rare ones more, by stem), by the same words in the rest of its text,
by how near it is in meaning where an embedder is given, and by the rank of its text. Nothing is rewritten and nothing
is added, so what is quoted can be looked up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from services.common import lexical

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]

# Shares of a sentence's score; tried on LoCoMo's development set (README.md).
_OWN, _AROUND, _NEAR, _RANK = 1.0, 0.4, 1.0, 0.5
# A further sentence is quoted only if it comes this close to the best.
_CLOSE = 0.6

_ABBREVIATIONS = frozenset(
    """
mr mrs ms mt dr st messrs esq prof rev hon capt col gen lt sgt jr sr vol vs etc eg ie cf co ltd inc dept fig approx
mme mlle jan feb mar apr jun jul aug sep sept oct nov dec
""".split()
)
_END = re.compile(r"(?P<dots>[.!?…]+)(?P<close>[\"'”’»)\]]*)(?=\s+[\"'“‘«(\[—–-]*[A-Z0-9£$€])|\n+")
_LAST_WORD = re.compile(r"[\w.]+$")


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


def sentences(text: str) -> list[str]:
    """The sentences of a text, each a slice of it without the white space around.

    A stop after a title ("Mr."), an initial ("P. B. Shelley") or inside a number ends none.
    """
    cuts = [0, *(m.end() for m in _END.finditer(text) if not _abbreviates(text, m)), len(text)]
    parts = (text[a:b].strip() for a, b in pairwise(cuts))
    return [part for part in parts if part]


def _abbreviates(text: str, match: re.Match[str]) -> bool:
    if match["dots"] != ".":
        return False
    word = _LAST_WORD.search(text, 0, match.start())
    if word is None:
        return False
    plain = word.group().lower()
    initial = plain.rsplit(".")[-1]
    numbered = plain == "no" and text[match.end() :].lstrip()[:1].isdigit()
    return (
        numbered
        or plain.replace(".", "") in _ABBREVIATIONS
        or (len(initial) == 1 and initial.isalpha() and plain != "i")
    )


def extract(question: str, sources: Sequence[Source], limit: int, embed: Embed | None = None) -> list[Sentence]:
    """At most ``limit`` sentences of ``sources`` (best first) that best answer ``question``, best first.

    Empty without sources. No sentence is given twice. Scores lie in [0, 1].
    """
    found = list(_candidates(sources))
    if not found or limit <= 0:
        return []
    weights = _weights(question, [set(lexical.terms(text)) for _, _, text in found])
    near = _nearness(question, [text for _, _, text in found], embed)
    scored = []
    for n, (rank, source, text) in enumerate(found):
        own = _share(weights, f"{source.actor} {text}")
        around = _share(weights, f"{source.actor} {source.text}")
        total = _OWN * own + _AROUND * around + _RANK / rank + (_NEAR * near[n] if near is not None else 0.0)
        best = _OWN + _AROUND + _RANK + (_NEAR if near is not None else 0.0)
        scored.append(Sentence(text, source.engram_id, round(total / best, 6)))
    scored.sort(key=lambda s: -s.score)  # stable: equal scores stay in order of rank and place
    floor = _CLOSE * scored[0].score
    return [s for s in scored if s.score >= floor][:limit]


def _candidates(sources: Sequence[Source]) -> Iterator[tuple[int, Source, str]]:
    seen: set[str] = set()
    for rank, source in enumerate(sources, 1):
        for text in sentences(source.text):
            if text not in seen and lexical.words(text):
                seen.add(text)
                yield rank, source, text


def _weights(question: str, documents: Sequence[set[str]]) -> dict[str, float]:
    """idf of the question's terms among the candidate sentences."""
    frequency = Counter(t for d in documents for t in d)
    return {t: lexical.idf(len(documents), frequency[t]) for t in set(lexical.terms(question))}


def _share(weights: dict[str, float], text: str) -> float:
    total, there = sum(weights.values()), set(lexical.terms(text))
    return sum(w for t, w in weights.items() if t in there) / total if total else 0.0


def _nearness(question: str, texts: Sequence[str], embed: Embed | None) -> npt.NDArray[np.float32] | None:
    if embed is None:
        return None
    vectors = embed([question, *texts])
    near: npt.NDArray[np.float32] = np.clip(vectors[1:] @ vectors[0], 0.0, 1.0)
    return near
