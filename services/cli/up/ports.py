"""Ports and memory that a start needs, asked for before anything runs."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from services.cli.up.errors import StartError
from services.common.serving import ports
from services.kvstore.config import KvstoreConfig


def require_free(host: str, port: int, setting: str) -> None:
    """StartError when something goes on listening on the port, or ``host``, of the gateway, is not this machine."""
    error = ports.refusal(host, port)
    if isinstance(error, socket.gaierror) or (error and error.errno == errno.EADDRNOTAVAIL):
        raise StartError(
            f"gateway.host: {host} cannot be listened on ({error.strerror}). "
            "Set gateway.host to an address of this machine."
        ) from error
    if error:
        raise StartError(taken(host, port, setting, error)) from error


def taken(host: str, port: int, setting: str, error: OSError) -> str:
    return (
        f"{setting}: {host}:{port} cannot be listened on ({error.strerror}). "
        f"Stop what uses it (another `mneme up`?), or set {setting} to a free port."
    )


def require_arena(config: KvstoreConfig, data_dir: Path) -> None:
    """StartError when the KV store's arena cannot fit on this machine."""
    from services.kvstore.arena import Paths, require_room
    from services.kvstore.errors import StartError as NoRoom

    try:
        require_room(Paths.of(config.arena_dir, data_dir), config.arena_bytes, config.min_block_bytes)
    except OSError as error:
        raise StartError(
            f"kvstore.arena_dir: {config.arena_dir} cannot be used ({error.strerror}). Name a folder in memory."
        ) from error
    except NoRoom as error:
        raise StartError(str(error)) from error
