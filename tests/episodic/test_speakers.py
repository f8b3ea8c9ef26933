"""Who speaks may be called by a word: what Will said is asked for as what Dora said is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.common import config
from services.common.models.embed import Embedder
from services.episodic.config import EpisodicConfig
from services.episodic.plugins import build
from tests.episodic.world import World

SHIPPED = config.load(environ={}).section("episodic", EpisodicConfig)
NAMES = ("Dora", "Will", "May", "Mark", "Art", "Hope", "Can", "Do", "An", "IT", "The Who", "Will Ames", "will", "Van")
TALK = (
    ("Ann", "The boat is red."),
    ("", "The boat leaks at the stern."),  # the name's
    ("Ben", "Will you come with me to the boat?"),
    ("", "It will rain on Sunday."),
    ("Ann", "The boat was sold to a man from Hull."),
)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("speakers"), embedder, build(SHIPPED.plugins)).open()
    for n, name in enumerate(NAMES):
        world.create(f"acme/{n}")
        for turn, (actor, text) in enumerate(TALK):
            world.observe(f"t{turn}", text, actor=actor or name, namespace=f"acme/{n}")
    world.settle()
    yield world
    world.close()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "asked",
    [
        "What did {} say about the boat?",
        "What does {} think of the boat?",
        "According to {}, what is wrong with the boat?",
    ],
)
def test_what_a_speaker_said_is_found_by_the_name(spoken: World, name: str, asked: str) -> None:
    found = spoken.recall(asked.format(name.title() if name == "will" else name), f"acme/{NAMES.index(name)}")
    assert found.items[0].record.text == "The boat leaks at the stern."
    assert found.confidence >= SHIPPED.confidence_threshold


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_name_that_is_a_word_is_worth_what_another_is(spoken: World, name: str) -> None:
    asked = "What did {} say about the boat?"
    of_a_word = spoken.recall(asked.format(name.title() if name == "will" else name), f"acme/{NAMES.index(name)}")
    of_a_name = spoken.recall(asked.format("Dora"), "acme/0")
    assert of_a_word.confidence == pytest.approx(of_a_name.confidence, abs=0.15)
