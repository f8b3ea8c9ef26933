"""The metrics server: a process of its own that `mneme up` starts, watches and starts again.

It is given two listening sockets, so that a new one takes over where the old one ended: one for HTTP, one for the
processes of this machine, which it asks for their numbers when somebody scrapes. Nothing that happens to it, and
nothing that anybody does to its port, reaches a process that answers calls.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from services.gateway.machine import Machine
from services.gateway.numbers import Gathered, Gathering, as_tasks

# Connections at once. When all are taken, the oldest that has not sent its request yet gives way.
MOST = 64
REQUEST_S, ANSWER_S = 5.0, 15.0
REQUEST_BYTES = 8192
_BACKLOG = 128
_NICENESS = 10  # whoever answers calls goes first
_TEXT = "text/plain; charset=utf-8"


class MetricsServer:
    """HTTP/1.0 on a socket: ``/metrics``, ``/healthz``, 404 for all else; one request a connection."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering
        self._connected: dict[asyncio.StreamWriter, bool] = {}  # in order; whether the request is there

    async def start(self, listening: socket.socket) -> None:
        await asyncio.start_server(as_tasks(self._serve), sock=listening, limit=REQUEST_BYTES, backlog=_BACKLOG)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._has_place():
                self._connected[writer] = False
                await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it was slow, left, or spoke no HTTP
        finally:
            self._connected.pop(writer, None)
            writer.transport.abort()

    def _has_place(self) -> bool:
        if len(self._connected) < MOST:
            return True
        half_open = next((w for w, complete in self._connected.items() if not complete), None)
        if half_open is not None:
            del self._connected[half_open]
            half_open.transport.abort()
        return half_open is not None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(REQUEST_S):
            head = await reader.readuntil(b"\r\n\r\n")
        self._connected[writer] = True
        async with asyncio.timeout(ANSWER_S):
            method, path = _request(head)
            status, content_type, body = await self._page(method, path)
            lines = [
                f"HTTP/1.0 {status}",
                f"Content-Type: {content_type}",
                f"Content-Length: {len(body)}",
                "Connection: close",
            ]
            writer.write("\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else body))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def _page(self, method: str, path: str) -> tuple[str, str, bytes]:
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", _TEXT, b"GET or HEAD.\n"
        if path == "/metrics":
            gathered = await self._gathering.gather()
            return "200 OK", gathered.content_type, gathered.text
        if path == "/healthz":
            return _health(await self._gathering.gather())
        return "404 Not Found", _TEXT, b"/metrics and /healthz are here.\n"


def _request(head: bytes) -> tuple[str, str]:
    """Method and path; a first line that is none gives a method that nobody serves."""
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    return (words[0], words[1].partition("?")[0]) if len(words) == 3 else ("", "")


def _health(gathered: Gathered) -> tuple[str, str, bytes]:
    if gathered.silent:
        return "503 Service Unavailable", _TEXT, f"does not answer: {', '.join(gathered.silent)}\n".encode()
    return "200 OK", _TEXT, b"ok\n"


async def _run(http: socket.socket, numbers: socket.socket, machine: Machine) -> None:
    gathering = Gathering(machine)
    await gathering.start(numbers)
    await MetricsServer(gathering).start(http)
    await _end_of_input()


async def _end_of_input() -> None:
    """Standard input ends when the process ends that holds its other side, however it does."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Started by `mneme up`.")
    parser.add_argument("--http-fd", type=int, required=True)
    parser.add_argument("--numbers-fd", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C of a terminal is for `mneme up`, which ends this last
    http, numbers = (socket.socket(fileno=fd) for fd in (arguments.http_fd, arguments.numbers_fd))
    asyncio.run(_run(http, numbers, Machine(os.getppid(), arguments.data_dir)))


if __name__ == "__main__":
    main()
