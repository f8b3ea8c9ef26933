"""Forget by person in texts of programs: markup, escapes and the like hide a name from neither of the two."""

from __future__ import annotations

import pytest

from services.common.text.naming.words import OPENS
from services.episodic.erasure import person
from services.episodic.erasure.person import Naming
from services.episodic.state.mentions import LIKELY, NONE, Mentions, name_hashes
from tests.common.naming.marked_up import OTHERS, SHOWN
from tests.episodic import test_forget_person as plain
from tests.episodic.world import World

KEY = b"0123456789abcdef"


@pytest.mark.parametrize(("name", "text"), SHOWN)
def test_a_name_is_meant_by_what_is_shown_of_a_text(name: str, text: str) -> None:
    assert Naming([name]).within(text)


@pytest.mark.parametrize(("name", "text"), SHOWN)
def test_invariant_34_the_probe_reads_what_is_shown_of_a_text(name: str, text: str) -> None:
    assert Mentions(name_hashes([name], KEY), KEY).within(text) == LIKELY


@pytest.mark.parametrize("mark", ["\u0e34", "\u093f", "\u0bc0"])
def test_invariant_34_the_probe_looks_past_marks_of_another_script(mark: str) -> None:
    assert Mentions(name_hashes(["Petra"], KEY), KEY).within(f"I saw Pe{mark}tra{mark} today") == LIKELY


@pytest.mark.parametrize(("name", "text"), OTHERS)
def test_what_is_shown_of_a_text_means_nobody_else(name: str, text: str) -> None:
    assert not Naming([name]).within(text)
    assert not Naming([name]).doubts(text)


def test_what_may_be_the_name_is_shown_as_it_is_read() -> None:
    [doubt] = Naming(["Will"]).doubts("It is done.&#10;W&#105;ll it rain?")
    assert (doubt.written, doubt.reason) == ("Will", OPENS)


def test_invariant_34_the_probe_disagrees_with_a_selector_that_is_blind_to_markup(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked_up = [r"{'log':'hi\nM\u00fcller came'}", "Herr M&uuml;ller kam", "<b>Mü</b>ller", "It rained."]
    for n, text in enumerate(["Müller rang.", *marked_up]):
        world.observe(f"o{n}", text)
    world.settle()
    monkeypatch.setattr(person, "readings", lambda text: iter([text]))
    receipt = world.forget(plain.person("Müller", include_doubtful=True))
    assert plain.texts(world) == set(marked_up)
    readable, possible = plain.mentions(world, receipt)
    assert (readable, set(possible)) == (3, {world.base(f"o{n}") for n in (1, 2, 3)})


def test_what_the_receipt_counts_as_doubtful_is_listed_whatever_the_probe_sees(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.observe("o0", "I saw Mark at the pier.")
    world.observe("o1", "Please mark the page.")
    world.settle()
    receipt = world.forget(plain.person("Mark"))
    monkeypatch.setattr(Mentions, "within", lambda self, text: NONE)
    assert plain.mentions(world, receipt) == (0, [world.base("o1")])
