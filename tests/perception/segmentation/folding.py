"""Runs a plug-in as the host would, and says where it cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from services.perception.sessions.segmentation.base import Segmentation, Unit, Vector, Vectors


@dataclass(frozen=True, slots=True)
class Sent:
    """A unit, and the vector that the host would give for it."""

    id: bytes
    at: float
    vector: Vector


def units(vectors: Iterable[Vector], step_s: float = 60.0) -> list[Sent]:
    return [Sent(n.to_bytes(4, "big"), n * step_s, v) for n, v in enumerate(vectors)]


def host(sent: Iterable[Sent]) -> Vectors:
    by_id = {s.id: s.vector for s in sent}
    return lambda ids: [by_id[i] for i in ids]


def axis(n: int, dimension: int = 8) -> Vector:
    vector = np.zeros(dimension, dtype=np.float32)
    vector[n] = 1.0
    return vector


def near(vector: Vector, seed: int, noise: float = 0.3) -> Vector:
    moved = vector + noise * np.random.default_rng(seed).standard_normal(len(vector)).astype(np.float32)
    unit: Vector = (moved / np.linalg.norm(moved)).astype(np.float32)
    return unit


def episodes(plugin: Segmentation, sent: list[Sent], *, end: bool = True) -> list[tuple[list[bytes], str]]:
    """Episodes as (ids, reason), in order; with ``end``, the host's own close of what is left, reason "end"."""
    state, waiting, out = b"", [], []
    vectors = host(sent)
    for unit in sent:
        waiting.append(unit.id)
        state, cuts = plugin.push(state, Unit(unit.id, unit.at), vectors)
        for cut in cuts:
            assert 0 < cut.units <= len(waiting)
            out.append((waiting[: cut.units], cut.reason))
            waiting = waiting[cut.units :]
    if end:
        state, cuts = plugin.end(state, vectors)
        for cut in cuts:
            out.append((waiting[: cut.units], cut.reason))
            waiting = waiting[cut.units :]
        if waiting:
            out.append((waiting, "end"))
    return out


def lengths(found: list[tuple[list[bytes], str]]) -> list[int]:
    return [len(ids) for ids, _ in found]
