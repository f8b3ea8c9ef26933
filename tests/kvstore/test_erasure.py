"""Erasure reaches the blocks: not addressable, overwritten, refused when they come late, and never forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mneme.v1 import kvstore_pb2 as pb
from mneme.v1.ledger_pb2 import LedgerEntry, NamespaceDeleted, SessionEnded

from services.common.crypto.seal import Keyring, MasterKey, destroying
from services.common.ledger import topics
from services.common.ledger.entries import message
from services.common.ledger.erasures import Erasure, read_erasures
from services.common.ledger.named import Named
from services.common.log.base import Message
from services.common.log.sqlite import SqliteLog
from services.kvstore.client import KvClient, Origin
from services.kvstore.erasures import Erasures
from services.kvstore.store import Outcome
from tests.kvstore.running import BLOCK, NAMESPACE, Running, eventually, keys, payloads
from tests.ledger import append_erasure

OTHER = "bolt/bob"
STORED = pb.PUT_OUTCOME_STORED


def on_disk(store: Running, text: bytes) -> bool:
    return any(text in store.file(kind).read_bytes() for kind in ("arena", "staging"))


def marked(*marks: bytes) -> list[bytes]:
    return [mark * (BLOCK // len(mark)) for mark in marks]


def test_dropped_blocks_are_gone_and_their_bytes_overwritten_in_arena_and_ring(store: Running, kv: KvClient) -> None:
    chain = keys(2)
    origin = Origin(NAMESPACE, {NAMESPACE: 1, OTHER: 5}, [(OTHER, "e9"), (NAMESPACE, "e1")])
    kv.put(chain, marked(b"public text here", b"the secret is 42"), origin, [1, 2])
    assert on_disk(store, b"the secret is 42")
    dropped = kv.drop(NAMESPACE, 2, ["e1"])
    assert (dropped.named_blocks, dropped.unreachable_blocks, dropped.overwritten_bytes) == (1, 1, 2 * BLOCK)
    assert kv.lookup(chain[1:]) == 0
    assert kv.load(chain[1:], [bytearray(BLOCK)]) == 0
    assert not on_disk(store, b"the secret is 42")


def test_invariant_17_later_blocks_of_the_chain_count(kv: KvClient) -> None:
    """The question's block comes after e1's and attended to it: it goes too; what came before e1 has no part in it."""
    before, of_e1, question, of_e2 = keys(4)
    origin = Origin(NAMESPACE, {OTHER: 1}, [(OTHER, "e1"), (OTHER, "e2")])
    kv.put([before, of_e1, question, of_e2], payloads(4), origin, [0, 1, 1, 2])
    dropped = kv.drop(OTHER, 1, ["e1"])  # the epoch the blocks were made with: only the lineage tells them apart
    assert (dropped.named_blocks, dropped.unreachable_blocks) == (3, 0)
    assert kv.lookup([before]) == 1
    assert [kv.lookup([key]) for key in (of_e1, question, of_e2)] == [0, 0, 0]


def test_invariant_16_recall_then_forget_then_put_is_refused(store: Running, kv: KvClient) -> None:
    recalled = Origin(NAMESPACE, {NAMESPACE: 3}, [(NAMESPACE, "e1")])
    kv.drop(NAMESPACE, 4, ["e1"])
    chain = keys(1)
    assert kv.put(chain, marked(b"the secret is 42"), recalled) == [pb.PUT_OUTCOME_STALE_EPOCH]
    assert kv.lookup(chain) == 0
    assert not on_disk(store, b"the secret is 42")


def test_invariant_16_a_forget_between_two_blocks_of_a_put_reaches_the_first_in_the_ring(
    store: Running, kv: KvClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = store.node._store
    assert owner is not None
    put = owner.put

    def put_and_forget(*block: Any) -> Outcome:
        outcome = put(*block)
        owner.drop([Erasure(NAMESPACE, 4, ("e1",))])
        return outcome

    monkeypatch.setattr(owner, "put", put_and_forget)
    origin = Origin(NAMESPACE, {NAMESPACE: 3}, [(NAMESPACE, "e1")])
    outcomes = kv.put(keys(2), marked(b"the secret is 42", b"the secret is 43"), origin)
    assert outcomes == [STORED, pb.PUT_OUTCOME_STALE_EPOCH]
    assert not on_disk(store, b"the secret is")


def test_invariant_16_of_a_put_that_is_refused_in_part_the_refused_bytes_go(store: Running, kv: KvClient) -> None:
    kv.drop(NAMESPACE, 4, ["e1"])
    blocks = marked(b"public text here", b"the secret is 42")
    origin = Origin(NAMESPACE, {NAMESPACE: 4}, [(NAMESPACE, "e0"), (NAMESPACE, "e1")])
    assert kv.put(keys(2), blocks, origin, [1, 2]) == [STORED, pb.PUT_OUTCOME_ERASED]
    assert on_disk(store, b"public text here")
    assert not on_disk(store, b"the secret is 42")


def test_invariant_16_what_was_staged_after_a_forget_and_never_put_is_overwritten(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer gives the slots back, or dies with them in hand."""
    store = start(hold_ttl_s=1.0)
    origin = Origin(NAMESPACE, {NAMESPACE: 3}, [(NAMESPACE, "e1")])
    with store.client() as kv:
        kv.drop(NAMESPACE, 4, ["e1"])
        monkeypatch.setattr(kv, "_commit", lambda *_: None)  # it was never heard
        assert kv.put(keys(2), marked(b"the secret is 42", b"the secret is 43"), origin) == []
        assert not on_disk(store, b"the secret is")

        def dies(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(kv, "_commit", dies)
        with pytest.raises(KeyboardInterrupt):
            kv.put(keys(2), marked(b"the secret is 42", b"the secret is 43"), origin)
        assert on_disk(store, b"the secret is")
        eventually(lambda: not on_disk(store, b"the secret is"))


def test_invariant_16_every_namespace_in_the_prompt_counts(kv: KvClient) -> None:
    kv.drop(OTHER, 7, ["x"])
    stale = Origin(NAMESPACE, {NAMESPACE: 1, OTHER: 6}, [(NAMESPACE, "e1")])
    fresh = Origin(NAMESPACE, {NAMESPACE: 1, OTHER: 7}, [(NAMESPACE, "e1")])
    assert kv.put(keys(1), payloads(1), stale) == [pb.PUT_OUTCOME_STALE_EPOCH]
    assert kv.put(keys(1), payloads(1), fresh) == [STORED]


def test_invariant_16_a_forget_between_staging_and_commit_wins(
    store: Running, kv: KvClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes lie in the ring already when the erasure comes."""
    real_try = kv._try

    def forget_first(method, request, answer, timeout_s):  # type: ignore[no-untyped-def]
        if isinstance(request, pb.PutBlocksRequest):
            assert on_disk(store, b"the secret is 42")
            with store.client() as other:
                other.drop(NAMESPACE, 2, ["e1"])
        return real_try(method, request, answer, timeout_s)

    monkeypatch.setattr(kv, "_try", forget_first)
    chain = keys(1)
    origin = Origin(NAMESPACE, {NAMESPACE: 1}, [(NAMESPACE, "e1")])
    assert kv.put(chain, marked(b"the secret is 42"), origin) == [pb.PUT_OUTCOME_STALE_EPOCH]
    assert kv.lookup(chain) == 0
    assert not on_disk(store, b"the secret is 42")


def test_an_erased_engram_is_refused_under_a_fresh_epoch_too(kv: KvClient) -> None:
    kv.drop(NAMESPACE, 2, ["e1"])
    origin = Origin(NAMESPACE, {NAMESPACE: 2}, [(NAMESPACE, "e0"), (NAMESPACE, "e1")])
    assert kv.put(keys(2), payloads(2), origin, [1, 2]) == [STORED, pb.PUT_OUTCOME_ERASED]


def test_erasures_are_remembered_by_the_store_s_successor(start: Callable[..., Running]) -> None:
    first = start()
    with first.client() as kv:
        kv.drop(NAMESPACE, 4, ["e1"])
    first.stop_node()
    with start().client() as kv:
        stale = Origin(NAMESPACE, {NAMESPACE: 3}, [(NAMESPACE, "e0")])
        erased = Origin(NAMESPACE, {NAMESPACE: 4}, [(NAMESPACE, "e1")])
        assert kv.put(keys(1), payloads(1), stale) == [pb.PUT_OUTCOME_STALE_EPOCH]
        assert kv.put(keys(1), payloads(1), erased) == [pb.PUT_OUTCOME_ERASED]


def test_blocks_of_unknown_lineage_go_with_any_erasure_in_their_namespace(kv: KvClient) -> None:
    unknown, known = keys(1), keys(1)
    kv.put(unknown, payloads(1), Origin(NAMESPACE, unknown=True))
    kv.put(known, payloads(1), Origin(NAMESPACE))
    assert kv.drop(OTHER, 2, ["e1"]).named_blocks == 0
    assert kv.lookup(unknown) == 1
    assert kv.drop(NAMESPACE, 2, ["e1"]).named_blocks == 1
    assert kv.lookup(unknown) == 0
    assert kv.lookup(known) == 1


def test_leases_do_not_protect_from_erasure(kv: KvClient) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), Origin(NAMESPACE, {NAMESPACE: 1}, [(NAMESPACE, "e1")]))
    assert kv.lease(chain)
    assert kv.drop(NAMESPACE, 2, ["e1"]).named_blocks == 1
    assert kv.lookup(chain) == 0


def test_asking_again_answers_with_the_same_counts(kv: KvClient) -> None:
    chain = keys(2)
    kv.put(chain, payloads(2), Origin(NAMESPACE, {NAMESPACE: 1}, [(NAMESPACE, "e1")]))
    first = kv.drop(NAMESPACE, 2, ["e1"])
    assert first.named_blocks == 2
    assert kv.drop(NAMESPACE, 2, ["e1"]) == first


def test_an_older_erasure_that_comes_late_still_drops_and_lowers_no_epoch(kv: KvClient) -> None:
    kv.drop(NAMESPACE, 5, ["e5"])
    chain = keys(1)
    kv.put(chain, payloads(1), Origin(NAMESPACE, {NAMESPACE: 5}, [(NAMESPACE, "e4")]))
    assert kv.drop(NAMESPACE, 4, ["e4"]).named_blocks == 1
    late = Origin(NAMESPACE, {NAMESPACE: 4}, [(NAMESPACE, "e0")])
    assert kv.put(keys(1), payloads(1), late) == [pb.PUT_OUTCOME_STALE_EPOCH]


def test_evicted_bytes_do_not_linger(store: Running, kv: KvClient) -> None:
    """What was evicted has no lineage any more, so a later erasure could not find it."""
    chain = keys(1)
    secret = marked(b"the secret is 42")
    assert kv.put(chain, secret, Origin(NAMESPACE, {NAMESPACE: 1}, [(NAMESPACE, "e1")])) == [STORED]
    large = keys(4)
    assert kv.put(large, payloads(4, 1 << 18), Origin(OTHER)) == [STORED] * 4
    assert kv.lookup(chain) == 0
    assert b"the secret is 42" not in store.file("arena").read_bytes()


def test_a_store_that_was_away_learns_of_erasures_before_it_serves(
    start: Callable[..., Running], ledger: SqliteLog
) -> None:
    append_erasure(ledger, NAMESPACE, 4, "e1")
    ledger.append([message(LedgerEntry(namespace=NAMESPACE, session_ended=SessionEnded(session_mac=b"x")))])
    with start(log=ledger, ledger_period_s=1000).client() as kv:
        stale = Origin(NAMESPACE, {NAMESPACE: 3}, [(NAMESPACE, "e0")])
        assert kv.put(keys(1), payloads(1), stale) == [pb.PUT_OUTCOME_STALE_EPOCH]


def test_a_store_that_was_away_while_a_namespace_was_deleted_hears_of_it_from_who_asks_by_its_name(
    start: Callable[..., Running], ledger: SqliteLog
) -> None:
    """The ledger does not tell it which namespace that was; the receipt does, as long as a keeper owes its answer."""
    log = Named(ledger)
    keyring = Keyring(log, MasterKey(bytes(32)))
    name_key = keyring.name_key(NAMESPACE)
    log.append([name_key.message])
    log.append([message(LedgerEntry(namespace=NAMESPACE, namespace_deleted=NamespaceDeleted(erasure_epoch=4)))])
    assert read_erasures(log, {}).erasures == (Erasure(NAMESPACE, 4, ()),)
    log.append(destroying(NAMESPACE, [name_key.key_id]))
    log.compact(topics.KEYS)
    missed = read_erasures(Named(ledger), {})
    assert missed.erasures == ()
    assert sum(missed.positions.values()) == 1, "it is not read again"
    with start(log=Named(ledger), ledger_period_s=0.05).client() as kv:
        chain = keys(1)
        late = Origin(NAMESPACE, {NAMESPACE: 3}, [(NAMESPACE, "e0")])
        kv.put(chain, payloads(1), late)
        kv.drop(NAMESPACE, 4, ["e0"])
        assert kv.lookup(chain) == 0
        assert kv.put(chain, payloads(1), late) == [pb.PUT_OUTCOME_STALE_EPOCH]


def test_a_running_store_follows_the_ledger_and_counts_once(start: Callable[..., Running], ledger: SqliteLog) -> None:
    with start(log=ledger, ledger_period_s=0.1).client() as kv:
        chain = keys(2)
        kv.put(chain, payloads(2), Origin(NAMESPACE, {NAMESPACE: 1}, [(NAMESPACE, "e1")]))
        append_erasure(ledger, OTHER, 9, "e1")
        append_erasure(ledger, NAMESPACE, 2, "e1")
        eventually(lambda: kv.lookup(chain) == 0)
        assert kv.drop(NAMESPACE, 2, ["e1"]).named_blocks == 2


def test_a_record_that_is_no_entry_stops_neither_a_start_nor_the_following(
    start: Callable[..., Running], ledger: SqliteLog
) -> None:
    no_entry = Message(topics.LEDGER, NAMESPACE.encode(), b"\xff no entry")
    ledger.append([no_entry])
    append_erasure(ledger, NAMESPACE, 2, "e1")
    store = start(log=ledger, ledger_period_s=0.05)
    with store.client() as kv:
        late = Origin(NAMESPACE, {NAMESPACE: 1}, [(NAMESPACE, "e0")])
        assert kv.put(keys(1), payloads(1), late) == [pb.PUT_OUTCOME_STALE_EPOCH]
        chain = keys(1)
        kv.put(chain, payloads(1), Origin(NAMESPACE, {NAMESPACE: 2}, [(NAMESPACE, "e2")]))
        ledger.append([no_entry])
        append_erasure(ledger, NAMESPACE, 3, "e2")
        eventually(lambda: kv.lookup(chain) == 0)
        store.node.require_alive()


def test_a_full_disk_delays_an_erasure_and_does_not_end_the_store(
    start: Callable[..., Running], ledger: SqliteLog, caplog: pytest.LogCaptureFixture
) -> None:
    store = start(log=ledger, ledger_period_s=0.05)
    with store.client() as kv:
        chain = keys(1)
        kv.put(chain, payloads(1), Origin(NAMESPACE, {NAMESPACE: 1}, [(NAMESPACE, "e1")]))
        store.limit_erasures(pages=1)
        append_erasure(ledger, NAMESPACE, 2, "e1", *(f"other {n}" for n in range(2_000)))
        eventually(lambda: "erasures cannot be kept" in caplog.text)
        store.node.require_alive()
        assert kv.lookup(chain) == 1
        store.limit_erasures(pages=1 << 20)
        eventually(lambda: kv.lookup(chain) == 0)


def test_what_was_read_of_the_ledger_is_not_read_again(tmp_path: Path, ledger: SqliteLog) -> None:
    append_erasure(ledger, NAMESPACE, 2, "e1")
    first = read_erasures(ledger, {})
    assert first.erasures == (Erasure(NAMESPACE, 2, ("e1",)),)
    erasures = Erasures(tmp_path / "erasures.db", limit=10)
    erasures.record(first.erasures, first.positions)
    erasures.close()
    again = Erasures(tmp_path / "erasures.db", limit=10)
    assert read_erasures(ledger, again.positions).erasures == ()
    append_erasure(ledger, NAMESPACE, 3, "e2")
    assert read_erasures(ledger, again.positions).erasures == (Erasure(NAMESPACE, 3, ("e2",)),)
    again.close()
