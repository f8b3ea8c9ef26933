"""Compiles a configuration without a GPU and reads what came out: registers, shared memory, instructions.

``python -m tests.kernels.compiled`` compiles all, and with ``--write`` writes the table of docs/kernels.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.configurations import GENERATIONS, Configuration, configurations

DOCUMENT = Path(__file__).parents[2] / "docs" / "kernels.md"
BEGIN, END = "<!-- compiled: begin -->", "<!-- compiled: end -->"

# Of one multiprocessor: 64 Ki registers, 64 warps, 32 blocks; its shared memory and the most one block may have.
REGISTERS, WARPS, BLOCKS = 65536, 64, 32
SHARED_OF_ALL = {80: 164 << 10, 90: 228 << 10}
SHARED_OF_ONE = {80: 163 << 10, 90: 227 << 10}
# Types of the arguments that have the same one in every kernel.
SAME = {"scale": "fp32", "table_stride": "i32", "lse_ptr": "*fp32"}
TABLES = ("table_ptr", "lens_ptr", "older_ptr", "newer_ptr", "starts_ptr")


@dataclass(frozen=True, slots=True)
class Compiled:
    name: str
    generation: int
    registers: int
    shared: int
    warps: int
    instructions: Counter[str]

    @property
    def blocks(self) -> int:
        """Programs that fit one multiprocessor: a warp gets registers by 256, a block 1 KiB of shared memory more."""
        of_warp = -(-self.registers * 32 // 256) * 256
        by_registers = REGISTERS // (of_warp * self.warps)
        by_shared = SHARED_OF_ALL[self.generation] // (self.shared + 1024)
        return min(by_registers, by_shared, WARPS // self.warps, BLOCKS)

    @property
    def row(self) -> str:
        occupancy = round(100 * self.blocks * self.warps / WARPS)
        tensor = "HGMMA" if self.count("HGMMA") else "HMMA" if self.count("HMMA") else "–"
        return (
            f"| {self.name} | sm_{self.generation} | {self.warps} | {self.registers} | {self.shared} "
            f"| {self.blocks} | {occupancy} % | {tensor} |"
        )

    def count(self, *starts: str) -> int:
        return sum(n for name, n in self.instructions.items() if name.startswith(starts))


def compiled(made: Configuration, generation: int) -> Compiled:
    """Compiles; triton caches by source, so that a second time costs little."""
    types = {**SAME, **dict.fromkeys(TABLES, "*i32"), **made.types}
    names = [n for n in made.kernel.arg_names]
    signature = {name: "constexpr" if name in made.constants else types[name] for name in names}
    # As at a launch: torch's allocations are aligned to more than 16 bytes, which is what wide loads need.
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name.endswith("_ptr")}
    source = ASTSource(made.kernel, signature, constexprs=made.constants, attrs=aligned)
    target = GPUTarget("cuda", generation, 32)
    result = triton.compile(source, target=target, options={"num_warps": made.warps})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        usage, sass = _dump("-res-usage", file.name), _dump("-sass", file.name)
    registers = re.search(r"REG:(\d+)", usage)
    assert registers is not None, usage
    instructions = Counter(re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]+)", sass, re.MULTILINE))
    assert instructions["EXIT"], "no instructions were read"
    shared = int(result.metadata.shared)
    return Compiled(made.name, generation, int(registers[1]), shared, made.warps, instructions)


def _dump(what: str, file: str) -> str:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    return subprocess.run([str(tool), what, file], capture_output=True, text=True, check=True, timeout=60).stdout


def faults(made: Configuration, result: Compiled) -> list[str]:
    """What a configuration must not have; empty when it is as it should be."""
    found = []
    if spilled := result.count("LDL", "STL"):
        found.append(f"{spilled} local loads and stores")
    if result.shared > SHARED_OF_ONE[result.generation]:
        found.append(f"{result.shared} bytes of shared memory")
    if "wide loads" in made.checks and not _loads_widely(result):
        found.append("no 128-bit or bulk loads")
    if made.checks & {"tensor cores", "HGMMA"} and not result.count("HMMA", "HGMMA"):
        found.append("no tensor cores")
    if "HGMMA" in made.checks and result.generation >= 90 and not result.count("HGMMA"):
        found.append("no HGMMA")
    return [f"{result.name} on sm_{result.generation}: {what}" for what in found]


def _loads_widely(result: Compiled) -> bool:
    loads = [name for name in result.instructions if name.startswith(("LDG.", "LDGSTS.", "UTMALDG", "UBLKCP"))]
    return any(".128" in name or name.startswith("U") for name in loads)


def table(rows: list[Compiled]) -> str:
    """What docs/kernels.md holds between its two marks."""
    head = [
        f"Compiled with triton {triton.__version__}; shared memory in bytes; programs of a multiprocessor, and the",
        "share of its 64 warps that they are.",
        "",
        "| configuration | GPU | warps | registers | shared | programs | occupancy | products |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([BEGIN, *head, *(row.row for row in rows), END])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table instead of comparing with it")
    parser.add_argument("--only", default="", help="names that contain this; compares with no table")
    arguments = parser.parse_args()
    write, only = arguments.write, arguments.only
    rows, found = [], []
    for generation in GENERATIONS:
        for made in [c for c in configurations(generation) if only in c.name]:
            result = compiled(made, generation)
            print(result.row, flush=True)
            rows.append(result)
            found += faults(made, result)
    rows.sort(key=lambda row: row.name)
    text = DOCUMENT.read_text()
    if only:
        pass
    elif write:
        DOCUMENT.write_text(text[: text.index(BEGIN)] + table(rows) + text[text.index(END) + len(END) :])
    elif table(rows) not in text:
        found.append(f"the table of {DOCUMENT.name} is stale: write it with python -m tests.kernels.compiled --write")
    print("\n".join(found) or f"{len(rows)} compiled, as {DOCUMENT.name} says")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
