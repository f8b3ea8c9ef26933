"""Forget by person where a name is disguised: figures for letters, marks of direction, base64 and the like."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

import pytest

from services.common.text.naming.spellings import LETTER
from services.episodic.erasure.person import Doubt, Naming
from services.episodic.state.mentions import LIKELY, NONE, POSSIBLE, Mentions, name_hashes
from tests.episodic import test_forget_person as plain
from tests.episodic.world import World

KEY = b"0123456789abcdef"


def probed(name: str, text: str) -> int:
    return Mentions(name_hashes([name], KEY), KEY).within(text)


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("Roth", "R0th called about the boat.", "R0th"),
        ("Lisa", "Ask L1sa for it.", "L1sa"),
        ("Elias", "El1as wrote.", "El1as"),
        ("Peter", "P3ter came.", "P3ter"),
        ("Anna", "4nn4 was here.", "4nn4"),
        ("Ruth Roth", "Ruth R0th was here.", "Ruth R0th"),
    ],
)
def test_figures_for_letters_make_a_name_doubtful_and_the_probe_lists_it(name: str, text: str, written: str) -> None:
    assert not Naming([name]).within(text)
    assert Naming([name]).doubts(text) == [Doubt(written, LETTER)]
    assert probed(name, text) == POSSIBLE


@pytest.mark.parametrize(
    ("name", "text"),
    [("Al", "A1 steel"), ("Bo", "The B0 car."), ("Roth", "Room R0 is open."), ("Lisa", "It cost 1154 euros.")],
)
def test_codes_and_numbers_are_no_names(name: str, text: str) -> None:
    assert Naming([name]).doubts(text) == []
    assert probed(name, text) == NONE


@pytest.mark.parametrize(
    "text", ["\u202ehtuR came by\u202c", "By \u202eyadot emac htuR\u202c, they say.", "\u202ehtuR"]
)
def test_what_is_shown_from_its_end_is_read_from_there(text: str) -> None:
    """As it is shown, and as it is kept: the first line is of a name alone, whose mark ends before the rest."""
    turned = text.replace("htuR came by", "htuR\u202c came by")
    assert Naming(["Ruth"]).within(turned)
    assert probed("Ruth", turned) == LIKELY
    assert probed("Rob", turned) == NONE


SAID = "Ruth Fenwick called about the boat, and will call again on Monday; the number is the old one."
ENCODED = [
    b64encode(SAID.encode()).decode(),
    urlsafe_b64encode(SAID.encode()).decode().rstrip("="),
    "data:text/plain;base64," + b64encode(b"Ruth").decode(),
    b64encode(b64encode(SAID.encode())).decode(),
    "\r\n".join(b64encode(SAID.encode()).decode()[n : n + 40] for n in range(0, 124, 40)),
    b64encode(b"<b>Ru</b>th &amp; co").decode().replace("<b>", ""),
    b64encode(rb"{\"by\": \"\u0052uth\"}").decode(),
    SAID.encode().hex(),
    SAID.encode().hex(" "),
    "0x" + b"Ruth".hex(),
]


@pytest.mark.parametrize("encoded", [pytest.param(text, id=str(n)) for n, text in enumerate(ENCODED)])
def test_invariant_34_the_probe_reads_what_is_encoded(encoded: str) -> None:
    assert probed("Ruth", f"The note: {encoded} (kept as it came)") != NONE
    assert probed("Rob", f"The note: {encoded} (kept as it came)") == NONE


def test_invariant_34_a_memory_with_an_encoded_name_is_not_called_clean(world: World) -> None:
    texts = ["Ruth Fenwick rang.", f"Attached: {ENCODED[0]}", "R0th and she met.", "It rained."]
    for n, text in enumerate(texts):
        world.observe(f"o{n}", text)
    world.settle()
    receipt = world.forget(plain.person("Ruth Fenwick"))
    assert plain.texts(world) == set(texts[1:])
    assert plain.mentions(world, receipt) == (1, [world.base("o1")])
