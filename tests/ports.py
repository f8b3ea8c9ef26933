"""Ports for servers that tests start."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def neighbours(count: int) -> int:
    """The first of so many neighbouring free ports."""
    for _ in range(100):
        with ExitStack() as held:
            first, *others = (held.enter_context(socket.socket()) for _ in range(count))
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for n, each in enumerate(others, 1):
                    each.bind(("127.0.0.1", port + n))
            except (OSError, OverflowError):
                continue
            return port
    raise RuntimeError(f"no {count} neighbouring free ports")
