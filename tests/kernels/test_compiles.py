"""What the interpreter tests, compiled for real GPUs without one: the interpreter lets pass what a compiler refuses.

A sample of kernels/configurations.py; ``make kernels-compile`` compiles them all.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import triton

from kernels.configurations import GENERATIONS, configurations, prefill
from tests.kernels.compiled import DOCUMENT, compiled, faults
from tests.kernels.problems import TOLERANCE

SAMPLE = [
    "paged_decode bf16 64, SmolLM2's heads",
    "paged_decode int4 128",
    "paged_prefill bf16 128",
    "paged_prefill fp32 64",
    "cascade_decode bf16 64",
    "merge_states splits 64",
]


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", SAMPLE)
def test_kernel_compiles_as_the_table_says(name: str, generation: int) -> None:
    made = next(c for c in configurations(generation) if c.name == name)
    result = compiled(made, generation)
    assert faults(made, result) == []
    text = DOCUMENT.read_text()
    if f"triton {triton.__version__};" not in text:
        pytest.skip(f"the table is of another triton than {triton.__version__}; its faults were checked")
    assert result.row in text, "stale: python -m tests.kernels.compiled --write"


def test_the_list_is_of_at_most_forty_named_configurations_and_the_table_has_them_all() -> None:
    names = [[made.name for made in configurations(generation)] for generation in GENERATIONS]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0]) <= 40
    rows = re.findall(r"^\| ([^|]+) \| sm_(\d+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((name, str(generation)) for name in names[0] for generation in GENERATIONS)


def test_a_kernel_that_spills_is_found() -> None:
    """Two fp32 tiles of 64 pairs and 64 tokens do not fit the registers of sm_80."""
    made = prefill("too large", torch.float32, 128, 80)
    made = replace(made, constants=made.constants | {"TILE": 64, "BLOCK": 64})
    assert any("local loads and stores" in fault for fault in faults(made, compiled(made, 80)))
    one_lane = replace(made, checks=frozenset({"wide loads"}), constants=made.constants | {"TILE": 16, "BLOCK": 16})
    result = compiled(one_lane, 80)
    result.instructions.clear()
    assert any("128-bit" in fault for fault in faults(one_lane, result))


def test_the_document_has_the_table_of_tolerances() -> None:
    rows = {str(dtype).removeprefix("torch."): bound for dtype, bound in TOLERANCE.items()}
    written = dict(re.findall(r"^\| (\w+) \| ([0-9.e-]+) · max", DOCUMENT.read_text(), re.MULTILINE))
    assert {name: float(bound) for name, bound in written.items()} == rows
