"""What a client gets of a store that runs: what was put, whole, and nothing else."""

from __future__ import annotations

import threading
import time
from collections import UserDict
from collections.abc import Callable, ItemsView

import pytest
from mneme.v1 import kvstore_pb2 as pb

from services.kvstore.client import Flight, KvClient, Origin
from tests.kvstore.running import BLOCK, IDENTITY, NAMESPACE, Running, eventually, keys, payloads

ORIGIN = Origin(NAMESPACE)
STORED, EXISTS = pb.PUT_OUTCOME_STORED, pb.PUT_OUTCOME_EXISTS


def test_what_was_put_is_found_and_loaded_whole(kv: KvClient) -> None:
    chain, blocks = keys(20), payloads(20)
    assert kv.lookup(chain) == 0
    assert kv.put(chain, blocks, ORIGIN) == [STORED] * 20
    assert kv.lookup(chain) == 20
    into = [bytearray(BLOCK) for _ in chain]
    assert kv.load(chain, into) == 20
    assert into == blocks


def test_another_process_s_client_finds_it(store: Running, kv: KvClient) -> None:
    chain, blocks = keys(3), payloads(3)
    kv.put(chain, blocks, ORIGIN)
    with store.client() as other:
        into = [bytearray(BLOCK) for _ in chain]
        assert other.load(chain, into) == 3
        assert into == blocks


def test_a_lookup_ends_at_the_first_gap(kv: KvClient) -> None:
    chain = keys(6)
    kv.put(chain[:2] + chain[3:], payloads(5), ORIGIN)
    assert kv.lookup(chain) == 2
    assert kv.load(chain, [bytearray(BLOCK) for _ in chain]) == 2


def test_blocks_of_several_sizes_live_together(kv: KvClient) -> None:
    chain = keys(9)
    blocks = [payloads(1, size)[0] for size in (100, 100, 4096, 4097, 4097, 60_000, 100_000, 1, 8192)]
    assert kv.put(chain, blocks, ORIGIN) == [STORED] * 9
    into = [bytearray(len(b)) for b in blocks]
    assert kv.load(chain, into) == 9
    assert into == blocks


def test_the_first_put_wins(kv: KvClient) -> None:
    chain, first, second = keys(1), payloads(1), payloads(1)
    assert kv.put(chain, first, ORIGIN) == [STORED]
    assert kv.put(chain, second, ORIGIN) == [EXISTS]
    into = bytearray(BLOCK)
    kv.load(chain, [into])
    assert into == first[0]


def test_a_buffer_of_another_size_is_a_miss(kv: KvClient) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), ORIGIN)
    assert kv.load(chain, [bytearray(BLOCK - 1)]) == 0
    assert kv.load(chain, [bytearray(BLOCK + 1)]) == 0


def test_invariant_22_another_identity_is_a_miss(store: Running, kv: KvClient) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), ORIGIN)
    with store.client(identity=b"frame1, engine 2") as other:
        assert other.lookup(chain) == 0
        assert other.load(chain, [bytearray(BLOCK)]) == 0
    assert kv.lookup(chain) == 1


def test_workers_cannot_write_the_arena(kv: KvClient) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), ORIGIN)
    connection = kv._connection
    assert connection is not None
    with pytest.raises(TypeError, match="read-only"):
        connection.reader._bytes[:1] = b"x"


