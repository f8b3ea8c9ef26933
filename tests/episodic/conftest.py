from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.models.embed import Embedder
from tests.episodic.world import World


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return Embedder.packaged(threads=1)


@pytest.fixture
def world(tmp_path: Path, embedder: Embedder) -> Iterator[World]:
    world = World(tmp_path, embedder)
    world.open()
    world.create()
    world.settle()
    yield world
    world.close()
