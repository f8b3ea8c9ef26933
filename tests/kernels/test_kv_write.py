"""kv_write, seal_pages, sealed_decode and rope_rerotate: torch backends against their references."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from kernels.kv_write import portable
from kernels.kv_write.host import kv_write, seal_pages
from kernels.paged_decode.host import paged_decode
from kernels.paged_decode.sealed import sealed_decode
from kernels.quantised import LEVELS, Kind, dequantise, empty_pool
from kernels.rope_rerotate import host as rope_host
from kernels.rope_rerotate.host import rope_rerotate
from tests.kernels.checks import (
    check_rerotate,
    check_seal,
    check_sealed_decode,
    check_write,
    check_writes,
    int32,
    rope_tables,
)
from tests.kernels.problems import plant, problem


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_kv_write_puts_tokens_where_tables_look(dtype: torch.dtype) -> None:
    check_write("torch", None, dtype)


def test_kv_write_of_fp8_is_torchs_own() -> None:
    check_write("torch", "fp8")


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_seal_pages_equals_reference_and_is_off_by_half_a_step(kind: Kind) -> None:
    check_seal("torch", kind)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_equally_spaced_numbers_are_kept_and_sealing_again_changes_no_code(kind: Kind) -> None:
    g = torch.Generator().manual_seed(1)
    pool = torch.randint(0, LEVELS[kind] + 1, (2, 2, 1, 16, 32), generator=g) / 16.0
    pool[..., 0], pool[..., -1] = 0.0, LEVELS[kind] / 16.0  # values: every group has its whole span
    pool[:, :, :, 0], pool[:, :, :, -1] = 0.0, LEVELS[kind] / 16.0  # keys: every channel
    pool[:, 1, :, 0, 0], pool[:, 1, :, -1, 0] = LEVELS[kind] / 16.0, 0.0
    pages = torch.arange(2)
    once, twice = empty_pool(kind, 2, 1, 32), empty_pool(kind, 2, 1, 32)
    seal_pages(pool, pages, once, pages, backend="torch")
    assert torch.equal(dequantise(once, torch.float32), pool)
    seal_pages(dequantise(once, torch.float32), pages, twice, pages, backend="torch")
    assert torch.equal(once.codes, twice.codes)


def test_a_constant_added_to_a_channels_keys_changes_only_its_minima() -> None:
    g = torch.Generator().manual_seed(2)
    pool = torch.randint(0, 64, (1, 2, 1, 16, 32), generator=g).float()
    moved = pool.clone()
    moved[:, 0, :, :, 3] += 128
    page = torch.zeros(1, dtype=torch.int64)
    a, b = empty_pool("int4", 1, 1, 32), empty_pool("int4", 1, 1, 32)
    seal_pages(pool, page, a, page, backend="torch")
    seal_pages(moved, page, b, page, backend="torch")
    assert torch.equal(a.codes, b.codes)
    assert torch.equal(a.key_params[:, :, 0], b.key_params[:, :, 0])
    assert ((a.key_params[:, :, 1] != b.key_params[:, :, 1]).nonzero()[:, -1] == 3).all()


@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize("options", [{}, {"window": 25, "sinks": 3}, {"softcap": 4.0}])
def test_a_sealed_part_and_its_tail_are_one_softmax(kind: Kind, options: dict[str, float]) -> None:
    check_sealed_decode("torch", kind, **options)


def test_a_row_without_sealed_pages_has_the_bits_of_its_tail() -> None:
    p = problem([9], heads=4, kv_heads=2)
    none = empty_pool("int4", 1, 2, 64)
    tail = (p.plain, p.block_table, p.seq_lens)
    merged = sealed_decode(p.q, none, p.block_table, int32(0), *tail, scale=p.scale, backend="torch")
    alone = paged_decode(p.q, *tail, scale=p.scale, backend="torch")
    assert torch.equal(merged[0], alone[0])
    torch.testing.assert_close(merged[1], alone[1], atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("pairs", "interleaved"), [(20, False), (12, False), (20, True), (8, True)])
def test_rope_rerotate_equals_reference(dtype: torch.dtype, pairs: int, interleaved: bool) -> None:
    check_rerotate("torch", dtype, pairs, interleaved=interleaved)


def test_a_moved_key_is_what_would_have_been_written_there() -> None:
    g = torch.Generator().manual_seed(3)
    cos, sin = rope_tables(600, 16, torch.float32)
    raw = torch.randn(16, 32, generator=g)

    def written(at: torch.Tensor) -> torch.Tensor:
        x, y = raw.chunk(2, dim=1)
        return torch.cat((x * cos[at] - y * sin[at], x * sin[at] + y * cos[at]), dim=1)

    old, new = torch.arange(500, 516), torch.arange(16)
    pool = torch.zeros(1, 2, 1, 16, 32)
    pool[0, 0, 0] = written(old)
    page = torch.zeros(1, dtype=torch.int64)
    rope_rerotate(pool, page, page, old.int()[None], new.int()[None], cos, sin, backend="torch")
    torch.testing.assert_close(pool[0, 0, 0], written(new), atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (portable, "slots >= 0", "slots >= -9"),
        (portable, "slots[written] % PAGE_TOKENS", "slots[written] % 15"),
        (portable, "codes[..., ::2] | codes[..., 1::2] << 4", "codes[..., 1::2] | codes[..., ::2] << 4"),
        (portable, "torch.round((numbers", "torch.floor((numbers"),
        (portable, "stored_low = low.to(torch.float16)", "stored_low = high.to(torch.float16)"),
        (rope_host, "sin[new] * cos[old] - cos[new] * sin[old]", "sin[old] * cos[new] - cos[old] * sin[new]"),
        (rope_host, "pool[targets] = pages", "pool[sources] = pages"),
    ],
)
def test_mutants_fail(module: ModuleType, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, module, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_writes("torch")


def test_what_does_not_fit_is_refused() -> None:
    key = torch.zeros(2, 1, 32)
    slots = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="written whole"):
        kv_write(key, key, empty_pool("int8", 1, 1, 32), slots, backend="torch")
    with pytest.raises(ValueError, match="token by token"):
        seal_pages(torch.zeros(1, 2, 1, 16, 32), slots, empty_pool("fp8", 1, 1, 32), slots, backend="torch")
    with pytest.raises(ValueError, match="must be equal"):
        kv_write(key.half(), key.half(), torch.zeros(1, 2, 1, 16, 32), slots, backend="torch")
