"""Our own nodes among themselves: what they show each other, and who keeps blocks on this machine.

A keeper (the KV store, every engine) leaves a small file under the data folder while it runs, so that whoever erases
reaches each one by name, and can tell a keeper that does not answer from one whose process, and memory, is gone. Of
one that may run on another machine, silence tells neither.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from services.common.crypto.auth import Right, Signer
from services.common.crypto.seal import MasterKey
from services.common.files import private_part, try_lock
from services.common.liveness import boot

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
    """One keeper of blocks: what kind it is, what it is called, where it listens, and whether its process runs."""

    kind: str
    name: str
    address: str
    pid: int  # in the PID namespace of the process: a name for people, no proof
    running: bool | None  # None: it registered on another machine or before a reboot, and only its silence is known
    path: Path
    files: tuple[Path, ...] = ()  # hold blocks, and outlive the process: the store's arena and its ring

    @property
    def left(self) -> list[Path]:
        """Which of its files are still there."""
        return [path for path in self.files if path.exists()]

    @property
    def gone(self) -> bool:
        """It has ended and left nothing: no block of it can be read again."""
        return self.running is False and not self.left


class Registration:
    """A keeper's file, locked for as long as its process lives.

    However the process ends, the kernel takes the lock back, and it shows it to every process of the machine, of
    whatever PID namespace; a process table shows those of its own alone.
    """

    def __init__(self, path: Path, content: Mapping[str, object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        with private_part(path, json.dumps({**content, "pid": os.getpid(), "boot": boot()})) as part:
            self._file = part.open()
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.replace(path)

    def withdraw(self) -> None:
        """Remove the file, unless a successor has put its own there. Safe to repeat."""
        if self._file.closed:
            return
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno())):
                self._path.unlink()
        self._file.close()


def register_engine(data_dir: Path, name: str, address: str) -> Registration:
    """Say that this process is an engine; withdraw it when it stops."""
    return Registration(data_dir / ENGINES / f"{name}.json", {"address": address, "name": name})


def keepers(data_dir: Path, *, one_machine: bool = False) -> list[Keeper]:
    """Who has registered and not taken it back, the dead included.

    ``one_machine``: nobody on another machine can have registered here, so who registered before a reboot has ended.
    """
    found = []
    for pattern in _ENDPOINTS:
        for path in sorted(data_dir.glob(pattern)):
            with suppress(FileNotFoundError), path.open() as file:  # taken back just now
                raw = json.load(file)
                kind, name = path.parent.name, str(raw.get("name", path.parent.name))
                files = tuple(Path(raw[field]) for field in ("arena", "staging") if field in raw)
                running = _is_running(file, one_machine or raw.get("boot") == boot())
                found.append(Keeper(kind, name, raw["address"], raw["pid"], running, path, files))
    return found


def _is_running(file: TextIO, here: bool) -> bool | None:
    """``here``: the lock of a process that runs would be seen."""
    if not try_lock(file.fileno(), shared=True):
        return True
    return False if here else None
