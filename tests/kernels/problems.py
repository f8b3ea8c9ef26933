"""Random paged problems, their fp64 answers, and the folder's one table of tolerances."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from kernels.layout import PAGE_TOKENS

# Largest error against fp64, in units of max|V|: what accumulating in fp32 (fp64) and rounding the result allow.
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


@dataclass(frozen=True)
class Problem:
    q: Tensor
    pool: Tensor
    block_table: Tensor
    row_starts: Tensor
    seq_lens: Tensor
    scale: float

    def to(self, dtype: torch.dtype) -> Problem:
        return Problem(
            self.q.to(dtype), self.pool.to(dtype), self.block_table, self.row_starts, self.seq_lens, self.scale
        )


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


def assert_close(actual: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], values: Tensor) -> None:
    """(out, lse) against fp64, within the table; -inf only where it is expected, NaN nowhere."""
    out, lse = actual
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


def mutant(module: ModuleType, old: str, new: str, folder: Path) -> ModuleType:
    """``module`` with the one occurrence of ``old`` in its source replaced."""
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
    return made
