"""The write path: entries in, engrams visible, once, in order."""

from __future__ import annotations

from tests.episodic.world import NAMESPACE, World


def test_an_observation_can_be_recalled(world: World) -> None:
    world.observe("o1", "Anna keeps a grey parrot called Hugo.", actor="Anna")
    world.observe("o2", "The train to Lyon was two hours late.", actor="Anna")
    world.settle()
    assert world.texts(world.recall("What is the parrot's name?"))[0] == "Anna keeps a grey parrot called Hugo."


def test_a_rebuild_gives_the_same_state(world: World) -> None:
    for n in range(12):
        world.observe(f"o{n}", f"On day {n} the gardener planted {n} tulips near the old gate.", f"s{n % 2}")
    world.close_episode(["o0", "o2", "o4"], "s0")
    world.settle()
    note = world.remember("r1", "The gardener's name is Bert.")
    world.correct("c1", world.base("o2"), "On day 2 the gardener planted roses.")
    world.settle()
    before, number = world.hash(), world.host.live.number
    world.rebuild()
    assert world.host.live.number == number + 1
    assert world.hash() == before
    assert world.reads.get(NAMESPACE, note).record.text == "The gardener's name is Bert."


def test_a_restart_gives_the_same_state(world: World) -> None:
    for n in range(6):
        world.observe(f"o{n}", f"Letter number {n} came from Paris.")
    world.close_episode([f"o{n}" for n in range(4)])
    world.settle()
    before = world.hash()
    world.restart()
    world.settle()
    assert world.hash() == before
    assert "Letter number 3" in " ".join(world.texts(world.recall("letter 3 from Paris")))
