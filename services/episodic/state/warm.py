"""The namespaces that a process holds in memory, all its partitions' and generations' together, within one budget.

A namespace is loaded by who asks for it first; who asks meanwhile waits for that load and for no other. What nobody
uses goes again, the least recently used first, once all take more than the budget: the index has it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from services.common import telemetry
from services.episodic.state.space import Space

Key = tuple[object, str]  # whose, and the namespace
_SERVICE = "episodic"
_HELD_BYTES = telemetry.HELD.labels(_SERVICE, "warm_bytes")
_HELD_NAMESPACES = telemetry.HELD.labels(_SERVICE, "warm_namespaces")
_LOADED = telemetry.RECORDS.labels(_SERVICE, "namespace_loaded")
_GIVEN_BACK = telemetry.RECORDS.labels(_SERVICE, "namespace_given_back")
_LOAD_SECONDS = telemetry.STAGE_SECONDS.labels(_SERVICE, "load_namespace")


@dataclass(slots=True, eq=False)
class _Entry:
    users: int = 0
    bytes: int = 0  # as last counted
    loaded: Future[Space] = field(default_factory=Future)
    space: Space | None = None  # once loaded
    is_stale: bool = False  # the index was written while it was read


class Warm:
    """Thread-safe. More than the budget is held while what is in use takes more, or where one namespace alone does."""

    def __init__(self, budget_bytes: int | None) -> None:
        """``budget_bytes``: None is no bound."""
        self._budget = budget_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()  # the least recently used first
        self._bytes = 0
        self._lock = threading.Lock()

    def now(self, key: Key) -> Space | None:
        """What is held of it, without a wait and without use of it being noted."""
        entry = self._entries.get(key)
        return entry.space if entry is not None else None

    @contextmanager
    def held(self, key: Key, load: Callable[[], Space]) -> Iterator[Space]:
        """The namespace, loaded where it is not there; it stays while the block runs. Raises what ``load`` does."""
        entry, is_mine = self._taken(key)
        try:
            if is_mine:
                self._load(key, entry, load)
            yield entry.loaded.result()
        finally:
            self._released(key, entry)

    @contextmanager
    def there(self, key: Key) -> Iterator[Space | None]:
        """The namespace if it is held, to be changed as the index was just changed. One that is being loaded is read
        again."""
        with self._lock:
            entry = self._entries.get(key)
            space = entry.space if entry is not None else None
            if entry is not None:
                entry.users += 1
                entry.is_stale = space is None
        try:
            yield space
        finally:
            if entry is not None:
                self._released(key, entry)

    def drop(self, owner: object) -> None:
        """Hold nothing more of one owner, but what is in use until it is not."""
        with self._lock:
            for key in [key for key in self._entries if key[0] is owner]:
                self._remove(key)
            self._tell()

    def _taken(self, key: Key) -> tuple[_Entry, bool]:
        """The entry, in use from now on, and whether it is the caller's to load."""
        with self._lock:
            entry = self._entries.get(key)
            is_mine = entry is None
            if entry is None:
                entry = self._entries[key] = _Entry()
            self._entries.move_to_end(key)
            entry.users += 1
            return entry, is_mine

    def _load(self, key: Key, entry: _Entry, load: Callable[[], Space]) -> None:
        begun = time.perf_counter()
        try:
            while True:
                space = load()
                with self._lock:
                    if not entry.is_stale:
                        entry.space = space
                        break
                    # The writer was under way with it. It cannot be again: to fold into it, it waits for this load.
                    entry.is_stale = False
        except BaseException as error:
            with self._lock:
                if self._entries.get(key) is entry:
                    self._remove(key)  # who asks next tries again
            entry.loaded.set_exception(error)
            raise
        entry.loaded.set_result(space)
        _LOAD_SECONDS.observe(time.perf_counter() - begun)
        _LOADED.inc()

    def _released(self, key: Key, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            if self._entries.get(key) is not entry:
                return  # dropped, or its load failed
            if entry.space is not None:
                size = entry.space.size_bytes
                self._bytes += size - entry.bytes
                entry.bytes = size
            self._make_room()
            self._tell()

    def _make_room(self) -> None:
        """The one used last stays, however large: or every look at it would load it again."""
        if self._budget is None:
            return
        left, going = self._bytes, list[Key]()
        for key, entry in islice(self._entries.items(), len(self._entries) - 1):
            if left <= self._budget:
                break
            if entry.users == 0:
                left -= entry.bytes
                going.append(key)
        for key in going:
            self._remove(key)
        _GIVEN_BACK.inc(len(going))

    def _remove(self, key: Key) -> None:
        self._bytes -= self._entries.pop(key).bytes

    def _tell(self) -> None:
        _HELD_BYTES.set(self._bytes)
        _HELD_NAMESPACES.set(len(self._entries))
