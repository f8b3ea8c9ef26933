"""Forget by person: the doubtful are shown apart and left unless told; what verifies looks in another way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import MetadataField, MetadataType
from mneme.v1.episodic_pb2 import ForgetSelector, Ids, Person

from services.common.ids import MAX_NAME
from services.common.ledger import topics
from services.common.serving.errors import MnemeError
from services.common.text.naming import scripts
from services.common.text.naming.phrases import Phrases
from services.episodic.erasure.forget import _LOOKS
from services.episodic.state.checks import MAX_REFERENCE
from services.episodic.state.mentions import LIKELY, NONE, POSSIBLE, Mentions, name_hashes
from services.episodic.state.records import Stored
from tests.common.naming.by_case import GENITIVES
from tests.common.naming.caseless_cases import ALL as CASELESS
from tests.common.naming.cases import ALL
from tests.common.naming.inflected import FRESH
from tests.episodic.world import NAMESPACE, World

KEY = b"0123456789abcdef"


def person(name: str, *, include_doubtful: bool = False) -> ForgetSelector:
    return ForgetSelector(person=Person(name=name, include_doubtful=include_doubtful))


def texts(world: World) -> set[str]:
    slots = [s for s in world.host.live.store.directory.slots(NAMESPACE) if s.is_base]
    return {stored.record.text for stored in world.host.live.store.fetch(NAMESPACE, [s.id for s in slots]).values()}


def mentions(world: World, receipt: pb.StoredReceipt) -> tuple[int, list[str]]:
    probes, possible = world.forgetting.verify(NAMESPACE, receipt)
    return next(p.readable for p in probes if p.store == "mentions"), possible


def test_the_doubtful_are_listed_apart_and_left(world: World) -> None:
    world.observe("o0", "I saw Mark at the pier.")
    world.observe("o1", "Please mark the page.")
    world.observe("o2", "It rained.")
    world.settle()
    listed = world.forgetting.resolve(NAMESPACE, person("Mark"))
    assert [s.id for s in listed.base] == [world.base("o0")]
    [doubtful] = listed.doubtful
    assert (doubtful.slot.id, doubtful.doubt.written) == (world.base("o1"), "mark")
    assert "word" in doubtful.doubt.reason
    receipt = world.forget(person("Mark"))
    assert texts(world) == {"Please mark the page.", "It rained."}
    assert (receipt.receipt.doubtful_left, receipt.receipt.selected_by) == (1, "person")
    # Told of, and therefore no disagreement; listed all the same.
    assert mentions(world, receipt) == (0, [world.base("o1")])


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("Mark", {"mark": 7}),
        ("Max", {"Max": 10}),
        ("Bill", {"type": "bill"}),
        ("Art", {"topic": "art"}),
        ("Summer", {"season": "summer"}),
    ],
)
def test_a_word_that_is_all_of_a_field_is_doubtful(world: World, name: str, metadata: dict[str, str | float]) -> None:
    world.observe("o0", "The essay was fine.", metadata=metadata)
    world.observe("o1", "It was late.", metadata={"who": "priya"})
    world.settle()
    listed = world.forgetting.resolve(NAMESPACE, person(name))
    assert (list(listed.base), [each.slot.id for each in listed.doubtful]) == ([], [world.base("o0")])
    assert [slot.id for slot in world.forgetting.resolve(NAMESPACE, person("Priya")).base] == [world.base("o1")]


def test_what_is_told_while_a_person_is_looked_for_holds_nobody_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long texts that come after each look are looked through before anything is locked; without end, it is refused."""
    world.observe("o0", "Zoë rang.")
    world.settle()
    look, held, rounds, numbers = world.forgetting._looked_through, list[bool](), 2, count()

    def told_meanwhile(*given: Any) -> Any:
        looked = look(*given)
        if len(held) < rounds:
            held.append(world.host.fold_lock._is_owned())  # type: ignore[attr-defined]
            world.observe(f"late{next(numbers)}", "Zoë wrote. " * 1_000)
            world.settle()
        return looked

    monkeypatch.setattr(world.forgetting, "_looked_through", told_meanwhile)
    assert world.forget(person("Zoë")).receipt.base_erased == 3
    assert held == [False, False]
    held, rounds = [], 1_000
    with pytest.raises(MnemeError, match="More is told") as refused:
        world.forgetting.command(NAMESPACE, person("Zoë"), "f2", "test")
    assert (refused.value.reason, len(held)) == ("NOT_FRESH", _LOOKS)


