"""What one principal sent and is not folded yet is bounded: another's erasure waits for no more than that."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from services.common.models.embed import Embedder
from services.common.serving.errors import RETRY_AFTER, MnemeError
from services.episodic.write.backlog import UNFOLDED_BYTES, Backlog
from tests.episodic.world import World

LONG = "Zoë rang. " * 5_000


def test_who_has_much_that_is_not_folded_waits_and_nobody_else() -> None:
    backlog = Backlog(most_bytes=100)
    for offset in range(3):
        backlog.require_room("ann", 0)
        backlog.add("ann", offset, 40)
    with pytest.raises(MnemeError) as refused:
        backlog.require_room("ann", 0)
    assert (refused.value.reason, refused.value.metadata[RETRY_AFTER]) == ("OVERLOADED", "1000")
    backlog.require_room("ben", 0)
    backlog.require_room("ann", 1)  # the first is folded


def test_nothing_is_kept_of_what_is_folded_whoever_comes_next() -> None:
    backlog = Backlog()
    backlog.add("ann", 0, 40)
    backlog.require_room("ben", 1)
    assert not backlog._waiting
    assert not backlog._bytes


def test_one_that_is_larger_than_the_bound_is_taken_where_nothing_waits() -> None:
    backlog = Backlog(most_bytes=100)
    backlog.require_room("ann", 0)
    backlog.add("ann", 0, 1_000)
    with pytest.raises(MnemeError, match="not indexed yet"):
        backlog.require_room("ann", 0)
    backlog.require_room("ann", 1)


def test_statements_that_are_not_folded_yet_are_refused_by_their_size_and_known_ones_are_not(
    tmp_path: Path, embedder: Embedder
) -> None:
    go_on = threading.Event()

    def hold(step: str) -> None:
        assert step != "folded" or go_on.wait(60)

    world = World(tmp_path, embedder).open(step=hold)
    try:
        go_on.set()
        world.create()
        world.settle()
        go_on.clear()
        taken = -(-UNFOLDED_BYTES // len(LONG.encode()))
        for n in range(taken):
            world.remember(f"r{n}", LONG)
        with pytest.raises(MnemeError) as refused:
            world.remember("late", "Short.")
        assert refused.value.reason == "OVERLOADED"
        assert world.remember("r0", LONG)
        go_on.set()
        world.settle()
        assert world.remember("late", "Short.")
    finally:
        go_on.set()
        world.close()
