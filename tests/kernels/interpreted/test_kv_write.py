"""kv_write, seal_pages, sealed_decode and rope_rerotate: Triton kernels against their references."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from kernels import device
from kernels.kv_write import kernel
from kernels.quantised import Kind
from kernels.rope_rerotate import kernel as rope_kernel
from tests.kernels.checks import check_rerotate, check_seal, check_sealed_decode, check_write, check_writes
from tests.kernels.problems import DEVICE, plant

torch.set_num_threads(1)


@pytest.mark.parametrize(("kind", "dtype"), [(None, torch.float32), (None, torch.bfloat16), ("fp8", torch.float32)])
def test_kv_write(kind: Kind | None, dtype: torch.dtype) -> None:
    check_write("triton", kind, dtype)


def test_every_fp8_code_and_what_lies_between() -> None:
    """The device's encoding against torch's own, at all codes, halfway between them, and beside."""
    from kernels.kv_write.host import kv_write
    from kernels.quantised import empty_pool

    codes = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    middles = (codes[1:] + codes[:-1]) / 2
    beside = torch.cat((middles * (1 + 2**-20), middles * (1 - 2**-20)))
    numbers = torch.cat((codes, middles, beside, torch.tensor([500.0, 1e30, 464.0])))
    numbers = torch.cat((numbers, -numbers))
    numbers = torch.nn.functional.pad(numbers, (0, -len(numbers) % 64)).view(-1, 1, 64)
    pool = empty_pool("fp8", -(-len(numbers) // 16), 1, 64, device=DEVICE)
    slots = torch.arange(len(numbers), device=DEVICE)
    kv_write(numbers.to(DEVICE), numbers.to(DEVICE), pool, slots, backend="triton")
    made = pool.codes[:, 0, 0].reshape(-1, 64)[: len(numbers)].cpu()
    assert torch.equal(made, numbers[:, 0].clamp(-448, 448).to(torch.float8_e4m3fn).view(torch.uint8))


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_seal_pages(kind: Kind) -> None:
    check_seal("triton", kind)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_sealed_part_and_its_tail_are_one_softmax(kind: Kind) -> None:
    check_sealed_decode("triton", kind, window=25, sinks=3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("pairs", "interleaved"), [(20, False), (12, True)])
def test_rope_rerotate(dtype: torch.dtype, pairs: int, interleaved: bool) -> None:
    check_rerotate("triton", dtype, pairs, interleaved=interleaved)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (kernel, "m_width & (slot >= 0)", "m_width & (slot >= 17)"),
        (kernel, "+ slot % PAGE)", "+ slot % 15)"),
        (kernel, "even | (odd << 4)", "odd | (even << 4)"),
        (kernel, "tl.max(grouped, axis=2)", "tl.min(grouped, axis=2)"),
        (kernel, "PAGE * (WIDTH // 32), low", "PAGE * (WIDTH // 32), scale"),
        (device, "(wide >> 20) & 1", "1"),
        (device, "size < 0.015625", "size < 0.0"),
        (rope_kernel, "b_sin_new * b_cos_old - b_cos_new * b_sin_old", "b_sin_new * b_cos_old"),
        (rope_kernel, "m_value = i_width < WIDTH", "m_value = i_width < WIDTH // 2"),
    ],
)
def test_mutants_fail(module: ModuleType, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, module, old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_writes("triton")
