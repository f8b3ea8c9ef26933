"""Timings of a machine that does something else mean nothing: benchmarks ask first."""

from __future__ import annotations

import time
from pathlib import Path


def busy_share(over_s: float = 1.0) -> float:
    """Share of all cores' time that was not idle."""

    def times() -> tuple[int, int]:
        numbers = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return numbers[3] + numbers[4], sum(numbers)

    idle, total = times()
    time.sleep(over_s)
    idle_after, total_after = times()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def refuse_when_busy(busy: float, *, force: bool, most: float = 0.15) -> bool:
    """Whether not to measure, said on the terminal."""
    if busy <= most:
        return False
    print(f"The machine is busy ({busy:.0%}).", "Measuring all the same." if force else "Try again, or --force.")
    return not force
