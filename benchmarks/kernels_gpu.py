"""The attention kernels on a GPU beside what it can read, and beside their peers.

    python -m benchmarks.kernels_gpu [--parts decode,prefill,cascade] [--quick] [--no-bars]

First the tests of tests/kernels/interpreted run on the GPU; red ones end the run. Then, in bfloat16 and width 128:

decode   batch 1 to 256 x context 1k to 128k x GQA 1, 4, 8: KV bytes a second over those of a kernel that only reads,
         measured in the same run, and times of torch SDPA (contiguous KV), FlexAttention with paging and FlashInfer
         (on our own pages) over ours
prefill  chunks of 2k to 16k tokens, first ones and later ones: times of cuDNN SDPA and FlashInfer over ours
cascade  64 rows, GQA 4, a prefix of 1,024 or 32,768 and tails of 64: plain decode over cascade, and the byte bound

Every way runs inside a CUDA graph that goes round over at least 1 GiB of KV, so that no cache holds what is read. A
peer that cannot be imported is left out, and said. Exit code 1 when a bar is missed, 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from kernels.cascade_decode.host import cascade_decode
from kernels.cascade_decode.plan import Shared, plan_cascade
from kernels.layout import PAGE_TOKENS
from kernels.paged_decode.host import paged_decode
from kernels.paged_prefill.host import paged_prefill

HEADS, WIDTH, DTYPE = 32, 128, torch.bfloat16
BATCHES, CONTEXTS, GROUPS = (1, 4, 16, 64, 256), (1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 17), (1, 4, 8)
ROUND_BYTES = 1 << 30
REPLAYS = 9
# Least share of the read bandwidth by bytes of KV, and what else the project promises of an H200.
READ_BARS = {64 << 20: 0.75, 256 << 20: 0.85, 1 << 30: 0.90}
MEAN_BAR, CELL_BAR = 1.0, 0.85
PREFILL_BARS = {"cuDNN": 0.60, "FlashInfer": 0.90}
CASCADE_BAR, CASCADE_SHARE, GATE_SLACK = 2.0, 0.5, 1.03

Way = Callable[[int], object]
"""Runs once, on the copy of the data that it is given the number of."""


@triton.jit  # type: ignore[untyped-decorator]
def _read_kernel(source_ptr, sums_ptr, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    total = tl.zeros([BLOCK], dtype=tl.int32)
    step = tl.num_programs(0).to(tl.int64) * BLOCK
    for start in range(tl.program_id(0).to(tl.int64) * BLOCK, count, step):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(source_ptr + at, mask=at < count, other=0)
    tl.store(sums_ptr + tl.program_id(0), tl.sum(total, axis=0))


def read_bandwidth(device: torch.device) -> float:
    """Bytes a second of a kernel that reads 2 GiB and does nothing else."""
    source = torch.ones(1 << 29, dtype=torch.int32, device=device)
    programs = torch.cuda.get_device_properties(device).multi_processor_count * 8
    sums = torch.empty(programs, dtype=torch.int32, device=device)
    seconds = seconds_of(lambda _: _read_kernel[(programs,)](source, sums, source.numel(), BLOCK=4096), 1)
    return source.numel() * 4 / seconds


def seconds_of(way: Way, copies: int) -> float:
    """Median seconds of one run, in a CUDA graph over all copies."""
    for copy in range(min(copies, 2)):
        way(copy)  # compiles, plans and allocates outside the graph
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for copy in range(copies):
            way(copy)
    graph.replay()
    times = []
    for _ in range(REPLAYS):
        begin, end = _event(), _event()
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(float(begin.elapsed_time(end)) / 1e3 / copies)
    return statistics.median(times)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of equal length over permuted pages, some copies of them; ``tables`` [copies, rows, columns]."""

    q: Tensor
    pool: Tensor
    tables: Tensor
    lens: Tensor
    kv_bytes: int
    copies: int

    @property
    def scale(self) -> float:
        return float(self.q.shape[-1] ** -0.5)


