"""Vectors that are made once: an embedder whose results stay in a file from run to run."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.common.models.embed import DIMENSION, Embedder, Vectors, identity
from services.episodic.plugins.exact import Embed

TOGETHER = 512  # texts between two commits: what a stopped run has made stays


class CachedEmbedder:
    """``embed`` of another embedder, through a file that keeps every vector. One thread."""

    def __init__(self, embedder: Embedder, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._embedder = embedder
        self._db = sqlite3.connect(file)
        self._db.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As ``Embedder.embed``; says how far it is where it takes long."""
        keys = [hashlib.sha256(f"{identity()} {text}".encode()).digest() for text in texts]
        found = {key: self._find(key) for key in keys}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if found[key] is None}
        todo = list(missing)
        for start in range(0, len(todo), TOGETHER):
            some = todo[start : start + TOGETHER]
            made = self._embedder.embed([missing[key] for key in some])
            found.update(zip(some, (vector.tobytes() for vector in made), strict=True))
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", [(k, found[k]) for k in some])
            if len(todo) > TOGETHER:
                print(f"  {start + len(some)} of {len(todo)} texts embedded", flush=True)
        return np.frombuffer(b"".join(found[key] or b"" for key in keys), np.float32).reshape(len(texts), DIMENSION)

    def _find(self, key: bytes) -> bytes | None:
        row = self._db.execute("SELECT vector FROM vectors WHERE text = ?", (key,)).fetchone()
        return row[0] if row else None


_: type[Embed]
