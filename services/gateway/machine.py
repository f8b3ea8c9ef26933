"""What the machine says of Mneme's processes and its disk, as families of metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

AGAIN_S = 5.0  # walking over every page of a process, and every file, is not done for each scrape
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_LOG, _INDEX = "log.db", "index"
_UNNAMED = "ray"

Sample = tuple[str, dict[str, str], float]
Family = tuple[str, str, str, list[Sample]]


class Machine:
    """Of the processes under ``root``, and the disk of ``data_dir``. Of one thread at a time."""

    def __init__(self, root: int, data_dir: Path) -> None:
        self._root = root
        self._own = {os.getpid(): "metrics"}
        self._data_dir = data_dir
        self._version = version("mneme")
        self._families: list[Family] = []
        self._looked_at = float("-inf")

    def families(self, services: Mapping[int, str]) -> list[Family]:
        """As of at most ``AGAIN_S`` ago. ``services``: what the processes are called that have a name."""
        if time.monotonic() - self._looked_at > AGAIN_S:
            self._families = [*self._processes(services), *self._disk(), self._build()]
            self._looked_at = time.monotonic()
        return self._families

    def _build(self) -> Family:
        name = "mneme_build_info"
        return name, "gauge", "Always 1: the release that runs.", [(name, {"version": self._version}, 1.0)]

    def _processes(self, services: Mapping[int, str]) -> Iterable[Family]:
        families: dict[str, Family] = {
            name: (name, "gauge", documentation, [])
            for name, documentation in (
                ("mneme_process_resident_bytes", "Memory in use, what is shared counted in full by each process."),
                ("mneme_process_proportional_bytes", "Memory in use, what is shared divided by those that share it."),
                ("mneme_process_start_time_seconds", "When a process started, in seconds since 1970."),
            )
        }
        names = {**services, **self._own}
        for pid in _tree(self._root):
            labels = {"process": names.get(pid, _UNNAMED), "pid": str(pid)}
            with suppress(OSError):  # it has ended in between
                values = (_resident(pid), _proportional(pid), _started(pid))
                for family, value in zip(families.values(), values, strict=True):
                    family[3].append((family[0], labels, value))
        return families.values()

    def _disk(self) -> list[Family]:
        kept: dict[str, float] = {}
        for folder, _, files in os.walk(self._data_dir):
            for file in files:
                path = Path(folder, file)
                with suppress(OSError):  # it was removed in between
                    what = self._kind(path)
                    kept[what] = kept.get(what, 0.0) + path.stat().st_blocks * 512
        free = os.statvfs(self._data_dir)
        data, left = "mneme_data_bytes", "mneme_disk_free_bytes"
        return [
            (data, "gauge", "What lies in the data folder: log, index, logs and the rest.", [
                (data, {"what": what}, size) for what, size in sorted(kept.items())
            ]),
            (left, "gauge", "Room on the disk of the data folder.", [(left, {}, free.f_bavail * free.f_frsize)]),
        ]  # fmt: skip

    def _kind(self, path: Path) -> str:
        top = path.relative_to(self._data_dir).parts[0]
        for start, what in ((_LOG, "log"), (_INDEX, "index"), ("logs", "logs"), ("traces", "traces")):
            if top.startswith(start):
                return what
        return "other"


def _tree(root: int) -> list[int]:
    """``root`` and all that it started, directly or not."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:  # grows
        found += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (field 3 of proc(5)): the name before may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _proportional(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0.0


def _started(pid: int) -> float:
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot + int(_stat(pid)[19]) / _TICKS