def test_a_doubt_about_who_said_it_says_so(world: World) -> None:
    world.observe("o0", "It rained.", actor="Rosa")
    world.observe("o1", "The rose garden is closed.", actor="Rosa")
    world.settle()
    doubtful = {each.slot.id: each.doubt for each in world.forgetting.resolve(NAMESPACE, person("Rose")).doubtful}
    assert doubtful[world.base("o0")].reason.startswith("of who said it: ")
    assert doubtful[world.base("o1")].written == "rose"


def test_the_texts_of_others_in_whose_language_a_name_is_a_word_are_left(world: World) -> None:
    others = {"ich wollte nur schlafen", "Nur ein Wort: danke.", "er will nur schlafen", "ich habe nur zwei euro"}
    for n, text in enumerate(sorted(others)):
        world.observe(f"o{n}", text)
    world.observe("o9", "Gestern hat Nur angerufen.")
    world.settle()
    assert len(world.forgetting.resolve(NAMESPACE, person("Nur")).doubtful) == len(others)
    receipt = world.forget(person("Nur"))
    assert texts(world) == others
    assert (receipt.receipt.base_erased, receipt.receipt.doubtful_left) == (1, len(others))
    assert mentions(world, receipt)[0] == 0


def test_a_person_named_in_an_id_or_a_field_s_name_goes_too(world: World) -> None:
    """Whatever a product gave, and is given back."""
    world.create("acme/ids", fields=[MetadataField(name="ruth_fenwick", type=MetadataType.METADATA_TYPE_TEXT)])
    world.observe("Ruth Fenwick turn 7", "The lamp was out.", namespace="acme/ids")
    world.observe("o1", "It rained.", namespace="acme/ids", metadata={"ruth_fenwick": "yes"})
    world.observe("o2", "Nobody was at home.", namespace="acme/ids")
    world.settle()
    selector = ForgetSelector(person=Person(name="Ruth Fenwick"))
    receipt = world.forget(selector, "acme/ids")
    assert receipt.receipt.base_erased == 2
    probes, possible = world.forgetting.verify("acme/ids", receipt)
    assert not possible
    assert not any(probe.readable for probe in probes)


def test_the_doubtful_go_when_told(world: World) -> None:
    world.observe("o0", "Please mark the page.")
    world.observe("o1", "It rained.")
    world.settle()
    receipt = world.forget(person("Mark", include_doubtful=True))
    assert texts(world) == {"It rained."}
    assert receipt.receipt.doubtful_left == 0
    assert mentions(world, receipt) == (0, [])


def test_nothing_but_the_doubtful_is_nothing_to_forget(world: World) -> None:
    world.observe("o0", "I will buy bread.")
    world.settle()
    with pytest.raises(MnemeError, match="names nothing") as refused:
        world.forget(person("Will"))
    assert "doubtful" in refused.value.remedy


def test_what_perception_took_for_the_person_counts_where_its_text_raises_no_doubt(world: World) -> None:
    world.observe("o0", "He came late.", people=["Will"])
    world.observe("o3", "Will power matters.", people=["Will"])
    world.observe("o1", "Will it rain?")
    world.observe("o2", "so late", actor="will")
    world.settle()
    world.forget(person("Will"))
    assert texts(world) == {"Will it rain?", "Will power matters."}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (name, text) for name, text, what in [*ALL, *CASELESS] if what == "yes" and name.isalpha() and name != "Mueller"
    ],  # "ue" is not "ü" in every name
)
def test_invariant_34_letters_alone_find_what_a_selector_may_leave(name: str, text: str) -> None:
    assert Mentions(name_hashes([name], KEY), KEY).within(text) == LIKELY


