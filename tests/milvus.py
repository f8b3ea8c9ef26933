"""A real Milvus server for tests: ``milvus_server``, one per session, started by ``infra/milvus/up``.

Import the fixture into a conftest.py to use it there. Collections of one test must not meet those of another: each
empties the server first (``fresh``).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.episodic.search.milvus import MilvusIndex
from tests.ports import neighbours

_INFRA = Path(__file__).parent.parent / "infra" / "milvus"
_EX_UNAVAILABLE = 69


@dataclass(frozen=True)
class MilvusServer:
    folder: Path
    port: int  # the next is that of its health

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, on what it wrote before. Skips the test where the machine cannot run it."""
        done = self._infra("up")
        if done.returncode == _EX_UNAVAILABLE:
            pytest.skip(f"no Milvus server here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        done = self._infra("down")
        assert done.returncode == 0, done.stderr

    def freeze(self) -> None:
        """Let it stop answering, with its connections open."""
        os.kill(int((self.folder / "server.pid").read_text()), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(int((self.folder / "server.pid").read_text()), signal.SIGCONT)

    def remove(self) -> None:
        self._infra("down", "--purge")

    def fresh(self) -> str:
        """Its address, with nothing of an earlier test in it."""
        index = MilvusIndex(self.uri)
        for generation in index.generations():
            index.drop(generation)
        index.close()
        return self.uri

    def _infra(self, command: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_INFRA / command, "--ephemeral", self.folder, "--port", str(self.port), *more],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[MilvusServer]:
    server = MilvusServer(tmp_path_factory.mktemp("milvus"), neighbours(2))
    server.start()
    yield server
    server.remove()
