"""Time to the first token with the KV store: `python -m benchmarks.ttft`.

One engine over a store in another process, SmolLM2, a prompt of 3,008 tokens of diary. Each run takes in turn: *cold*
(nothing found, all computed), *warm* (187 blocks from the store, 16 tokens computed), *rest* (the same blocks in the
engine's own pool, 16 tokens computed) and *memcpy* (the bytes of the blocks, out of shared memory). What loading may
cost is bounded by what it saves computing and by the machine's own memory:

    warm <= 1.15 x (rest + bytes / (0.7 x memcpy)) + 5 ms

Medians of five interleaved runs. First the tokens of cold, warm and rest are checked to be the same, in float32. Exit
code 1 when the bar is missed or the tokens differ, 2 when the machine is busy (`--force` measures all the same).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.busy import busy_share, refuse_when_busy
from benchmarks.kvstore import PATIENT, aligned, running_store, shared_copy
from services.common.config import load
from services.common.nodes.nodes import NodeCredential
from services.kvstore.client import KvClient
from services.reasoning.blocks import Frame, Scope, Span, unlisted
from services.reasoning.config import ReasoningConfig
from services.reasoning.engine.core import identity_of
from services.reasoning.engine.kv_client import KvClientStore, store_identity
from services.reasoning.engine.local import LocalEngine
from services.reasoning.engine.port import Finished, Request, Token, Usage
from services.reasoning.models.load import LoadedModel, load_model

RUNS = 5
BLOCKS, REST = 187, 16
TOKENS = BLOCKS * 16 + REST
SAME_TOKENS = 16
NAMESPACE = "bench"
DIARY = Path(__file__).parents[1] / "examples" / "diary" / "source.txt"


@dataclass(frozen=True, slots=True)
class Answered:
    first_s: float
    ids: tuple[int, ...]
    usage: Usage


class Bench:
    """One engine, and the ways to ask it."""

    def __init__(self, model: LoadedModel, config: ReasoningConfig, kv: KvClient) -> None:
        self._engine = LocalEngine(model, config.engine, KvClientStore(kv))
        self._engine.start()
        text = model.tokenizer.encode(DIARY.read_text()[20_000:60_000])
        self._prompt = tuple(text[:TOKENS])
        self._asked = 0

    def close(self) -> None:
        self._engine.close()

    def cold(self, tokens: int = 1) -> Answered:
        """In a namespace of its own, so that neither pool nor store knows anything."""
        self._empty_pool()
        return self._ask(f"{NAMESPACE}/{self._asked}", tokens)

    def warm(self, tokens: int = 1) -> Answered:
        """With an empty pool: from the store."""
        self._empty_pool()
        return self._ask(NAMESPACE, tokens)

    def rest(self, tokens: int = 1) -> Answered:
        """With all but the rest in the pool."""
        return self._ask(NAMESPACE, tokens)

    def _empty_pool(self) -> None:
        names = [unlisted(NAMESPACE), *(unlisted(f"{NAMESPACE}/{n}") for n in range(self._asked + 1))]
        self._engine.drop(names, {}, timeout_s=60)

    def _ask(self, namespace: str, tokens: int) -> Answered:
        self._asked += 1
        scope = Scope.of(namespace, {namespace: 0})
        spans = (Span(0, frozenset({unlisted(namespace)})),)
        request = Request(f"r{self._asked}", self._prompt, tokens, scope, spans)
        ids: list[int] = []
        first_s = 0.0
        start = time.perf_counter()
        for event in self._engine.submit(request):
            if isinstance(event, Token):
                first_s = first_s or time.perf_counter() - start
                ids.append(event.id)
        assert isinstance(event, Finished)
        self._settle()
        return Answered(first_s, tuple(ids), event.usage)

    def _settle(self) -> None:
        """What was computed is on its way to the store beside the answer: not while the next is timed."""
        before, now = -1, 0
        while before != now:
            before = now
            time.sleep(0.3)
            stats = self._engine.stats()
            now = stats.blocks_published + stats.blocks_not_published


def memcpy_s(blocks: int, size: int) -> Callable[[], float]:
    """Times one copy of that many blocks out of shared memory, as the store's blocks lie there."""
    source = shared_copy(np.random.default_rng(0).integers(0, 256, size, np.uint8), blocks)
    target = aligned(blocks * size).data

    def copy() -> float:
        start = time.perf_counter()
        for at in range(0, blocks * size, size):
            target[at : at + size] = source[at : at + size]
        return time.perf_counter() - start

    copy()
    return copy


def same_tokens(bench: Bench) -> bool:
    """Cold, from the store, and from the pool: the same tokens, and found where they should be."""
    bench.warm()  # publishes
    answers = [bench.cold(SAME_TOKENS), bench.warm(SAME_TOKENS), bench.rest(SAME_TOKENS)]
    found = [(a.usage.blocks_loaded, a.usage.blocks_in_pool) for a in answers]
    assert found == [(0, 0), (BLOCKS, 0), (0, BLOCKS)], found
    return len({answer.ids for answer in answers}) == 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ttft")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="torch threads")
    arguments = parser.parse_args()
    if refuse_when_busy(busy_share(), force=arguments.force):
        return 2
    torch.set_num_threads(arguments.threads)
    config = load(environ={"MNEME__REASONING__MODEL__DTYPE": arguments.dtype}).section("reasoning", ReasoningConfig)
    model = load_model(config.model)
    shape = model.transformer.config
    size = Frame(shape.layers, shape.kv_heads, shape.head_dim, model.transformer.dtype.itemsize).nbytes
    identity = store_identity(identity_of(model, config.engine))
    with (
        running_store() as (data_dir, master),
        KvClient(data_dir, identity, NodeCredential(master, "bench"), PATIENT) as kv,
    ):
        bench = Bench(model, config, kv)
        same = same_tokens(bench)
        print(f"{arguments.dtype}, {arguments.threads} threads, {TOKENS} tokens, {BLOCKS} blocks of {size // 1024} KiB")
        print(f"the same {SAME_TOKENS} tokens cold, from the store and from the pool: {'yes' if same else 'NO'}")
        if not same and arguments.dtype == "float32":
            return 1
        copy = memcpy_s(BLOCKS, size)
        runs = [(bench.cold().first_s, bench.warm().first_s, bench.rest().first_s, copy()) for _ in range(RUNS)]
        bench.close()
    return report(runs)


def report(runs: list[tuple[float, float, float, float]]) -> int:
    """Medians, and whether the bar is met: 0, or 1."""
    cold, warm, rest, copied = (statistics.median(run[i] for run in runs) for i in range(4))
    bar = 1.15 * (rest + copied / 0.7) + 0.005
    for name, at, median in (("cold", 0, cold), ("warm", 1, warm), ("rest", 2, rest), ("memcpy", 3, copied)):
        print(f"{name:>7} {median * 1e3:8.1f} ms   runs {' '.join(f'{run[at] * 1e3:.1f}' for run in runs)}")
    print(f"    bar {bar * 1e3:8.1f} ms = 1.15 x (rest + memcpy / 0.7) + 5 ms: {'met' if warm <= bar else 'MISSED'}")
    print(f"  {cold / warm:.1f} times sooner than cold")
    return int(warm > bar)


if __name__ == "__main__":
    sys.exit(main())
