"""What the kernels cost beside their peers.

    python -m benchmarks.kernels --cpu [--rounds 15] [--threads 2] [--force]
    python -m benchmarks.kernels            on a GPU; see benchmarks/kernels_gpu.py

--cpu: native paged decode beside torch's scaled_dot_product_attention over contiguous keys and values of the same
lengths (bfloat16, 9 query and 3 kv heads of 64, 2,048 tokens), at 1, 8 and 32 requests; and each fused small operator
beside its torch twin, as a decode step of SmolLM2-135M calls it: 1, 8 and 32 rows, bfloat16 and float32, results in
buffers that the step reuses. Runs of both alternate; each figure is a median over the rounds, each ratio the median of
the rounds' ratios. Exits 1 when a bar is missed, 2 when the machine is busy (timings would mean nothing; --force
measures all the same) or lacks what the benchmark needs.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.busy import busy_share, refuse_when_busy
from kernels.add_rms_norm.host import add_rms_norm
from kernels.layout import PAGE_TOKENS
from kernels.native.library import CpuBackend, NativeUnavailable, library
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.reference import paged_decode_reference
from kernels.rope_kv_write.host import rope_kv_write
from kernels.silu_mul.host import silu_mul

HEADS, KV_HEADS, WIDTH, TOKENS = 9, 3, 64, 2048  # SmolLM2-135M's heads
HIDDEN, INTERMEDIATE = 576, 1536
REQUESTS = (1, 8, 32)
DECODE_BAR = 1.2  # at most this many times SDPA
SMALL_BAR = 2.0  # at least this many times as fast as the twin
ROUND_S = 0.004  # one way's share of a round: long enough for the clock, short enough to meet the same neighbours

Way = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison: the peer's time, ours, and the bar on their ratio."""

    name: str
    peer: Way
    ours: Way
    at_most: float | None = None  # ours / peer
    at_least: float | None = None  # peer / ours


