"""One closed set of failures, one mapping to status, and nothing lost on the way."""

import pickle
from urllib.parse import quote

import grpc
import pytest
from mneme.v1.errors_pb2 import Error, ErrorReason

from services.common.serving.errors import MnemeError, from_rpc_error, internal, invalid, retry_after

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
    def __init__(self, code: grpc.StatusCode, trailers: tuple[tuple[str, str | bytes], ...]) -> None:
        self._code, self._trailers = code, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "details"

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._trailers


def test_a_client_reads_back_what_was_sent() -> None:
    sent = invalid("namespace", "is empty", "name one")
    received = from_rpc_error(_Received(sent.status, sent.trailers))
    assert received.to_proto() == sent.to_proto()


def test_what_was_sent_is_not_sent_back_at_any_length() -> None:
    """A client that gets more than 8 KiB of trailers reads RESOURCE_EXHAUSTED, and tries again."""
    long = "é" * 20_000
    sent = MnemeError("NOT_FOUND", long, field=long, remedy=long, metadata={"id": long, "namespace": long})
    size = len(quote(sent.details)) + sum(len(key) + 4 * len(value) / 3 for key, value in sent.trailers)
    assert size < 8_000
    received = from_rpc_error(_Received(sent.status, sent.trailers))
    assert received.metadata["id"].startswith("éééé")
    assert received.metadata["id"].endswith("…")


def test_an_error_that_goes_away_says_when_to_grpc_too() -> None:
    sent = MnemeError("OVERLOADED", "m", metadata=retry_after(0.25))
    assert ("grpc-retry-pushback-ms", "250") in sent.trailers
    assert len(invalid("f", "m", "r").trailers) == 1


def test_a_message_that_grpc_itself_refuses_is_not_to_be_sent_again() -> None:
    class TooLarge(_Received):
        def details(self) -> str:
            return "SERVER: Received message larger than max (9000000 vs. 8388608)"

    assert from_rpc_error(TooLarge(grpc.StatusCode.RESOURCE_EXHAUSTED, ())).reason == "INVALID_FIELD"


def test_an_error_of_another_server_keeps_its_status() -> None:
    assert from_rpc_error(_Received(grpc.StatusCode.UNAVAILABLE, ())).reason == "SERVICE_UNAVAILABLE"


def test_a_defect_tells_the_caller_nothing() -> None:
    [(_, value)] = internal().trailers
    assert isinstance(value, bytes)
    sent = Error.FromString(value)
    assert sent.reason == ErrorReason.ERROR_REASON_INTERNAL
    assert "Traceback" not in sent.message + sent.remedy
