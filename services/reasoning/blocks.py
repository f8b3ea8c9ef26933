"""Which keys and values may stand for which tokens: identity, salt, chain keys, lineage. Pure functions.

A block is the keys and values of 16 consecutive tokens. Its key covers everything that its bytes depend on: all
tokens before it (through the parent's key), its own, the model's identity, and who may see it (the salt).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

BLOCK_TOKENS = 16
KEY_BYTES = 16
ROOT = bytes(KEY_BYTES)
"""The parent of every first block."""
FRAME_VERSION = 1

EngramRef: TypeAlias = tuple[str, str]
"""(namespace, engram id)."""
Lineage: TypeAlias = frozenset[EngramRef]


@dataclass(frozen=True, slots=True)
class Identity:
    """All that decides a block's bytes, besides tokens. Change one field and no block of the other is found."""

    # Digest of the canonical weights: names, shapes, bytes after dequantisation and cast.
    weights: bytes
    # The adapter's digest; empty: none.
    adapter: bytes
    # Digest of vocabulary, merges and pre-tokenisation.
    tokenizer: bytes
    # Everything about positions: theta, scaling, windows.
    rope: str
    # The type of the stored numbers, "float32" or "bfloat16".
    dtype: str
    # Version of the stored frame's layout.
    frame_version: int
    # Which engine computed, with the version of its arithmetic.
    engine: str
    # The policy class of the taint rule; "dense": full attention computed every key and value.
    policy: str

    def digest(self) -> bytes:
        """32 bytes. Every field is told from its neighbours by name and length."""
        h = hashlib.blake2b(digest_size=32, person=b"mneme.identity")
        for field in fields(self):
            _feed(h, field.name.encode())
            _feed(h, _bytes(getattr(self, field.name)))
        return h.digest()


@dataclass(frozen=True, slots=True)
class Frame:
    """The stored form of a block: ``[layer][kv_head][K, V][16][head_dim]``, whole numbers of ``item_bytes`` each."""

    layers: int
    kv_heads: int
    head_dim: int
    item_bytes: int

    @property
    def nbytes(self) -> int:
        return self.layers * self.kv_heads * 2 * BLOCK_TOKENS * self.head_dim * self.item_bytes


@dataclass(frozen=True, slots=True)
class Scope:
    """For whom a sequence is computed, and what it may have read."""

    # The namespace that the caller acts for, as forwarded and signed.
    namespace: str
    # The erasure epoch of every namespace whose engrams the prompt holds.
    epochs: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, namespace: str, epochs: Mapping[str, int]) -> Scope:
        return cls(namespace, tuple(sorted(epochs.items())))

    def salt(self) -> bytes:
        """16 bytes. After an erasure the epoch is another, so blocks that held the erased text are not addressable."""
        h = hashlib.blake2b(digest_size=16, person=b"mneme.salt")
        _feed(h, self.namespace.encode())
        for namespace, epoch in self.epochs:
            _feed(h, namespace.encode())
            _feed(h, _bytes(epoch))
        return h.digest()


@dataclass(frozen=True, slots=True)
class Span:
    """Engrams whose text begins at a token of the prompt. Everything from there on has attended to it."""

    first_token: int
    engrams: Lineage


def unlisted(namespace: str) -> EngramRef:
    """The lineage of a prompt whose caller did not list its engrams: any Forget in ``namespace`` drops its blocks.

    Its id is empty, which no engram's is.
    """
    return namespace, ""


def chain_key(parent: bytes, tokens: Sequence[int], identity: bytes, salt: bytes) -> bytes:
    """BLAKE2b-128 over (parent key, 16 token ids, identity digest, salt). ValueError for another count of tokens."""
    if len(tokens) != BLOCK_TOKENS:
        raise ValueError(f"a block has {BLOCK_TOKENS} tokens, not {len(tokens)}")
    h = hashlib.blake2b(digest_size=KEY_BYTES, person=b"mneme.block")
    _feed(h, parent)
    _feed(h, b"".join(token.to_bytes(4, "little") for token in tokens))
    _feed(h, identity)
    _feed(h, salt)
    return h.digest()


def chain_keys(tokens: Sequence[int], identity: bytes, salt: bytes) -> list[bytes]:
    """The key of every full block of a sequence, first to last. What is left over has none."""
    keys: list[bytes] = []
    parent = ROOT
    for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        parent = chain_key(parent, tokens[start : start + BLOCK_TOKENS], identity, salt)
        keys.append(parent)
    return keys


def hit_limit(tokens: int) -> int:
    """How many blocks of a prompt may be hits: one token is always computed, for its logits."""
    return max(0, tokens - 1) // BLOCK_TOKENS


def chain_lineage(spans: Iterable[Span], blocks: int) -> list[Lineage]:
    """The lineage of each block: of everything up to its end, since it has attended to all of it."""
    ordered = sorted(spans, key=lambda span: span.first_token)
    lineage: list[Lineage] = []
    so_far: Lineage = frozenset()
    at = 0
    for block in range(blocks):
        while at < len(ordered) and ordered[at].first_token < (block + 1) * BLOCK_TOKENS:
            so_far |= ordered[at].engrams
            at += 1
        lineage.append(so_far)
    return lineage


def _feed(h: hashlib.blake2b, part: bytes) -> None:
    """Length first, so that no two lists of parts feed the same bytes."""
    h.update(len(part).to_bytes(8, "little"))
    h.update(part)


def _bytes(value: bytes | str | int) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else value.to_bytes(8, "little", signed=True)
