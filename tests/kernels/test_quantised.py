"""Dequantisation against the layout's definition, read byte by byte."""

from __future__ import annotations

import pytest
import torch

from kernels.quantised import PAGE_TOKENS, VALUE_GROUP, Kind, QuantisedPool, dequantise, empty_pool
from tests.kernels.problems import problem, quantised


def number(pool: QuantisedPool, page: int, part: int, head: int, slot: int, channel: int) -> float:
    if pool.kind == "int4":
        byte = int(pool.codes[page, part, head, slot, channel // 2])
        code = byte >> 4 if channel % 2 else byte & 15
    else:
        code = int(pool.codes[page, part, head, slot, channel])
    if part == 0:
        scale, low = pool.key_params[page, head, :, channel].tolist()
    else:
        scale, low = pool.value_params[page, head, :, slot, channel // VALUE_GROUP].tolist()
    return float(code * scale + low)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_integers_have_their_page_and_channel_or_token_and_group(kind: Kind) -> None:
    pool = quantised(problem([33], heads=2, kv_heads=2), kind).pool
    assert isinstance(pool, QuantisedPool)
    plain = dequantise(pool, torch.float64)
    assert plain.shape == pool.shape
    for page in range(pool.shape[0]):
        for part, head, slot, channel in [(0, 0, 0, 0), (0, 1, 15, 63), (1, 0, 7, 31), (1, 1, 3, 32), (1, 1, 9, 45)]:
            expected = number(pool, page, part, head, slot, channel)
            assert plain[page, part, head, slot, channel].item() == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_fp8_is_one_sign_four_exponent_and_three_mantissa_bits() -> None:
    pool = empty_pool("fp8", 1, 1, 16)
    pool.codes.copy_(torch.arange(256).view(1, 1, 1, PAGE_TOKENS, 16).expand(1, 2, 1, PAGE_TOKENS, 16))
    pool.value_params.fill_(0.5)
    plain = dequantise(pool, torch.float64)
    for code in range(256):
        sign, exponent, mantissa = code >> 7, code >> 3 & 15, code & 7
        if code & 0x7F == 0x7F:
            continue  # NaN
        size = (1 + mantissa / 8) * 2.0 ** (exponent - 7) if exponent else mantissa / 8 * 2.0**-6
        assert plain[0, 0, 0].flatten()[code].item() == (-size if sign else size)
        assert plain[0, 1, 0].flatten()[code].item() == (-size if sign else size) / 2


def test_a_width_that_groups_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="32 divides"):
        empty_pool("int8", 1, 1, 40)
