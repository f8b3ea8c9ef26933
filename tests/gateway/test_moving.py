"""Calls for a partition that goes from one shard to another, at the door: they wait, and are answered once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from mneme.v1 import admin_pb2, episodic_pb2

from services.common.crypto.auth import Caller, Right
from services.common.ledger import topics
from services.common.ledger.assignment import LEAVING, Assignment, Assignments, Owner
from services.common.ledger.audit import Wanted, acts
from services.common.log.base import Log, partition_of
from services.common.log.open import open_log
from services.common.serving.errors import MnemeError
from services.common.serving.serving import CallContext, NotYet, Waiting
from services.common.serving.shards import Moved
from services.gateway.revocations import Revocations
from services.gateway.routes import Routes
from services.gateway.servicer import application
from services.gateway.sharded import ShardedBackend
from services.gateway.shards import ShardOffice
from services.gateway.tokens import TokenOffice
from tests.gateway.probe import GRANTS, TOKENS
from tests.partitions import one_in_each

T = TypeVar("T")
E, A = "mneme.v1.EpisodicService/", "mneme.v1.AdminService/"
PARTITIONS = 4
SPACES = one_in_each("acme/", PARTITIONS)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = open_log(f"sqlite://{tmp_path}/log.db")
    opened.ensure_topics(topics.specs(PARTITIONS, [topics.INBOX]))
    Assignments(opened).assign(Assignment.of([0, 1, 0, 1]))
    yield opened
    opened.close()


@dataclass
class Shards:
    """Applications by name that say who they are, of the partitions that they hold, as episodic's do."""

    held: dict[str, set[int]] = field(default_factory=lambda: {"episodic": {0, 2}, "episodic-1": {1, 3}})
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    async def unary(self, app: str, method: str, request: bytes, context: CallContext) -> bytes:
        self.asked.append((app, method, request))
        self.times.append(context.timeout_s)
        if context.partitions is not None and context.partitions != self.held[app]:
            raise Moved
        if method == E + "Get":
            self._require(app, episodic_pb2.GetRequest.FromString(request).namespace)
            return app.encode()
        if method == E + "Recall":
            wanted = episodic_pb2.RecallRequest.FromString(request)
            for name in (wanted.namespace, *wanted.scopes):
                self._require(app, name)
            epochs = dict.fromkeys((wanted.namespace, *wanted.scopes), 1)
            return episodic_pb2.RecallResponse(erasure_epochs=epochs).SerializeToString()
        if method == A + "ListAudit":
            named = admin_pb2.ListAuditRequest.FromString(request).namespace
            if named:
                self._require(app, named)
            entry = admin_pb2.AuditEntry(principal=app)
            return admin_pb2.ListAuditResponse(entries=[entry]).SerializeToString()
        if method == A + "ListUsage":
            usage = [admin_pb2.NamespaceUsage(namespace=SPACES[p], told=p) for p in self.held[app]]
            return admin_pb2.ListUsageResponse(namespaces=usage).SerializeToString()
        if method == A + "ListNamespaces":
            asked = admin_pb2.ListNamespacesRequest.FromString(request)
            names = sorted(SPACES[p] for p in self.held[app] if SPACES[p] > asked.page_token)
            size = asked.page_size or len(names)
            page = admin_pb2.ListNamespacesResponse(namespaces=[admin_pb2.Namespace(name=n) for n in names[:size]])
            page.next_page_token = names[size - 1] if len(names) > size else ""
            return page.SerializeToString()
        assert method == A + "Rebuild"
        operation = admin_pb2.Operation(id=admin_pb2.RebuildRequest.FromString(request).id, total=len(self.held[app]))
        return admin_pb2.RebuildResponse(operation=operation).SerializeToString()

    async def page(
        self, app: str, method: str, request: bytes, cursor: bytes, context: CallContext
    ) -> tuple[list[bytes], bytes]:
        self._require(app, episodic_pb2.WatchRequest.FromString(request).namespace)
        return [app.encode() + b" after " + cursor], cursor + b"+"

    def stream(
        self, app: str, method: str, request: bytes, context: CallContext
    ) -> AsyncGenerator[bytes | Waiting, None]:
        raise AssertionError("episodic has none")

    async def fold(self, app: str, method: str, state: bytes, requests: list[bytes], context: CallContext) -> bytes:
        raise AssertionError("episodic has none")

    async def ping(self, app: str) -> None:
        assert app in self.held

    async def leave(self, app: str) -> None:
        self.left.append(app)

    def _require(self, app: str, namespace: str) -> None:
        if partition_of(namespace.encode(), PARTITIONS) not in self.held[app]:
            raise Moved


def context(timeout_s: float = 10.0, *, patient: bool = True) -> CallContext:
    return CallContext("", timeout_s, {}, patient)


def get(space: str) -> bytes:
    return episodic_pb2.GetRequest(namespace=space).SerializeToString()


Test = Callable[[ShardedBackend, Shards, Assignments], Awaitable[T]]


