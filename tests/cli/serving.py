"""A door for the commands: an admin service of the test's own, on a port of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import grpc
from mneme.v1.admin_service_pb2_grpc import AdminServiceServicer, add_AdminServiceServicer_to_server

D = TypeVar("D", bound=AdminServiceServicer)


@contextmanager
def served(door: D) -> Iterator[D]:
    """While it is served, ``door.address`` says where."""
    server = grpc.server(ThreadPoolExecutor(2))
    add_AdminServiceServicer_to_server(door, server)
    door.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"  # type: ignore[attr-defined]
    server.start()
    yield door
    server.stop(None).wait()
