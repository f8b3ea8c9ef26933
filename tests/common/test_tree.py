"""A tree of keys gives each leaf its own, and what is left of it when some are destroyed gives exactly the others."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.crypto.tree import LEAVES, KeyTree, exists

leaves = st.sets(st.integers(0, LEAVES - 1), max_size=LEAVES)


def all_below(node: int, seed: bytes) -> dict[int, bytes]:
    """Every seed that follows from one, by node, computed as the paper says and not as the code does."""
    found, todo = {}, [(node, seed)]
    while todo:
        node, seed = todo.pop()
        found[node] = seed
        if node < LEAVES:
            for bit in (0, 1):
                child = hashlib.blake2b(bytes([bit]), key=seed, digest_size=32).digest()
                todo.append((2 * node + bit, child))
    return found


def derivable(tree: KeyTree) -> set[bytes]:
    """Every seed that whoever holds a tree's record can compute."""
    parts = [tree.seeds[at : at + 32] for at in range(0, len(tree.seeds), 32)]
    return {seed for node, part in zip(tree.nodes, parts, strict=True) for seed in all_below(node, part).values()}


def keys(tree: KeyTree) -> dict[int, bytes]:
    found = {}
    for leaf in range(LEAVES):
        try:
            found[leaf] = tree.key(leaf)
        except KeyError:
            continue
    return found


def test_every_leaf_has_a_key_of_its_own() -> None:
    tree = KeyTree.new()
    made = keys(tree)
    assert len(set(made.values())) == LEAVES
    assert {len(key) for key in made.values()} == {32}
    assert made == {node - LEAVES: seed for node, seed in all_below(1, tree.seeds).items() if node >= LEAVES}
    assert set(keys(KeyTree.new()).values()).isdisjoint(made.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(leaves, min_size=1, max_size=4))
def test_what_was_destroyed_is_not_to_be_computed_and_the_rest_is_as_it_was(steps: list[set[int]]) -> None:
    whole = KeyTree.new()
    made, tree = keys(whole), whole
    for step in steps:
        tree = KeyTree.read(tree.nodes, tree.seeds).without(step)
    gone = set().union(*steps)
    known = derivable(tree)
    assert not known.intersection(made[leaf] for leaf in gone)
    ancestors = {(LEAVES + leaf) >> up for leaf in gone for up in range(9)}
    seeds = all_below(1, whole.seeds)
    assert not known.intersection(seeds[node] for node in ancestors), "nor anything that they follow from"
    assert keys(tree) == {leaf: key for leaf, key in made.items() if leaf not in gone}
    assert {leaf for leaf in range(LEAVES) if exists(tree.nodes, leaf)} == set(range(LEAVES)) - gone
    assert tree.nodes == whole.without(gone).nodes, "whatever the order, the same is left"
    assert tree.seeds == whole.without(gone).seeds


def test_a_destroyed_key_costs_eight_seeds_at_most_and_a_destroyed_tree_has_none() -> None:
    tree = KeyTree.new()
    assert len(tree.without([77]).nodes) == 8
    assert len(tree.without(range(0, LEAVES, 2)).nodes) == LEAVES // 2, "the worst"
    assert tree.without(range(LEAVES)).nodes == ()
    assert tree.without(range(LEAVES)).seeds == b""


def test_seeds_that_do_not_fit_the_nodes_are_no_tree() -> None:
    with pytest.raises(ValueError, match="a seed for each"):
        KeyTree.read([2, 3], bytes(32))
