"""The kernels' configurations that are compiled ahead of time: a named list that covers what the tests run.

``make kernels-compile`` compiles each for sm_80 and sm_90 without a GPU and holds them to what docs/kernels.md says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import triton

from kernels.block_score import host as score_host
from kernels.block_score.kernel import block_score_kernel
from kernels.block_summary.kernel import block_summary_kernel
from kernels.cascade_decode import host as cascade_host
from kernels.cascade_decode.kernel import shared_level_kernel
from kernels.column_sums import host as sums_host
from kernels.column_sums.kernel import column_sums_kernel
from kernels.kv_write.kernel import kv_write_kernel, seal_pages_kernel
from kernels.layout import pad_width
from kernels.merge_states import host as merge_host
from kernels.merge_states.kernel import merge_states_kernel
from kernels.paged_decode import host as decode_host
from kernels.paged_decode.kernel import paged_decode_kernel
from kernels.paged_prefill import host as prefill_host
from kernels.paged_prefill.kernel import paged_prefill_kernel
from kernels.paged_prefill.tiles import tiles
from kernels.quantised import PAGE_TOKENS, Kind, KVPool, empty_pool
from kernels.rope_rerotate.kernel import rope_rerotate_kernel
from kernels.surprisal import host as surprisal_host
from kernels.surprisal.kernel import surprisal_kernel

GENERATIONS = (80, 90)
POINTER = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32", torch.uint8: "*u8"}


@dataclass(frozen=True, slots=True)
class Configuration:
    """One compilation: the kernel, its arguments' types in order of their names, and what is fixed."""

    name: str
    kernel: Any
    types: dict[str, str]
    constants: dict[str, Any]
    warps: int = 4
    checks: frozenset[str] = field(default=frozenset())  # of "wide loads", "tensor cores", "HGMMA" (on sm_90)


def _pool(kind: Kind | None, dtype: torch.dtype, width: int) -> tuple[KVPool, dict[str, str], dict[str, Any]]:
    """A pool of a page to read dtypes from, the types of its three pointers, and its constants."""
    pool: KVPool = torch.empty((1, 2, 1, PAGE_TOKENS, width), dtype=dtype)
    types = dict.fromkeys(("pool_ptr", "key_params_ptr", "value_params_ptr"), POINTER[dtype])
    if kind is not None:
        pool = empty_pool(kind, 1, 1, width)
        params = POINTER[pool.key_params.dtype]
        types = {"pool_ptr": "*u8", "key_params_ptr": params, "value_params_ptr": params}
    constants = {"KIND": kind or "plain", "PAGE": PAGE_TOKENS, "WIDTH": width, "WIDTH_PAD": pad_width(width)}
    return pool, types, constants


def _seen(window: int, sinks: int, softcap: float, *, is_placed: bool) -> dict[str, Any]:
    return {"PLACED": is_placed, "WINDOW": window, "SINKS": sinks, "SOFTCAP": softcap}


def decode(
    name: str,
    dtype: torch.dtype,
    width: int,
    *,
    group: int = 4,
    kv_heads: int = 8,
    kind: Kind | None = None,
    pool_dtype: torch.dtype | None = None,
    window: int = 0,
    sinks: int = 0,
    softcap: float = 0.0,
    is_placed: bool = False,
) -> Configuration:
    pool, types, constants = _pool(kind, pool_dtype or dtype, width)
    types |= {"q_ptr": POINTER[dtype], "out_ptr": "*fp32", "rows": "i32"}
    constants |= {"SPLIT": decode_host.SPLIT_TOKENS, "MAX_SPLITS": decode_host.MAX_SPLITS}
    constants |= {"BLOCK": decode_host.decode_block(dtype, width), "KV_HEADS": kv_heads, "GROUP": group}
    constants |= {"GROUP_PAD": max(16, triton.next_power_of_2(group))}
    constants |= _seen(window, sinks, softcap, is_placed=is_placed)
    warps = decode_host.decode_warps(dtype, pool)
    return Configuration(
        f"paged_decode {name}", paged_decode_kernel, types, constants, warps, frozenset({"wide loads"})
    )


