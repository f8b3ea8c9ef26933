"""Random paged problems, their fp64 answers, and the folder's one table of tolerances."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from kernels.cascade_decode.plan import Shared
from kernels.layout import PAGE_TOKENS
from kernels.quantised import LEVELS, Kind, KVPool, QuantisedPool, dequantise, empty_pool

# Largest error against fp64, in units of max|V|: what accumulating in fp32 (fp64) and rounding the result allow.
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}

DEVICE = os.environ.get("MNEME_TEST_DEVICE", "cpu")


@dataclass(frozen=True)
class Problem:
    q: Tensor
    pool: KVPool
    block_table: Tensor
    row_starts: Tensor
    seq_lens: Tensor
    scale: float

    def on_device(self) -> Problem:
        """Where the Triton kernels run: the CPU under the interpreter, the GPU where MNEME_TEST_DEVICE=cuda."""
        tables = (self.block_table.to(DEVICE), self.row_starts.to(DEVICE), self.seq_lens.to(DEVICE))
        return Problem(self.q.to(DEVICE), self.pool.to(DEVICE), *tables, self.scale)

    @property
    def plain(self) -> Tensor:
        """The pool, where it is known to be of plain numbers."""
        assert isinstance(self.pool, Tensor)
        return self.pool

    def to(self, dtype: torch.dtype) -> Problem:
        pool = self.pool.to(dtype) if isinstance(self.pool, Tensor) else self.pool
        return Problem(self.q.to(dtype), pool, self.block_table, self.row_starts, self.seq_lens, self.scale)


def problem(
    seq_lens: list[int],
    rows: list[int] | None = None,
    *,
    heads: int = 9,
    kv_heads: int = 3,
    width: int = 64,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Problem:
    """Sequences over randomly permuted pages. Whatever no token lies in is NaN; unused table entries are absurd."""
    g = torch.Generator().manual_seed(seed)
    rows = [1] * len(seq_lens) if rows is None else rows
    counts = [-(-n // PAGE_TOKENS) for n in seq_lens]
    pool = torch.full((sum(counts) + 2, 2, kv_heads, PAGE_TOKENS, width), torch.nan, dtype=torch.float64)
    free = torch.randperm(sum(counts) + 2, generator=g).tolist()
    table = torch.full((len(seq_lens), max([*counts, 1]) + 1), 2**30, dtype=torch.int32)
    for s, n in enumerate(seq_lens):
        for page in range(counts[s]):
            table[s, page] = free.pop()
            used = min(PAGE_TOKENS, n - page * PAGE_TOKENS)
            pool[table[s, page], :, :, :used] = torch.randn(2, kv_heads, used, width, generator=g, dtype=torch.float64)
    q = torch.randn(sum(rows), heads, width, generator=g, dtype=torch.float64) * 3  # peaked: masks and maps matter
    starts = torch.tensor([0, *torch.tensor(rows).cumsum(0).tolist()], dtype=torch.int32)
    made = Problem(q, pool, table, starts, torch.tensor(seq_lens, dtype=torch.int32), width**-0.5)
    return made.to(dtype)


def sharing(p: Problem, nodes: list[Shared]) -> Problem:
    """``p`` with the pages of each node those of its first row."""
    table = p.block_table.clone()
    for node in nodes:
        columns = slice(-(-node.begin // PAGE_TOKENS), node.end // PAGE_TOKENS)
        table[list(node.rows), columns] = table[node.rows[0], columns]
    return replace(p, block_table=table)


def quantised(p: Problem, kind: Kind, seed: int = 1) -> Problem:
    """``p`` over a pool of random codes. Parameters of pages that no sequence has are NaN, slots past an end are too
    (fp8). No quantiser is involved: whatever codes say is the truth."""
    assert isinstance(p.pool, Tensor)
    g = torch.Generator().manual_seed(seed)
    pages, _, kv_heads, _, width = p.pool.shape
    made = empty_pool(kind, pages, kv_heads, width)
    made.codes.copy_(torch.randint(0, 256, made.codes.shape, generator=g))
    if kind == "fp8":
        # Codes from 0x78 up are 256 to 448 and NaN: less than that, and scaled to the size of other keys.
        made.codes.copy_(torch.where((made.codes & 0x7F) < 0x78, made.codes, made.codes & 0x8F))
        unused = p.pool.isnan().any(dim=-1)
        made.codes[unused] = 0x7F
        made.key_params.copy_(torch.rand(kv_heads, generator=g) * 0.01 + 0.005)
        made.value_params.copy_(torch.rand(kv_heads, generator=g) * 0.01 + 0.005)
    else:
        held = ~p.pool[:, 0, 0, 0].isnan().any(dim=-1)
        for params in (made.key_params, made.value_params):
            drawn = torch.rand(params.shape, generator=g) + 0.5
            params.copy_(drawn * 5 / LEVELS[kind])
            params[:, :, 1] = (drawn[:, :, 1] - 3.5).to(torch.float16)
            params[~held] = torch.nan
    return replace(p, pool=made)


def assert_close(actual: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], pool: KVPool) -> None:
    """(out, lse) against fp64, within the table; -inf only where it is expected, NaN nowhere."""
    out, lse = actual[0].cpu(), actual[1].cpu()
    values = dequantise(pool, torch.float32) if isinstance(pool, QuantisedPool) else pool
    bound = TOLERANCE[out.dtype] * float(values.nan_to_num(0.0).abs().max())
    assert not out.isnan().any(), "NaN in the output"
    assert not lse.isnan().any(), "NaN in the log-sum-exp"
    assert float((out.double() - expected[0].double()).abs().max()) <= bound
    assert torch.equal(lse == -torch.inf, expected[1] == -torch.inf)
    finite = expected[1] != -torch.inf
    if finite.any():
        error = (lse.double()[finite] - expected[1].double()[finite]).abs().max()
        assert float(error) <= 10 * TOLERANCE[out.dtype]


@contextmanager
def poisoned() -> Iterator[None]:
    """Every freshly allocated tensor is full of NaN, so a place that a kernel forgot to write shows."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    try:
        assert torch.empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def plant(monkeypatch: pytest.MonkeyPatch, module: ModuleType, old: str, new: str, folder: Path) -> None:
    """Replaces the one occurrence of ``old`` in ``module``'s source, for everyone under kernels/ who imported it."""
    source = Path(str(module.__file__)).read_text()
    assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {module.__file__}"
    path = folder / "mutated.py"
    path.write_text(source.replace(old, new))
    spec = importlib.util.spec_from_file_location(f"mutated_{abs(hash((old, new)))}", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    planted = 0
    for name, mutated in vars(made).items():
        original = getattr(module, name, None)
        if name.startswith("__") or not callable(mutated) or original is mutated:
            continue
        for user in [m for n, m in sys.modules.items() if n.startswith(("kernels.", "tests.kernels.checks"))]:
            if vars(user).get(name) is original:
                monkeypatch.setattr(user, name, mutated)
                planted += 1
    assert planted, f"nobody uses what {module.__file__} defines"
