"""Identity, salt, keys and lineage: two values for every field, and nothing is ever found under another's key."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from services.reasoning.blocks import (
    BLOCK_TOKENS,
    Frame,
    Identity,
    Scope,
    Span,
    chain_key,
    chain_keys,
    chain_lineage,
    hit_limit,
    unlisted,
)

# Neighbouring fields share values on purpose: bytes must not flow from one into the next.
FIRST = Identity(
    weights=b"ab", adapter=b"", tokenizer=b"t", rope="theta=1", dtype="float32", frame_version=1, engine="e", policy="p"
)
SECOND = Identity(
    weights=b"a",
    adapter=b"b",
    tokenizer=b"",
    rope="ttheta=1",
    dtype="float3",
    frame_version=2,
    engine="2e",
    policy="ep",
)
SCOPES = [
    Scope.of("a", {}),
    Scope.of("b", {}),
    Scope.of("a", {"a": 1}),
    Scope.of("a", {"a": 2}),
    Scope.of("a", {"b": 1}),
    Scope.of("a", {"a": 1, "b": 1}),
    Scope.of("a", {"a": 1, "b": 2}),
    Scope.of("a", {"a": 0}),
    Scope.of("aa", {"": 1}),
]
TOKENS = list(range(40))
E, F, G = ("ns", "e"), ("ns", "f"), ("other", "g")


def test_identity_has_no_cross_hits() -> None:
    """Every combination of two values of every field: all digests, and so all keys, differ."""
    names = [field.name for field in dataclasses.fields(Identity)]
    made = [
        dataclasses.replace(FIRST, **{n: getattr(SECOND, n) for n, second in zip(names, picks, strict=True) if second})
        for picks in itertools.product((False, True), repeat=len(names))
    ]
    assert len(set(made)) == 2 ** len(names)
    keys = {chain_keys(TOKENS, identity.digest(), b"salt")[0] for identity in made}
    assert len(keys) == len(made)


def test_keys_have_no_cross_hits_between_any_two_of_parent_tokens_identity_and_salt() -> None:
    parents = [bytes(16), bytes(15) + b"\1"]
    tokens = [list(range(16)), [*range(15), 99], list(range(1, 17))]
    identities = [FIRST.digest(), SECOND.digest()]
    salts = [scope.salt() for scope in SCOPES]
    assert len(set(salts)) == len(SCOPES)
    cells = list(itertools.product(parents, tokens, identities, salts))
    assert len({chain_key(*cell) for cell in cells}) == len(cells)


def test_a_key_covers_everything_before_it() -> None:
    changed = [1_000, *TOKENS[1:]]
    pairs = list(zip(chain_keys(TOKENS, b"i", b"s"), chain_keys(changed, b"i", b"s"), strict=True))
    assert len(pairs) == 2
    assert all(a != b for a, b in pairs)
    assert chain_keys(TOKENS[:31], b"i", b"s") == chain_keys(TOKENS, b"i", b"s")[:1]


def test_keys_are_the_same_on_every_machine() -> None:
    """Golden: another machine, version or byte order must find the same blocks."""
    assert chain_keys(range(32), bytes(32), bytes(16))[-1].hex() == "a62a32094821683f367cae39084b7b42"
    assert Scope.of("tenant/user", {"tenant/user": 3}).salt().hex() == "61834ae8ec44f21b98ff26c8aa9c44c8"


def test_epochs_in_any_order_are_one_salt() -> None:
    assert Scope.of("a", {"x": 1, "y": 2}).salt() == Scope.of("a", {"y": 2, "x": 1}).salt()


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 0), (16, 0), (17, 1), (32, 1), (33, 2)])
def test_at_most_floor_n_minus_1_over_16_blocks_hit(tokens: int, blocks: int) -> None:
    assert hit_limit(tokens) == blocks


def test_only_full_blocks_have_keys() -> None:
    with pytest.raises(ValueError, match="16 tokens"):
        chain_key(bytes(16), [1] * 15, b"", b"")


def test_invariant_17_later_blocks_count() -> None:
    """The question's block follows e's, attended to it, and lists e too; blocks before e do not."""
    spans = [Span(20, frozenset({E})), Span(3 * BLOCK_TOKENS, frozenset({F, G}))]
    assert chain_lineage(spans, 5) == [frozenset(), {E}, {E}, {E, F, G}, {E, F, G}]
    assert chain_lineage(reversed(spans), 5) == chain_lineage(spans, 5)
    # A text that begins at a block's last token is in that block; at the next one's first, it is not.
    assert chain_lineage([Span(15, frozenset({E}))], 2) == [{E}, {E}]
    assert chain_lineage([Span(16, frozenset({E}))], 2) == [frozenset(), {E}]


def test_unlisted_lineage_is_no_engram_id() -> None:
    assert unlisted("a") != unlisted("b")
    assert unlisted("a") == ("a", "")


def test_frame_bytes() -> None:
    assert Frame(layers=30, kv_heads=3, head_dim=64, item_bytes=4).nbytes == 30 * 3 * 2 * 16 * 64 * 4
