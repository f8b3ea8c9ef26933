"""The KV part of the demo: one long prompt of diary, two engines, one KV store between them.

One engine computes the prompt and publishes its blocks; the other, asked a further question, loads them. Shows times
to the first token, cold and warm, and what became of every block; then compares tokens on a shorter prompt: computed,
loaded from the store, and computed again in a namespace that shares nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mneme.v1 import admin_pb2, episodic_pb2
from mneme.v1 import reasoning_pb2 as pb
from rich.console import Console
from rich.table import Table

from services.cli.client import Client

LONG_BYTES, SHORT_BYTES = 11_800, 2_400  # about 3,000 and 600 tokens
FROM = "1889-05-10T00:00:00Z"  # where the person enters whom the demo forgets later: these blocks must go then
FIRST, FURTHER = "Who dined with us on these days?", "What did Lupin say about it?"
ANSWER_TOKENS, SAME_TOKENS = 8, 24
TRIES = 40
PUBLISH_S = 30.0
NOT_SHARED = "demo/not-shared"


class KvFailed(Exception):
    """The KV part did not do what it says."""


@dataclass(frozen=True, slots=True)
class Written:
    """One answer: its tokens, what it cost, and how long this client waited for the first of them."""

    ids: list[int]
    usage: pb.Usage
    first_s: float


@dataclass(frozen=True, slots=True)
class Diary:
    """A prompt's beginning, the engrams that its paragraphs are, and the erasure epochs as of their recall."""

    text: str
    engrams: pb.PromptEngrams
    epochs: dict[str, int]


def run(client: Client, namespace: str, console: Console) -> None:
    """KvFailed unless the store saved what it says, and every token is the same."""
    _share(client, namespace, console)
    _compare(client, namespace, console)


def _share(client: Client, namespace: str, console: Console) -> None:
    diary = _diary(client, namespace, "Some pages of a diary", LONG_BYTES)
    cold = _generate(client, namespace, diary, FIRST, ANSWER_TOKENS)
    _await_published(client, cold)
    pool = warm = None
    for _ in range(TRIES):
        with _another_stream(client, namespace):
            written = _generate(client, namespace, diary, FURTHER, ANSWER_TOKENS)
        if written.usage.engine == cold.usage.engine:
            pool = pool or written
        else:
            warm = warm or written
        if pool and warm:
            break
    if pool is None or warm is None:
        raise KvFailed("one of the two engines never answers")
    console.print(f"  {cold.usage.prompt_tokens} tokens of diary and a question; then a further question, twice")
    _show(console, {"engine 1, cold": cold, "engine 2, store": warm, "engine 1, pool": pool})
    if cold.usage.cached_tokens:
        raise KvFailed("the first prompt was not cold")
    for written, found in ((warm, warm.usage.blocks_loaded), (pool, pool.usage.blocks_in_pool)):
        if found < written.usage.blocks_looked_up - 2:  # all but those that the question lies in
            raise KvFailed(f"of {written.usage.blocks_looked_up} blocks only {found} were found")
    if warm.first_s > cold.first_s / 2:
        raise KvFailed("the store saved less than half of the wait")


def _compare(client: Client, namespace: str, console: Console) -> None:
    diary = _diary(client, namespace, "One page of a diary", SHORT_BYTES)
    computed = _generate(client, namespace, diary, FIRST, SAME_TOKENS)
    _await_published(client, computed)
    for _ in range(TRIES):
        with _another_stream(client, namespace):
            loaded = _generate(client, namespace, diary, FIRST, SAME_TOKENS)
        if loaded.usage.engine != computed.usage.engine:
            break
    client.admin.CreateNamespace(
        admin_pb2.CreateNamespaceRequest(namespace=NOT_SHARED), metadata=client.metadata, timeout=30
    )
    apart = _generate(client, NOT_SHARED, diary, FIRST, SAME_TOKENS)
    cached = [written.usage.cached_tokens for written in (computed, loaded, apart)]
    console.print(
        f"  the same {computed.usage.prompt_tokens} tokens, float32: {cached[0]}, {cached[1]} and {cached[2]} of them "
        f"from the cache; {len(computed.ids)} tokens written each time"
    )
    if not computed.ids == loaded.ids == apart.ids:
        raise KvFailed("the tokens differ with and without the store")
    beginning = 32  # the chat template's own, which every prompt of the namespace shares
    if computed.usage.cached_tokens > beginning or not loaded.usage.blocks_loaded or apart.usage.cached_tokens:
        raise KvFailed("the tokens compared were not computed, loaded and computed again")
    console.print("  the same tokens: computed, loaded from the store, and computed where nothing is shared")


