"""Export: what a namespace was told comes back as it was sent, whole, in order, and without what was erased."""

from __future__ import annotations

import pytest
from mneme.v1.episodic_pb2 import CorrectRequest, ForgetSelector, Ids, Told

from services.common.ledger.entries import remembered_id
from services.common.serving.errors import MnemeError
from services.episodic.recall import export
from tests.episodic.world import NAMESPACE, World

OTHER = "acme/other"


def ids(told: list[Told]) -> list[str]:
    return [getattr(each, each.WhichOneof("what") or "").id for each in told]


def everything(world: World, namespace: str = NAMESPACE) -> list[Told]:
    told, token = [], ""
    while True:
        page = world.export.page(namespace, token)
        assert page.unreadable == 0
        told += page.told
        token = page.next_page_token
        if not token:
            return told


@pytest.fixture
def told(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(export, "_PAGE", 2)
    world.create(OTHER)
    for n in range(3):
        world.observe(
            f"o{n}", f"The {n}th lantern was lit.", actor="Ruth", source="log", metadata={"n": n, "by": "oil"}
        )
        world.observe(f"x{n}", "What another tenant says.", namespace=OTHER)
    world.close_episode(["o0", "o1", "o2"])
    world.settle()
    stated = world.remember("r0", "Ruth owns a boat.")
    world.settle()
    world.correct("c0", stated, "Ruth owns two boats.")
    world.settle()
    return world


def test_all_of_it_as_it_was_sent_and_in_order(told: World) -> None:
    all_of_it = everything(told)
    assert ids(all_of_it) == ["o0", "o1", "o2", "r0", "c0"]
    first = all_of_it[0].observation
    assert (first.text, first.actor, first.source, first.session) == ("The 0th lantern was lit.", "Ruth", "log", "s1")
    assert (first.metadata["n"].number, first.metadata["by"].text) == (0, "oil")
    assert all_of_it[3].remember.text == "Ruth owns a boat."
    assert all_of_it[4].correct == CorrectRequest(
        namespace=NAMESPACE, engram_id=remembered_id(NAMESPACE, "r0"), id="c0", text="Ruth owns two boats."
    )
    assert all(each.told_at.seconds for each in all_of_it)


def test_what_was_erased_is_not_in_it(told: World) -> None:
    told.forget(ForgetSelector(ids=Ids(ids=["o1", remembered_id(NAMESPACE, "r0")])))
    assert ids(everything(told)) == ["o0", "o2"]  # the correction of what was erased goes with it


def test_pages_end_where_the_first_did_and_leave_out_what_is_erased_between_them(told: World) -> None:
    first = told.export.page(NAMESPACE, "")
    assert ids(first.told) == ["o0", "o1"]
    told.forget(ForgetSelector(ids=Ids(ids=["o2"])))
    told.observe("late", "It was told after the first page.")
    told.settle()
    rest, token = [], first.next_page_token
    while token:
        page = told.export.page(NAMESPACE, token)
        rest += ids(page.told)
        token = page.next_page_token
    assert rest == ["r0", "c0"]


def test_a_page_holds_no_more_bytes_than_it_may(told: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE_BYTES", 1)
    assert ids(told.export.page(NAMESPACE, "").told) == ["o0"]
    assert ids(everything(told)) == ["o0", "o1", "o2", "r0", "c0"]


@pytest.mark.parametrize("token", ["x", "1", "1:", "-1:5", "1:2:3", "9" * 40 + ":1"])
def test_what_is_no_page_token_is_refused(world: World, token: str) -> None:
    with pytest.raises(MnemeError) as refused:
        world.export.page(NAMESPACE, token)
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "page_token")
