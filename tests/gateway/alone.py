"""The probe's gateway in a process of its own, whose memory can be measured: ``python -m tests.gateway.alone``.

Prints its port; ends with its input. It never collects garbage: what it lets go is gone at once.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.gateway.probe import gateway


class Alone:
    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.port = port
        self._process = process

    def peak_bytes(self) -> int:
        """The most memory that it has had so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        return int(peak) * 1024


@contextmanager
def alone() -> Iterator[Alone]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "tests.gateway.alone"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            yield Alone(process, int(process.stdout.readline()))
        finally:
            process.kill()


if __name__ == "__main__":
    gc.disable()
    with gateway() as door:
        print(door.port, flush=True)
        sys.stdin.read()
