"""The metrics server's process: its sockets are ours, so that a new process takes over where the old one ended."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

from services.common import watched

_log = logging.getLogger(__name__)
_BACKLOG = 128
_STOP_S = 5.0
_AGAIN_S = 1.0


class MetricsProcess:
    """Serves the numbers of this process and of all that it starts from now on: the environment names the way."""

    def __init__(self, host: str, port: int, data_dir: Path) -> None:
        """OSError when the port cannot be listened on."""
        name = secrets.token_hex(16)
        self._data_dir = data_dir.absolute()
        self._http = socket.create_server((host, port), backlog=_BACKLOG)
        self._numbers = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._numbers.bind(watched.address(name, watched.NUMBERS))
        self._numbers.listen(_BACKLOG)
        self.lines = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.lines.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.lines.bind(watched.address(name, watched.LINES))
        self.port: int = self._http.getsockname()[1]
        os.environ[watched.NAME] = name
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def keep_running(self) -> None:
        """Start the process, or start it again when it has ended, at most once a second."""
        if self._process is not None:
            if self._process.poll() is None or time.monotonic() - self._started_at < _AGAIN_S:
                return
            seconds = round(time.monotonic() - self._started_at, 1)
            extra = {"pid": self._process.pid, "reason": _reason(self._process.returncode), "seconds": seconds}
            self._close()
            _log.warning("the metrics server has ended; starting it again", extra=extra)
        descriptors = self._http.fileno(), self._numbers.fileno()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "services.gateway.metrics"),
                *("--http-fd", str(descriptors[0]), "--numbers-fd", str(descriptors[1])),
                *("--data-dir", str(self._data_dir)),
            ],
            stdin=subprocess.PIPE,  # its end, when this process ends, is the end of the other
            stdout=subprocess.DEVNULL,
            pass_fds=descriptors,
        )
        self._started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def stop(self) -> None:
        """End the process, and give the port back."""
        self._close()
        for each in (self._http, self._numbers, self.lines):
            each.close()

    def _close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
