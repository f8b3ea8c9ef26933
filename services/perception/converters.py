"""Between the wire and the work: requests to what is accepted, outcomes to responses."""

from __future__ import annotations

from collections.abc import Sequence

from mneme.v1.admin_pb2 import CreateNamespaceRequest, Namespace
from mneme.v1.common_pb2 import Position
from mneme.v1.perception_pb2 import ObserveResponse

from services.common.ledger.quota import EXCEEDED
from services.common.ledger.settings import Place
from services.common.serving.errors import MnemeError
from services.perception.intake.decision import Accepted


def to_position(place: Place) -> Position:
    return Position(partition=place.partition, offset=place.offset)


def to_settings(request: CreateNamespaceRequest) -> Namespace:
    return Namespace(
        name=request.namespace,
        metadata_fields=request.metadata_fields,
        aliases=request.aliases,
        erasure_epoch=0,
        quota=request.quota if request.HasField("quota") else None,
    )


def add(response: ObserveResponse, outcomes: Sequence[Accepted]) -> None:
    """Count outcomes into the response so far; positions stay the highest of each partition."""
    highest = {p.partition: p.offset for p in response.positions}
    for outcome in outcomes:
        response.accepted += not outcome.duplicate
        response.duplicates += outcome.duplicate
        place = outcome.place
        highest[place.partition] = max(highest.get(place.partition, 0), place.offset)
    del response.positions[:]
    response.positions.extend(Position(partition=p, offset=o) for p, o in sorted(highest.items()))


def refused(error: MnemeError, response: ObserveResponse) -> MnemeError:
    """The refusal of one observation of a stream: its field as the request has it, and what was taken before it."""
    taken = response.accepted + response.duplicates
    counts = {"accepted": str(response.accepted), "duplicates": str(response.duplicates), "index": str(taken)}
    field = f"observation.{error.field}" if error.field else "observation"
    if error.reason == EXCEEDED:
        field = error.field  # a setting, no field of the request
    return MnemeError(
        error.reason, error.message, field=field, remedy=error.remedy, metadata={**error.metadata, **counts}
    )
