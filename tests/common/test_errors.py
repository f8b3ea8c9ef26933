"""One closed set of failures, one mapping to status, and nothing lost on the way."""

import pickle

import grpc
import pytest
from mneme.v1.errors_pb2 import Error, ErrorReason

from services.common.errors import MnemeError, from_rpc_error, internal, invalid

REASONS = [
    name.removeprefix("ERROR_REASON_")
    for name, number in ErrorReason.items()
    if number  # 0 is "unspecified"
]


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_the_wire_has_a_status(reason: str) -> None:
    assert isinstance(MnemeError(reason, "m").status, grpc.StatusCode)
    assert MnemeError(reason, "m").status is not grpc.StatusCode.OK


def test_an_error_survives_pickling_whole() -> None:
    error = MnemeError("TEXT_SIZE", "too long", field="text", remedy="split it", metadata={"limit_bytes": "60000"})
    copy = pickle.loads(pickle.dumps(error))
    assert copy.to_proto() == error.to_proto()
    assert str(copy) == "text: too long split it"


class _Received(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    def __init__(self, code: grpc.StatusCode, trailers: tuple[tuple[str, bytes], ...]) -> None:
        self._code, self._trailers = code, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "details"

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self._trailers


def test_a_client_reads_back_what_was_sent() -> None:
    sent = invalid("namespace", "is empty", "name one")
    received = from_rpc_error(_Received(sent.status, sent.trailers))
    assert received.to_proto() == sent.to_proto()


def test_an_error_of_another_server_keeps_its_status() -> None:
    assert from_rpc_error(_Received(grpc.StatusCode.UNAVAILABLE, ())).reason == "SERVICE_UNAVAILABLE"


def test_a_defect_tells_the_caller_nothing() -> None:
    sent = Error.FromString(internal().trailers[0][1])
    assert sent.reason == ErrorReason.ERROR_REASON_INTERNAL
    assert "Traceback" not in sent.message + sent.remedy