def test_invariant_26_one_prefill_for_many(store: Running) -> None:
    chain, block = keys(4), payloads(4)
    prefills: list[int] = []
    results: list[list[bytearray]] = []

    def worker(client: KvClient) -> None:
        while True:
            flight = client.begin(chain)
            if flight.present == len(chain):
                break
            if flight.claimed:
                prefills.append(flight.claimed)
                time.sleep(0.2)  # computing
                client.put(chain[flight.present :], block[flight.present :], ORIGIN)
            else:
                client.wait(chain[: flight.present + flight.held], 10)
        into = [bytearray(BLOCK) for _ in chain]
        assert client.load(chain, into) == len(chain)
        results.append(into)

    clients = [store.client().start() for _ in range(4)]
    threads = [threading.Thread(target=worker, args=(c,)) for c in clients for _ in range(1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for c in clients:
        c.close()
    assert prefills == [4]
    assert results == [block] * 4


def test_a_holder_claims_nothing_behind_what_it_must_wait_for(store: Running, kv: KvClient) -> None:
    chain = keys(4)
    with store.client() as other:
        assert kv.begin(chain[:2]) == Flight(0, 2, 0)
        assert other.begin(chain) == Flight(0, 0, 2)
        kv.put(chain[:2], payloads(2), ORIGIN)
        assert other.begin(chain) == Flight(2, 2, 0)


def test_a_block_that_only_others_can_read_is_missing_and_stays(store: Running, kv: KvClient) -> None:
    chain = keys(3)
    kv.put(chain[:2], payloads(2), ORIGIN)
    with store.client(identity=b"another engine's") as other:
        assert other.begin(chain) == Flight(0, 0, 0)
        assert kv.stats().claims == 0
    assert kv.begin(chain) == Flight(2, 1, 0)


def test_giving_up_a_claim_wakes_who_waits(store: Running, kv: KvClient) -> None:
    chain = keys(1)
    kv.begin(chain)
    with store.client() as other:
        assert other.begin(chain) == Flight(0, 0, 1)
        started = time.monotonic()
        threading.Timer(0.2, kv.give_up, (chain,)).start()
        assert other.wait(chain, 10) == 0
        assert 0.1 < time.monotonic() - started < 5
        assert other.begin(chain) == Flight(0, 1, 0)


def test_a_wait_ends_at_its_deadline(store: Running, kv: KvClient) -> None:
    chain = keys(1)
    kv.begin(chain)
    with store.client() as other:
        started = time.monotonic()
        assert other.wait(chain, 0.3) == 0
        assert time.monotonic() - started < 3


def test_heartbeats_keep_a_claim_beyond_its_time(start: Callable[..., Running]) -> None:
    store = start(hold_ttl_s=0.6)
    chain = keys(1)
    with store.client() as holder, store.client() as other:
        holder.begin(chain)
        time.sleep(1.5)
        assert other.begin(chain) == Flight(0, 0, 1)


def test_a_claim_whose_release_was_lost_ends_although_its_holder_lives(start: Callable[..., Running]) -> None:
    store = start(hold_ttl_s=0.6)
    lost, kept = keys(1), keys(1)
    with store.client() as holder, store.client() as other:
        holder.begin(lost)
        with holder._lock:
            holder._claims.clear()  # what a client knows after a release that never arrived
        holder.begin(kept)
        time.sleep(1.5)
        assert other.begin(lost) == Flight(0, 1, 0)
        assert other.begin(kept) == Flight(0, 0, 1)


def test_slots_and_leases_that_were_lost_end_although_their_holder_lives(start: Callable[..., Running]) -> None:
    store = start(hold_ttl_s=0.6)
    chain, ring = keys(1), store.config.staging_bytes // BLOCK
    with store.client() as holder, store.client() as other:
        holder.put(chain, payloads(1), ORIGIN)
        holder.begin(keys(1))  # so that every heartbeat is sent
        asked = pb.ReserveStagingRequest(holder=holder._holder, blocks=ring, block_bytes=BLOCK)
        assert holder._try(lambda stub: stub.ReserveStaging, asked, pb.ReserveStagingResponse, 5) is not None
        assert holder.lease(chain)
        time.sleep(1.5)
        assert holder.stats().claims == 1, "it beats"
        assert (holder.stats().staging_used_bytes, holder.stats().leases) == (0, 0)
        assert other.put(keys(2), payloads(2), ORIGIN) == [STORED] * 2


def test_a_put_that_fails_gives_its_slots_back(start: Callable[..., Running]) -> None:
    class Meanwhile(UserDict[str, int]):
        def items(self) -> ItemsView[str, int]:
            """Asked for between the staging and the commit."""
            kv._call_after = time.monotonic() + 3600  # another thread's call was not answered
            return super().items()

    refused, held_back = Origin(NAMESPACE, lineage=[(NAMESPACE, "e1")]), Origin(NAMESPACE, Meanwhile())
    with start(hold_ttl_s=3600).client() as kv:
        for origin in (refused, held_back):
            assert kv.put(keys(3), payloads(3), origin) == []
            assert kv.stats().staging_used_bytes == 0


def test_a_put_that_comes_too_late_to_write_gives_its_slots_back(start: Callable[..., Running]) -> None:
    with start(hold_ttl_s=1e-6, heartbeat_s=60, owner_timeout_s=180).client() as kv:  # nothing expires in this test
        assert kv.put(keys(3), payloads(3), ORIGIN) == []
        assert kv.stats().staging_used_bytes == 0


def test_a_client_that_closes_gives_its_claims_up(store: Running, kv: KvClient) -> None:
    chain = keys(1)
    with store.client() as other:
        other.begin(chain)
    assert kv.begin(chain) == Flight(0, 1, 0)


def test_the_least_recently_used_chain_goes_first_and_its_end_before_its_beginning(kv: KvClient) -> None:
    room = (1 << 20) // BLOCK
    old, used = keys(room // 2), keys(room // 2)
    kv.put(old, payloads(len(old)), ORIGIN)
    kv.put(used, payloads(len(used)), ORIGIN)
    eventually(lambda: not kv._used)
    kv.load(old, [bytearray(BLOCK) for _ in old])  # local: the store hears of it with the next heartbeat
    eventually(lambda: not kv._used)
    time.sleep(0.3)
    kv.put(keys(10), payloads(10), ORIGIN)
    assert kv.lookup(old) == len(old)
    assert kv.lookup(used) == len(used) - 10
    assert kv.stats().counts["evicted"] == 10


def test_leased_blocks_are_not_evicted(kv: KvClient) -> None:
    room = (1 << 20) // BLOCK
    chain = keys(room)
    kv.put(chain, payloads(room), ORIGIN)
    lease = kv.lease(chain)
    assert lease
    assert kv.put(keys(1), payloads(1), ORIGIN) == [pb.PUT_OUTCOME_NO_SPACE]
    kv.release(lease)
    assert kv.put(keys(1), payloads(1), ORIGIN) == [STORED]


def test_a_namespace_over_its_share_evicts_its_own(start: Callable[..., Running]) -> None:
    store = start(namespace_share=0.5)
    room = (1 << 20) // BLOCK
    with store.client() as kv:
        theirs, mine = keys(room // 4), keys(room)
        kv.put(theirs, payloads(len(theirs)), Origin("bolt/bob"))
        kv.put(mine, payloads(len(mine)), ORIGIN)
        assert kv.lookup(theirs) == len(theirs)
        assert kv.stats().blocks == room // 4 + room // 2


def test_another_block_size_takes_a_whole_extent_when_the_arena_is_full(kv: KvClient) -> None:
    small = keys((1 << 20) // BLOCK)
    kv.put(small, payloads(len(small)), ORIGIN)
    large, block = keys(1), payloads(1, 100_000)
    assert kv.put(large, block, ORIGIN) == [STORED]
    into = bytearray(100_000)
    assert kv.load(large, [into]) == 1
    assert into == block[0]
    assert kv.stats().blocks == len(small) - (1 << 18) // BLOCK + 1


def test_a_block_larger_than_an_extent_is_refused_and_costs_nothing_else(kv: KvClient) -> None:
    assert kv.put(keys(1), payloads(1, (1 << 18) + 1), ORIGIN) == []
    assert kv.put(keys(1), payloads(1), ORIGIN) == [STORED]


def test_invariant_29_tables_are_bounded(start: Callable[..., Running]) -> None:
    store = start(max_claims=3, max_leases=1)
    with store.client() as kv, store.client() as other:
        assert kv.begin(keys(5)) == Flight(0, 3, 0)
        assert other.begin(keys(1)) == Flight(0, 0, 0)
        chain = keys(1)
        kv.put(chain, payloads(1), ORIGIN)
        assert kv.lease(chain) > 0
        assert other.lease(chain) == 0


def test_stats_add_up(kv: KvClient) -> None:
    chain = keys(3)
    kv.put(chain, payloads(3), ORIGIN)
    kv.put(chain[:1], payloads(1), ORIGIN)
    kv.begin(keys(2))
    stats = kv.stats()
    assert (stats.blocks, stats.used_bytes, stats.capacity_bytes) == (3, 3 * BLOCK, 1 << 20)
    assert (stats.counts["stored"], stats.counts["exists"], stats.claims) == (3, 1, 2)
    assert stats.staging_used_bytes == 0
    assert len(IDENTITY) == 16
