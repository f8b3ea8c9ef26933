"""The handlers of episodic: check, translate, call, translate back. What blocks runs in threads."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

from mneme.v1 import admin_pb2, episodic_pb2
from mneme.v1.admin_pb2 import Operation
from mneme.v1.common_pb2 import Freshness, Position
from mneme.v1.ledger_pb2 import StoredReceipt

from services.common import telemetry
from services.common.crypto.auth import Caller, covers
from services.common.ledger import topics
from services.common.ledger.audit import act, acts
from services.common.log import away
from services.common.log.base import LogUnavailable, partition_of
from services.common.serving.errors import MnemeError, invalid
from services.common.serving.fair import FairThreads
from services.common.serving.operations import operation_id
from services.common.serving.pages import fitting, page_size
from services.common.serving.serving import Call, Handler, NotYet, Page, tenant
from services.common.serving.shards import require_few
from services.common.text.limits import check_text
from services.episodic import converters
from services.episodic.holding import Holding
from services.episodic.recall.recall import newest_applied, not_fresh
from services.episodic.search.index import IndexUnavailable, unavailable
from services.episodic.service import Episodic
from services.episodic.state.checks import check_given, check_id, not_found, time_range, unknown_namespace
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.state.records import to_engram
from services.episodic.write.waiting import Waiting

P = ParamSpec("P")
T = TypeVar("T")

_E = "mneme.v1.EpisodicService/"
_A = "mneme.v1.AdminService/"
_MARGIN_S = 0.1  # kept of a deadline, to say NOT_FRESH before it passes
_NEW_NAMESPACE_S = 5.0  # a namespace that was just created is waited for
_RECEIPT_LOOK_S = 0.02  # between two looks at whether a receipt was finished
_WATCH_PAGE = 128
_WATCH_WAIT_S = 1.0
_SHARES = 4  # calls of one tenant have at most this part of the threads
_COMMANDING = 4  # tenants whose erasures are looked for at once
_MAX_UNFOLDED = 100
_MAX_CURSOR = 19  # digits
_NO_OFFSET = 1 << 62  # beyond what a log counts to


class Servicer:
    def __init__(self, episodic: Episodic) -> None:
        self._episodic = episodic
        self._at = episodic.of  # what owns a namespace
        self._log = episodic.log
        self._progress = episodic.progress
        self.holding = Holding(episodic)
        self._waiting = Waiting(episodic.progress, self.holding.leaving)
        threads = episodic.config.call_threads
        self._threads = FairThreads(threads, max(1, threads // _SHARES), tenant, "call")
        # Those that wait for their turn to command an erasure may not hold up reads, nor another tenant's.
        self._commanding = FairThreads(_COMMANDING, 1, tenant, "forget")

    def handlers(self) -> Mapping[str, Handler]:
        handlers = {
            _E + "Remember": Handler(episodic_pb2.RememberRequest, self.remember),
            _E + "Correct": Handler(episodic_pb2.CorrectRequest, self.correct),
            _E + "Recall": Handler(episodic_pb2.RecallRequest, self.recall),
            _E + "GetErasureEpoch": Handler(episodic_pb2.GetErasureEpochRequest, self.get_erasure_epoch),
            _E + "Get": Handler(episodic_pb2.GetRequest, self.get),
            _E + "List": Handler(episodic_pb2.ListRequest, self.list_engrams),
            _E + "Timeline": Handler(episodic_pb2.TimelineRequest, self.timeline),
            _E + "History": Handler(episodic_pb2.HistoryRequest, self.history),
            _E + "Export": Handler(episodic_pb2.ExportRequest, self.export),
            _E + "Forget": Handler(episodic_pb2.ForgetRequest, self.forget),
            _E + "VerifyForgotten": Handler(episodic_pb2.VerifyForgottenRequest, self.verify_forgotten),
            _E + "Watch": Handler(episodic_pb2.WatchRequest, self.watch),
            _A + "DeleteNamespace": Handler(admin_pb2.DeleteNamespaceRequest, self.delete_namespace),
            _A + "ListNamespaces": Handler(admin_pb2.ListNamespacesRequest, self.list_namespaces),
            _A + "GetOperation": Handler(admin_pb2.GetOperationRequest, self.get_operation),
            _A + "Rebuild": Handler(admin_pb2.RebuildRequest, self.rebuild),
            _A + "GetStats": Handler(admin_pb2.GetStatsRequest, self.get_stats),
            _A + "ListAudit": Handler(admin_pb2.ListAuditRequest, self.list_audit),
            _A + "ListUsage": Handler(admin_pb2.ListUsageRequest, self.list_usage),
        }
        return {name: replace(each, function=self.holding.counted(each.function)) for name, each in handlers.items()}

    def stop(self) -> None:
        for threads in (self._threads, self._commanding):
            threads.shutdown(cancel_futures=True)

    # --- writes ---

    async def remember(self, request: episodic_pb2.RememberRequest, call: Call) -> episodic_pb2.RememberResponse:
        info = await self._namespace(request.namespace, call)
        if request.derived_from:  # perhaps from what was stated just now
            await self._fresh([request.namespace], Freshness(strong=True), call)
        commands = self._at(request.namespace).commands
        command = partial(commands.remember, request, info, call.caller.principal, call.caller.tenant)
        id, position, known = await self._run_in(self._threads, command, to_the_end=True)
        return episodic_pb2.RememberResponse(engram_id=id, position=position, duplicate=known)

    async def correct(self, request: episodic_pb2.CorrectRequest, call: Call) -> episodic_pb2.CorrectResponse:
        await self._namespace(request.namespace, call)
        check_given(request.engram_id, "engram_id")
        # A product may correct what it has just stated: wait until it is there.
        await self._fresh([request.namespace], Freshness(strong=True), call)
        commands = self._at(request.namespace).commands
        command = partial(commands.correct, request, call.caller.principal, call.caller.tenant)
        id, position, known = await self._run_in(self._threads, command, to_the_end=True)
        return episodic_pb2.CorrectResponse(engram_id=id, position=position, duplicate=known)

    async def forget(self, request: episodic_pb2.ForgetRequest, call: Call) -> episodic_pb2.ForgetResponse:
        namespace, owner = request.namespace, self._at(request.namespace)
        forgetting = owner.forgetting
        await self._namespace(namespace, call)
        if not request.dry_run:
            check_id(request.id)
        # Resolved over everything that was acknowledged before.
        await self._fresh([namespace], Freshness(strong=True), call)
        if request.dry_run:
            targets = await self._run(forgetting.resolve, namespace, request.selector)
            texts = await self._run(forgetting.shown, namespace, targets)
            return converters.to_dry_run(targets, texts)
        command = partial(forgetting.command, namespace, request.selector, request.id, call.caller.principal)
        receipt_id, targets = await self._run_in(self._commanding, command, to_the_end=True)
        response = converters.to_forgotten(await self._receipt(namespace, receipt_id, call))
        response.names.extend(targets.names)
        response.named.extend(converters.to_named(targets))
        return response

    async def _receipt(self, namespace: str, id: str, call: Call) -> StoredReceipt:
        """The finished receipt of what was commanded. Takes a thread only to look, when one was finished. DEADLINE."""
        host = self._at(namespace).host
        until = time.monotonic() + max(0.0, call.time_left_s() - _MARGIN_S)
        looked_at = -1
        while True:
            self._at(namespace)  # it may have gone to another process, which has the receipt for who asks again
            host.check()
            if (finished := host.receipts.finished) != looked_at:
                receipt = await self._run(host.finished_receipt, namespace, id)
                if receipt is not None:
                    return receipt
                looked_at = finished
            if time.monotonic() >= until:
                raise MnemeError(
                    "DEADLINE",
                    "The erasure is commanded and goes on; it was not done in time.",
                    remedy="Ask again with the same id: it gives the receipt.",
                )
            await asyncio.sleep(_RECEIPT_LOOK_S)

    # --- reads ---

    async def recall(self, request: episodic_pb2.RecallRequest, call: Call) -> episodic_pb2.RecallResponse:
        require_few(request.scopes)
        check_text(request.query, "query", least=0)
        infos = [await self._namespace(request.namespace, call)]
        for n, scope in enumerate(request.scopes):
            infos.append(await self._namespace(scope, call, f"scopes[{n}]"))
        infos = list({info.name: info for info in infos}.values())
        infos = await self._declaring(request.filter, infos, request.freshness, call)
        query = converters.to_query(request, infos, self._episodic.config.recall_limit)
        wanted = await self._wanted(query.namespaces, request.freshness, call)
        check_text(request.query, "query")  # last of all, and before anything is waited for
        started = time.perf_counter()
        await self._wait_for(wanted, call)
        waited = time.perf_counter() - started
        recalled = await self._run(self._episodic.recaller.recall, query)
        response = converters.to_recall_response(recalled)
        response.stages.add(stage="freshness").duration.FromNanoseconds(int(waited * 1e9))
        return response

    async def get_erasure_epoch(
        self, request: episodic_pb2.GetErasureEpochRequest, call: Call
    ) -> episodic_pb2.GetErasureEpochResponse:
        await self._namespace(request.namespace, call)
        epoch = self._at(request.namespace).host.registry.epoch(request.namespace)
        return episodic_pb2.GetErasureEpochResponse(erasure_epoch=epoch)

    async def get(self, request: episodic_pb2.GetRequest, call: Call) -> episodic_pb2.GetResponse:
        await self._namespace(request.namespace, call)
        check_given(request.engram_id, "engram_id")
        await self._fresh([request.namespace], request.freshness, call)
        stored = await self._run(self._at(request.namespace).reads.get, request.namespace, request.engram_id)
        return episodic_pb2.GetResponse(engram=to_engram(stored))

    async def list_engrams(self, request: episodic_pb2.ListRequest, call: Call) -> episodic_pb2.ListResponse:
        infos = [await self._namespace(request.namespace, call)]
        infos = await self._declaring(request.filter, infos, request.freshness, call)
        wanted = converters.to_filter(request.filter, infos)
        size = page_size(request.page_size)
        await self._fresh([request.namespace], request.freshness, call)
        page = self._at(request.namespace).reads.page
        found, token = await self._run(page, request.namespace, wanted, size, request.page_token, by_time=False)
        return episodic_pb2.ListResponse(engrams=map(to_engram, found), next_page_token=token)

    async def timeline(self, request: episodic_pb2.TimelineRequest, call: Call) -> episodic_pb2.TimelineResponse:
        infos = [await self._namespace(request.namespace, call)]
        infos = await self._declaring(request.filter, infos, request.freshness, call)
        start, end = time_range(request.event_time, "event_time")
        wanted = converters.narrowed(converters.to_filter(request.filter, infos), start, end)
        size = page_size(request.page_size)
        await self._fresh([request.namespace], request.freshness, call)
        page = self._at(request.namespace).reads.page
        found, token = await self._run(page, request.namespace, wanted, size, request.page_token, by_time=True)
        return episodic_pb2.TimelineResponse(engrams=map(to_engram, found), next_page_token=token)

    async def history(self, request: episodic_pb2.HistoryRequest, call: Call) -> episodic_pb2.HistoryResponse:
        await self._namespace(request.namespace, call)
        check_given(request.engram_id, "engram_id")
        await self._fresh([request.namespace], request.freshness, call)
        events = await self._run(self._at(request.namespace).reads.history, request.namespace, request.engram_id)
        return episodic_pb2.HistoryResponse(events=events)

    async def export(self, request: episodic_pb2.ExportRequest, call: Call) -> episodic_pb2.ExportResponse:
        await self._namespace(request.namespace, call)
        if not request.page_token:
            await self._fresh([request.namespace], Freshness(strong=True), call)
        page = self._at(request.namespace).export.page
        found = await self._run(page, request.namespace, request.page_token)
        return episodic_pb2.ExportResponse(
            told=found.told, next_page_token=found.next_page_token, unreadable=found.unreadable
        )

    async def verify_forgotten(
        self, request: episodic_pb2.VerifyForgottenRequest, call: Call
    ) -> episodic_pb2.VerifyForgottenResponse:
        namespace, id = request.namespace, request.receipt_id
        call.require_namespace(namespace)
        check_given(id, "receipt_id")
        owner = self._at(namespace)
        if await self._run(owner.forgetting.is_deletion, namespace, id):
            receipt: StoredReceipt | None = await self._receipt(namespace, id, call)
        else:
            await self._namespace(namespace, call)
            receipt = await self._run(owner.host.state.receipt, namespace, id)
        if receipt is None:
            raise not_found("receipt_id", id, "receipt")
        probes, possible = await self._run(owner.forgetting.verify, namespace, receipt)
        clean = not any(p.readable for p in probes)
        return episodic_pb2.VerifyForgottenResponse(clean=clean, probes=probes, possible_mentions=possible)

    async def watch(self, request: episodic_pb2.WatchRequest, cursor: bytes, call: Call) -> Page:
        """The changes after ``cursor``; waits a little for the first."""
        await self._namespace(request.namespace, call)
        reads, namespace = self._at(request.namespace).reads, request.namespace
        start = await self._watch_from(request, cursor)
        until = time.monotonic() + min(_WATCH_WAIT_S, max(0.0, call.time_left_s() - _MARGIN_S))
        [partition] = self._by_partition([namespace])
        while True:
            applied = self._progress.snapshot()[partition]
            changes, after = await self._run(reads.changes, namespace, start, _WATCH_PAGE)
            if changes or after > start or time.monotonic() >= until:
                messages = [converters.to_watched(change, at) for change, at in changes]
                return Page(messages, str(after).encode())
            # No thread looks again before something was applied.
            await self._waiting.reached({partition: applied + 1}, until - time.monotonic())
            self.holding.require_staying([partition])

    async def _watch_from(self, request: episodic_pb2.WatchRequest, cursor: bytes) -> int:
        given = cursor.decode() if cursor else request.cursor
        if given:
            if not given.isdecimal() or len(given) > _MAX_CURSOR:
                raise invalid("cursor", "This is no cursor.", "Send the cursor of a WatchResponse, or none.")
            end = await self._run(self._at(request.namespace).reads.end, request.namespace)
            if int(given) > end:  # of another log: of one that a backup was put in place of, say
                remedy = "Send the cursor of a WatchResponse, or watch from the start."
                raise invalid("cursor", "It lies beyond what there is.", remedy)
            return int(given)
        return 0 if request.from_start else await self._run(self._at(request.namespace).reads.end, request.namespace)

    # --- operating ---

    async def list_namespaces(
        self, request: admin_pb2.ListNamespacesRequest, call: Call
    ) -> admin_pb2.ListNamespacesResponse:
        size = page_size(request.page_size)
        names = self._names(call, request.page_token)
        registries = [(name, self._at(name).host.registry) for name in names[:size]]
        infos = [(info, registry) for name, registry in registries if (info := registry.namespace(name)) is not None]
        told = (converters.to_namespace(info, registry.epoch(info.name)) for info, registry in infos)
        page, are_all = fitting(told, lambda each: each.ByteSize())
        after = (names[size - 1] if len(names) > size else "") if are_all else page[-1].name
        return admin_pb2.ListNamespacesResponse(namespaces=page, next_page_token=after)

    async def delete_namespace(
        self, request: admin_pb2.DeleteNamespaceRequest, call: Call
    ) -> admin_pb2.DeleteNamespaceResponse:
        namespace = request.namespace
        call.require_namespace(namespace)
        owner = self._at(namespace)
        forgetting = owner.forgetting
        if request.dry_run:
            await self._namespace(namespace, call)
            await self._fresh([namespace], Freshness(strong=True), call)
            slots = await self._run(owner.host.live.store.directory.slots, namespace)
            return admin_pb2.DeleteNamespaceResponse(engrams=len(slots))
        check_id(request.id)
        receipt_id = await self._run(forgetting.known_deletion, namespace, request.id)
        if receipt_id is None:
            await self._namespace(namespace, call)
            command = partial(forgetting.delete, namespace, request.id, call.caller.principal)
            receipt_id = await self._run_in(self._commanding, command, to_the_end=True)
        receipt = (await self._receipt(namespace, receipt_id, call)).receipt
        engrams = receipt.base_erased + receipt.derived_retired
        return admin_pb2.DeleteNamespaceResponse(engrams=engrams, receipt=receipt)

    async def get_operation(self, request: admin_pb2.GetOperationRequest, call: Call) -> admin_pb2.GetOperationResponse:
        check_given(request.id, "id")
        operation = await self._run(self._episodic.operation, request.id)
        # Every operation there is is a rebuild, which is of every namespace.
        if operation is None or "" not in call.caller.prefixes:
            raise not_found("id", request.id, "operation")
        return admin_pb2.GetOperationResponse(operation=operation)

    async def rebuild(self, request: admin_pb2.RebuildRequest, call: Call) -> admin_pb2.RebuildResponse:
        call.caller.require_every_namespace("A rebuild is of every namespace.")
        if request.id:
            check_id(request.id)
        asked = request.id or secrets.token_hex(8)
        operation = await self._run(self._begun, asked, call.caller.principal)
        return admin_pb2.RebuildResponse(operation=operation)

    def _begun(self, asked: str, principal: str) -> Operation:
        """A rebuild, recorded by the first process that is asked for it."""
        id = operation_id(asked)
        if self._episodic.operation(id) is None:
            self._log.append([act(admin_pb2.AUDIT_ACTION_REBUILD_ASKED, principal, subject=id)])
        return self._episodic.rebuild(asked)

    async def get_stats(self, request: admin_pb2.GetStatsRequest, call: Call) -> admin_pb2.GetStatsResponse:
        await self._namespace(request.namespace, call)
        owner = self._at(request.namespace)
        host = owner.host
        lag = await self._run(host.lag_of, request.namespace)
        counts = await self._run(owner.reads.counts, request.namespace, with_hash=lag == 0 and not request.counts_only)
        directory = host.live.store.directory
        unfolded = await self._run(host.parking.waiting, request.namespace, directory)
        return admin_pb2.GetStatsResponse(
            namespace=request.namespace,
            engrams_by_kind=counts.by_kind,
            state_hash=counts.state_hash,
            applied=converters.positions(newest_applied({request.namespace: host})),
            lag=lag,
            generation=host.live.number,
            erasure_epoch=host.registry.epoch(request.namespace),
            unfolded=[
                admin_pb2.Unfolded(position=n.position, reason=n.reason, message=n.message)
                for n in unfolded[:_MAX_UNFOLDED]
            ],
        )

    async def list_audit(self, request: admin_pb2.ListAuditRequest, call: Call) -> admin_pb2.ListAuditResponse:
        namespace, wanted, size = request.namespace, converters.to_wanted(request), page_size(request.page_size)
        if not namespace:
            call.caller.require_every_namespace(
                "Without a namespace it is what was done to the service itself.",
                field="namespace",
                remedy='Name the namespace, or use a token whose prefix is "".',
            )
            page = await self._run(acts, self._log, wanted, size, request.page_token)
        else:
            call.require_namespace(namespace)
            owner = self._at(namespace)
            if not owner.host.registry.is_gone(namespace):
                await self._namespace(namespace, call)
            if not request.page_token:
                await self._fresh([namespace], Freshness(strong=True), call)
            page = await self._run(owner.audit.page, namespace, wanted, size, request.page_token)
        return admin_pb2.ListAuditResponse(entries=page.entries, next_page_token=page.next_page_token)

    async def list_usage(self, request: admin_pb2.ListUsageRequest, call: Call) -> admin_pb2.ListUsageResponse:
        size = page_size(request.page_size)
        names = [name for name in self._names(call, request.page_token) if covers(request.prefix, name)]
        registries = [(name, self._at(name).host.registry) for name in names[:size]]
        told = [converters.to_usage(name, *registry.usage(name)) for name, registry in registries]
        after = names[size - 1] if len(names) > size else ""
        return admin_pb2.ListUsageResponse(namespaces=told, next_page_token=after)

    # --- what all of them need ---

    def _names(self, call: Call, after: str) -> list[str]:
        """Of the namespaces that the caller's prefixes cover, those behind a name, in order."""
        prefixes = call.caller.prefixes
        return [n for n in self._episodic.names() if n > after and any(covers(prefix, n) for prefix in prefixes)]

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In a thread of the calls, within the current trace; it ends when its caller leaves. As ``_run_in``."""
        return await self._run_in(self._threads, partial(function, *args, **kwargs), to_the_end=False)

    async def _run_in(self, threads: FairThreads, function: Callable[[], T], *, to_the_end: bool) -> T:
        """LOG_UNAVAILABLE, SERVICE_UNAVAILABLE when a store is away. ``to_the_end``: also where its caller leaves, who
        finds it done when it is sent again. Else what takes longer than a caller waits would never be done."""
        work = threads.run(tenant(), partial(copy_context().run, function), to_the_end=to_the_end)
        try:
            with telemetry.QUEUE.labels("episodic", "calls").track_inprogress():
                return await work
        except LogUnavailable as error:
            raise away.unavailable(error, "The log does not answer.", "Try again; nothing was acknowledged.") from error
        except IndexUnavailable as error:
            raise unavailable(error) from error

    async def _namespace(self, name: str, call: Call, field: str = "namespace") -> NamespaceInfo:
        """The namespace, once the caller may use it. Waits a little for one that was just created."""
        call.require_namespace(name, field)
        registry = self._at(name).host.registry
        if registry.namespace(name) is None:
            wanted = await self._ends([name])
            within_s = min(_NEW_NAMESPACE_S, max(0.0, call.time_left_s() - _MARGIN_S))
            known = await self._reached(wanted, call, within_s)
            if not known and registry.namespace(name) is None:
                raise not_fresh(field)  # its creation may be on its way
        info = registry.namespace(name)
        if info is None:
            raise unknown_namespace(name, field)
        return info

    async def _declaring(
        self, given: episodic_pb2.RecallFilter, infos: list[NamespaceInfo], freshness: Freshness, call: Call
    ) -> list[NamespaceInfo]:
        """The namespaces. One that lacks a field of the filter may declare it further on: as fresh as is asked for."""
        fields = {condition.field for condition in given.metadata}
        if all(fields <= {declared.name for declared in info.fields} for info in infos):
            return infos
        await self._fresh([info.name for info in infos], freshness, call)
        return [self._at(info.name).host.registry.namespace(info.name) or info for info in infos]

    async def _fresh(self, namespaces: Sequence[str], freshness: Freshness, call: Call) -> None:
        """Wait until the index is as fresh as asked for. NOT_FRESH at the deadline."""
        await self._wait_for(await self._wanted(namespaces, freshness, call), call)

    async def _wanted(self, namespaces: Sequence[str], freshness: Freshness, call: Call) -> Mapping[int, int]:
        """The offsets that a freshness asks for, by partition. INVALID_FIELD."""
        level = freshness.WhichOneof("level")
        if level == "at_least":
            return await self._positions(namespaces, freshness.at_least.positions, call)
        return await self._ends(namespaces) if level == "strong" and freshness.strong else {}

    async def _wait_for(self, wanted: Mapping[int, int], call: Call) -> None:
        if not await self._reached(wanted, call, max(0.0, call.time_left_s() - _MARGIN_S)):
            raise not_fresh()

    async def _reached(self, wanted: Mapping[int, int], call: Call, within_s: float) -> bool:
        """Whether everything before these offsets is visible, now or within the time. NotYet."""
        if not call.patient and not self._progress.reached(wanted):
            raise NotYet
        reached = await self._waiting.reached(wanted, within_s)
        if not reached:
            self.holding.require_staying(wanted)
        return reached

    async def _positions(
        self, namespaces: Sequence[str], positions: Iterable[Position], call: Call
    ) -> Mapping[int, int]:
        """The offsets behind positions of the ledger, of those partitions where the namespaces lie.

        INVALID_FIELD for one where the caller may read nothing, whether it is another tenant's or nobody has written
        it: to wait for that is to hold a place for nothing, and to tell which would tell how much others have written.
        """
        highest: dict[int, tuple[int, int]] = {}  # by partition: the offset, and which of the positions has it
        for n, p in enumerate(positions):
            if p.partition >= self._log.partitions(topics.LEDGER):
                raise _no_position(f"positions[{n}] names a partition that is not there.")
            highest[p.partition] = max(highest.get(p.partition, (-1, n)), (p.offset, n))
        wanted: dict[int, int] = {}
        for partition, names in self._by_partition(namespaces).items():
            offset, n = highest.get(partition, (-1, 0))
            if offset < 0:
                continue
            known = any(offset <= self._at(name).host.registry.newest(name) for name in names)
            if not (known or await self._run(self._may_read, partition, offset, call.caller)):
                raise _no_position(f"There is nothing at positions[{n}] that the token may read.")
            wanted[partition] = offset + 1
        return wanted

    def _may_read(self, partition: int, offset: int, caller: Caller) -> bool:
        """Whether there is an entry at this offset of the ledger, of a namespace of the caller's."""
        if offset >= _NO_OFFSET:
            return False
        records = self._log.read(topics.LEDGER, partition, offset, offset + 1)
        return any(
            covers(prefix, record.key.decode(errors="replace")) for record in records for prefix in caller.prefixes
        )

    async def _ends(self, namespaces: Sequence[str]) -> dict[int, int]:
        """Where the namespaces' partitions of the ledger end now."""
        ends = self._log.end_offset
        return {p: await self._run(ends, topics.LEDGER, p) for p in self._by_partition(namespaces)}

    def _by_partition(self, namespaces: Sequence[str]) -> dict[int, list[str]]:
        """The partitions of the ledger that hold the namespaces, each with those that it holds."""
        count = self._log.partitions(topics.LEDGER)
        held: dict[int, list[str]] = {}
        for name in namespaces:
            held.setdefault(partition_of(name.encode(), count), []).append(name)
        return held


def _no_position(message: str) -> MnemeError:
    return invalid("freshness.at_least", message, "Send positions as they were given.")
