"""What a process shows to the `mneme up` that started it: its numbers when asked, its lines as they come.

Through sockets that have no place on any disk (abstract ones, of Linux), so that a full disk hides nothing and ends
nobody. Their name comes by the environment; a process that was started otherwise shows nothing.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Metric

NAME = "MNEME_WATCHED_BY"  # environment variable: the part of the sockets' names that is this start's own
NUMBERS, LINES = "numbers", "lines"
ASK = b"?"
LENGTH = struct.Struct("!I")
LINE_BYTES = 8192
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_AGAIN_S = 1.0


def address(name: str, what: str) -> str:
    """Of the abstract socket for NUMBERS or LINES."""
    return f"\0mneme-{name}-{what}"


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process and user at the other end of a unix connection."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


def receive_line(lines: socket.socket) -> bytes:
    """The next line that a process of this user sent; b"" when it came from somebody else."""
    line, ancillary, _, _ = lines.recvmsg(LINE_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            _, uid, _ = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])
            return line if uid == os.getuid() else b""
    return b""


def show_numbers(service: str, registry: CollectorRegistry) -> None:
    """Answer, from a thread of its own and for as long as this process lives, whoever gathers numbers."""
    if name := os.environ.get(NAME):
        threading.Thread(target=_answer_for_ever, args=[name, service, registry], name="numbers", daemon=True).start()


def line_handler() -> logging.Handler | None:
    """A handler that sends lines to the terminal of `mneme up`; None where there is none."""
    name = os.environ.get(NAME)
    return _LineHandler(name) if name else None


def _answer_for_ever(name: str, service: str, registry: CollectorRegistry) -> None:
    while True:
        # Where who gathers is away, `mneme up` starts it again, and says so.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(address(name, NUMBERS))
            _send(connection, service.encode())
            while connection.recv(1):
                _send(connection, snapshot(registry.collect()))
        time.sleep(_AGAIN_S)


def _send(connection: socket.socket, body: bytes) -> None:
    connection.sendall(LENGTH.pack(len(body)) + body)


def snapshot(families: Iterable[Metric]) -> bytes:
    """Families as JSON: ``[name, type, documentation, [[sample, labels, value], …]]`` each."""
    return json.dumps(
        [
            [f.name, f.type, f.documentation, [[s.name, s.labels, s.value] for s in f.samples if _counts(s.name)]]
            for f in families
        ]
    ).encode()


def _counts(sample: str) -> bool:
    return not sample.endswith("_created")  # times: they do not add up


class _LineHandler(logging.Handler):
    """Never waits: a line that is too long, or finds no room, is left out, and stands in the file all the same."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.INFO)
        self._to = address(name, LINES)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode()
        if len(line) <= LINE_BYTES:
            with suppress(OSError):
                self._socket.sendto(line, self._to)
