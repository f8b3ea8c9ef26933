"""The client library: blocks by key from shared memory, everything else over the control port.

Knows no engine's pool layout: keys are 16 bytes, payloads buffers. Nothing here raises because the store is slow,
gone or another one by now: lookups miss, waits end, puts store nothing, and the engine computes. Only ``drop`` and
``stats`` raise, because whoever erases must know. Thread-safe; blocking, so call waits and puts off an event loop.
"""

from __future__ import annotations

import logging
import mmap
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from mneme.v1 import kvstore_pb2 as pb
from mneme.v1.kvstore_node_service_pb2_grpc import KvstoreNodeServiceStub

from services.common import telemetry
from services.common.nodes.nodes import NodeCredential
from services.common.serving.errors import MnemeError, from_rpc_error
from services.kvstore import layout
from services.kvstore.endpoint import Endpoint
from services.kvstore.layout import BadArena
from services.kvstore.reader import Reader

_log = logging.getLogger(__name__)

R = TypeVar("R", bound=Message)

_MAX_NOTED = 4096  # keys told in one heartbeat
_MAX_REPORTED = 64  # suspects told in one call: the store looks at no more
_PUT_BATCH_BYTES = 8 << 20  # staged and committed together, so that several clients share the ring
_RING_FULL_PAUSE_S = 0.01
_STAGING_MARGIN = 0.8  # of a reservation's time: nothing is written into it after that


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. What bounds the time that a store which is away can cost."""

    call_s: float = 0.5
    put_s: float = 5.0
    retry_s: float = 0.25  # between attempts to reach a store that was away
    heartbeat_s: float = 0.5  # well below the store's hold_ttl_s


@dataclass(frozen=True, slots=True)
class Origin:
    """What blocks were computed from. ``lineage``: (namespace, engram id), in order of first use in the chain."""

    namespace: str
    epochs: Mapping[str, int] = field(default_factory=dict)
    lineage: Sequence[tuple[str, str]] = ()
    unknown: bool = False  # the prompt's engrams are not known: any erasure in ``namespace`` drops the blocks


@dataclass(frozen=True, slots=True)
class Flight:
    """What ``begin`` found: keys = present + claimed + held + rest; claimed or held is 0."""

    present: int
    claimed: int  # compute these; put or give_up ends the claim
    held: int  # others compute these: wait for them


@dataclass(slots=True)
class _Connection:
    """One owner: its arena, its staging ring, its port."""

    endpoint: Endpoint
    reader: Reader
    staging: mmap.mmap
    channel: Any
    stub: Any


class KvClient:
    """``with KvClient(...) as kv``; or ``start`` and ``close``."""

    def __init__(self, data_dir: Path, identity: bytes, credential: NodeCredential, timing: Timing = Timing()) -> None:
        """``data_dir``: of the store (common.data_dir). ``identity``: 16 bytes that name frame and engine."""
        self._data_dir = data_dir
        self._identity = identity
        self._credential = credential
        self._timing = timing
        self._holder = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._connect_after = 0.0
        self._call_after = 0.0
        self._used: OrderedDict[bytes, None] = OrderedDict()
        self._claims: set[bytes] = set()
        self._stopping = threading.Event()
        self._beating: threading.Thread | None = None

    def start(self) -> KvClient:
        """Begin to send heartbeats. A store that is away is found when it comes."""
        self._beating = threading.Thread(target=self._beat, name="kv-heartbeat", daemon=True)
        self._beating.start()
        return self

    def close(self) -> None:
        """Give up what this client holds."""
        self._stopping.set()
        if self._beating is not None:
            self._beating.join()
        self.give_up(list(self._claims))
        with self._lock:
            if self._connection is not None:
                self._connection.channel.close()
            self._connection = None

    def __enter__(self) -> KvClient:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- from shared memory ----------------------------------------------------------------------------------------

    def lookup(self, keys: Sequence[bytes]) -> int:
        """How many leading keys the store holds. No call, no copy."""
        connection = self._connected()
        return connection.reader.lookup(keys) if connection else 0

    def load(self, keys: Sequence[bytes], into: Sequence[Any]) -> int:
        """Copy and verify blocks into writable buffers of exactly their size, up to the first miss; how many.

        Buffers after those hold anything: what did not verify may have been copied first.
        """
        connection = self._connected()
        if connection is None:
            return 0
        loaded = connection.reader.load(keys, into)
        self.used(keys[:loaded])
        return loaded

    def used(self, keys: Sequence[bytes]) -> None:
        """Say that a whole chain was used, loaded or just put, so that its end is evicted before its beginning.

        ``load`` and ``put`` say it of their own keys; say it of the chain after both. Told with a heartbeat.
        """
        with self._lock:
            for key in reversed(keys):
                self._used[key] = None
                self._used.move_to_end(key)
            while len(self._used) > _MAX_NOTED:
                self._used.popitem(last=False)

    # --- over the control port -------------------------------------------------------------------------------------

    def begin(self, keys: Sequence[bytes]) -> Flight:
        """Claim the missing end of a chain, or learn that somebody computes it already.

        A block that the store lists and this client cannot get is missing: the store looks at it at once, and drops
        what is wrong. Where it sees nothing wrong, ``present`` ends before the block and nothing is claimed.
        Without a store: present as far as ``lookup`` says, nothing claimed, nothing held.
        """
        self._report(self._take_suspects())
        readable = 0
        for _ in range(2):
            flight = self._claim(keys)
            readable = self.lookup(keys[: flight.present])
            if readable == flight.present:
                return flight
            self.give_up(keys[flight.present : flight.present + flight.claimed])
            self._report([key for key in keys[readable : flight.present] if not self.lookup([key])])
        return Flight(readable, 0, 0)

    def wait(self, keys: Sequence[bytes], timeout_s: float) -> int:
        """Wait until ``keys`` are stored, one was given up, or time is over; how many leading ones are stored.

        Then ``begin`` again: what was given up is free to be claimed.
        """
        request = pb.WaitBlocksRequest(keys=keys)
        answer = self._try(lambda stub: stub.WaitBlocks, request, pb.WaitBlocksResponse, timeout_s)
        return answer.present if answer is not None else self.lookup(keys)

    def give_up(self, keys: Sequence[bytes]) -> None:
        """End claims without a put, so that whoever waits computes."""
        with self._lock:
            mine = [key for key in keys if key in self._claims]
            self._claims.difference_update(mine)
        if mine:
            request = pb.ReleaseBlocksRequest(holder=self._holder, claims=mine)
            self._try(lambda stub: stub.ReleaseBlocks, request, pb.ReleaseBlocksResponse, self._timing.call_s)

    def put(
        self,
        keys: Sequence[bytes],
        payloads: Sequence[Any],
        origin: Origin,
        lineage_counts: Sequence[int] | None = None,
    ) -> list[pb.PutOutcome]:
        """Publish blocks of one chain, in chain order; claims on them end. An outcome each, fewer if the store went.

        ``lineage_counts``: how much of the lineage each block was computed from, cumulative; None: all of it.
        """
        counts = [len(origin.lineage)] * len(keys) if lineage_counts is None else lineage_counts
        views = [memoryview(payload).cast("B") for payload in payloads]
        outcomes: list[pb.PutOutcome] = []
        until = time.monotonic() + self._timing.put_s
        while len(outcomes) < len(keys) and time.monotonic() < until:
            batch = slice(len(outcomes), _batch_end(views, len(outcomes)))
            published = self._put(keys[batch], views[batch], counts[batch], origin)
            if published is None:
                break
            if not published:
                time.sleep(_RING_FULL_PAUSE_S)
            outcomes += published
        self.give_up(keys[len(outcomes) :])
        with self._lock:
            self._claims.difference_update(keys)
        self.used(keys[: len(outcomes)])
        return outcomes

    def lease(self, keys: Sequence[bytes]) -> int:
        """Pin blocks against eviction while they are copied; a lease, or 0. Ends with ``release``, or by itself."""
        request = pb.LeaseBlocksRequest(holder=self._holder, keys=keys)
        answer = self._try(lambda stub: stub.LeaseBlocks, request, pb.LeaseBlocksResponse, self._timing.call_s)
        return answer.lease if answer is not None else 0

    def release(self, lease: int) -> None:
        request = pb.ReleaseBlocksRequest(holder=self._holder, leases=[lease])
        self._try(lambda stub: stub.ReleaseBlocks, request, pb.ReleaseBlocksResponse, self._timing.call_s)

    def drop(
        self, namespace: str, erasure_epoch: int, engram_ids: Sequence[str], timeout_s: float = 10.0
    ) -> pb.DropBlocksResponse:
        """Erase: returns when nothing that these engrams are in can be read. MnemeError when that is not known."""
        erasure = pb.Erasure(namespace=namespace, erasure_epoch=erasure_epoch, engram_ids=engram_ids)
        return self._must(
            lambda stub: stub.DropBlocks, pb.DropBlocksRequest(erasures=[erasure]), pb.DropBlocksResponse, timeout_s
        )

    def stats(self) -> pb.StoreStatsResponse:
        """The store's sizes and counts. MnemeError."""
        return self._must(
            lambda stub: stub.StoreStats, pb.StoreStatsRequest(), pb.StoreStatsResponse, self._timing.call_s
        )

    # --- inside ----------------------------------------------------------------------------------------------------

    def _connected(self) -> _Connection | None:
        """A connection to the owner as of now, made anew when there is another one; None while there is none."""
        connection = self._connection
        if connection is not None and connection.reader.alive():
            return connection
        with self._lock:
            if self._connection is connection and time.monotonic() >= self._connect_after:
                self._connect_after = time.monotonic() + self._timing.retry_s
                self._connection = self._connect(connection)
            found = self._connection
        return found if found is not None and found.reader.alive() else None

    def _connect(self, old: _Connection | None) -> _Connection | None:
        """Another owner's, else the old one while its owner may come back. The last to let go of one frees it."""
        endpoint, known = Endpoint.read(self._data_dir), None if old is None else old.endpoint
        if old is not None and old.reader.disowned():
            self._claims.clear()
            old = None
        if endpoint is None or endpoint == known:
            return old
        try:
            reader = Reader(Path(endpoint.arena), self._identity)
            if not endpoint.names(reader.header):
                return old
            staging = _map_staging(endpoint.staging)
        except (BadArena, OSError, ValueError):
            _log.warning("the arena cannot be used", exc_info=True)
            return old
        _log.info("attached to the KV store", extra={"copies_with": reader.copies_with})
        self._claims.clear()
        self._call_after = 0.0
        channel = grpc.insecure_channel(endpoint.address, options=[("grpc.enable_retries", 0)])
        return _Connection(endpoint, reader, staging, channel, KvstoreNodeServiceStub(channel))

    def _try(
        self,
        method: Callable[[Any], Any],
        request: Message,
        answer: type[R],
        timeout_s: float,
        *,
        at_once: bool = False,
    ) -> R | None:
        """An answer, or None when there is none in time. After a failure, none for ``retry_s``, but ``at_once``."""
        connection = self._connected()
        if connection is None or (time.monotonic() < self._call_after and not at_once):
            return None
        try:
            return self._call(connection, method, request, answer, timeout_s)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                self._call_after = time.monotonic() + self._timing.retry_s
            _log.warning("the KV store did not answer; computing instead", extra={"error": str(error.code())})
            return None

    def _must(self, method: Callable[[Any], Any], request: Message, answer: type[R], timeout_s: float) -> R:
        connection = self._connected()
        if connection is None:
            raise MnemeError("SERVICE_UNAVAILABLE", "No KV store answers.", remedy="Try again when it runs.")
        try:
            return self._call(connection, method, request, answer, timeout_s)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def _call(
        self, connection: _Connection, method: Callable[[Any], Any], request: Message, answer: type[R], timeout_s: float
    ) -> R:
        metadata = (*self._credential.metadata(), *telemetry.carrier().items())
        response: R = method(connection.stub)(request, timeout=timeout_s, metadata=metadata)
        return response

    def _put(
        self, keys: Sequence[bytes], views: Sequence[memoryview], counts: Sequence[int], origin: Origin
    ) -> list[pb.PutOutcome] | None:
        """Stage and commit as many of these blocks (of one size) as the ring has room for; None: no store."""
        asked = pb.ReserveStagingRequest(holder=self._holder, blocks=len(keys), block_bytes=len(views[0]))
        started = time.monotonic()
        lent = self._try(lambda stub: stub.ReserveStaging, asked, pb.ReserveStagingResponse, self._timing.call_s)
        if lent is None:
            return None
        if not lent.offsets:
            return []
        until = started + _STAGING_MARGIN * lent.ttl_s
        blocks = self._stage(lent.offsets, keys, views, counts, until)
        answer = self._commit(lent.reservation, blocks, origin) if blocks else None
        if answer is None:
            release = pb.ReleaseBlocksRequest(holder=self._holder, reservations=[lent.reservation])
            timeout_s = self._timing.call_s
            self._try(lambda stub: stub.ReleaseBlocks, release, pb.ReleaseBlocksResponse, timeout_s, at_once=True)
            return None
        return list(answer.outcomes)

    def _stage(
        self,
        offsets: Sequence[int],
        keys: Sequence[bytes],
        views: Sequence[memoryview],
        counts: Sequence[int],
        until: float,
    ) -> list[pb.PutBlock]:
        """Write blocks where they were lent; none when time is over, since the slots may be another's then."""
        connection = self._connection
        if connection is None:
            return []
        blocks = []
        for key, view, count, offset in zip(keys, views, counts, offsets, strict=False):
            if time.monotonic() > until:
                return []
            connection.staging[offset : offset + len(view)] = view
            digest = layout.payload_digest(view, key, self._identity)
            blocks.append(pb.PutBlock(key=key, offset=offset, length=len(view), digest=digest, lineage_count=count))
        return blocks

    def _commit(self, reservation: int, blocks: Sequence[pb.PutBlock], origin: Origin) -> pb.PutBlocksResponse | None:
        request = pb.PutBlocksRequest(
            holder=self._holder,
            reservation=reservation,
            namespace=origin.namespace,
            identity=self._identity,
            epochs=[pb.NamespaceEpoch(namespace=n, erasure_epoch=e) for n, e in origin.epochs.items()],
            lineage=[pb.EngramRef(namespace=n, engram_id=i) for n, i in origin.lineage],
            lineage_unknown=origin.unknown,
            blocks=blocks,
        )
        return self._try(lambda stub: stub.PutBlocks, request, pb.PutBlocksResponse, self._timing.put_s)

    def _claim(self, keys: Sequence[bytes]) -> Flight:
        request = pb.ClaimBlocksRequest(holder=self._holder, keys=keys)
        answer = self._try(lambda stub: stub.ClaimBlocks, request, pb.ClaimBlocksResponse, self._timing.call_s)
        if answer is None:
            return Flight(self.lookup(keys), 0, 0)
        with self._lock:
            self._claims.update(keys[answer.present : answer.present + answer.claimed])
        return Flight(answer.present, answer.claimed, answer.held)

    def _take_suspects(self) -> list[bytes]:
        connection = self._connected()
        if connection is None:
            return []
        with self._lock:
            return connection.reader.take_suspects(_MAX_REPORTED)

    def _report(self, suspects: Sequence[bytes]) -> None:
        """Have the store look at blocks now instead of with the next heartbeat."""
        if suspects:
            request = pb.HeartbeatRequest(holder=self._holder, suspect_keys=suspects[:_MAX_REPORTED])
            self._try(lambda stub: stub.Heartbeat, request, pb.HeartbeatResponse, self._timing.call_s)

    def _beat(self) -> None:
        while not self._stopping.wait(self._timing.heartbeat_s):
            connection = self._connected()
            if connection is None:
                continue
            with self._lock:
                used, self._used = list(self._used), OrderedDict()
                suspects = connection.reader.take_suspects(_MAX_REPORTED)
                claims = list(self._claims)
            if used or suspects or claims:
                request = pb.HeartbeatRequest(
                    holder=self._holder, used_keys=used, suspect_keys=suspects, claimed_keys=claims
                )
                self._try(lambda stub: stub.Heartbeat, request, pb.HeartbeatResponse, self._timing.call_s)


def _map_staging(path: str) -> mmap.mmap:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return mmap.mmap(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def _batch_end(views: Sequence[memoryview], start: int) -> int:
    """The end of a run of equally sized views from ``start``, at most a batch of them."""
    size = len(views[start])
    end = min(len(views), start + max(1, _PUT_BATCH_BYTES // max(1, size)))
    return next((i for i in range(start, end) if len(views[i]) != size), end)
