"""Ports that what was there before still holds for a moment."""

from __future__ import annotations

import errno
import socket
import time

# Replicas of a `mneme up` that was killed hold its ports for some 3 s; one that Serve has ended, until it is gone.
WAIT_S = 6.0
_AGAIN_S = 0.2


def refusal(host: str, port: int, wait_s: float = WAIT_S) -> OSError | None:
    """Why nobody can listen there; None once somebody can. One that is taken is waited for, ``wait_s`` at most."""
    deadline = time.monotonic() + wait_s
    while (error := _refusal_now(host, port)) and error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
        time.sleep(_AGAIN_S)
    return error


def _refusal_now(host: str, port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None