def _diary(client: Client, namespace: str, title: str, most_bytes: int) -> Diary:
    """Paragraphs in order of time, as many as fit; another title shares nothing with this one."""
    request = episodic_pb2.TimelineRequest(namespace=namespace, page_size=200)
    request.event_time.start.FromJsonString(FROM)
    request.filter.kinds.append(episodic_pb2.ENGRAM_KIND_TURN)
    found = client.episodic.Timeline(request, metadata=client.metadata, timeout=30).engrams
    now = client.episodic.Recall(
        episodic_pb2.RecallRequest(namespace=namespace, query="?", limit=1), metadata=client.metadata, timeout=30
    )
    texts: list[str] = []
    engrams = pb.PromptEngrams()
    for engram in found:
        if sum(map(len, texts)) + len(engram.text) > most_bytes:
            break
        texts.append(engram.text)
        engrams.engrams.add(namespace=namespace, engram_id=engram.id)
    return Diary(title + ":\n" + "\n".join(texts), engrams, dict(now.erasure_epochs))


@contextmanager
def _another_stream(client: Client, namespace: str) -> Iterator[None]:
    """Serve chooses the engine with less to do, and of two that are idle always the one whose pulse the gateway does
    not listen to. With one stream more it chooses either."""
    request = pb.GenerateRequest(namespace=namespace, max_tokens=200, engrams=pb.PromptEngrams())
    request.messages.add(role="system", content="Numbers alone.")  # no block in common with the diary
    request.messages.add(role="user", content="Count.")
    stream = client.reasoning.Generate(request, metadata=client.metadata, timeout=120)
    next(stream)
    try:
        yield
    finally:
        stream.cancel()


def _generate(client: Client, namespace: str, diary: Diary, question: str, tokens: int) -> Written:
    """Asks through the gateway, as any product would; the diary first, so that questions share it."""
    request = pb.GenerateRequest(
        namespace=namespace,
        messages=[pb.ChatMessage(role="user", content=f"{diary.text}\n\nQuestion: {question}")],
        max_tokens=tokens,
        engrams=diary.engrams,
        erasure_epochs={namespace: 0, **diary.epochs},
    )
    ids: list[int] = []
    usage = pb.Usage()
    first_s = 0.0
    began = time.monotonic()
    for part in client.reasoning.Generate(request, metadata=client.metadata, timeout=120):
        if part.HasField("piece") and part.piece.HasField("token_id"):
            first_s = first_s or time.monotonic() - began
            ids.append(part.piece.token_id)
        elif part.HasField("end"):
            usage = part.end.usage
    if usage.finish_reason not in (pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH):
        raise KvFailed(f"an answer ended as {pb.FinishReason.Name(usage.finish_reason)}")
    return Written(ids, usage, first_s)


def _await_published(client: Client, written: Written) -> None:
    """Blocks reach the store beside the stream, a moment after it."""
    wanted = written.usage.prompt_tokens // 16
    deadline = time.monotonic() + PUBLISH_S
    while time.monotonic() < deadline:
        stats = client.reasoning.GetKvStats(pb.GetKvStatsRequest(), metadata=client.metadata, timeout=30)
        engine = next((e for e in stats.engines if e.engine == written.usage.engine), pb.EngineStats())
        if engine.counts["blocks_published"] + engine.counts["blocks_not_published"] >= wanted:
            return
        time.sleep(0.1)
    raise KvFailed(f"the blocks of the prompt were not published in {PUBLISH_S:.0f} s")


def _show(console: Console, rows: dict[str, Written]) -> None:
    table = Table(title="blocks of 16 tokens")
    for column in ("", "first token", "looked up", "store", "pool", "computed"):
        table.add_column(column, justify="right" if column else "left")
    for name, written in rows.items():
        used = written.usage
        numbers = (used.blocks_looked_up, used.blocks_loaded, used.blocks_in_pool, used.blocks_computed)
        table.add_row(name, f"{written.first_s * 1000:.0f} ms", *map(str, numbers))
    console.print(table)
