"""Stores to test against: in this process (a thread) or in another one, to be killed. All real."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import yaml

from services.common.config import CommonConfig
from services.common.crypto.seal import MasterKey
from services.common.log.base import Log
from services.common.nodes.nodes import NodeCredential
from services.kvstore.client import KvClient, Timing
from services.kvstore.config import KvstoreConfig
from services.kvstore.node import Node

BLOCK = 8192
IDENTITY = b"frame1, engine 1"
NAMESPACE = "acme/ann"
# Patient where a slow machine would look like a dead store; tests of death give their own.
TIMING = Timing(call_s=5, put_s=10, retry_s=0.05, heartbeat_s=0.1)
SMALL: dict[str, Any] = {
    "arena_bytes": 1 << 20,
    "extent_bytes": 1 << 18,
    "min_block_bytes": BLOCK // 8,  # an index in which no bucket overflows: 5 in 100 would where it fits the blocks
    "staging_bytes": 1 << 18,
    "heartbeat_s": 0.05,
    "owner_timeout_s": 5.0,
    "hold_ttl_s": 5.0,
}
MEMORY = Path("/dev/shm")


def config(**changes: Any) -> KvstoreConfig:
    """The defaults, small, with ``changes``."""
    text = resources.files("services.kvstore").joinpath("defaults.yaml").read_text()
    return KvstoreConfig.model_validate({**yaml.safe_load(text), **SMALL, **changes})


def common(data_dir: Path) -> CommonConfig:
    text = resources.files("services.common").joinpath("defaults.yaml").read_text()
    return CommonConfig.model_validate({**yaml.safe_load(text), "data_dir": data_dir})


def keys(n: int) -> list[bytes]:
    return [secrets.token_bytes(16) for _ in range(n)]


def payloads(n: int, size: int = BLOCK) -> list[bytes]:
    return [secrets.token_bytes(size) for _ in range(n)]


def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "did not come to hold"
        time.sleep(0.01)


class Running:
    """A store in a thread of this process."""

    def __init__(self, folder: Path, memory: Path, log: Log | None = None, **changes: Any) -> None:
        self.data_dir = folder
        self.config = config(arena_dir=memory, **changes)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.node = Node(common(folder), self.config, log)

    def start(self) -> Running:
        asyncio.run_coroutine_threadsafe(self.node.start(), self._loop).result(30)
        return self

    def stop_node(self) -> None:
        asyncio.run_coroutine_threadsafe(self.node.stop(), self._loop).result(30)

    def stop(self) -> None:
        self.stop_node()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def limit_erasures(self, pages: int) -> None:
        """Let the file of what was erased grow to so many pages and no further, as a full disk would."""

        async def limit() -> None:
            self.node._erasures._db.execute(f"PRAGMA max_page_count={pages}")

        asyncio.run_coroutine_threadsafe(limit(), self._loop).result(30)

    def client(self, identity: bytes = IDENTITY, timing: Timing = TIMING) -> KvClient:
        return client(self.data_dir, identity, timing)

    def file(self, kind: str) -> Path:
        """The "arena" or "staging" file."""
        (path,) = self.config.arena_dir.glob(f"*.{kind}")
        return path


def client(data_dir: Path, identity: bytes = IDENTITY, timing: Timing = TIMING) -> KvClient:
    master = MasterKey.load_or_create(data_dir / "master.key")
    return KvClient(data_dir, identity, NodeCredential(master, "test"), timing)


@contextmanager
def memory_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mneme-test-", dir=MEMORY) as folder:
        yield Path(folder)


class Process:
    """A store in a process of its own, to be killed."""

    def __init__(self, data_dir: Path, memory: Path, **changes: Any) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._pipe = ours
        self._process = context.Process(target=_serve, args=(data_dir, memory, changes, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert ours.poll(60), "the store did not start"
        assert ours.recv() == "ready"

    def kill(self) -> None:
        """kill -9."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join(10)

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)


def _serve(data_dir: Path, memory: Path, changes: dict[str, Any], pipe: Connection) -> None:
    async def run() -> None:
        node = Node(common(data_dir), config(arena_dir=memory, **changes), None)
        await node.start()
        pipe.send("ready")
        await asyncio.Event().wait()

    asyncio.run(run())
