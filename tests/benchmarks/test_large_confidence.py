"""Of a large memory those alone are embedded that may come near a question: the nearest are among them."""

from __future__ import annotations

import numpy as np

from benchmarks.large_confidence import near, only
from tests.episodic.plugins import world

SAID = [
    *(text for turns in world.TALK.values() for _, text in turns),
    "A physician set his broken arm.",
    "The ferry was late.",
    "They sold the cottage to a banker.",
    "Snow lay on the roofs.",
]
ASKED = ["Which doctor treated his fracture?", "Who repaired the kettle?", "Where does the cat dig?"]


def test_the_nearest_in_meaning_and_what_says_the_same_words_are_chosen() -> None:
    likeness = world.embedder().embed(ASKED) @ world.embedder().embed(SAID).T
    chosen = near(SAID, ASKED, each=3)
    assert {SAID[row] for row in likeness.argmax(axis=1)} <= chosen
    assert "The kettle is broken again." in chosen
    assert len(chosen) < len(SAID)


def test_the_others_are_near_nothing() -> None:
    embed = world.embedder().embed
    vectors = only({SAID[1]}, embed)(SAID[:3])
    assert not vectors[[0, 2]].any()
    assert np.array_equal(vectors[1], embed([SAID[1]])[0])
