"""Finds the compiled library, chooses the instruction set, and says why where it cannot. Knows no torch."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from kernels.native import build


class NativeUnavailable(RuntimeError):
    """The native operators cannot run here. The message says why and names the remedy."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The library, and one instruction set of it."""

    calls: ctypes.CDLL
    isa: str
    # Of the instruction set, in the library.
    number: int
    # All of them by name, in rising order, with whether this processor runs them.
    isas: dict[str, bool]


def open_library(path: Path = build.LIBRARY, isa: str = "", kernels: Path = build.KERNELS) -> Opened:
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
    calls.mneme_isa_name.restype = ctypes.c_char_p
    isas = {calls.mneme_isa_name(i).decode(): bool(calls.mneme_isa_runs(i)) for i in range(calls.mneme_isa_count())}
    chosen = isa or [name for name, runs in isas.items() if runs][-1]
    if not isas.get(chosen):
        raise ValueError(f"isa {chosen!r} does not run here; of {isas}")
    return Opened(calls, chosen, list(isas).index(chosen), isas)
