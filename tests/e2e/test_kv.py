"""Two engines and one KV store behind the door: the same tokens whatever becomes of the store; erasure of blocks."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from mneme.v1 import common_pb2, episodic_pb2
from mneme.v1 import reasoning_pb2 as pb

from services.cli.client import Client
from services.cli.local import Local
from services.common.config import load
from services.reasoning.blocks import Scope
from services.reasoning.config import ReasoningConfig
from services.reasoning.engine.local import LocalEngine
from services.reasoning.engine.port import Request, Token
from services.reasoning.models.load import LoadedModel, load_model
from tests.e2e import talk

pytestmark = pytest.mark.timeout(300)

SAID = " ".join(text for _, text in talk.LINES)
PROMPT = f"These are notes of one evening. {SAID} {SAID}\nWhat arrives on Sunday?"
TOKENS = 32
FEW = 4  # where only the prompt's blocks matter


@dataclass
class Written:
    ids: list[int]
    usage: pb.Usage


@pytest.fixture(scope="module")
def two(local: Local) -> Local:
    for name in ("kv/a", "kv/b", "kv/killed", "kv/again", "kv/race", "kv/forget"):
        talk.create(local.client, name)
    return local


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(load(environ={}).section("reasoning", ReasoningConfig).model)


@pytest.fixture(scope="module")
def expected(model: LoadedModel) -> list[int]:
    """What an engine without a store, and with nobody beside it, writes."""
    config = load(environ={}).section("reasoning", ReasoningConfig)
    engine = LocalEngine(model, config.engine, None)
    engine.start()
    ids = tuple(model.tokenizer.encode_chat([{"role": "user", "content": PROMPT}]))
    stop = frozenset(model.transformer.config.eos_ids)
    events = list(engine.submit(Request("alone", ids, TOKENS, Scope("x"), stop_ids=stop)))
    engine.close()
    return [event.id for event in events if isinstance(event, Token)]


def request(namespace: str, **more: object) -> pb.GenerateRequest:
    messages = [pb.ChatMessage(role="user", content=PROMPT)]
    fields: dict[str, object] = {"messages": messages, "max_tokens": TOKENS, "engrams": pb.PromptEngrams(), **more}
    return pb.GenerateRequest(namespace=namespace, **fields)  # type: ignore[arg-type]


def generate(client: Client, asked: pb.GenerateRequest, after_first: Callable[[], None] | None = None) -> Written:
    ids: list[int] = []
    usage = pb.Usage()
    for part in client.reasoning.Generate(asked, metadata=client.metadata, timeout=120):
        kind = part.WhichOneof("part")
        if kind == "piece" and part.piece.HasField("token_id"):
            ids.append(part.piece.token_id)
            if after_first is not None and len(ids) == 1:
                after_first()
        elif kind == "end":
            usage = part.end.usage
    assert usage.finish_reason in (pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH)
    return Written(ids, usage)


def by_another(client: Client, asked: pb.GenerateRequest, engine: str) -> Written:
    """The same, until an engine other than ``engine`` answers.

    Serve chooses the one of the two with less to do, so that without more to do it is always the one that the gateway
    does not listen to the pulse of: a second stream makes both alike, and then it chooses at random.
    """
    beside = pb.GenerateRequest(namespace=asked.namespace, max_tokens=200, engrams=pb.PromptEngrams())
    beside.messages.add(role="system", content="Numbers alone.")  # no block in common with what is asked
    beside.messages.add(role="user", content="Count.")
    for _ in range(40):
        stream = client.reasoning.Generate(beside, metadata=client.metadata, timeout=120)
        next(stream)
        written = generate(client, asked)
        stream.cancel()
        if written.usage.engine != engine:
            return written
    raise AssertionError(f"only {engine} ever answers")


def store_pid(local: Local) -> int:
    path = local.settings.common.data_dir / "kvstore" / "endpoint.json"
    return int(json.loads(path.read_text())["pid"])


def kv(client: Client) -> pb.GetKvStatsResponse:
    stats: pb.GetKvStatsResponse = client.reasoning.GetKvStats(
        pb.GetKvStatsRequest(), metadata=client.metadata, timeout=20
    )
    return stats


def await_published(client: Client, blocks: int) -> pb.GetKvStatsResponse:
    """Blocks reach the store beside the stream, a moment after its first token."""
    deadline = time.monotonic() + 20
    while True:
        stats = kv(client)
        if stats.HasField("store") and stats.store.blocks >= blocks:
            return stats
        assert time.monotonic() < deadline, stats
        time.sleep(0.1)


def test_invariant_21_same_tokens_with_the_store_without_it_and_by_another_engine(
    two: Local, expected: list[int]
) -> None:
    first = generate(two.client, request("kv/a"))
    full = first.usage.prompt_tokens // 16
    assert first.ids == expected
    assert (first.usage.blocks_loaded, first.usage.cached_tokens) == (0, 0)
    assert len(await_published(two.client, full).engines) == 2
    second = by_another(two.client, request("kv/a"), first.usage.engine)
    assert second.ids == expected
    assert second.usage.blocks_looked_up == (first.usage.prompt_tokens - 1) // 16
    assert second.usage.blocks_loaded == second.usage.blocks_looked_up
    assert (second.usage.blocks_in_pool, second.usage.cached_tokens) == (0, second.usage.blocks_loaded * 16)


def test_blocks_are_never_shared_with_another_namespace(two: Local, expected: list[int]) -> None:
    mine = generate(two.client, request("kv/a"))
    yours = generate(two.client, request("kv/b"))
    assert (yours.usage.cached_tokens, yours.ids) == (0, expected)
    assert mine.ids == expected


def test_invariant_21_same_tokens_with_the_store_killed_in_the_middle_and_after_its_restart(
    two: Local, expected: list[int]
) -> None:
    killed = store_pid(two)
    during = generate(two.client, request("kv/killed"), lambda: os.kill(killed, signal.SIGKILL))
    assert during.ids == expected
    for _ in range(4):  # by both engines, while there is no store and while there is one again
        assert generate(two.client, request("kv/killed")).ids == expected
    deadline = time.monotonic() + 60
    while store_pid(two) == killed:
        assert time.monotonic() < deadline, "the store was not replaced"
        time.sleep(0.2)
    first = generate(two.client, request("kv/again"))
    assert first.ids == expected
    await_published(two.client, first.usage.prompt_tokens // 16)
    second = by_another(two.client, request("kv/again"), first.usage.engine)
    assert second.ids == expected
    assert second.usage.blocks_loaded == second.usage.blocks_looked_up > 0


def test_invariant_16_recall_then_forget_then_put_leaves_nothing(two: Local) -> None:
    client = two.client
    client.observe(talk.observations("kv/race"))
    recalled = talk.recall(client, "kv/race", "When does Aunt Petronella arrive from Lisbon?", limit=1)
    engram = recalled.items[0].engram
    assert "Petronella" in engram.text
    forget(client, "kv/race", [engram.id])
    stored = kv(client).store.counts["stored"]
    # The product goes on with what it recalled before the erasure.
    asked = request(
        "kv/race",
        max_tokens=FEW,
        engrams=pb.PromptEngrams(engrams=[pb.PromptEngram(namespace="kv/race", engram_id=engram.id)]),
        erasure_epochs=recalled.erasure_epochs,
    )
    for _ in range(4):
        assert generate(client, asked).usage.cached_tokens == 0
    time.sleep(1.0)  # whatever wanted to be published had its time
    after = kv(client)
    assert after.store.counts["stored"] == stored
    assert all(engine.pages_used == 0 for engine in after.engines)


def test_invariant_17_and_18_a_receipt_counts_the_blocks_that_went(two: Local, tmp_path: Path) -> None:
    client = two.client
    client.observe(talk.observations("kv/forget"))
    recalled = talk.recall(client, "kv/forget", "When does Aunt Petronella arrive from Lisbon?", limit=2)
    asked = request(
        "kv/forget",
        max_tokens=FEW,
        engrams=pb.PromptEngrams(
            engrams=[pb.PromptEngram(namespace="kv/forget", engram_id=i.engram.id) for i in recalled.items]
        ),
        erasure_epochs=recalled.erasure_epochs,
    )
    before = kv(client).store.blocks
    first = generate(client, asked)
    await_published(client, before + first.usage.prompt_tokens // 16)
    second = by_another(client, asked, first.usage.engine)
    assert second.usage.blocks_loaded > 0
    receipt = forget(client, "kv/forget", [recalled.items[0].engram.id])
    kept = {store.store: store for store in receipt.stores}
    blocks = first.usage.prompt_tokens // 16
    assert kept["kvstore"].done
    assert int(kept["kvstore"].detail.split()[0]) >= blocks
    for engine in (first.usage.engine, second.usage.engine):
        assert kept[engine].done
        # The blocks of the prompt; those of a generated end lie in one pool or both.
        assert int(kept[engine].detail.split()[0]) >= (second.usage.prompt_tokens - 1) // 16
    verified = client.episodic.VerifyForgotten(
        episodic_pb2.VerifyForgottenRequest(namespace="kv/forget", receipt_id=receipt.id),
        metadata=client.metadata,
        timeout=60,
    )
    assert verified.clean, verified
    assert {p.store: p.looked_at for p in verified.probes}["blocks"] == 3
    # The same prompt, recalled anew, finds nothing of what was computed before.
    again = talk.recall(client, "kv/forget", "umbrella", limit=1)
    asked.erasure_epochs["kv/forget"] = again.erasure_epochs["kv/forget"]
    # It still names what was erased: nothing of it is kept, so that nothing is found the next time.
    for _ in range(4):
        assert generate(client, asked).usage.cached_tokens == 0


def forget(client: Client, namespace: str, ids: list[str]) -> episodic_pb2.ErasureReceipt:
    selector = episodic_pb2.ForgetSelector(ids=episodic_pb2.Ids(ids=ids))
    asked = episodic_pb2.ForgetRequest(namespace=namespace, selector=selector, id=f"forget-{namespace}")
    receipt: episodic_pb2.ErasureReceipt = client.episodic.Forget(asked, metadata=client.metadata, timeout=60).receipt
    return receipt


def test_an_answer_is_worded_where_it_is_asked_for(two: Local) -> None:
    client = two.client
    client.observe(talk.observations("kv/a"))
    asked = pb.AskRequest(
        namespace="kv/a",
        question="When does Aunt Petronella arrive?",
        freshness=common_pb2.Freshness(strong=True),
    )

    def parts() -> list[pb.AskResponse]:
        return list(client.reasoning.Ask(asked, metadata=client.metadata, timeout=60))

    unasked = parts()
    assert [part.WhichOneof("part") for part in unasked] == ["evidence", "extractive", "done"]
    assert unasked[-1].done.wording.outcome == pb.WORDING_OUTCOME_NOT_ASKED
    asked.wording.SetInParent()
    worded = parts()
    assert "".join(part.wording.text for part in worded)
    done = worded[-1].done
    assert done.wording.outcome == pb.WORDING_OUTCOME_WORDED
    given = {item.engram.id for item in worded[0].evidence.items}
    assert done.wording.citations
    assert {citation.engram_id for citation in done.wording.citations} <= given
    assert all(citation.support > 0 for citation in done.wording.citations)
    assert done.model.startswith("SmolLM2")


def test_invariant_27_a_stream_that_is_cancelled_frees_its_pages(two: Local) -> None:
    client = two.client
    asked = request("kv/a", max_tokens=1000)
    for _ in range(4):
        call = client.reasoning.Generate(asked, metadata=client.metadata, timeout=60)
        next(iter(call))
        call.cancel()
    deadline = time.monotonic() + 10
    while any(engine.running or engine.pages_used for engine in kv(client).engines):
        assert time.monotonic() < deadline, "a cancelled stream goes on"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"messages": []}, "messages"),
        ({"text": "and a text"}, "messages"),
        ({"messages": [], "text": "word " * 5000}, "text"),
        ({"messages": [pb.ChatMessage(role="user", content="word " * 5000)]}, "messages"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"samples": 50}, "samples"),
        ({"sampling": pb.Sampling(temperature=-1)}, "sampling.temperature"),
        ({"sampling": pb.Sampling(temperature=math.nan, top_p=0.5)}, "sampling.temperature"),
        ({"erasure_epochs": {"kv/a": 2**63}}, "erasure_epochs"),
        ({"engrams": pb.PromptEngrams(engrams=[pb.PromptEngram(namespace="kv/a", engram_id="e")])}, "erasure_epochs"),
        ({"engrams": pb.PromptEngrams(engrams=[pb.PromptEngram(namespace="kv/a")])}, "engrams[0].engram_id"),
    ],
)
def test_a_bad_generate_is_refused_and_names_its_field(two: Local, changes: dict[str, object], field: str) -> None:
    from services.common.serving.errors import from_rpc_error

    with pytest.raises(grpc.RpcError) as caught:
        generate(two.client, request("kv/a", **changes))
    error = from_rpc_error(caught.value)
    assert (error.reason, error.field) == ("INVALID_FIELD", field)
    assert error.remedy
