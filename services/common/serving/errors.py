"""The closed set of failures, and its one mapping to gRPC status.

Everything that leaves a service is a ``MnemeError``; whatever else is raised becomes INTERNAL with a constant
text, and only the log learns more.
"""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from mneme.v1.errors_pb2 import Error, ErrorReason

TRAILER = "mneme-error-bin"
# What gRPC's own clients wait before they try again, where they are set up to (gRFC A6).
PUSHBACK = "grpc-retry-pushback-ms"
RETRY_AFTER = "retry_after_ms"

_OVERSIZED = "message larger than max"  # gRPC's own words, on either side

# A client takes 8 KiB of trailers; beyond that it reads RESOURCE_EXHAUSTED, whatever was wrong.
_MAX_VALUE = 256  # bytes of one value of the metadata; it may repeat what was sent
_MAX_TEXT = 800  # of message, field and remedy, each, and of the status; the wire triples those that are not ASCII

_STATUS: dict[int, grpc.StatusCode] = {
    ErrorReason.ERROR_REASON_INVALID_FIELD: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_TEXT_SIZE: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_TIME_RANGE: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_UNKNOWN_NAMESPACE: grpc.StatusCode.NOT_FOUND,
    ErrorReason.ERROR_REASON_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorReason.ERROR_REASON_UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    ErrorReason.ERROR_REASON_PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    ErrorReason.ERROR_REASON_ID_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    ErrorReason.ERROR_REASON_ERASED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_NAMESPACE_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    ErrorReason.ERROR_REASON_UNDECLARED_METADATA: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_NOT_FRESH: grpc.StatusCode.UNAVAILABLE,
    ErrorReason.ERROR_REASON_OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorReason.ERROR_REASON_LOG_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorReason.ERROR_REASON_DEADLINE: grpc.StatusCode.DEADLINE_EXCEEDED,
    ErrorReason.ERROR_REASON_UNKNOWN_METHOD: grpc.StatusCode.UNIMPLEMENTED,
    ErrorReason.ERROR_REASON_INTERNAL: grpc.StatusCode.INTERNAL,
    ErrorReason.ERROR_REASON_QUOTA_EXCEEDED: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class MnemeError(Exception):
    """One failure. Picklable, so it crosses process boundaries whole.

    ``reason`` is the short name of an ErrorReason ("INVALID_FIELD"). Neither message nor remedy may hold a
    caller's text or a secret.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        field: str = "",
        remedy: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.reason = reason
        self.message = message
        self.field = field
        self.remedy = remedy
        self.metadata = dict(metadata or {})
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{where}{self.message}{remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.reason, self.message, self.field, self.remedy, self.metadata)

    def to_proto(self) -> Error:
        """For the wire: what is too long for a trailer is cut."""
        return Error(
            reason=f"ERROR_REASON_{self.reason}",
            message=_cut(self.message, _MAX_TEXT),
            field=_cut(self.field, _MAX_TEXT),
            remedy=_cut(self.remedy, _MAX_TEXT),
            metadata={key: _cut(value, _MAX_VALUE) for key, value in self.metadata.items()},
        )

    @property
    def details(self) -> str:
        """For the status of the wire."""
        return _cut(str(self), _MAX_TEXT)

    @property
    def status(self) -> grpc.StatusCode:
        return _STATUS[ErrorReason.Value(f"ERROR_REASON_{self.reason}")]

    @property
    def trailers(self) -> tuple[tuple[str, str | bytes], ...]:
        error = (TRAILER, self.to_proto().SerializeToString())
        after = self.metadata.get(RETRY_AFTER)
        return (error, (PUSHBACK, after)) if after else (error,)


def _rebuild(reason: str, message: str, field: str, remedy: str, metadata: dict[str, str]) -> MnemeError:
    return MnemeError(reason, message, field=field, remedy=remedy, metadata=metadata)


def _cut(text: str, most: int) -> str:
    """At most ``most`` bytes of it."""
    raw = text.encode()
    return text if len(raw) <= most else raw[: most - 3].decode(errors="ignore") + "…"


def retry_after(seconds: float) -> dict[str, str]:
    """Metadata of an error that goes away by itself: when to try again."""
    return {RETRY_AFTER: str(max(1, round(seconds * 1000)))}


def invalid(field: str, message: str, remedy: str) -> MnemeError:
    """An INVALID_FIELD error for ``field``."""
    return MnemeError("INVALID_FIELD", message, field=field, remedy=remedy)


def internal() -> MnemeError:
    """What a caller is told of a defect: nothing but where to look."""
    return MnemeError("INTERNAL", "Mneme failed.", remedy="Give the operator the trace id of this call.")


def from_rpc_error(error: grpc.RpcError) -> MnemeError:
    """The MnemeError that a gRPC client received; its status alone where the server is not ours."""
    for key, value in error.trailing_metadata() or ():
        if key == TRAILER:
            sent = Error.FromString(value)
            reason = ErrorReason.Name(sent.reason).removeprefix("ERROR_REASON_")
            return MnemeError(reason, sent.message, field=sent.field, remedy=sent.remedy, metadata=dict(sent.metadata))
    if _OVERSIZED in (error.details() or ""):
        return invalid("", "The message is too large: gRPC itself refused it.", "Split what is sent.")
    by_status = {
        grpc.StatusCode.UNAVAILABLE: "SERVICE_UNAVAILABLE",
        grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE",
        grpc.StatusCode.UNIMPLEMENTED: "UNKNOWN_METHOD",
        grpc.StatusCode.UNAUTHENTICATED: "UNAUTHENTICATED",
        grpc.StatusCode.RESOURCE_EXHAUSTED: "OVERLOADED",
    }
    reason = by_status.get(error.code(), "INTERNAL")
    said = error.details() or "the call failed"
    # Not of ours: its status is all that tells what it was.
    return MnemeError(reason, f"{error.code().name}: {said}" if reason == "INTERNAL" else said)
