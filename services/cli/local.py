"""A service of one's own: `mneme up` in a child process, on a folder and ports of its own. For demos and tests."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.client import Client, connect
from services.common.config import Settings, load

Output = IO[str] | int | None  # as subprocess takes it

_PORTS_FROM, _PORTS_BELOW = 10_000, 32_768  # below those that Linux gives away
START_S = 120.0
STOP_S = 60.0


class NotServing(Exception):
    """The service did not start, or did not stop cleanly."""


@dataclass(frozen=True, slots=True)
class Local:
    """A running service: its settings, a client with the operator's token, its process."""

    settings: Settings
    client: Client
    process: subprocess.Popen[bytes]
    start_seconds: float

    @property
    def address(self) -> str:
        return address_of(self.settings)


def address_of(settings: Settings) -> str:
    gateway = settings.layers["gateway"]
    return f"{gateway['host']}:{gateway['port']}"


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """Embedded defaults, but for a data folder and ports of its own; ``section__field=value`` for more."""
    port, metrics_port = free_ports(2)
    own = {"common__data_dir": folder, "gateway__port": port, "gateway__metrics_port": metrics_port, **settings}
    return {f"MNEME__{key.upper()}": str(value) for key, value in own.items()}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, and that the kernel gives to nobody who asks for any: the service's own processes
    do, between the choice of a port and its use."""
    with contextlib.ExitStack() as stack:
        held: list[socket.socket] = []
        while len(held) < count:
            with contextlib.suppress(OSError):  # taken
                port = random.randrange(_PORTS_FROM, _PORTS_BELOW)
                held.append(stack.enter_context(socket.create_server(("127.0.0.1", port))))
        return [each.getsockname()[1] for each in held]


def spawn(environ: Mapping[str, str], stdout: Output = None, stderr: Output = None) -> subprocess.Popen[bytes]:
    """`mneme up`, in a session of its own so that a Ctrl-C here leaves its stop to us."""
    command = [sys.executable, "-m", "services.cli.main", "up"]
    return subprocess.Popen(
        command, env={**os.environ, **environ}, stdout=stdout, stderr=stderr, start_new_session=True
    )


@contextlib.contextmanager
def serving(environ: Mapping[str, str], stdout: Output = None, stderr: Output = None) -> Iterator[Local]:
    """A service that serves, stopped with SIGTERM when the block ends. NotServing when it does not do so cleanly."""
    began = time.monotonic()
    process = spawn(environ, stdout, stderr)
    try:
        settings = load(environ=environ)
        _await_serving(settings, process, START_S)
        client = connect(address_of(settings), settings.common.token_path.read_text().strip())
        with contextlib.closing(client):
            yield Local(settings, client, process, time.monotonic() - began)
        process.send_signal(signal.SIGTERM)
        if process.wait(STOP_S) != 0:
            raise NotServing(f"the service did not stop cleanly: exit code {process.returncode}")
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _await_serving(settings: Settings, process: subprocess.Popen[bytes], start_s: float) -> None:
    deadline = time.monotonic() + start_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotServing(f"`mneme up` ended with exit code {process.returncode}")
        if settings.common.token_path.exists() and is_serving(address_of(settings)):
            return
        time.sleep(0.1)
    raise NotServing(f"not serving after {start_s:.0f} s")


def is_serving(address: str) -> bool:
    """What the standard health check says."""
    with grpc.insecure_channel(address) as channel:
        try:
            response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
