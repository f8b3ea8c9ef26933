"""kv_write and seal_pages: new keys and values into pages, and full pages into fewer bits."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.kv_write.kernel import kv_write_kernel, seal_pages_kernel
from kernels.kv_write.portable import kv_write_portable, seal_pages_portable
from kernels.layout import Backend, check_backend, device_pool
from kernels.quantised import KVPool, QuantisedPool


def kv_write(key: Tensor, value: Tensor, pool: KVPool, slots: Tensor, *, backend: Backend) -> None:
    """Writes ``key`` and ``value`` [tokens, kv_heads, width] to ``slots`` [tokens] int64: 16 * page + place.

    A slot below 0 is not written. ``pool``: plain, of the same dtype, or fp8: then x / scale is rounded to the
    nearest code, halves to even, and what lies beyond 448 scales becomes 448 (NaN too). Slots must differ. int8 and
    int4 pools take full pages only: write to a plain page, then seal_pages. ValueError for shapes that do not fit.
    """
    check_backend(key, backend)
    if key.shape != value.shape or key.shape[1:] != (pool.shape[2], pool.shape[4]):
        raise ValueError(f"key and value: shapes {tuple(key.shape)}, {tuple(value.shape)} do not fit the pool")
    if slots.shape != key.shape[:1] or slots.dtype != torch.int64:
        raise ValueError("slots: int64, one for each token, is needed")
    if isinstance(pool, QuantisedPool):
        if pool.kind != "fp8":
            raise ValueError(f"{pool.kind} pages are written whole: seal_pages")
    elif pool.dtype != key.dtype:
        raise ValueError(f"key is {key.dtype}, the pool {pool.dtype}: they must be equal")
    if backend == "torch":
        kv_write_portable(key, value, pool, slots)
    elif key.shape[0]:
        made = device_pool(pool)
        grid = (key.shape[0], key.shape[1])
        kv_write_kernel[grid](key.contiguous(), value.contiguous(), *made.pointers, slots, **made.constants)


def seal_pages(pool: Tensor, sources: Tensor, sealed: QuantisedPool, targets: Tensor, *, backend: Backend) -> None:
    """Quantises full pages ``sources`` [n] int64 of a plain pool into ``targets`` [n] int64 of an int8 or int4 one.

    Keys by channel over the page's 16 tokens, values by token over 32 channels: x becomes code * scale + minimum, off
    by at most scale / 2 and 2^-11 of the minimum and of the span (scale and minimum are stored in fp16; codes are made
    with what is stored). A constant group has scale 0 and its minimum. Numbers beyond fp16's 65,504 do not fit. Codes
    are a function of the page alone. ``pool`` is only read. ValueError for shapes that do not fit.
    """
    check_backend(pool, backend)
    if sealed.kind == "fp8":
        raise ValueError("fp8 pages are written token by token: kv_write")
    if sealed.shape[2:] != tuple(pool.shape[2:]):
        raise ValueError(f"sealed: pages {sealed.shape[2:]}, the pool's {tuple(pool.shape[2:])}")
    if sources.dtype != torch.int64 or targets.dtype != torch.int64 or sources.shape != targets.shape:
        raise ValueError("sources and targets: int64, as many of one as of the other, are needed")
    if not sources.numel():
        return
    if backend == "torch":
        seal_pages_portable(pool, sources, sealed, targets)
        return
    constants = device_pool(sealed).constants
    seal_pages_kernel[(sources.shape[0], pool.shape[2])](
        pool, sources, sealed.codes, sealed.key_params, sealed.value_params, targets, **constants
    )
