"""Translates the control port's calls to the store. One event loop owns the store, so nothing here locks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from mneme.v1 import kvstore_pb2 as pb

from services.common.crypto.auth import Caller
from services.common.serving.errors import invalid
from services.kvstore import converters
from services.kvstore.config import KvstoreConfig
from services.kvstore.errors import stale_reservation, too_many
from services.kvstore.staging import Reservation
from services.kvstore.store import Outcome, Staged, Store

_log = logging.getLogger(__name__)

_MAX_SUSPECTS = 64  # each costs the owner a pass over a block
_ANSWER_RESERVE_S = 0.02  # a wait ends this much before its caller's deadline, so that the caller gets the answer


class KvstoreServicer:
    """Every method takes its request, who calls, and the seconds left. MnemeError."""

    def __init__(self, store: Store, config: KvstoreConfig) -> None:
        self._store = store
        self._config = config

    async def lookup_blocks(
        self, request: pb.LookupBlocksRequest, caller: Caller, left_s: float
    ) -> pb.LookupBlocksResponse:
        return pb.LookupBlocksResponse(present=self._store.prefix(self._keys(request.keys)))

    async def lease_blocks(
        self, request: pb.LeaseBlocksRequest, caller: Caller, left_s: float
    ) -> pb.LeaseBlocksResponse:
        lease, pinned = self._store.lease(converters.holder_of(request.holder), self._keys(request.keys))
        if lease is None:
            raise too_many("leases", self._config.max_leases, "kvstore.max_leases")
        return pb.LeaseBlocksResponse(lease=lease, pinned=pinned, ttl_s=self._config.hold_ttl_s)

    async def reserve_staging(
        self, request: pb.ReserveStagingRequest, caller: Caller, left_s: float
    ) -> pb.ReserveStagingResponse:
        largest = min(self._config.extent_bytes, self._config.staging_bytes)
        if not 0 < request.block_bytes <= largest:
            raise invalid(
                "block_bytes",
                f"A block of {request.block_bytes} bytes is not between 1 and {largest}.",
                "Raise kvstore.extent_bytes and kvstore.staging_bytes.",
            )
        if not request.blocks:
            raise invalid("blocks", "No blocks are asked for.", "Ask for at least one.")
        lent = self._store.reserve(converters.holder_of(request.holder), request.blocks, request.block_bytes)
        if lent is None:
            return pb.ReserveStagingResponse()
        number, reservation = lent
        return pb.ReserveStagingResponse(reservation=number, offsets=reservation.offsets, ttl_s=self._config.hold_ttl_s)

    async def put_blocks(self, request: pb.PutBlocksRequest, caller: Caller, left_s: float) -> pb.PutBlocksResponse:
        holder = converters.holder_of(request.holder)
        origin = converters.origin_of(request)
        staged = converters.staged_of(request, self._config.max_keys)
        reservation = self._store.reservation(request.reservation, holder)
        if reservation is None:
            raise stale_reservation()
        _require_covered(reservation, staged)
        outcomes: list[Outcome] = []
        try:
            for block in staged:
                if self._store.reservation(request.reservation, holder) is not reservation:
                    raise stale_reservation()  # ran out while this call waited its turn
                outcomes.append(self._store.put(block, request.identity, origin, reservation))
                await asyncio.sleep(0)  # a block takes a fraction of a millisecond; others go in between
        finally:
            self._store.give_back(request.reservation, holder)
        self._store.used([block.key for block in staged])
        return pb.PutBlocksResponse(outcomes=[converters.OUTCOMES[o] for o in outcomes])

    async def claim_blocks(
        self, request: pb.ClaimBlocksRequest, caller: Caller, left_s: float
    ) -> pb.ClaimBlocksResponse:
        present, claimed, held = self._store.claim(converters.holder_of(request.holder), self._keys(request.keys))
        return pb.ClaimBlocksResponse(present=present, claimed=claimed, held=held, ttl_s=self._config.hold_ttl_s)

    async def wait_blocks(self, request: pb.WaitBlocksRequest, caller: Caller, left_s: float) -> pb.WaitBlocksResponse:
        keys = self._keys(request.keys)
        try:
            async with asyncio.timeout(min(left_s - _ANSWER_RESERVE_S, self._config.max_wait_s)):
                for key in keys:
                    await self._store.flights.ended(key)
                    if not self._store.prefix([key]):
                        break  # given up, or gone already: whoever waits must decide again
        except TimeoutError:
            _log.info("a wait for blocks in flight ran out")  # what is there by now is the answer
        return pb.WaitBlocksResponse(present=self._store.prefix(keys))

    async def release_blocks(
        self, request: pb.ReleaseBlocksRequest, caller: Caller, left_s: float
    ) -> pb.ReleaseBlocksResponse:
        holder = converters.holder_of(request.holder)
        for lease in request.leases:
            self._store.release_lease(lease, holder)
        for key in self._keys(request.claims):
            self._store.flights.end(key, holder)
        for reservation in request.reservations:
            self._store.give_back(reservation, holder)
        return pb.ReleaseBlocksResponse()

    async def drop_blocks(self, request: pb.DropBlocksRequest, caller: Caller, left_s: float) -> pb.DropBlocksResponse:
        for erasure in request.erasures:
            caller.require_namespace(erasure.namespace, "erasures.namespace")
        return converters.dropped_to(self._store.drop(converters.erasures_of(request)))

    async def heartbeat(self, request: pb.HeartbeatRequest, caller: Caller, left_s: float) -> pb.HeartbeatResponse:
        self._store.renew(converters.holder_of(request.holder), self._keys(request.claimed_keys))
        self._store.used(self._keys(request.used_keys)[::-1])
        self._store.check(self._keys(request.suspect_keys)[:_MAX_SUSPECTS])
        return pb.HeartbeatResponse(owner_epoch=self._store.owner_epoch)

    async def store_stats(self, request: pb.StoreStatsRequest, caller: Caller, left_s: float) -> pb.StoreStatsResponse:
        return pb.StoreStatsResponse(
            owner_epoch=self._store.owner_epoch,
            counts=self._store.counts,
            eviction=self._config.eviction,
            **self._store.stats(),
        )

    def _keys(self, keys: Sequence[bytes]) -> list[bytes]:
        return converters.keys_of(keys, self._config.max_keys)


def _require_covered(reservation: Reservation, staged: Sequence[Staged]) -> None:
    for block in staged:
        if not reservation.covers(block.offset, block.length):
            raise invalid("blocks.offset", "A block lies outside the reservation.", "Write where it was lent.")
