"""Building, finding and refusing the library."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kernels.native import build
from kernels.native.library import NativeUnavailable, load
from tests.kernels.native_library import ISAS, requires_native, with_isa


def test_without_a_compiler_the_error_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match=r"no C\+\+ compiler.*install one, then run `python -m kernels"):
        build.build(tmp_path / "library.so")
    with pytest.raises(NativeUnavailable, match=r"not built.*no C\+\+ compiler"):
        load(tmp_path / "library.so")
    assert build.main() == 1


@requires_native
def test_a_compiler_that_refuses_leaves_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ --no-such-flag")
    with pytest.raises(build.BuildError, match="no-such-flag"):
        build.build(tmp_path / "library.so")
    assert list(tmp_path.iterdir()) == []


@requires_native
def test_a_library_of_other_sources_is_refused(tmp_path: Path) -> None:
    kernels = tmp_path / "kernels"
    for path in build.sources():
        copy = kernels / path.relative_to(build.KERNELS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    assert build.digest(kernels) == build.digest()
    assert load(build.LIBRARY, kernels=kernels).isa
    with (kernels / "silu_mul/native.h").open("a") as source:
        source.write("// edited\n")
    with pytest.raises(NativeUnavailable, match="built from other sources. Run `python -m kernels.native.build`"):
        load(build.LIBRARY, kernels=kernels)


@requires_native
def test_the_best_instruction_set_of_the_processor_is_chosen() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    expected = "portable"
    if {"avx2", "fma"} <= flags:
        expected = "avx2"
    if {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= flags:
        expected = "avx512bf16" if "avx512_bf16" in flags else "avx512"
    assert load(build.LIBRARY).isa == expected
    assert load(build.LIBRARY).threads_of == "torch's OpenMP"
    assert ISAS[0] == "portable"
    assert with_isa("portable").describe() == "native (portable)"
    with pytest.raises(ValueError, match="'sse9' does not run here"):
        with_isa("sse9")


def test_everything_that_is_compiled_counts_for_the_digest() -> None:
    names = {path.relative_to(build.KERNELS).as_posix() for path in build.sources()}
    assert {"native/isa.cpp", "native/library.cpp", "native/operators.h", "native/vectors.h"} <= names
    assert {
        f"{o}/native.h" for o in ("keyed_copy", "paged_decode", "add_rms_norm", "rope_kv_write", "silu_mul")
    } <= names
    included = {
        line.split('"')[1].removeprefix("../") for path in build.sources() for line in path.read_text().splitlines()
        if line.startswith('#include "')
    }  # fmt: skip
    assert {Path(name).name for name in included} <= {Path(name).name for name in names}
