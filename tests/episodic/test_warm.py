"""Namespaces in memory: who waits for whom, what is given back, and that nobody sees less than was written."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from services.episodic.plugins.base import Filter
from services.episodic.state.directory import Directory
from services.episodic.state.slots import Document
from services.episodic.state.space import Space
from services.episodic.state.warm import Warm
from tests.episodic.test_directory import SLOT, WORD, axis


def space(engrams: int = 0) -> Space:
    made = Space()
    for n in range(engrams):
        made.put(replace(SLOT, id=f"e{n}"), [Document({WORD: 1}, 1.0)], [(1.0, axis(n % 300))])
    return made


class Loads:
    """Loads that are counted, and wait until they may go on."""

    def __init__(self, made: Callable[[], Space] = space) -> None:
        self.count = 0
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()
        self._made = made

    def __call__(self) -> Space:
        self.count += 1
        self.begun.set()
        assert self.may_end.wait(10)
        return self._made()


def warm_names(warm: Warm) -> list[str]:
    return [name for _, name in warm._entries]


def test_one_loads_and_who_asks_meanwhile_waits_for_it_and_for_no_other() -> None:
    warm, slow, quick = Warm(None), Loads(), Loads()
    slow.may_end.clear()
    with ThreadPoolExecutor(8) as threads:

        def ask() -> Space:
            with warm.held(("a", "slow"), slow) as found:
                return found

        asked = [threads.submit(ask) for _ in range(6)]
        assert slow.begun.wait(10)
        with warm.held(("a", "quick"), quick):
            pass
        assert warm.now(("a", "quick")) is not None
        assert warm.now(("a", "slow")) is None
        assert not any(each.done() for each in asked)
        slow.may_end.set()
        assert len({id(each.result(10)) for each in asked}) == 1
    assert (slow.count, quick.count) == (1, 1)


def test_the_least_recently_used_goes_and_what_is_in_use_stays() -> None:
    one = space(50).size_bytes
    warm, loads = Warm(int(3.5 * one)), Loads(lambda: space(50))
    for name in "abc":
        with warm.held(("x", name), loads):
            pass
    with warm.held(("x", "a"), loads):
        for name in "defg":
            with warm.held(("x", name), loads):
                pass
        assert warm_names(warm) == ["a", "f", "g"]
    with warm.held(("x", "h"), loads):
        assert warm_names(warm) == ["a", "f", "g", "h"], "nothing goes before it is loaded"
    assert warm_names(warm) == ["f", "g", "h"]
    assert loads.count == 8


def test_what_grows_while_it_is_held_makes_others_go() -> None:
    warm = Warm(int(2.5 * space(50).size_bytes))
    for name in "ab":
        with warm.held(("x", name), lambda: space(50)):
            pass
    with warm.there(("x", "b")) as found:
        assert found is not None
        for n in range(50, 150):
            found.put(replace(SLOT, id=f"e{n}"), [Document({n: 1}, 1.0)], [(1.0, axis(n))])
    assert warm_names(warm) == ["b"]


def test_one_that_is_larger_than_the_budget_is_not_loaded_at_every_look() -> None:
    warm, loads = Warm(1), Loads(lambda: space(100))
    for _ in range(3):
        with warm.held(("x", "large"), loads):
            pass
    assert loads.count == 1
    with warm.held(("x", "other"), Loads()):
        pass
    assert warm_names(warm) == ["other"]


def test_a_load_that_fails_fails_who_waits_and_the_next_one_tries_again() -> None:
    def away() -> Space:
        raise ConnectionError("the index is away")

    warm, failing, working = Warm(None), Loads(away), Loads()
    failing.may_end.clear()
    with ThreadPoolExecutor(4) as threads:

        def ask() -> None:
            with warm.held(("x", "a"), failing):
                pass

        asked = [threads.submit(ask) for _ in range(4)]
        assert failing.begun.wait(10)
        while warm._entries["x", "a"].users < 4:
            time.sleep(0.001)
        failing.may_end.set()
        for each in asked:
            with pytest.raises(ConnectionError):
                each.result(10)
    assert failing.count == 1
    with warm.held(("x", "a"), working):
        assert warm.now(("x", "a")) is not None
    assert (working.count, warm._bytes) == (1, space().size_bytes)


def test_what_is_written_while_it_is_loaded_is_read_again() -> None:
    warm, index = Warm(None), ["before"]
    loads = Loads()

    def load() -> Space:
        made, read = Space(), list(index)
        loads()  # between reading and being there
        for id in read:
            made.put(replace(SLOT, id=id), [], [])
        return made

    loads.may_end.clear()
    directory = Directory(lambda namespace: load(), warm)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(directory.slots, "acme")
        assert loads.begun.wait(10)
        index.append("meanwhile")
        directory.put(replace(SLOT, id="meanwhile"), [], [])
        loads.may_end.set()
        assert {slot.id for slot in asked.result(10)} == {"before", "meanwhile"}
    assert loads.count == 2


def test_what_one_owner_lets_go_is_loaded_again_and_others_keep_theirs() -> None:
    warm, first, second = Warm(None), Loads(), Loads()
    one, other = Directory(lambda namespace: first(), warm), Directory(lambda namespace: second(), warm)
    one.slots("acme")
    other.slots("acme")
    with one.held("acme"):
        one.let_go()
        one.slots("acme")
    other.slots("acme")
    assert (first.count, second.count) == (2, 1)


def test_nobody_sees_less_than_was_written_before_they_asked() -> None:
    """One writer and many readers of many namespaces, few of which fit; the index is a dictionary."""
    names = [f"n{n}" for n in range(12)]
    index: dict[str, dict[str, int]] = {name: {} for name in names}
    written = dict.fromkeys(names, 0)
    ended = threading.Event()

    def load(name: str) -> Space:
        made, read = Space(), dict(index[name])
        time.sleep(0.0005)
        for id, version in read.items():
            made.put(replace(SLOT, namespace=name, id=id, version=version), [Document({WORD: 1}, 1.0)], [])
        return made

    budget = 4 * space(8).size_bytes
    warm = Warm(budget)
    directory = Directory(load, warm, holds_vectors=False)

    def read(seed: int) -> int:
        draw, looks = random.Random(seed), 0
        while not ended.is_set():
            name = draw.choice(names)
            before = written[name]
            with directory.held(name) as found:
                newest = max((slot.version for slot in found.slots()), default=0)
                assert newest >= before, name
                ids = {slot.id for slot in found.slots()}
                assert ids <= {slot.id for slot, _ in found.search({WORD: 1.0}, 20, Filter())}
            looks += 1
        return looks

    with ThreadPoolExecutor(8) as threads:
        reading = [threads.submit(read, seed) for seed in range(8)]
        draw = random.Random(0)
        for version in range(1, 1_500):
            name, id = draw.choice(names), f"e{draw.randrange(8)}"
            index[name] = {**index[name], id: version}
            directory.put(replace(SLOT, namespace=name, id=id, version=version), [Document({WORD: 1}, 1.0)], [])
            written[name] = version
        ended.set()
        assert all(each.result(30) > 0 for each in reading)
    assert warm._bytes <= budget
    assert warm._bytes == sum(entry.bytes for entry in warm._entries.values())
    for name in names:
        assert {slot.id: slot.version for slot in directory.slots(name)} == index[name]


def test_the_vectors_of_a_namespace_that_was_given_back_are_searched_to_the_end() -> None:
    warm = Warm(1)
    directory = Directory(lambda namespace: space(300), warm)
    with directory.held("acme") as held:
        keys = held._vectors.snapshot()
        directory.slots("other")
        directory.slots("third")
        found = dict(keys.nearest(axis(3), None, None))
    assert np.isclose(found["e3"], 1.0)
