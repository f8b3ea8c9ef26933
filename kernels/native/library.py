"""Loads the compiled library, chooses the instruction set, and says why where it cannot."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from kernels.native import build

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


class NativeUnavailable(RuntimeError):
    """The native operators cannot run here. The message says why and names the remedy."""


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
    if not path.is_file():
        lacks = "" if build.compiler() else " There is no C++ compiler (g++ or clang++): install one first."
        raise NativeUnavailable(f"The native CPU kernels are not built. Run `{build.COMMAND}`.{lacks}")
    # Looked for in the file: once loaded, a library would stay until the process ends.
    if build.digest(kernels).encode() not in path.read_bytes():
        raise NativeUnavailable(f"{path} was built from other sources. Run `{build.COMMAND}`.")
    try:
        calls = ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeUnavailable(f"{path} does not load ({error}). Run `{build.COMMAND}`.") from error
    for name, (arguments, answer) in _SIGNATURES.items():
        function = getattr(calls, name)
        function.argtypes, function.restype = arguments, answer
    calls.mneme_isa_name.restype = ctypes.c_char_p
    isas = {calls.mneme_isa_name(i).decode(): bool(calls.mneme_isa_runs(i)) for i in range(calls.mneme_isa_count())}
    chosen = isa or [name for name, runs in isas.items() if runs][-1]
    if not isas.get(chosen):
        raise ValueError(f"isa {chosen!r} does not run here; of {isas}")
    how = {dtype: 2 * list(isas).index(chosen) + number for dtype, number in _NUMBERS.items()}
    return Native(calls, chosen, how, isas, _share_threads(calls))


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
