"""Forget by person where a name's words stand in fields of their own: shown as doubtful, seen by the probe."""

from __future__ import annotations

import pytest

from services.common.text.naming.fields import DIVIDED, Divided
from services.episodic.erasure.person import Naming
from services.episodic.state.mentions import LIKELY, NONE, POSSIBLE, Mentions, name_hashes
from tests.episodic import test_forget_person as plain
from tests.episodic.world import NAMESPACE, World

KEY = b"0123456789abcdef"
RUTH = "Ruth Fenwick"


def probed(name: str, text: str) -> int:
    return Mentions(name_hashes([name], KEY), KEY).within(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (RUTH, "Ruth,Fenwick,44"),
        (RUTH, "id,first,last\n1,Ann,Ross\n2,Ruth,Fenwick\n"),
        (RUTH, '"Fenwick","Ruth","44"'),
        (RUTH, "Ruth;Fenwick;44"),
        (RUTH, "| Ruth | Fenwick |\n| Ann  | Ross    |"),
        (RUTH, "| Fenwick            | Ruth     |"),
        (RUTH, "| **Ruth** | *Fenwick* |"),
        (RUTH, "│ Fenwick │ 44 │ Ruth │"),
        (RUTH, "BEGIN:VCARD\nN:Fenwick;Ruth;;;\nEND:VCARD"),
        (RUTH, "sn: Fenwick\ngivenName: Ruth"),
        (RUTH, '{"first":"Ruth","last":"Fenwick"}'),
        (RUTH, '{"last_name": "Fenwick", "first_name": "Ruth"}'),
        (RUTH, '{"given": "Ruth", "age": 44, "family": "Fenwick"}'),
        (RUTH, r'{"said":"{\"first\":\"Ruth\",\"last\":\"Fenwick\"}"}'),
        (RUTH, "GET /find?first=Ruth&last=Fenwick"),
        (RUTH, "First name: Ruth\n  Family name: Fenwick"),
        (RUTH, "Vorname: Ruth, Nachname: Fenwick"),
        (RUTH, "INSERT INTO people VALUES ('Ruth', 'Fenwick', 44)"),
        (RUTH, "ruth,fenwick"),
        (RUTH, "RUTH|FENWICK"),
        ("Jan Kowalski", "imię: Jana; nazwisko: Kowalskiego"),
        ("Пётр Орлов", "Орлов;Пётр;44"),
        ("محمد علي", "محمد,علي,44"),
        ("محمد علي", "N:علي;محمد;;;"),
        ("राम शर्मा", "शर्मा | राम"),
        ("박지민", "박,지민,44"),
        ("山田 太郎", "山田;太郎"),
        ("李娜", "姓：李\n名：娜"),
        ("李娜", "姓：李，名：娜"),
        ("佐藤花子", "姓：佐藤\u3000名：花子"),
        ("محمد علي", "الاسم: محمد، اللقب: علي"),
    ],
)
def test_a_name_whose_words_are_divided_is_doubtful_and_the_probe_sees_it(name: str, text: str) -> None:
    assert not Naming([name]).within(text)
    assert [doubt.reason for doubt in Naming([name]).doubts(text)] == [DIVIDED]
    assert probed(name, text) != NONE


@pytest.mark.parametrize(
    "text",
    [
        "We met Ruth, Fenwick and Ann.",
        "My wife Ruth, Fenwick's aunt, rang.",
        "Ruth: Fenwick is late.",
        "After meeting Fenwick, Ruth went home.",
        "I met Ruth. Fenwick had left.",
        "Fenwick, Ruth and Ann came.",
    ],
)
def test_who_may_be_two_persons_is_at_most_doubtful(text: str) -> None:
    assert not Naming([RUTH]).within(text)
    assert Naming([RUTH]).doubts(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (RUTH, "Ruth came, Fenwick stayed."),
        (RUTH, "Ruth said: Fenwick is late."),
        (RUTH, "Ruth,Ann,Fenwick and Ross"),
        (RUTH, "Ruth and Fenwick came."),
        ("Ian Ross", "So do I, Ross!"),
        ("O'Hara", "It is Jo's, 'Hara"),
        ("高明", "他很高，明天见。"),
        ("Ann", "a,n,n"),
    ],
)
def test_what_stands_between_other_words_or_in_other_fields_is_no_name(name: str, text: str) -> None:
    assert not Naming([name]).within(text)
    assert Naming([name]).doubts(text) == []


def test_a_doubt_says_what_is_written() -> None:
    [doubt] = Naming([RUTH]).doubts('{"first":"Ruth","last":"Fenwick"}')
    assert doubt.written == 'Ruth","last":"Fenwick'


@pytest.mark.parametrize("text", ["Fenwick, Ruth", "Fenwick, Ruth: paid.", "Fenwick,Ruth,44"])
def test_a_name_turned_round_by_a_comma_alone_is_sure(text: str) -> None:
    assert Naming([RUTH]).within(text)


@pytest.mark.parametrize("text", ["I met Ann L. Ross.", "I met Dr. Ann Ross.", "Mrs. Ross rang.", "Prof. Ross rang."])
def test_a_stop_behind_an_abbreviation_ends_no_sentence(text: str) -> None:
    name = text.removeprefix("I met ").removesuffix(" rang.").rstrip(".").replace(".", "")
    assert Naming([name]).within(text)


def test_the_divided_are_shown_and_go_when_told(world: World) -> None:
    divided = ["Ruth,Fenwick,44", '{"last":"Fenwick","first":"Ruth"}']
    for n, text in enumerate(["Ruth Fenwick rang.", *divided, "Ruth came, Fenwick stayed."]):
        world.observe(f"o{n}", text)
    world.settle()
    listed = world.forgetting.resolve(NAMESPACE, plain.person(RUTH))
    assert {each.doubt.reason for each in listed.doubtful} == {DIVIDED}
    assert {each.slot.id for each in listed.doubtful} == {world.base("o1"), world.base("o2")}
    receipt = world.forget(plain.person(RUTH, include_doubtful=True))
    assert plain.texts(world) == {"Ruth came, Fenwick stayed."}
    assert plain.mentions(world, receipt)[0] == 0


def test_invariant_34_the_probe_disagrees_with_a_selector_that_is_blind_to_fields(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    divided = ["Ruth,Fenwick,44", '{"last":"Fenwick","first":"Ruth"}', "First name: Ruth\nSurname: Fenwick"]
    for n, text in enumerate(["Ruth Fenwick rang.", *divided]):
        world.observe(f"o{n}", text)
    world.settle()
    monkeypatch.setattr(Divided, "find", lambda self, text: iter(()))
    receipt = world.forget(plain.person(RUTH))
    readable, possible = plain.mentions(world, receipt)
    assert (readable, set(possible)) == (3, {world.base(f"o{n}") for n in (1, 2, 3)})


def test_the_probe_reads_no_label_out_of_a_sentence() -> None:
    assert probed(RUTH, "Ruth said: Fenwick is late.") == POSSIBLE
    assert probed(RUTH, '{"last":"Fenwick","first":"Ruth"}') == LIKELY
