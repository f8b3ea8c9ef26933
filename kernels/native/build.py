"""Compiles the native operators into one library: ``python -m kernels.native.build``.

isa.cpp is compiled once for every instruction set of this architecture, library.cpp chooses among them at run time. No
headers but the compiler's own are needed. This file imports nothing else of the repository, so that setup.py can run
it before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KERNELS = Path(__file__).resolve().parent.parent
LIBRARY_NAME = "libmneme_kernels.so"
LIBRARY = KERNELS / "native" / LIBRARY_NAME
COMMAND = "python -m kernels.native.build"
COMPILE_TIMEOUT_S = 120

_FLAGS = ("-std=c++17", "-fPIC", "-fno-math-errno", "-fvisibility=hidden", "-w")
_AVX512 = ("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq")
# By machine: names as in library.cpp, and flags. Other machines have the portable one.
_ISAS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "portable": (),
        "avx2": ("-mavx2", "-mfma"),
        "avx512": _AVX512,
        "avx512bf16": (*_AVX512, "-mavx512bf16"),
    },
}


class BuildError(Exception):
    """There is no compiler, or it refused. The message says which, and what to do."""


def compiler() -> list[str] | None:
    """The C++ compiler: ``CXX`` where it is set, else g++, else clang++. None: there is none."""
    named = shlex.split(os.environ.get("CXX", ""))
    for command in [named] if named else [["g++"], ["clang++"]]:
        if shutil.which(command[0]):
            return command
    return None


def sources(kernels: Path = KERNELS) -> list[Path]:
    """Everything that is compiled, in a fixed order."""
    return sorted([*kernels.glob("native/*.cpp"), *kernels.glob("native/*.h"), *kernels.glob("*/native*.h")])


def digest(kernels: Path = KERNELS) -> str:
    """What the library is built from; it carries this, so that a stale one is noticed."""
    h = hashlib.blake2b(digest_size=16)
    for path in dict.fromkeys(sources(kernels)):
        h.update(f"{path.relative_to(kernels).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return h.hexdigest()


def build(target: Path = LIBRARY, kernels: Path = KERNELS, *, only: str = "", optimise: str = "-O3") -> None:
    """Compiles the sources of ``kernels`` to ``target``, which appears whole or not at all. BuildError. 4 s.

    ``only``: this instruction set instead of all; takes a second.
    """
    command = compiler()
    if command is None:
        raise BuildError(f"there is no C++ compiler (g++ or clang++): install one, then run `{COMMAND}`")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        isas = _ISAS.get(platform.machine(), {"portable": ()})
        chosen = [only] if only else list(isas)
        for isa in chosen:
            one = [f"-DMNEME_ISA={isa}", "-c", str(kernels / "native/isa.cpp"), "-o", str(folder / f"{isa}.o")]
            _run([*command, *_FLAGS, optimise, *isas[isa], *one])
        made = folder / LIBRARY_NAME
        named = [f'-DMNEME_SOURCES="{digest(kernels)}"', *(f"-DMNEME_HAS_{isa}" for isa in chosen)]
        parts = [str(kernels / "native/library.cpp"), *(str(folder / f"{isa}.o") for isa in chosen)]
        _run([*command, *_FLAGS, optimise, *named, "-shared", *parts, "-o", str(made)])
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(made, beside)
        os.replace(beside, target)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} did not run: {error}") from error
    if done.returncode:
        raise BuildError(f"{command[0]} refused (GCC from 12 on is known to work):\n{done.stderr[-2000:]}")


def main() -> int:
    try:
        build()
    except BuildError as error:
        print(f"native CPU kernels: not built, torch operations run instead: {error}", file=sys.stderr)
        return 1
    print(f"native CPU kernels: built {LIBRARY}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
