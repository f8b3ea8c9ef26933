"""The compiled library for tests: built when it is missing or stale; without a compiler they skip, and say so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kernels.native import build
from kernels.native.library import Native, NativeUnavailable, load


def _missing() -> str:
    """Why there is no library; "" when there is."""
    try:
        load(build.LIBRARY)
    except NativeUnavailable as error:
        if build.compiler() is None:
            return str(error)
        build.build()  # a compiler that refuses is a failure, not a skip
    return ""


MISSING = _missing()
requires_native = pytest.mark.skipif(bool(MISSING), reason=MISSING)
# Both, as values of a parameter: native is what an engine on a CPU runs by default.
CPU_BACKENDS = ["torch", pytest.param("native", marks=requires_native)]
# Every instruction set that this processor has, each as a test of its own.
ISAS = [] if MISSING else [isa for isa, runs in load(build.LIBRARY).isas.items() if runs]


def with_isa(isa: str) -> Native:
    return load(build.LIBRARY, isa)


# isa.cpp with one operator alone: it is compiled anew for every mutant.
ONE_OPERATOR = """
#include "../{operator}/native.h"
#define JOIN(a, b) a##b
#define NAMED(isa) JOIN(mneme_operators_, isa)
extern const Operators NAMED(MNEME_ISA);
const Operators NAMED(MNEME_ISA) = {{.{operator} = {functions}}};
"""


def mutated(operator: str, file: str, old: str, new: str, folder: Path, *, isa: str = "portable") -> Native:
    """The library with ``operator`` alone, for one instruction set, the one occurrence of ``old`` in ``file`` (below
    kernels/) replaced."""
    kernels = folder / "kernels"
    for path in build.sources():
        copy = kernels / path.relative_to(build.KERNELS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    source = (kernels / file).read_text()
    assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {file}"
    (kernels / file).write_text(source.replace(old, new))
    functions = operator if operator == "keyed_copy" else f"{{{operator}<float>, {operator}<bfloat16>}}"
    (kernels / "native/isa.cpp").write_text(ONE_OPERATOR.format(operator=operator, functions=functions))
    target = folder / build.LIBRARY_NAME
    build.build(target, kernels, only=isa, optimise="-O0")
    return load(target, kernels=kernels)
