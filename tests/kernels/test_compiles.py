"""What the interpreter tests, compiled for real GPUs without one: the interpreter lets pass what a compiler refuses."""

from __future__ import annotations

from typing import Any

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.layout import PAGE_TOKENS
from kernels.merge_states.kernel import merge_states_kernel
from kernels.paged_decode import host as decode_host
from kernels.paged_decode.kernel import paged_decode_kernel
from kernels.paged_prefill import host as prefill_host
from kernels.paged_prefill.kernel import paged_prefill_kernel

# SmolLM2's heads, and the shared memory of a block on sm_80 and sm_90, in bytes.
SHAPE = {"PAGE": PAGE_TOKENS, "KV_HEADS": 3, "GROUP": 3, "WIDTH": 64, "WIDTH_PAD": 64}
SHARED = {80: 163 << 10, 90: 227 << 10}

DECODE = (
    {"q_ptr": "*bf16", "pool_ptr": "*bf16", "table_ptr": "*i32", "lens_ptr": "*i32", "out_ptr": "*fp32"}
    | {"lse_ptr": "*fp32", "rows": "i32", "table_stride": "i32", "scale": "fp32"},
    {"WINDOW": 24, "SPLIT": decode_host.SPLIT_TOKENS, "BLOCK": decode_host.BLOCK_TOKENS, "GROUP_PAD": 16, **SHAPE},
)
PREFILL = (
    {"q_ptr": "*bf16", "pool_ptr": "*bf16", "table_ptr": "*i32", "starts_ptr": "*i32", "lens_ptr": "*i32"}
    | {"out_ptr": "*bf16", "lse_ptr": "*fp32", "table_stride": "i32", "scale": "fp32"},
    {"WINDOW": 24, "TILE": prefill_host.TILE_PAIRS, "BLOCK": prefill_host.BLOCK_TOKENS, **SHAPE},
)
MERGE = (
    {"outs_ptr": "*fp32", "lses_ptr": "*fp32", "out_ptr": "*bf16", "lse_ptr": "*fp32", "parts": "i32", "cells": "i32"},
    {"WIDTH": 64, "WIDTH_PAD": 64},
)


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(
    ("kernel", "case"), [(paged_decode_kernel, DECODE), (paged_prefill_kernel, PREFILL), (merge_states_kernel, MERGE)]
)
def test_kernel_compiles_and_fits(kernel: Any, case: tuple[dict[str, str], dict[str, int]], capability: int) -> None:
    signature, constants = case
    source = ASTSource(kernel, signature | dict.fromkeys(constants, "constexpr"), constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    assert made.asm["cubin"]
    assert made.metadata.shared <= SHARED[capability]