@pytest.mark.parametrize(("name", "text", "what", "probe"), FRESH)
def test_invariant_34_letters_alone_find_names_that_are_declined_turned_or_disguised(
    name: str, text: str, what: str, probe: str
) -> None:
    found = Mentions(name_hashes([name], KEY), KEY).within(text)
    assert found != NONE if probe == "seen" else found != LIKELY


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, text, what in GENITIVES if what == "yes"])
def test_invariant_34_letters_alone_see_a_name_with_the_s_of_a_genitive(name: str, text: str) -> None:
    assert Mentions(name_hashes([name], KEY), KEY).within(text) != NONE


def test_invariant_34_the_probe_disagrees_with_a_selector_that_is_blind_to_a_script(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.observe("o0", "周末李娜请我们吃饭。")
    world.observe("o1", "来自 李娜")
    world.observe("o2", "下雨了。")
    world.settle()
    sighted = scripts.after
    monkeypatch.setattr(
        scripts, "after", lambda text, start, end: sighted(text, start, end) if end == len(text) else None
    )
    receipt = world.forget(person("李娜"))
    assert texts(world) == {"周末李娜请我们吃饭。", "下雨了。"}
    assert mentions(world, receipt) == (1, [world.base("o0")])
    assert {p.readable for p in world.forgetting.probe(NAMESPACE, receipt)} == {0}


def test_invariant_34_the_probe_disagrees_with_a_selector_that_is_blind_to_cases(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.observe("o0", "Я видел Павла Петрова вчера.")
    world.observe("o1", "Павел Петров звонил.")
    world.observe("o2", "Петров день прошёл.")
    world.settle()
    monkeypatch.setattr(Phrases, "find", lambda self, folded: iter(()))
    receipt = world.forget(person("Павел Петров"))
    assert texts(world) == {"Я видел Павла Петрова вчера.", "Петров день прошёл."}
    assert mentions(world, receipt) == (1, [world.base("o0")])


def test_a_declined_name_goes_and_what_may_be_one_is_shown(world: World) -> None:
    world.observe("o0", "Spotkałem wczoraj Katarzynę w sklepie.")
    world.observe("o1", "Telefon Katarzyny")
    world.observe("o2", "The Catherine wheel turned.")
    world.settle()
    [doubtful] = world.forgetting.resolve(NAMESPACE, person("Katarzyna")).doubtful
    assert (doubtful.slot.id, doubtful.doubt.written) == (world.base("o1"), "Katarzyny")
    receipt = world.forget(person("Katarzyna"))
    assert texts(world) == {"Telefon Katarzyny", "The Catherine wheel turned."}
    assert mentions(world, receipt) == (0, [world.base("o1")])


def test_others_in_a_script_without_case_stay_and_those_who_may_be_meant_are_shown(world: World) -> None:
    world.observe("o0", "جاء علي أمس")
    world.observe("o1", "اتفقنا على الموعد.")
    world.observe("o2", "وعلي ذهب")
    world.settle()
    [doubtful] = world.forgetting.resolve(NAMESPACE, person("علي")).doubtful
    assert doubtful.slot.id == world.base("o2")
    receipt = world.forget(person("علي"))
    assert texts(world) == {"اتفقنا على الموعد.", "وعلي ذهب"}
    readable, possible = mentions(world, receipt)
    assert readable == 0
    assert world.base("o2") in possible


def test_the_probe_looks_at_what_was_told_before_alone(world: World) -> None:
    world.observe("o0", "Zoë rang.")
    world.settle()
    receipt = world.forget(person("Zoë"))
    world.observe("o1", "Zoë rang again.")
    world.settle()
    assert mentions(world, receipt) == (0, [])


def test_the_probe_tells_another_word_from_the_name() -> None:
    seen = Mentions(name_hashes(["Tom", "सीता", "박지민"], KEY), KEY)
    assert seen.within("T-O_M") == LIKELY
    assert seen.within("tomorrow") == POSSIBLE
    assert seen.within("सीतापुर बहुत दूर है।") != NONE
    assert seen.within("박지민에게서") == LIKELY
    assert seen.within("It rained.") == NONE


def test_the_ledger_holds_the_names_as_hashes_alone(world: World) -> None:
    world.observe("o0", "Zoë rang.")
    world.settle()
    receipt = world.forget(person("Zoë"))
    at = receipt.receipt.position
    [record] = world.log.read(topics.LEDGER, at.partition, at.offset, at.offset + 1)
    erased = pb.LedgerEntry.FromString(record.value or b"").erased
    assert [name.letters for name in erased.names] == [3]
    assert b"Zo" not in (record.value or b"")
    assert b"zoe" not in (record.value or b"")


@pytest.mark.parametrize(
    ("selector", "field"),
    [
        (ForgetSelector(ids=Ids(ids=[f"o{n}" for n in range(300_000)])), "selector.ids.ids"),
        (ForgetSelector(person=Person(name="A", aliases=["B"] * 300_000)), "selector.person.aliases"),
        (ForgetSelector(person=Person(name="A", aliases=["B" * 300_000])), "selector.person.aliases[0]"),
        (ForgetSelector(person=Person(name="A" * (MAX_NAME + 1))), "selector.person.name"),
        (ForgetSelector(person=Person(name="A", aliases=["B", "C" * (MAX_NAME + 1)])), "selector.person.aliases[1]"),
        (ForgetSelector(session="s" * (MAX_REFERENCE + 1)), "selector.session"),
        (ForgetSelector(source="s" * (MAX_REFERENCE + 1)), "selector.source"),
        (ForgetSelector(ids=Ids(ids=["o0", "o" * (MAX_REFERENCE + 1)])), "selector.ids.ids[1]"),
    ],
)
def test_a_selector_of_too_much_is_refused_at_once(world: World, selector: ForgetSelector, field: str) -> None:
    start = time.thread_time()
    for ask in (
        lambda: world.forgetting.resolve(NAMESPACE, selector),
        lambda: world.forgetting.command(NAMESPACE, selector, "f1", "test"),
    ):
        with pytest.raises(MnemeError) as refused:
            ask()
        assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", field)
        assert "at most" in refused.value.remedy
    assert time.thread_time() - start < 0.5


def test_a_selector_names_what_is_as_long_as_a_reference_may_be(world: World) -> None:
    longest = "s" * MAX_REFERENCE
    world.observe("o0", "It rained.", session=longest, source=longest)
    world.settle()
    for selector in (ForgetSelector(session=longest), ForgetSelector(source=longest)):
        assert [slot.id for slot in world.forgetting.resolve(NAMESPACE, selector).base] == [world.base("o0")]
    assert world.forgetting.resolve(NAMESPACE, ForgetSelector(ids=Ids(ids=[longest]))).base == []
    with pytest.raises(MnemeError) as refused:
        world.forgetting.resolve(NAMESPACE, ForgetSelector(ids=Ids(ids=["o0", ""])))
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "selector.ids.ids[1]")


def test_the_writer_waits_for_no_text_that_was_looked_through_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        world.observe(f"o{n}", f"Zoë rang {n} times." if n % 2 else "It rained.")
    world.settle()
    opened: list[bool] = []
    opening = world.forgetting._opened

    def watched(namespace: str, ids: Sequence[str]) -> Iterator[Stored]:
        held = world.host.fold_lock._is_owned()  # type: ignore[attr-defined]
        opened.extend([held] * len(ids))
        return opening(namespace, ids)

    monkeypatch.setattr(world.forgetting, "_opened", watched)
    world.forget(person("Zoë"))
    assert opened == [False] * 6
