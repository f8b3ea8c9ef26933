"""The quota of a namespace at the door of statements and corrections: by what the whole ledger holds, folded or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import Quota
from mneme.v1.episodic_pb2 import ForgetSelector, Ids

from services.common.ledger import entries as ledger
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.episodic import converters
from services.episodic.write.ahead import Ahead
from tests.episodic.world import NAMESPACE, World

OTHER = "acme/other"


@pytest.fixture
def world(tmp_path: Path, embedder: Embedder) -> Iterator[World]:
    made = World(tmp_path, embedder)
    for name in (NAMESPACE, OTHER):
        made.create(name)
    made.open()
    made.settle()
    yield made
    made.close()


def limit(world: World, id: str, **limits: int) -> None:
    changed = pb.NamespaceChanged(id_mac=world.mac(ledger.MAC_CHANGE, id), quota=Quota(**limits))
    world.append(NAMESPACE, namespace_changed=changed)
    world.settle()


def refusal(do: Callable[[], object]) -> str:
    with pytest.raises(MnemeError) as caught:
        do()
    return f"{caught.value.reason} {caught.value.field}"


def held(world: World) -> tuple[int, int]:
    amount, _ = world.host.registry.held(NAMESPACE)
    return amount.texts, amount.bytes


FULL = "QUOTA_EXCEEDED quota.max_texts"


def test_what_goes_beyond_it_is_refused_and_what_was_forgotten_makes_room(world: World) -> None:
    limit(world, "n1", max_texts=2)
    one = world.remember("r1", "The key is under the mat.")
    assert world.remember("r1", "The key is under the mat.") == one
    world.settle()
    two = world.correct("c1", one, "The key is in the shed.")
    for do in (
        lambda: world.remember("r2", "The cat is called Tom."),
        lambda: world.correct("c2", two, "The key is lost."),
    ):
        assert refusal(do) == FULL
    assert world.remember("r1", "The key is under the mat.") == one, "it was told before"
    world.remember("r2", "The cat is called Tom.", OTHER)
    world.settle()
    assert held(world)[0] == 2
    world.forget(ForgetSelector(ids=Ids(ids=[one])))
    assert held(world) == (0, 0), "a correction goes with what it corrects"
    world.remember("r2", "The cat is called Tom.")


def test_it_holds_over_a_restart_and_is_taken_away(world: World) -> None:
    limit(world, "n1", max_texts=1)
    one = world.remember("r1", "The key is under the mat.")
    world.settle()
    world.restart()
    assert refusal(lambda: world.remember("r2", "The cat is called Tom.")) == FULL
    assert world.remember("r1", "The key is under the mat.") == one
    limit(world, "n2", max_texts=0)
    world.remember("r2", "The cat is called Tom.")


def test_what_is_acknowledged_and_not_folded_counts(world: World) -> None:
    limit(world, "n1", max_texts=3)
    with world.host.fold_lock:  # nothing is folded meanwhile
        world.observe("o1", "It rains.")
        world.observe("o1", "It rains.", namespace=OTHER)
        world.remember("r1", "The key is under the mat.")
        world.remember("r2", "The cat is called Tom.")
        assert refusal(lambda: world.remember("r3", "The tea is cold.")) == FULL
    world.settle()
    assert held(world)[0] == 3
    assert refusal(lambda: world.remember("r3", "The tea is cold.")) == FULL


def test_bytes_are_those_that_usage_tells(world: World) -> None:
    limit(world, "n1", max_bytes=10_000)
    one = world.remember("r1", "The key is under the mat.")
    world.settle()
    _, size = held(world)
    limit(world, "n2", max_bytes=2 * size)
    world.remember("r2", "The key is under the hat.")
    assert refusal(lambda: world.remember("r3", "The key is under the bat.")) == "QUOTA_EXCEEDED quota.max_bytes"
    world.settle()
    assert held(world) == (2, 2 * size)
    world.forget(ForgetSelector(ids=Ids(ids=[one])))
    for _ in range(2):
        usage = converters.to_usage(NAMESPACE, *world.host.registry.usage(NAMESPACE))
        assert (usage.told, usage.erased) == (2, 1)
        assert (usage.ledger_bytes, usage.erased_bytes, held(world)) == (2 * size, size, (1, size))
        assert usage.quota == Quota(max_bytes=2 * size)
        info = world.host.registry.namespace(NAMESPACE)
        assert info is not None
        assert converters.to_namespace(info, 1).quota == usage.quota
        world.restart()
    world.remember("r3", "The key is under the bat.")


def test_erased_bytes_are_those_of_each_kind_of_text(world: World) -> None:
    world.observe("o1", "It rains.")
    world.observe("o2", "It rains no more, and we go out.")
    world.settle()
    before = held(world)
    world.remember("r1", "The key is under the mat.")
    world.settle()
    world.correct("c1", world.base("o1"), "It snows.")
    world.settle()
    assert held(world)[0] == 4
    ids = [ledger.remembered_id(NAMESPACE, "r1"), "o2"]
    world.forget(ForgetSelector(ids=Ids(ids=ids)))
    assert held(world)[0] == 2
    world.forget(ForgetSelector(ids=Ids(ids=["o1"])))
    assert held(world) == (0, 0)
    assert before[1] > 0


def test_a_call_reads_no_more_than_so_much_of_what_is_not_folded(world: World) -> None:
    limit(world, "n1", max_texts=100)
    ahead = Ahead(world.host, most=2)
    with world.host.fold_lock:
        for n in range(5):
            world.observe(f"o{n}", "It rains.")
        assert [refusal(lambda: ahead.held(NAMESPACE)) for _ in range(2)] == ["OVERLOADED "] * 2
        assert ahead.held(NAMESPACE).texts == 5
    world.settle()
    assert ahead.held(NAMESPACE).texts == 5


def test_of_many_at_once_as_many_are_taken_as_there_is_room_for(world: World) -> None:
    limit(world, "n1", max_texts=5)

    def taken(n: int) -> bool:
        try:
            world.remember(f"r{n}", f"Parcel {n} came.")
        except MnemeError as error:
            if error.reason != "QUOTA_EXCEEDED":
                raise
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(taken, range(16))) == 5
    world.settle()
    assert held(world)[0] == 5


def test_who_has_no_quota_has_nothing_read(world: World) -> None:
    with world.host.fold_lock, world.ledger_reads() as reads:
        for n in range(3):
            world.remember(f"r{n}", "The key is under the mat.")
    assert reads == []
