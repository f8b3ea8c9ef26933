"""`mneme ingest` where the service refuses a line: what is said of it, and of what came before.

What a real service does with it is in tests/e2e/test_cli.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from click.testing import CliRunner
from mneme.v1 import admin_pb2, perception_pb2
from mneme.v1.admin_service_pb2_grpc import AdminServiceServicer, add_AdminServiceServicer_to_server
from mneme.v1.perception_service_pb2_grpc import PerceptionServiceServicer, add_PerceptionServiceServicer_to_server

from services.cli.main import main
from services.common.serving.errors import MnemeError

LINES = "\n".join(
    f'{{"id": "t{n}", "session": "s", "text": "x", "observed_at": "2026-01-31T10:00:00Z"}}' for n in range(3)
)


class Door(PerceptionServiceServicer, AdminServiceServicer):
    """Has every namespace, and refuses every stream as it is told."""

    def __init__(self) -> None:
        self.refusal = MnemeError("INTERNAL", "not set")

    def GetStats(self, request: admin_pb2.GetStatsRequest, context: grpc.ServicerContext) -> admin_pb2.GetStatsResponse:
        return admin_pb2.GetStatsResponse()

    def Observe(
        self, request_iterator: Iterator[perception_pb2.ObserveRequest], context: grpc.ServicerContext
    ) -> perception_pb2.ObserveResponse:
        list(request_iterator)
        context.set_trailing_metadata(self.refusal.trailers)
        context.abort(self.refusal.status, self.refusal.message)
        raise AssertionError("abort has raised")


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"index": "2", "accepted": "1", "duplicates": "1"}, "1 accepted, 1 known already"),
        ({"index": "2"}, ""),  # of a message that no service has seen, the gateway knows the place alone
        ({}, ""),
    ],
)
def test_a_refused_line_is_named_with_what_is_known_of_those_before_it(counts: dict[str, str], says: str) -> None:
    door = Door()
    door.refusal = MnemeError("INVALID_FIELD", "Too long.", field="observation.text", metadata=counts)
    server = grpc.server(ThreadPoolExecutor(2))
    add_PerceptionServiceServicer_to_server(door, server)
    add_AdminServiceServicer_to_server(door, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        command = ["--address", address, "ingest", "-n", "acme/ann", "-"]
        said = CliRunner(env={"MNEME_TOKEN": "t"}).invoke(main, command, input=LINES)
    finally:
        server.stop(None)
    assert said.exit_code == 1
    assert ("(text): line 3: Too long." in said.stderr) == ("index" in counts)
    assert said.stdout.startswith(says)
    assert says or "accepted" not in said.output
