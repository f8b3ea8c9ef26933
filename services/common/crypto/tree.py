"""A tree of 256 keys that follow from one secret, and of which any can be destroyed.

It is the tree of Goldreich, Goldwasser and Micali (1986): each node has a seed, which is a pseudo-random function of
its parent's and tells nothing of it, and the seed of a leaf is a key. Who has seeds of which none is a leaf's own or an
ancestor's cannot compute that leaf's key. So a key is destroyed by keeping, in place of the seed above it, those of the
nodes beside its path: a puncturable function, as in puncturable encryption (Green and Miers, 2015).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping

LEAVES = 256
_ROOT = 1  # the children of n are 2n and 2n + 1; the leaves' nodes are those from LEAVES on
_SEED_BYTES = 32
_REMEMBERED = 32  # nodes below this one, once computed: half of the way to any leaf


class KeyTree:
    """What is left of a tree. Never changed: ``without`` makes another."""

    def __init__(self, seeds: Mapping[int, bytes] | Iterable[tuple[int, bytes]]) -> None:
        """``seeds``: by node, 32 bytes each; none is an ancestor of another."""
        self._seeds = dict(seeds)
        self._computed: dict[int, bytes] = {}

    @classmethod
    def new(cls) -> KeyTree:
        return cls({_ROOT: secrets.token_bytes(_SEED_BYTES)})

    @classmethod
    def read(cls, nodes: Collection[int], seeds: bytes) -> KeyTree:
        """Of what ``nodes`` and ``seeds`` gave. ValueError."""
        if len(seeds) != len(nodes) * _SEED_BYTES:
            raise ValueError("a tree has a seed for each of its nodes")
        at = range(0, len(seeds), _SEED_BYTES)
        return cls({node: seeds[start : start + _SEED_BYTES] for node, start in zip(nodes, at, strict=True)})

    @property
    def nodes(self) -> tuple[int, ...]:
        """Those whose seeds it holds."""
        return tuple(self._seeds)

    @property
    def seeds(self) -> bytes:
        """Of ``nodes``, one after another."""
        return b"".join(self._seeds.values())

    def key(self, leaf: int) -> bytes:
        """32 bytes. KeyError where it was destroyed."""
        return self._seed(LEAVES + leaf)

    def without(self, leaves: Iterable[int]) -> KeyTree:
        """With the keys of these leaves destroyed; the others are as they were."""
        ancestry = {node for leaf in leaves for node in _up_from(leaf)}
        return KeyTree(pair for node, seed in self._seeds.items() for pair in _kept(node, seed, ancestry))

    def _seed(self, node: int) -> bytes:
        seed = self._seeds.get(node) or self._computed.get(node)
        if seed is None:
            if node == _ROOT:
                raise KeyError("destroyed")
            seed = _child(self._seed(node // 2), node)
            if node < _REMEMBERED:
                self._computed[node] = seed
        return seed


def exists(nodes: Collection[int], leaf: int) -> bool:
    """Whether a tree that holds the seeds of these nodes has the key."""
    return not _up_from(leaf).isdisjoint(nodes)


def _up_from(leaf: int) -> set[int]:
    node = LEAVES + leaf
    return {node >> up for up in range(node.bit_length())}


def _kept(node: int, seed: bytes, ancestry: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """The largest parts below a node that hold nothing of ``ancestry``."""
    if node not in ancestry:
        yield node, seed
    elif node < LEAVES:
        for child in (2 * node, 2 * node + 1):
            yield from _kept(child, _child(seed, child), ancestry)


def _child(seed: bytes, node: int) -> bytes:
    """The seed of a node, of its parent's: BLAKE2b with that as its key, which is a pseudo-random function."""
    return hashlib.blake2b(b"\1" if node % 2 else b"\0", key=seed, digest_size=_SEED_BYTES).digest()
