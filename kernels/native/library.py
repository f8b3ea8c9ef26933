"""The native operators on tensors: the library with its signatures, number formats and threads."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from kernels.native import build
from kernels.native.loading import NativeUnavailable as NativeUnavailable
from kernels.native.loading import open_library

_P, _I, _L, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
# Every operator begins with how (2 isa + number format) and threads. Those that index a pool answer with the first bad
# row, or -1.
_SIGNATURES: dict[str, tuple[list[type], type | None]] = {
    "mneme_paged_decode": ([_I, _I, *[_P] * 6, *[_L] * 9, _F], _L),
    "mneme_add_rms_norm": ([_I, _I, *[_P] * 5, _L, _L, _F], None),
    "mneme_rope_kv_write": ([_I, _I, *[_P] * 7, *[_L] * 5], _L),
    "mneme_silu_mul": ([_I, _I, *[_P] * 2, _L, _L], None),
}
# How the library numbers the formats it knows.
_NUMBERS = {torch.float32: 0, torch.bfloat16: 1}
CpuBackend = Literal["torch", "native"]
"""Which implementation of an operator that is for CPUs runs. The caller names it; nothing falls back to another."""

MAX_WIDTH = 512
"""Largest head width: what a task keeps on its stack."""


@dataclass(frozen=True, slots=True)
class Native:
    """The library, and the instruction set that its operators are called with."""

    calls: ctypes.CDLL
    isa: str
    # By dtype, what the library calls this instruction set with that number format.
    how: dict[torch.dtype, int]
    # All of them by name, in rising order, with whether this processor runs them.
    isas: dict[str, bool]
    # Whose threads compute; "" when there is no OpenMP runtime to share, and the calling thread computes alone.
    threads_of: str

    def describe(self) -> str:
        return f"native ({self.isa}{'' if self.threads_of else ', one thread'})"


@cache
def library() -> Native:
    """The built library with the best instruction set of this processor. NativeUnavailable."""
    return load(build.LIBRARY)


def load(path: Path, isa: str = "", kernels: Path = build.KERNELS) -> Native:
    """The library at ``path``, built from the sources in ``kernels``; ``isa``: by name instead of the best.

    NativeUnavailable; ValueError for an instruction set that does not run here.
    """
    opened = open_library(path, isa, kernels)
    calls = opened.calls
    for name, (arguments, answer) in _SIGNATURES.items():
        function = getattr(calls, name)
        function.argtypes, function.restype = arguments, answer
    how = {dtype: 2 * opened.number + number for dtype, number in _NUMBERS.items()}
    return Native(calls, opened.isa, how, opened.isas, _share_threads(calls))


def _share_threads(calls: ctypes.CDLL) -> str:
    """Hands over the OpenMP runtime that torch has loaded, so that there is one pool of threads in the process."""
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except AttributeError:
        return ""
    calls.mneme_use_openmp.argtypes = [_P]
    calls.mneme_use_openmp(ctypes.cast(parallel, _P))
    return "torch's OpenMP"


def not_computed(dtype: torch.dtype) -> ValueError:
    return ValueError(f"the native backend computes float32 and bfloat16, not {dtype}: name the torch backend")


def check_rows(name: str, tensor: Tensor) -> None:
    """ValueError unless ``tensor`` is a contiguous matrix on the CPU: all that a pointer and two sizes say."""
    if tensor.dim() != 2 or tensor.is_cuda or not tensor.is_contiguous():
        raise ValueError(f"{name}: the native backend needs a contiguous matrix on the CPU")