def prefill(
    name: str,
    dtype: torch.dtype,
    width: int,
    generation: int,
    *,
    group: int = 4,
    kv_heads: int = 8,
    kind: Kind | None = None,
    window: int = 0,
    sinks: int = 0,
    softcap: float = 0.0,
    is_placed: bool = False,
) -> Configuration:
    pool, types, constants = _pool(kind, dtype, width)
    types |= {"q_ptr": POINTER[dtype], "out_ptr": POINTER[dtype]}
    tile = tiles(dtype, pool, constants["WIDTH_PAD"], generation // 10)
    constants |= {"TILE": tile.pairs, "BLOCK": tile.block, "PRECISION": prefill_host.PRECISION}
    constants |= {"KV_HEADS": kv_heads, "GROUP": group, **_seen(window, sinks, softcap, is_placed=is_placed)}
    # HGMMA takes no tile of fewer than 64 rows; tiles.py says where fp32 must have those.
    products = "HGMMA" if tile.pairs >= 64 else "tensor cores"
    return Configuration(
        f"paged_prefill {name}", paged_prefill_kernel, types, constants, tile.warps, frozenset({products})
    )


def cascade(name: str, dtype: torch.dtype, width: int, generation: int, *, kind: Kind | None = None) -> Configuration:
    made = prefill(name, dtype, width, generation, kind=kind)
    types = made.types | {"out_ptr": "*fp32", "members_ptr": "*i32", "total_members": "i32"}
    constants = {n: v for n, v in made.constants.items() if n not in ("PLACED", "WINDOW", "SINKS")}
    constants |= {"SPLIT": decode_host.SPLIT_TOKENS, "MAX_SPLITS": cascade_host.MAX_SPLITS, "TILES": 4}
    return Configuration(f"cascade_decode {name}", shared_level_kernel, types, constants, made.warps, made.checks)


def column(name: str, dtype: torch.dtype, width: int, *, kind: Kind | None = None) -> Configuration:
    _, types, constants = _pool(kind, dtype, width)
    types |= {"q_ptr": POINTER[dtype], "sums_ptr": "*fp32", "columns": "i32"}
    constants |= {"KV_HEADS": 8, "GROUP": 4, "WINDOW": 0, "SOFTCAP": 0.0, "PRECISION": sums_host.PRECISION}
    constants |= {"ROWS": sums_host.query_rows(dtype, width), "BLOCK": sums_host.BLOCK_TOKENS}
    return Configuration(f"column_sums {name}", column_sums_kernel, types, constants, 4, frozenset({"tensor cores"}))


def merge(name: str, width: int, given: str, made: str) -> Configuration:
    constants = {"WIDTH": width, "WIDTH_PAD": triton.next_power_of_2(width), "PARTS": merge_host.PARTS_AT_ONCE}
    types = {"outs_ptr": given, "lses_ptr": "*fp32", "out_ptr": made, "parts": "i32", "cells": "i32"}
    return Configuration(f"merge_states {name}", merge_states_kernel, types, constants)


def _writing() -> list[Configuration]:
    """Operators that write pages or read them once: no products in them."""
    shape = {"PAGE": PAGE_TOKENS, "KV_HEADS": 8, "WIDTH": 128, "WIDTH_PAD": 128}
    bf16 = {"key_ptr": "*bf16", "value_ptr": "*bf16", "pool_ptr": "*bf16", "slots_ptr": "*i64"}
    places = {"sources_ptr": "*i64", "targets_ptr": "*i64"}
    params = {"key_params_ptr": "*fp16", "value_params_ptr": "*fp16"}
    sealing = {"pool_ptr": "*bf16", "codes_ptr": "*u8", **params, **places}
    scales = {"pool_ptr": "*u8", "key_params_ptr": "*fp32", "value_params_ptr": "*fp32"}
    rope = {"pool_ptr": "*bf16", "old_ptr": "*i32", "new_ptr": "*i32", "cos_ptr": "*fp32", "sin_ptr": "*fp32", **places}
    pairs = {"PAIRS": 64, "PAIRS_PAD": 64, "INTERLEAVED": False}
    scoring = {
        "q_ptr": "*bf16",
        "summaries_ptr": "*bf16",
        "counts_ptr": "*i32",
        "scores_ptr": "*fp32",
        "columns": "i32",
    }
    groups = {"KV_HEADS": 8, "GROUP": 4, "WIDTH": 128, "WIDTH_PAD": 128, "BLOCK": score_host.BLOCK_PAGES}
    logits = {"logits_ptr": "*bf16", "targets_ptr": "*i32", "surprisal_ptr": "*fp32", "entropy_ptr": "*fp32"}
    logits |= {"vocab": "i32", "row_stride": "i32"}
    return [
        Configuration("kv_write fp8 128", kv_write_kernel, bf16 | scales, shape | {"KIND": "fp8"}),
        Configuration("seal_pages int4 128", seal_pages_kernel, sealing, shape | {"KIND": "int4"}),
        Configuration("rope_rerotate bf16 128", rope_rerotate_kernel, rope, shape | pairs),
        Configuration(
            "block_summary bf16 128",
            block_summary_kernel,
            {"pool_ptr": "*bf16", "pages_ptr": "*i64", "summaries_ptr": "*bf16"},
            shape,
        ),
        Configuration("block_score bf16 128", block_score_kernel, scoring, groups | {"MINMAX": True, "MAXIMUM": True}),
        Configuration("surprisal bf16", surprisal_kernel, logits, {"BLOCK": surprisal_host.BLOCK}),
    ]


def configurations(generation: int) -> list[Configuration]:
    """All of them for one generation (80 or 90), by name; tiles may differ between the two, names do not."""
    bf16, fp16, fp32 = torch.bfloat16, torch.float16, torch.float32
    g = generation
    return [
        decode("bf16 64, SmolLM2's heads", bf16, 64, group=3, kv_heads=3),
        decode("bf16 96", bf16, 96),
        decode("bf16 128", bf16, 128),
        decode("bf16 256", bf16, 256, group=8),
        decode("fp16 64, one kv head", fp16, 64, kv_heads=1, group=8),
        decode("fp32 64", fp32, 64),
        decode("fp32 256", fp32, 256),
        decode("fp32 over bf16 128", fp32, 128, pool_dtype=bf16, group=1),
        decode("bf16 128, window, sinks, cap", bf16, 128, window=1024, sinks=4, softcap=50.0, is_placed=True),
        decode("int8 64", bf16, 64, kind="int8"),
        decode("int8 128", bf16, 128, kind="int8"),
        decode("int8 256", bf16, 256, kind="int8"),
        decode("int4 64", bf16, 64, kind="int4"),
        decode("int4 96", fp16, 96, kind="int4"),
        decode("int4 128", bf16, 128, kind="int4"),
        decode("fp8 128", bf16, 128, kind="fp8"),
        prefill("bf16 64, SmolLM2's heads", bf16, 64, g, group=3, kv_heads=3),
        prefill("bf16 128", bf16, 128, g),
        prefill("bf16 256", bf16, 256, g, group=8),
        prefill("fp16 96, window, sinks, cap", fp16, 96, g, window=1024, sinks=4, softcap=50.0, is_placed=True),
        prefill("fp32 64", fp32, 64, g),
        prefill("fp32 128", fp32, 128, g),
        prefill("fp32 256", fp32, 256, g),
        prefill("int8 128", bf16, 128, g, kind="int8"),
        prefill("int4 256", bf16, 256, g, kind="int4"),
        prefill("fp8 128", bf16, 128, g, kind="fp8"),
        cascade("bf16 64", bf16, 64, g),
        cascade("int4 128", bf16, 128, g, kind="int4"),
        column("bf16 128", bf16, 128),
        column("fp32 64", fp32, 64),
        *_writing(),
        merge("splits 64", 64, "*fp32", "*bf16"),
        merge("splits 256", 256, "*fp32", "*bf16"),
    ]
