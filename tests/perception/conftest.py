"""A real log in a temporary folder and everything of perception that stands on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.common.text.extract import Extractor
from tests.perception.world import World


@pytest.fixture(scope="session")
def extractor() -> Extractor:
    made = Extractor()
    made.load()
    return made


@pytest.fixture
def make_world(tmp_path: Path, extractor: Extractor) -> Iterator[Callable[[], World]]:
    """Worlds on one and the same log: a second one is another process, or the same one started again."""
    worlds: list[World] = []

    def make() -> World:
        worlds.append(World(tmp_path, extractor))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    made = make_world()
    made.create("acme/user")
    return made