def main() -> int:
    parser = argparse.ArgumentParser(description="Time of the kernels beside their peers, in one run.")
    parser.add_argument("--cpu", action="store_true", help="the native CPU kernels; without it, the GPU's")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0: as many as it takes by itself")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    arguments, others = parser.parse_known_args()
    if not arguments.cpu:
        return _gpu()
    if others:
        parser.error(f"unknown: {' '.join(others)}")
    try:
        native = library()
    except NativeUnavailable as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    busy = busy_share()
    print(f"{os.cpu_count()} cores, {busy:.0%} busy, load {os.getloadavg()[0]:.2f} before the start")
    if refuse_when_busy(busy, force=arguments.force):
        return 2
    print(f"{native.describe()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with torch.inference_mode():
        lines = [_decode(requests) for requests in REQUESTS]
        for dtype in (torch.bfloat16, torch.float32):
            lines += [line for rows in REQUESTS for line in _small(rows, dtype)]
        return _report(lines, arguments.rounds)


def _gpu() -> int:
    """The GPU's benchmark, which reads its own arguments."""
    if importlib.util.find_spec("benchmarks.kernels_gpu") is None:
        print("benchmarks/kernels_gpu.py is not here: only --cpu can be measured", file=sys.stderr)
        return 2
    code: int = importlib.import_module("benchmarks.kernels_gpu").main()
    return code


def _decode(requests: int) -> Line:
    g = torch.Generator().manual_seed(requests)
    columns = TOKENS // PAGE_TOKENS
    keys, values = torch.randn(2, requests, KV_HEADS, TOKENS, WIDTH, generator=g).bfloat16()
    q = torch.randn(requests, HEADS, WIDTH, generator=g).bfloat16()
    table = torch.randperm(requests * columns, generator=g).to(torch.int32).view(requests, columns)
    pool = torch.empty((requests * columns, 2, KV_HEADS, PAGE_TOKENS, WIDTH), dtype=torch.bfloat16)
    for place, contiguous in ((0, keys), (1, values)):
        paged = contiguous.view(requests, KV_HEADS, columns, PAGE_TOKENS, WIDTH).transpose(1, 2)
        pool[table.view(-1).long(), place] = paged.reshape(-1, KV_HEADS, PAGE_TOKENS, WIDTH)
    lens = torch.full((requests,), TOKENS, dtype=torch.int32)
    scale = WIDTH**-0.5

    def ours() -> Tensor:
        return paged_decode(q, pool, table, lens, scale=scale, backend="native", max_len=TOKENS)[0]

    def grouped() -> Tensor:
        """The heads of a group as query rows: torch's fastest way."""
        return F.scaled_dot_product_attention(q.view(requests, KV_HEADS, -1, WIDTH), keys, values, scale=scale)

    def plain() -> Tensor:
        return F.scaled_dot_product_attention(q.view(requests, HEADS, 1, WIDTH), keys, values, enable_gqa=True)

    # Fast and wrong is no figure.
    expected = paged_decode_reference(q[:1], pool, table[:1], lens[:1], scale=scale)[0]
    for made in (ours()[:1], grouped().reshape(q.shape)[:1], plain().reshape(q.shape)[:1]):
        torch.testing.assert_close(made, expected, atol=2e-2, rtol=0)
    peer = min((grouped, plain), key=lambda way: min(_took(way, 3) for _ in range(3)))
    return Line(
        f"paged decode, {requests:>2} x {TOKENS} tokens / SDPA ({peer.__name__})", peer, ours, at_most=DECODE_BAR
    )


def _small(rows: int, dtype: torch.dtype) -> list[Line]:
    g = torch.Generator().manual_seed(rows)
    kind = str(dtype).removeprefix("torch.")
    x, added = torch.zeros(2, rows, HIDDEN, dtype=dtype)  # summed in place many times: zero stays finite
    weight = torch.randn(HIDDEN, generator=g).to(dtype)
    gate_up = torch.randn(rows, 2 * INTERMEDIATE, generator=g).to(dtype)
    out = torch.empty(rows, INTERMEDIATE, dtype=dtype)
    qkv = torch.randn(rows, HEADS + 2 * KV_HEADS, WIDTH, generator=g).to(dtype)
    cos, sin = torch.randn(2, rows, WIDTH // 2, generator=g)
    pool = torch.zeros(rows, 2, KV_HEADS, PAGE_TOKENS, WIDTH, dtype=dtype)
    pages, places = torch.arange(rows), torch.full((rows,), 3)

    def norm(backend: CpuBackend) -> Way:
        return lambda: add_rms_norm(x, added, weight, eps=1e-5, backend=backend, reuse=True)

    def silu(backend: CpuBackend) -> Way:
        return lambda: silu_mul(gate_up, backend=backend, out=out)

    def rope(backend: CpuBackend) -> Way:
        return lambda: rope_kv_write(qkv, cos, sin, pages, places, pool, heads=HEADS, backend=backend)

    operators = {"add+RMSNorm": norm, "RoPE+KV write": rope, "SiLU·mul": silu}
    return [
        Line(f"{name}, {rows} rows, {kind}", make("torch"), make("native"), at_least=SMALL_BAR)
        for name, make in operators.items()
    ]


def _took(way: Way, calls: int) -> float:
    """Seconds of one call, over ``calls``."""
    started = time.perf_counter()
    for _ in range(calls):
        way()
    return (time.perf_counter() - started) / calls


def _report(lines: list[Line], rounds: int) -> int:
    """Measure and print the table; 1 when a bar is missed."""
    print(f"median over {rounds} rounds, runs alternate")
    print(f"{'':<52} {'peer us':>9} {'ours us':>9} {'ratio':>7} {'bar':>8}")
    missed = False
    for line in lines:
        peer, ours = _alternate(line, rounds)
        times = [statistics.median(peer) * 1e6, statistics.median(ours) * 1e6]
        if line.at_most is not None:
            ratio = statistics.median(o / p for o, p in zip(ours, peer, strict=True))
            met, bar = ratio <= line.at_most, f"<= {line.at_most}"
        else:
            ratio = statistics.median(p / o for o, p in zip(ours, peer, strict=True))
            met, bar = line.at_least is None or ratio >= line.at_least, f">= {line.at_least}"
        missed |= not met
        print(f"{line.name:<52} {times[0]:>9.1f} {times[1]:>9.1f} {ratio:>7.2f} {bar:>8} {'met' if met else 'MISSED'}")
    print(f"load {os.getloadavg()[0]:.2f} at the end")
    return int(missed)


def _alternate(line: Line, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds a call, of the peer and of ours, by round."""
    ways = (line.peer, line.ours)
    calls = [max(1, int(ROUND_S / max(1e-9, min(_took(way, 3) for _ in range(3))))) for way in ways]
    took = [[_took(way, n) for way, n in zip(ways, calls, strict=True)] for _ in range(rounds)]
    return [peer for peer, _ in took], [ours for _, ours in took]


if __name__ == "__main__":
    sys.exit(main())
