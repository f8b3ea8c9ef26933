"""A property that is computed once."""

from __future__ import annotations

import threading

from services.common.cached import cached_property


class Thing:
    def __init__(self, waits: threading.Event) -> None:
        self._waits = waits
        self.computed = 0

    @cached_property
    def value(self) -> int:
        """What it is."""
        assert self._waits.wait(10)
        self.computed += 1
        return 7


def test_it_is_computed_once() -> None:
    at_once = threading.Event()
    at_once.set()
    thing = Thing(at_once)
    assert (thing.value, thing.value, thing.computed) == (7, 7, 1)
    assert Thing.value.__doc__ == "What it is."


def test_while_one_is_computed_another_is_not_held_up() -> None:
    """Python 3.11's own holds a lock of the class meanwhile."""
    go_on, at_once = threading.Event(), threading.Event()
    at_once.set()
    slow = Thing(go_on)
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    others = list[int]()
    other = threading.Thread(target=lambda: others.append(Thing(at_once).value), daemon=True)
    other.start()
    other.join(5)
    assert others == [7]
    go_on.set()
    thread.join(5)
    assert slow.computed == 1
