"""Our own nodes among themselves: what they show each other, and who keeps blocks on this machine.

A keeper (the KV store, every engine) leaves a small file under the data folder while it runs, so that whoever erases
reaches each one by name, and can tell a keeper that does not answer from one whose process, and memory, is gone.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from services.common.auth import Right, Signer
from services.common.files import private_part
from services.common.seal import MasterKey

_TTL_S = 300.0
KVSTORE, ENGINES = "kvstore", "engines"
_ENDPOINTS = (f"{KVSTORE}/endpoint.json", f"{ENGINES}/*.json")


def node_signer(master: MasterKey) -> Signer:
    """Signs under a key of its own: a caller's token or grant is never enough to put a block."""
    return Signer(master.derive("kvstore-node"), "kvstore-node")


class NodeCredential:
    """Metadata for calls of one node, signed anew when half of its time is over."""

    def __init__(self, master: MasterKey, name: str) -> None:
        self._signer = node_signer(master)
        self._name = name
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._fresh_until = 0.0

    def metadata(self) -> tuple[tuple[str, str], ...]:
        if time.monotonic() >= self._fresh_until:
            rights = frozenset({Right.READ, Right.WRITE, Right.FORGET})
            token, _ = self._signer.issue(self._name, ("",), rights, _TTL_S)
            self._metadata = (("authorization", f"Bearer {token}"),)
            self._fresh_until = time.monotonic() + _TTL_S / 2
        return self._metadata


@dataclass(frozen=True, slots=True)
class Keeper:
    """One keeper of blocks: what kind it is, what it is called, where it listens, and its process."""

    kind: str
    name: str
    address: str
    pid: int
    started: int  # the process's start, in clock ticks since boot: tells it from a later one with the same pid
    path: Path
    files: tuple[Path, ...] = ()  # hold blocks, and outlive the process: the store's arena and its ring

    @property
    def ended(self) -> bool:
        """Its process has ended, and its own memory with it."""
        return started_at(self.pid) != self.started

    @property
    def left(self) -> list[Path]:
        """Which of its files are still there."""
        return [path for path in self.files if path.exists()]

    @property
    def gone(self) -> bool:
        """It has ended and left nothing: no block of it can be read again."""
        return self.ended and not self.left


def register_engine(data_dir: Path, name: str, address: str) -> Path:
    """Say that this process is an engine; the file to remove when it stops."""
    folder = data_dir / ENGINES
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    write_endpoint(path, {"address": address, "pid": os.getpid(), "started": started_at(os.getpid()), "name": name})
    return path


def keepers(data_dir: Path) -> list[Keeper]:
    """Who has registered on this machine and not taken it back, the dead included."""
    found = []
    for pattern in _ENDPOINTS:
        for path in sorted(data_dir.glob(pattern)):
            try:
                raw = json.loads(path.read_text())
            except FileNotFoundError:
                continue  # taken back just now
            kind, name = path.parent.name, str(raw.get("name", path.parent.name))
            files = tuple(Path(raw[file]) for file in ("arena", "staging") if file in raw)
            found.append(Keeper(kind, name, raw["address"], raw["pid"], raw.get("started", 0), path, files))
    return found


def write_endpoint(path: Path, content: object) -> None:
    """Put a whole file there at once, readable by its owner only."""
    with private_part(path, json.dumps(content)) as part:
        part.replace(path)


def started_at(pid: int) -> int:
    """When a process started, in clock ticks since boot; -1 when there is none (a zombie is none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] == "Z" else int(fields[19])
