"""What the shipped confidence says in memories of 100,000 engrams: more than ``benchmarks.fit_confidence`` embeds.

    MNEME_EVAL_DATA=... python -m benchmarks.large_confidence

The half that is held out, nothing is fitted. Every engram counts in the statistics of words and is searched by its
words. Of the filler those alone have vectors that may come near a question, EACH for each by a coarse likeness and as
many by BM25; the others are never found by their meaning. With --size 5000 --whole, and without --whole, it shows what
that leaves out.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from benchmarks import filler, fit_confidence
from benchmarks.cached import CachedEmbedder
from benchmarks.confidence_cases import Cases, folder
from benchmarks.grown import Filler
from services.common import config
from services.common.models import packages as models
from services.common.models.embed import DIMENSION, PACKAGE, Embedder, Vectors
from services.common.text import lexical
from services.episodic.config import EpisodicConfig
from services.episodic.plugins.exact import Embed
from services.episodic.recall import confidence

SIZE = 100_000
HELD_OUT = 1
EACH = 16
PARAGRAPHS = 4_000  # of each novel: enough of them for SIZE


def coarse(texts: Sequence[str]) -> Vectors:
    """Unit vectors of the embedder's own word vectors, rare words more: float32 [n, DIMENSION], in milliseconds."""
    model = models.locate(PACKAGE) / "model"
    words = load_file(str(model / "model.safetensors"))["embeddings.word_embeddings.weight"].astype(np.float32)
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    encoded = [each.ids for each in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    counts = Counter(token for tokens in encoded for token in tokens)
    rarity = np.array([1e-3 / (1e-3 + counts[token] / counts.total()) for token in range(len(words))], np.float32)
    sums = np.stack([(words[tokens] * rarity[tokens, None]).sum(0) for tokens in encoded])
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6), np.float32)


def near(texts: Sequence[str], questions: Sequence[str], each: int = EACH) -> set[str]:
    """Those of ``texts`` that may come near one of ``questions``."""
    vectors = coarse([*texts, *questions])
    likeness = vectors[len(texts) :] @ vectors[: len(texts)].T
    rows = np.argpartition(-likeness, min(each, len(texts)) - 1, axis=1)[:, :each]
    found = {texts[row] for row in np.unique(rows)}
    beside = Filler(texts, lambda some: np.zeros((len(some), DIMENSION), np.float32))
    for question in questions:
        terms = {beside.number(t): float(n) for t, n in Counter(lexical.terms(question)).items()}
        hits = beside.lexicon.search(terms, each, lambda owner: True, (None, None))
        found |= {beside.records[id].text for id, _ in hits[:each]}
    return found


def only(chosen: Collection[str], embed: Embed) -> Embed:
    """``embed`` for the chosen texts; zeros, which are near nothing, for the others."""

    def embedded(texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), DIMENSION), np.float32)
        rows = [row for row, text in enumerate(texts) if text in chosen]
        if rows:
            vectors[rows] = embed([texts[row] for row in rows])
        return vectors

    return embedded


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=SIZE, help="engrams of filler")
    parser.add_argument("--whole", action="store_true", help="embed all of the filler")
    parser.add_argument("--vectors", type=Path, default=Path(".cache/vectors.sqlite"), help="a file that keeps vectors")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    arguments = parser.parse_args()
    data = folder()
    if data is None:
        return 2
    embed = CachedEmbedder(Embedder.packaged(threads=arguments.threads), arguments.vectors).embed
    cases = Cases(data, HELD_OUT, embed, partial(print, flush=True))
    told = filler.texts(data, HELD_OUT, arguments.size, PARAGRAPHS)
    asked = [*cases.whole(), *cases.plain()]
    chosen = set(told) if arguments.whole else near(told, [q.text for a in asked for _, q in a.questions])
    print(f"{len(chosen)} of {len(told)} have vectors")
    found = list(cases.grown(asked, Filler(told, only(chosen, embed)), arguments.size))
    weights = np.array([*confidence.WEIGHTS, confidence.BIAS])
    threshold = config.load(environ={}).section("episodic", EpisodicConfig).confidence_threshold
    fit_confidence.report("held out", found, weights, threshold)
    return 0


if __name__ == "__main__":
    sys.exit(main())
