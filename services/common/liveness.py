"""Whether a thread of another process of this machine runs: what is late because cores are few is not frozen.

Linux only; elsewhere nothing is seen of anybody.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path


def boot() -> str:
    """This start of this machine's kernel, which all containers on it share."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def this_thread() -> bytes:
    """What ``Seen`` finds the calling thread by. b"" where there is nothing to find it by."""
    return f"{_here()} {os.getpid()} {threading.get_native_id()}".encode() if sys.platform == "linux" else b""


class Seen:
    """A thread as it is seen from here. Of one thread."""

    def __init__(self, thread: bytes = b"") -> None:
        """``thread``: what ``this_thread`` gave it; of another machine, or of another PID namespace, nothing is
        seen."""
        here, _, ids = thread.decode().partition(" ")
        self._folder: Path | None = None
        if ids and here == _here():
            pid, _, id = ids.partition(" ")
            self._folder = Path(f"/proc/{pid}/task/{id}")
        self._last: str | None = None

    def has_run(self) -> bool:
        """Whether it runs, waits for a core, or has done either since the last look. False where it has ended."""
        if self._folder is None:
            return False
        try:
            state = (self._folder / "stat").read_text().rpartition(") ")[2][:1]
            times = (self._folder / "schedstat").read_text()  # ns run, ns waited for a core, turns
        except OSError:
            return False
        last, self._last = self._last, times
        return state == "R" or (last is not None and times != last)


def _here() -> str:
    """Where ids of processes mean the same."""
    return f"{boot()}-{os.stat('/proc/self/ns/pid').st_ino}" if sys.platform == "linux" else ""