def behind_the_door(log: Log, test: Test[T], period_s: float = 0.2) -> T:
    """``test`` with a backend over shards, and the record that it follows."""

    async def run() -> T:
        assignments, shards = Assignments(log), Shards()
        assignments.refresh()
        routes = Routes(assignments, period_s)
        backend = ShardedBackend(shards, routes)
        tasks = [asyncio.create_task(routes.follow()), asyncio.create_task(backend.follow())]
        writing = Assignments(log)
        writing.refresh()
        try:
            return await test(backend, shards, writing)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


async def move(shards: Shards, record: Assignments, partition: int, to: int, away_s: float = 0.4) -> None:
    """As Scaling does it: nobody answers for the partition for a while."""
    before = record.required.owners[partition].shard
    record.assign(record.required.with_owner(partition, Owner(to, LEAVING, before)))
    for held in shards.held.values():
        held.discard(partition)
    await asyncio.sleep(away_s)
    shards.held.setdefault("episodic" if to == 0 else f"episodic-{to}", set()).add(partition)
    record.assign(record.required.with_owner(partition, Owner(to)))


def test_a_patient_call_waits_for_its_partition_and_is_answered_where_that_is_then(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        assert await backend.unary("episodic", E + "Get", get(SPACES[2]), context()) == b"episodic"
        moving = asyncio.create_task(move(shards, record, 2, 1))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert await backend.unary("episodic", E + "Get", get(SPACES[2]), context()) == b"episodic-1"
        waited = time.monotonic() - began
        assert shards.times[-1] == pytest.approx(10.0 - waited, abs=0.2)
        await moving
        assert len(shards.asked) < 5, "nobody is asked again and again meanwhile"

    behind_the_door(log, test)


def test_other_partitions_are_served_meanwhile(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        moving = asyncio.create_task(move(shards, record, 2, 1, away_s=1.0))
        await asyncio.sleep(0.05)
        for _ in range(3):
            assert (
                await backend.unary("episodic", E + "Get", get(SPACES[0]), context(0.5, patient=False)) == b"episodic"
            )
        assert not moving.done()
        await moving

    behind_the_door(log, test)


def test_an_impatient_call_that_would_have_to_wait_says_so(log: Log) -> None:
    """It then waits in a place of those that wait, in nobody's way."""

    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        shards.held["episodic"].remove(2)
        with pytest.raises(NotYet):
            await backend.unary("episodic", E + "Get", get(SPACES[2]), context(patient=False))

    behind_the_door(log, test)


def test_a_partition_that_nobody_takes_fails_its_calls_within_their_time_with_a_remedy(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        shards.held["episodic"].remove(2)
        began = time.monotonic()
        with pytest.raises(MnemeError) as failed:
            await backend.unary("episodic", E + "Get", get(SPACES[2]), context(0.6))
        assert (failed.value.reason, failed.value.metadata["retry_after_ms"]) == ("SERVICE_UNAVAILABLE", "1000")
        assert time.monotonic() - began < 3

    behind_the_door(log, test)


def test_a_watch_goes_on_from_its_cursor_at_the_next_shard(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        watch = episodic_pb2.WatchRequest(namespace=SPACES[2]).SerializeToString()
        messages, cursor = await backend.page("episodic", E + "Watch", watch, b"7", context())
        moving = asyncio.create_task(move(shards, record, 2, 1))
        await asyncio.sleep(0.05)
        more, _ = await backend.page("episodic", E + "Watch", watch, cursor, context())
        assert [*messages, *more] == [b"episodic after 7", b"episodic-1 after 7+"]
        await moving

    behind_the_door(log, test)


def test_a_recall_over_scopes_asks_each_shard_for_what_it_holds_then(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        request = episodic_pb2.RecallRequest(namespace=SPACES[0], scopes=SPACES[1:]).SerializeToString()
        moving = asyncio.create_task(move(shards, record, 2, 1))
        await asyncio.sleep(0.05)
        raw = await backend.unary("episodic", E + "Recall", request, context())
        assert set(episodic_pb2.RecallResponse.FromString(raw).erasure_epochs) == set(SPACES)
        await moving

    behind_the_door(log, test)


def test_what_is_asked_of_all_shards_is_of_every_partition_once(log: Log) -> None:
    """Whenever it is asked: a partition is missed nowhere, and counted nowhere twice."""

    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        moving = asyncio.create_task(move(shards, record, 2, 1, away_s=0.3))
        request = admin_pb2.ListNamespacesRequest(page_size=100).SerializeToString()
        for _ in range(20):
            raw = await backend.unary("episodic", A + "ListNamespaces", request, context())
            names = [each.name for each in admin_pb2.ListNamespacesResponse.FromString(raw).namespaces]
            assert names == sorted(SPACES)
            await asyncio.sleep(0.01)
        await moving

    behind_the_door(log, test)


def test_pages_of_all_shards_name_every_namespace_once(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        await move(shards, record, 2, 1)
        for size in (1, 2, 3, len(SPACES)):
            names, request = list[str](), admin_pb2.ListNamespacesRequest(page_size=size)
            for _ in range(len(SPACES)):
                raw = await backend.unary("episodic", A + "ListNamespaces", request.SerializeToString(), context())
                page = admin_pb2.ListNamespacesResponse.FromString(raw)
                names += [each.name for each in page.namespaces]
                request.page_token = page.next_page_token
                if not page.next_page_token:
                    break
            assert names == sorted(SPACES)

    behind_the_door(log, test)


def test_audit_is_asked_of_whose_the_namespace_is_and_without_one_of_any(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        for namespace, shard in ((SPACES[0], "episodic"), (SPACES[1], "episodic-1"), ("", "episodic")):
            request = admin_pb2.ListAuditRequest(namespace=namespace).SerializeToString()
            raw = await backend.unary("episodic", A + "ListAudit", request, context())
            [entry] = admin_pb2.ListAuditResponse.FromString(raw).entries
            assert entry.principal == shard

    behind_the_door(log, test)


def test_usage_is_of_all_shards_in_one_order(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        raw = await backend.unary("episodic", A + "ListUsage", b"", context())
        told = {each.namespace: each.told for each in admin_pb2.ListUsageResponse.FromString(raw).namespaces}
        assert told == {name: n for n, name in enumerate(SPACES)}
        assert list(told) == sorted(SPACES)

    behind_the_door(log, test)


def test_a_rebuild_that_is_asked_for_again_meanwhile_is_the_same_one(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        moving = asyncio.create_task(move(shards, record, 2, 1))
        shards.held["episodic"].discard(2)
        raw = await backend.unary("episodic", A + "Rebuild", b"", context())
        operation = admin_pb2.RebuildResponse.FromString(raw).operation
        assert (operation.total, bool(operation.id)) == (4, True)
        asked = {
            admin_pb2.RebuildRequest.FromString(request).id
            for _, method, request in shards.asked
            if method == A + "Rebuild"
        }
        assert asked == {operation.id}
        await moving

    behind_the_door(log, test)


def test_a_shard_that_has_no_partition_any_more_is_left(log: Log) -> None:
    async def test(backend: ShardedBackend, shards: Shards, record: Assignments) -> None:
        for partition in (1, 3):
            await move(shards, record, partition, 0, away_s=0.01)
        until = time.monotonic() + 5
        while not shards.left and time.monotonic() < until:
            await asyncio.sleep(0.01)
        assert shards.left == ["episodic-1"]
        del shards.held["episodic-1"]
        await backend.ping("episodic")

    behind_the_door(log, test)


# --- asking for a number ---

OPERATOR = TOKENS.issue("operator", ("",), frozenset(Right), 3600)[1]


def ask(log: Log, method: str, request: bytes = b"", by: Caller = OPERATOR) -> bytes:
    office = TokenOffice(TOKENS, Revocations(log))
    app = application(office, ShardOffice(Assignments(log), 2), GRANTS)
    return asyncio.run(app.unary(A + method, request, CallContext(GRANTS.grant(by), 10.0, {})))


def want(log: Log, shards: int, by: Caller = OPERATOR) -> admin_pb2.Shards:
    request = admin_pb2.SetShardsRequest(shards=shards).SerializeToString()
    return admin_pb2.SetShardsResponse.FromString(ask(log, "SetShards", request, by)).shards


@pytest.mark.parametrize("count", [0, 3, 5, 8])
def test_a_number_that_does_not_divide_the_partitions_is_refused_and_nothing_changes(log: Log, count: int) -> None:
    with pytest.raises(MnemeError) as refused:
        want(log, count)
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "shards")
    assert refused.value.message == f"{count} shards cannot share the ledger's 4 partitions evenly."
    assert refused.value.remedy == "Ask for one of 1, 2, 4."
    after = Assignments(log)
    after.refresh()
    assert after.wanted is None


def test_who_asked_for_a_number_is_recorded(log: Log) -> None:
    want(log, 4)
    [done] = acts(log, Wanted(), 10, "").entries
    assert (done.action, done.principal, done.count) == (admin_pb2.AUDIT_ACTION_SHARDS_SET, "operator", 4)


def test_shards_are_for_the_operator_alone(log: Log) -> None:
    tenant = TOKENS.issue("acme", ("acme",), frozenset(Right), 3600)[1]
    for call in (lambda: want(log, 4, tenant), lambda: ask(log, "GetShards", by=tenant)):
        with pytest.raises(MnemeError) as refused:
            call()
        assert refused.value.reason == "PERMISSION_DENIED"


def test_a_number_that_is_asked_for_is_recorded_and_how_far_it_is_can_be_seen(log: Log) -> None:
    asked = want(log, 4)
    assert (asked.wanted, asked.done) == (4, False)
    record = Assignments(log)
    record.refresh()
    record.assign(record.required.with_owner(2, Owner(2, LEAVING, 0)))
    told = admin_pb2.GetShardsResponse.FromString(ask(log, "GetShards")).shards
    assert [(each.application, list(each.partitions)) for each in told.shards] == [
        ("episodic", [0]),
        ("episodic-1", [1, 3]),
        ("episodic-2", []),
    ]
    assert (list(told.moving), told.done) == ([2], False)
    record.assign(Assignment.of([0, 1, 2, 3]))
    assert admin_pb2.GetShardsResponse.FromString(ask(log, "GetShards")).shards.done
