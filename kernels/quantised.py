"""Pools of KV pages in fewer bits: int8 and int4 in KIVI's layout, fp8 e4m3; and their torch dequantisation.

KIVI (Liu et al., ICML 2024): keys have outlier channels, values have none, so a key's scale and minimum belong to a
channel of a page (16 tokens), a value's to 32 channels of a token. Groups never cross a page: codes are a function of
the page alone, so a page can be shared under its prefix. Only full ("sealed") pages can be quantised this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

PAGE_TOKENS = 16
"""Tokens of a page. A pool of one layer is ``[pages, 2 (K, V), kv_heads, PAGE_TOKENS, width]``."""

VALUE_GROUP = 32
"""Channels of a value that share a scale and a minimum."""

Kind = Literal["int8", "int4", "fp8"]
LEVELS = {"int8": 255, "int4": 15}
"""The largest code: x = code * scale + minimum."""

FP8_MAX = 448.0


@dataclass(frozen=True, slots=True)
class QuantisedPool:
    """One layer's pages. ``codes`` uint8 [pages, 2, kv_heads, 16, width]; for int4 [..., width / 2], channel 2 j in
    the low and 2 j + 1 in the high half of byte j; for fp8 the bits of e4m3fn, never NaN.

    int8, int4: ``key_params`` fp16 [pages, kv_heads, 2 (scale, minimum), width], ``value_params`` fp16
    [pages, kv_heads, 2, 16, width / 32]. fp8: both are fp32 [kv_heads], x = e4m3 * param.
    """

    kind: Kind
    codes: Tensor
    key_params: Tensor
    value_params: Tensor

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """As a plain pool's: pages, 2, kv_heads, 16, width."""
        pages, _, kv_heads, slots, row = self.codes.shape
        return pages, 2, kv_heads, slots, row * (2 if self.kind == "int4" else 1)

    @property
    def device(self) -> torch.device:
        return self.codes.device

    def to(self, device: torch.device | str) -> QuantisedPool:
        parts = (part.to(device) for part in (self.codes, self.key_params, self.value_params))
        return QuantisedPool(self.kind, *parts)

    def select(self, pages: Tensor) -> QuantisedPool:
        """A pool of these pages only, copied."""
        if self.kind == "fp8":
            return QuantisedPool(self.kind, self.codes[pages], self.key_params, self.value_params)
        return QuantisedPool(self.kind, self.codes[pages], self.key_params[pages], self.value_params[pages])


KVPool = Tensor | QuantisedPool


def empty_pool(
    kind: Kind, pages: int, kv_heads: int, width: int, *, device: torch.device | str = "cpu"
) -> QuantisedPool:
    """An uninitialised pool; fp8 scales are 1. ValueError for a width that value groups do not divide."""
    if kind == "fp8":
        codes = torch.empty((pages, 2, kv_heads, PAGE_TOKENS, width), dtype=torch.uint8, device=device)
        return QuantisedPool(kind, codes, torch.ones(kv_heads, device=device), torch.ones(kv_heads, device=device))
    if width % VALUE_GROUP:
        raise ValueError(f"{kind} wants a width that {VALUE_GROUP} divides, not {width}")
    row = width // 2 if kind == "int4" else width
    return QuantisedPool(
        kind,
        torch.empty((pages, 2, kv_heads, PAGE_TOKENS, row), dtype=torch.uint8, device=device),
        torch.empty((pages, kv_heads, 2, width), dtype=torch.float16, device=device),
        torch.empty((pages, kv_heads, 2, PAGE_TOKENS, width // VALUE_GROUP), dtype=torch.float16, device=device),
    )


def dequantise(pool: QuantisedPool, dtype: torch.dtype) -> Tensor:
    """The whole pool as a plain one, [pages, 2, kv_heads, 16, width]. Computed in fp64 for fp64, else in fp32."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    if pool.kind == "fp8":
        scales = torch.stack((pool.key_params, pool.value_params)).to(wide)
        return (pool.codes.view(torch.float8_e4m3fn).to(wide) * scales[None, :, :, None, None]).to(dtype)
    codes = pool.codes
    if pool.kind == "int4":
        codes = torch.stack((codes & 15, codes >> 4), dim=-1).flatten(-2)
    pages, _, kv_heads, slots, width = pool.shape
    key_scale, key_low = pool.key_params.to(wide).unbind(dim=2)
    keys = codes[:, 0] * key_scale[:, :, None] + key_low[:, :, None]
    value_scale, value_low = pool.value_params.to(wide).unbind(dim=2)
    grouped = codes[:, 1].view(pages, kv_heads, slots, width // VALUE_GROUP, VALUE_GROUP)
    values = (grouped * value_scale[..., None] + value_low[..., None]).flatten(-2)
    return torch.stack((keys, values), dim=1).to(dtype)


def select_pages(pool: KVPool, pages: Tensor, dtype: torch.dtype) -> Tensor:
    """Pages of a pool as numbers of ``dtype``, [len(pages), 2, kv_heads, 16, width]."""
    if isinstance(pool, QuantisedPool):
        return dequantise(pool.select(pages), dtype)
    return pool[pages].to(dtype)


def select_head_major(pool: KVPool, pages: Tensor, dtype: torch.dtype) -> Tensor:
    """The same as [2, kv_heads, len(pages), 16, width]: what attention over gathered pages reads in order."""
    if isinstance(pool, QuantisedPool):
        return dequantise(pool.select(pages), dtype).permute(1, 2, 0, 3, 4).contiguous()
    return torch.index_select(pool.permute(1, 2, 0, 3, 4), 2, pages).to(dtype)
