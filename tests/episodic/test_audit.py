"""Audit and usage: who did what in a namespace, as the ledger tells, without a word of it; and how much it was told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from mneme.v1 import admin_pb2
from mneme.v1.admin_pb2 import AuditAction, AuditEntry
from mneme.v1.episodic_pb2 import ForgetSelector, Ids

from services.common.ledger import audit, topics
from services.common.ledger import entries as ledger
from services.common.ledger.audit import Wanted, act, acts
from services.common.ledger.entries import base_id, remembered_id
from services.common.serving.errors import MnemeError
from services.episodic import converters
from tests.episodic.world import NAMESPACE, START, World

OTHER = "acme/other"
ANY = Wanted()
PREFIX = "AUDIT_ACTION_"


def names(entries: list[AuditEntry]) -> list[str]:
    return [AuditAction.Name(each.action).removeprefix(PREFIX) for each in entries]


def everything(world: World, wanted: Wanted = ANY, size: int = 1_000, namespace: str = NAMESPACE) -> list[AuditEntry]:
    found, token = [], ""
    while True:
        page = world.audit.page(namespace, wanted, size, token)
        assert len(page.entries) <= size
        found += page.entries
        token = page.next_page_token
        if not token:
            return found


@pytest.fixture
def told(world: World) -> World:
    world.create(OTHER)
    for n in range(3):
        world.observe(f"o{n}", f"The {n}th lantern was lit by Ruth.")
        world.observe(f"x{n}", "What another tenant says.", namespace=OTHER)
    world.close_episode(["o0", "o1", "o2"])
    world.settle()
    stated = world.remember("r0", "Ruth owns a boat.")
    world.settle()
    world.correct("c0", stated, "Ruth owns two boats.")
    world.change("h0", [])
    world.settle()
    return world


def test_who_did_what_the_newest_first(told: World) -> None:
    entries = everything(told)
    assert names(entries) == [
        "NAMESPACE_CHANGED",
        "CORRECTED",
        "REMEMBERED",
        *["OBSERVED"] * 3,
        "NAMESPACE_CREATED",
    ]
    assert [each.principal for each in entries[1:3]] == ["test", "test"]
    assert entries[1].subject == remembered_id(NAMESPACE, "r0")
    assert entries[3].subject == told.mac(ledger.MAC_OBSERVATION, "o2").hex()
    places = [each.position.offset for each in entries]
    assert places == sorted(places, reverse=True)
    [record] = told.log.read(topics.LEDGER, 0, places[1], places[1] + 1)
    corrected = ledger.entry_of(record)
    assert corrected is not None
    assert corrected.HasField("corrected")
    assert corrected.ingested_at == entries[1].at


def test_of_what_is_erased_the_erasure_alone_is_told(told: World) -> None:
    receipt = told.forget(ForgetSelector(ids=Ids(ids=["o1", remembered_id(NAMESPACE, "r0")])))
    entries = everything(told)
    assert names(entries) == ["ERASED", "NAMESPACE_CHANGED", "OBSERVED", "OBSERVED", "NAMESPACE_CREATED"]
    erased = entries[0]
    assert (erased.subject, erased.selected_by, erased.count) == (receipt.receipt.id, "ids", 3)
    gone = {told.mac(ledger.MAC_OBSERVATION, "o1").hex(), remembered_id(NAMESPACE, "r0"), base_id(NAMESPACE, "o1")}
    assert not gone & {each.subject for each in entries}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_are_the_whole_and_stay_so_when_more_is_told(
    told: World, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_CHUNK", 2)
    monkeypatch.setattr(audit, "_LOOKED_AT", 2)
    whole = everything(told)
    assert everything(told, size=size) == whole
    first = told.audit.page(NAMESPACE, ANY, size, "")
    told.observe("late", "It was told after the first page.")
    told.settle()
    found, token = first.entries, first.next_page_token
    while token:
        page = told.audit.page(NAMESPACE, ANY, size, token)
        found, token = [*found, *page.entries], page.next_page_token
    assert found == whole


def test_a_page_reads_no_more_than_it_may_whatever_is_asked_for(told: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_CHUNK", 2)
    monkeypatch.setattr(audit, "_LOOKED_AT", 4)
    with told.ledger_reads() as reads:
        page = told.audit.page(NAMESPACE, Wanted(principal="nobody"), 100, "")
    assert (page.entries, page.next_page_token) == ([], "4")
    assert len([record for record in reads if record.key == NAMESPACE.encode()]) == 4
    assert everything(told, Wanted(principal="nobody")) == []


def test_a_page_holds_no_more_bytes_than_it_may(told: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE_BYTES", 1)
    assert len(told.audit.page(NAMESPACE, ANY, 100, "").entries) == 1
    assert len(everything(told)) == 7


def test_by_whom_and_what_and_when(told: World) -> None:
    assert names(everything(told, Wanted(principal="test"))) == ["CORRECTED", "REMEMBERED"]
    created = frozenset({admin_pb2.AUDIT_ACTION_NAMESPACE_CREATED, admin_pb2.AUDIT_ACTION_CORRECTED})
    assert names(everything(told, Wanted(actions=created))) == ["CORRECTED", "NAMESPACE_CREATED"]
    second = START + timedelta(minutes=3)  # of o1; other tenants' are between
    assert len(everything(told, Wanted(start=second, end=second + timedelta(minutes=2)))) == 1
    assert names(everything(told, Wanted(end=START + timedelta(seconds=1)))) == ["NAMESPACE_CREATED"]


def test_a_time_that_is_long_past_ends_the_list(told: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_CHUNK", 1)
    told.clock = datetime.now(UTC)
    told.observe("late", "By the clock of a minute ahead.")
    told.settle()
    since = Wanted(start=told.clock - timedelta(minutes=5))
    with told.ledger_reads() as reads:
        assert names(everything(told, since)) == ["OBSERVED"]  # and not what lies before entries that are older by far
    assert len([record for record in reads if record.key == NAMESPACE.encode()]) == 2


def test_of_a_deleted_namespace_it_is_told_that_it_was_and_of_one_made_anew_what_came_since(told: World) -> None:
    receipt_id = told.forgetting.delete(NAMESPACE, "d0", "carol")
    assert told.await_receipt(NAMESPACE, receipt_id, 30.0) is not None
    [deleted] = everything(told)
    assert (names([deleted]), deleted.principal, deleted.subject) == (["NAMESPACE_DELETED"], "carol", receipt_id)
    told.create()
    told.observe("o0", "It begins anew.")
    told.settle()
    assert names(everything(told)) == ["OBSERVED", "NAMESPACE_CREATED", "NAMESPACE_DELETED"]
    assert names(everything(told.restart())) == ["OBSERVED", "NAMESPACE_CREATED", "NAMESPACE_DELETED"]


@pytest.mark.parametrize("token", ["x", "-1", "1:2", "9" * 40])
def test_what_is_no_page_token_is_refused(told: World, token: str) -> None:
    for page in (partial(told.audit.page, NAMESPACE), partial(acts, told.log)):
        with pytest.raises(MnemeError) as refused:
            page(ANY, 1, token)
        assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "page_token")


def test_what_is_done_to_the_service_is_told_in_pages_and_expires(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_CHUNK", 2)
    monkeypatch.setattr(audit, "_LOOKED_AT", 4)
    world.log.append([act(admin_pb2.AUDIT_ACTION_SHARDS_SET, "ann", count=n) for n in range(9)])

    def counts(wanted: Wanted = ANY) -> list[int]:
        found, token = [], ""
        while True:
            page = acts(world.log, wanted, 3, token)
            found += [each.count for each in page.entries]
            token = page.next_page_token
            if not token:
                return found

    assert counts() == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert counts(Wanted(principal="bob")) == []
    world.log.trim(topics.AUDIT, 0, 6)
    assert counts() == [8, 7, 6]


def test_usage_counts_what_was_told_and_what_of_it_is_erased(told: World) -> None:
    def usage(namespace: str = NAMESPACE) -> admin_pb2.NamespaceUsage:
        return converters.to_usage(namespace, *told.host.registry.usage(namespace))

    sealed = 0
    for record in told.log.read(topics.LEDGER, 0):
        entry = ledger.entry_of(record)
        if entry is not None and entry.namespace == NAMESPACE:
            sealed += sum(len(each.ciphertext) for each, _, id_mac in ledger.seals_in(entry) if id_mac)
    before = usage()
    assert (before.told, before.erased, before.ledger_bytes) == (5, 0, sealed)
    assert before.last_told_at.ToDatetime(UTC) > datetime.now(UTC) - timedelta(minutes=5)
    assert (usage(OTHER).told, usage("acme/none").told) == (3, 0)
    assert usage(OTHER).last_told_at.ToDatetime(UTC) == told.clock
    assert not usage("acme/none").HasField("last_told_at")
    told.forget(ForgetSelector(ids=Ids(ids=["o1"])))
    assert (usage().told, usage().erased, usage().ledger_bytes) == (5, 1, sealed)
    told.restart()
    assert (usage().told, usage().erased, usage().ledger_bytes) == (5, 1, sealed)
    assert usage().last_told_at == before.last_told_at
