from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.kvstore.client import KvClient
from tests.kvstore.running import MEMORY, Running, memory_folder


@pytest.fixture
def memory() -> Iterator[Path]:
    if not MEMORY.is_dir():
        pytest.skip("no /dev/shm on this machine")
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def start(tmp_path: Path, memory: Path) -> Iterator[Callable[..., Running]]:
    """Starts a store with changed settings; stopped after the test."""
    started: list[Running] = []

    def _start(**changes: Any) -> Running:
        started.append(Running(tmp_path, memory, **changes).start())
        return started[-1]

    yield _start
    for store in started:
        store.stop()


@pytest.fixture
def store(start: Callable[..., Running]) -> Running:
    return start()


@pytest.fixture
def kv(store: Running) -> Iterator[KvClient]:
    with store.client() as client:
        yield client
