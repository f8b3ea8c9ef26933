"""One operation of parts that several do."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.admin_pb2 import Operation, OperationState

_WEIGHTY = (
    OperationState.OPERATION_STATE_RUNNING,
    OperationState.OPERATION_STATE_FAILED,
    OperationState.OPERATION_STATE_DONE,
    OperationState.OPERATION_STATE_UNSPECIFIED,
)


def operation_id(asked: str) -> str:
    """Of a rebuild that was asked for by this id, "" for one that was not."""
    return f"rebuild-{asked or secrets.token_hex(8)}"


def merged(parts: Sequence[Operation]) -> Operation:
    """One operation of its parts: it runs as long as one of them does, and has failed where one has."""
    states = {part.state for part in parts}
    whole = Operation(id=parts[0].id, kind=parts[0].kind, state=next(state for state in _WEIGHTY if state in states))
    for part in parts:
        whole.done += part.done
        whole.total += part.total
        whole.result.update(part.result)
    whole.started_at.CopyFrom(min((part.started_at for part in parts), key=Timestamp.ToNanoseconds))
    if whole.state != OperationState.OPERATION_STATE_RUNNING:
        whole.ended_at.CopyFrom(max((part.ended_at for part in parts), key=Timestamp.ToNanoseconds))
        if "seconds" in whole.result:  # one part after the other
            whole.result["seconds"] = f"{(whole.ended_at.ToNanoseconds() - whole.started_at.ToNanoseconds()) / 1e9:.1f}"
    return whole