def make_batch(rows: int, length: int, group: int, device: torch.device, *, queries: int = 1) -> Batch:
    kv_heads = HEADS // group
    columns = -(-length // PAGE_TOKENS)
    kv_bytes = rows * length * 2 * kv_heads * WIDTH * 2
    copies = max(1, -(-ROUND_BYTES // kv_bytes))
    g = torch.Generator(device=device).manual_seed(0)
    pages = copies * rows * columns
    pool = torch.empty((pages, 2, kv_heads, PAGE_TOKENS, WIDTH), dtype=DTYPE, device=device).normal_(generator=g)
    tables = torch.randperm(pages, generator=g, device=device).to(torch.int32).view(copies, rows, columns)
    q = torch.empty((rows * queries, HEADS, WIDTH), dtype=DTYPE, device=device).normal_(generator=g)
    lens = torch.full((rows,), length, dtype=torch.int32, device=device)
    return Batch(q, pool, tables, lens, kv_bytes, copies)


def contiguous(batch: Batch) -> tuple[Tensor, Tensor]:
    """The same keys and values as SDPA wants them: [copies, rows, kv_heads, tokens, width]."""
    copies, rows, columns = batch.tables.shape
    parts = batch.pool[batch.tables.flatten().long()].view(copies, rows, columns, *batch.pool.shape[1:])
    keys, values = parts.permute(3, 0, 1, 4, 2, 5, 6).flatten(4, 5)
    length = int(batch.lens[0])
    return keys[:, :, :, :length].contiguous(), values[:, :, :, :length].contiguous()


def decode_ways(batch: Batch, group: int) -> Iterator[tuple[str, Way]]:
    """Ours first, then every peer that is here."""
    length = int(batch.lens[0])

    def ours(copy: int) -> object:
        return paged_decode(
            batch.q, batch.pool, batch.tables[copy], batch.lens, scale=batch.scale, backend="triton", max_len=length
        )

    yield "ours", ours
    keys, values = contiguous(batch)
    q = batch.q[:, :, None]
    yield "SDPA", _sdpa(q, keys, values, group)
    flex = _flex(batch, q, keys, values, group)
    if flex is not None:
        yield "Flex", flex
    if importlib.util.find_spec("flashinfer") is not None:
        yield "FlashInfer", _flashinfer_decode(batch)


def _sdpa(q: Tensor, keys: Tensor, values: Tensor, group: int) -> Way:
    return lambda copy: F.scaled_dot_product_attention(q, keys[copy], values[copy], enable_gqa=group > 1)


def _flex(batch: Batch, q: Tensor, keys: Tensor, values: Tensor, group: int) -> Way | None:
    """FlexAttention over a paged cache of torch's own making, pages of 128 tokens; contexts are multiples of that."""
    if importlib.util.find_spec("torch.nn.attention.experimental") is None:
        return None
    from torch.nn.attention.experimental._paged_attention import PagedAttention
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention, noop_mask

    rows, length = q.shape[0], keys.shape[3]
    block = 128
    pages = -(-length // block) * rows
    attend = torch.compile(flex_attention, dynamic=False)
    caches = []
    for copy in range(batch.copies):
        paged = PagedAttention(pages, block, rows, device=str(q.device))
        shape = (1, keys.shape[2], pages * block, WIDTH)
        key_cache, value_cache = torch.zeros(shape, **_like(q)), torch.zeros(shape, **_like(q))
        every = torch.arange(rows, device=q.device)
        for row in range(rows):
            paged.reserve(every[row], torch.tensor(length, device=q.device))
        positions = torch.arange(length, device=q.device)[None].expand(rows, -1)
        paged.assign(every, positions, keys[copy], values[copy], key_cache, value_cache)
        logical = create_block_mask(noop_mask, rows, None, 1, length, device=str(q.device), BLOCK_SIZE=(block, block))
        mask = paged.convert_logical_block_mask(logical)
        caches.append((key_cache, value_cache, mask))
    return lambda copy: attend(q, *caches[copy][:2], block_mask=caches[copy][2], enable_gqa=group > 1)


def _like(q: Tensor) -> dict[str, Any]:
    return {"dtype": q.dtype, "device": q.device}


def _flashinfer_decode(batch: Batch) -> Way:
    """On our pages: [pages, 2, kv_heads, 16, width] is FlashInfer's HND layout."""
    import flashinfer

    rows, columns = batch.tables.shape[1:]
    kv_heads = batch.pool.shape[2]
    starts = torch.arange(rows + 1, dtype=torch.int32, device=batch.q.device) * columns
    last = torch.full((rows,), (int(batch.lens[0]) - 1) % PAGE_TOKENS + 1, dtype=torch.int32, device=batch.q.device)
    wrappers = []
    for copy in range(batch.copies):
        workspace = torch.empty(128 << 20, dtype=torch.uint8, device=batch.q.device)
        wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(workspace, "HND", use_tensor_cores=True)
        wrapper.plan(
            starts, batch.tables[copy].flatten(), last, HEADS, kv_heads, WIDTH, PAGE_TOKENS,
            q_data_type=DTYPE, kv_data_type=DTYPE,
        )  # fmt: skip
        wrappers.append(wrapper)
    return lambda copy: wrappers[copy].run(batch.q, batch.pool)


def _agree(batch: Batch, ways: list[tuple[str, Way]]) -> None:
    """A peer that computes something else is no peer."""
    ours: Any = ways[0][1](0)
    for name, way in ways[1:]:
        theirs: Any = way(0)
        error = float((theirs.reshape(ours[0].shape).float() - ours[0].float()).abs().max())
        if error > 2e-2:
            raise RuntimeError(f"{name} differs by {error}: not the same problem")


def measure_decode(device: torch.device, *, quick: bool) -> list[str]:
    """Prints a line a cell; returns the bars that were missed."""
    readable = read_bandwidth(device)
    print(f"read-only kernel: {readable / 1e12:.2f} TB/s")
    missed, best_ratios = [], []
    for group in GROUPS:
        for rows in BATCHES[:2] if quick else BATCHES:
            for length in CONTEXTS[:2] if quick else CONTEXTS:
                kv_bytes = rows * length * 2 * HEADS // group * WIDTH * 2
                label = f"decode batch {rows:3} context {length:6} GQA {group}"
                # Ours, contiguous ones and FlexAttention's copy, and a gather's.
                if max(kv_bytes, ROUND_BYTES) * 5 > torch.cuda.mem_get_info(device)[0]:
                    print(f"{label}: {kv_bytes / 2**30:.0f} GiB of KV, left out: too large for this GPU")
                    continue
                batch = make_batch(rows, length, group, device)
                ways = list(decode_ways(batch, group))
                _agree(batch, ways)
                times = {name: seconds_of(way, batch.copies) for name, way in ways}
                share = batch.kv_bytes / times["ours"] / readable
                ratios = {name: t / times["ours"] for name, t in times.items() if name != "ours"}
                best_ratios.append(min(ratios.values()))
                peers = "  ".join(f"{name} {ratio:.2f}x" for name, ratio in ratios.items())
                print(f"{label}: {times['ours'] * 1e6:9.1f} us  {share:.2f} of reading  {peers}", flush=True)
                bar = max((b for size, b in READ_BARS.items() if batch.kv_bytes >= size), default=0.0)
                if share < bar:
                    missed.append(f"{label}: {share:.2f} of reading, not {bar}")
                if best_ratios[-1] < CELL_BAR:
                    missed.append(f"{label}: {best_ratios[-1]:.2f} of the best peer, not {CELL_BAR}")
                del batch, ways
                torch.cuda.empty_cache()
    mean = math.exp(statistics.fmean(map(math.log, best_ratios)))
    print(f"decode: geometric mean {mean:.2f} x the best peer")
    return [*missed, *([f"decode: mean {mean:.2f}, not {MEAN_BAR}"] if mean < MEAN_BAR else [])]


def measure_prefill(device: torch.device, *, quick: bool) -> list[str]:
    missed = []
    for rows, length in [(1, 2048)] if quick else [(1, 2048), (4, 4096), (1, 16384), (8, 2048)]:
        for group in (4,) if quick else GROUPS:
            for chunk in (length, 512):
                batch = make_batch(rows, length, group, device, queries=chunk)
                ways = list(_prefill_ways(batch, group, chunk))
                _agree(batch, ways)
                times = {name: seconds_of(way, batch.copies) for name, way in ways}
                flops = 4 * rows * chunk * (length - chunk / 2) * HEADS * WIDTH
                label = f"prefill {rows} x {chunk} of {length} GQA {group}"
                ratios = {name: t / times["ours"] for name, t in times.items() if name != "ours"}
                peers = "  ".join(f"{name} {ratio:.2f}x" for name, ratio in ratios.items())
                print(f"{label}: {flops / times['ours'] / 1e12:7.1f} TFLOP/s  {peers}", flush=True)
                missed += [
                    f"{label}: {ratio:.2f} of {name}, not {PREFILL_BARS[name]}"
                    for name, ratio in ratios.items()
                    if ratio < PREFILL_BARS[name]
                ]
    return missed


def _prefill_ways(batch: Batch, group: int, chunk: int) -> Iterator[tuple[str, Way]]:
    rows, length = batch.lens.shape[0], int(batch.lens[0])
    starts = torch.arange(rows + 1, dtype=torch.int32, device=batch.q.device) * chunk
    yield "ours", lambda copy: paged_prefill(
        batch.q, batch.pool, batch.tables[copy], starts, batch.lens,
        scale=batch.scale, backend="triton", max_rows=chunk,
    )  # fmt: skip
    if chunk == length:  # cuDNN's causal mask is that of a first chunk
        keys, values = (x.repeat_interleave(group, dim=2) for x in contiguous(batch))
        q = batch.q.view(rows, chunk, HEADS, WIDTH).transpose(1, 2).contiguous()

        def cudnn(copy: int) -> Tensor:
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                return F.scaled_dot_product_attention(q, keys[copy], values[copy], is_causal=True).transpose(1, 2)

        yield "cuDNN", cudnn
    if importlib.util.find_spec("flashinfer") is not None:
        import flashinfer

        columns = batch.tables.shape[2]
        of_pages = torch.arange(rows + 1, dtype=torch.int32, device=batch.q.device) * columns
        last = torch.full((rows,), (length - 1) % PAGE_TOKENS + 1, dtype=torch.int32, device=batch.q.device)
        wrappers = []
        for copy in range(batch.copies):
            workspace = torch.empty(256 << 20, dtype=torch.uint8, device=batch.q.device)
            wrapper = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace, "HND")
            wrapper.plan(
                starts, of_pages, batch.tables[copy].flatten(), last, HEADS, HEADS // group, WIDTH, PAGE_TOKENS,
                causal=True, q_data_type=DTYPE, kv_data_type=DTYPE,
            )  # fmt: skip
            wrappers.append(wrapper)
        yield "FlashInfer", lambda copy: wrappers[copy].run(batch.q, batch.pool)


def measure_cascade(device: torch.device, *, quick: bool) -> list[str]:
    missed = []
    rows, group, tail = 64, 4, 64
    for prefix in (64, 1024) if quick else (64, 256, 1024, 8192, 32768):
        batch = make_batch(rows, prefix + tail, group, device)
        tables = batch.tables.clone()
        tables[:, :, : prefix // PAGE_TOKENS] = tables[:, :1, : prefix // PAGE_TOKENS]
        node = Shared(tuple(range(rows)), 0, prefix)
        sizes = {"heads": HEADS, "kv_heads": HEADS // group, "width": WIDTH}
        plans = {
            gate: [plan_cascade(t, batch.lens, [node], backend="triton", gate=gate, **sizes) for t in tables]
            for gate in (True, False)
        }
        plain = _with_tables(batch, tables)
        way = next(decode_ways(plain, group))[1]
        times = {"plain": seconds_of(way, batch.copies)}
        for name, gate in (("shared", False), ("gated", True)):
            times[name] = seconds_of(_cascade_way(plain, plans[gate]), batch.copies)
        bound = plans[False][0].tokens_plain / plans[False][0].tokens_read
        gain, gated = times["plain"] / times["shared"], times["gated"] / times["plain"]
        print(f"cascade prefix {prefix:5}: shared {gain:.2f}x plain (byte bound {bound:.1f}), gated {1 / gated:.2f}x")
        if gated > GATE_SLACK:
            missed.append(f"cascade prefix {prefix}: the gate is {gated:.2f} times as slow as plain")
        if prefix == 1024 and gain < CASCADE_BAR:
            missed.append(f"cascade prefix {prefix}: {gain:.2f}x, not {CASCADE_BAR}")
        if prefix == 32768 and gain < bound * CASCADE_SHARE:
            missed.append(f"cascade prefix {prefix}: {gain:.2f}x, not half of {bound:.1f}")
    return missed


def _with_tables(batch: Batch, tables: Tensor) -> Batch:
    return Batch(batch.q, batch.pool, tables, batch.lens, batch.kv_bytes, batch.copies)


def _cascade_way(batch: Batch, plans: list[Any]) -> Way:
    return lambda copy: cascade_decode(batch.q, batch.pool, plans[copy], scale=batch.scale, backend="triton")


def tests_pass() -> bool:
    """The interpreter's tests, on the GPU; mutants stay at home, since they read where they should not."""
    folder = Path(__file__).parents[1] / "tests" / "kernels" / "interpreted"
    command = [sys.executable, "-m", "pytest", "-q", "-k", "not mutants", "-p", "no:cacheprovider", str(folder)]
    environment = {**os.environ, "MNEME_TEST_DEVICE": "cuda"}
    return subprocess.run(command, env=environment, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="decode,prefill,cascade", help="which to measure, by comma")
    parser.add_argument("--quick", action="store_true", help="a few small cells: is everything in order?")
    parser.add_argument("--no-bars", action="store_true", help="on another GPU than an H200: measure, judge nothing")
    arguments = parser.parse_args()
    measures = {"decode": measure_decode, "prefill": measure_prefill, "cascade": measure_cascade}
    parts = arguments.parts.split(",")
    if unknown := [part for part in parts if part not in measures]:
        parser.error(f"--parts: {', '.join(unknown)}, not of {', '.join(measures)}")
    if not torch.cuda.is_available():
        print("no GPU that torch sees: nothing to measure. On the CPU: python -m benchmarks.kernels --cpu")
        return 2
    device = torch.device("cuda")
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, triton {triton.__version__}")
    if not tests_pass():
        print("the tests are red: no timings")
        return 1
    for peer in ("flashinfer",):
        if importlib.util.find_spec(peer) is None:
            print(f"{peer} cannot be imported: left out")
    missed = [line for part in parts for line in measures[part](device, quick=arguments.quick)]
    if arguments.no_bars:
        return 0
    print("\n".join(missed) or "every bar is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
