"""What a request must be. Each refusal names the field and the remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.admin_pb2 import MetadataType
from mneme.v1.common_pb2 import MetadataValue, TimeRange

from services.common.ids import MAX_ID, MAX_NAME, is_one_line
from services.common.serving import clocks
from services.common.serving.errors import MnemeError, invalid
from services.common.text.times import LATEST, misdated
from services.episodic.state.namespaces import NamespaceInfo

MAX_METADATA_FIELDS = 64
MAX_METADATA_BYTES = 16_000
MAX_REFERENCE = 1_000  # characters


def not_found(field: str, id: str, what: str) -> MnemeError:
    return MnemeError(
        "NOT_FOUND", f"There is no such {what}.", field=field, remedy="Check the id.", metadata={"id": id}
    )


def unknown_namespace(name: str, field: str = "namespace") -> MnemeError:
    return MnemeError(
        "UNKNOWN_NAMESPACE",
        f'There is no namespace "{name}".',
        field=field,
        remedy="Create it first, or correct the name.",
        metadata={"namespace": name},
    )


def check_id(id: str, field: str = "id") -> None:
    if not 1 <= len(id) <= MAX_ID:
        raise invalid(field, f"It has {len(id)} characters.", f"Send 1 to {MAX_ID}, chosen by you, never used before.")


def check_given(id: str, field: str) -> None:
    """INVALID_FIELD for what cannot be an id that a call returned."""
    if len(id) > MAX_ID:
        raise invalid(field, f"It has {len(id)} characters.", "Send an id as it was given.")


def check_reference(value: str, field: str) -> None:
    if len(value) > MAX_REFERENCE:
        raise invalid(field, f"It has {len(value)} characters.", f"Send at most {MAX_REFERENCE}.")


def check_name(name: str, field: str) -> None:
    if len(name) > MAX_NAME:
        raise invalid(field, f"It has {len(name)} characters.", f"Use at most {MAX_NAME} characters.")


def check_actor(actor: str) -> None:
    check_name(actor, "actor")
    if not is_one_line(actor):
        raise invalid("actor", "It holds line breaks or control characters.", "Send the speaker's name on one line.")


def check_metadata(metadata: Mapping[str, MetadataValue], info: NamespaceInfo) -> None:
    """Undeclared fields are kept and cannot be filtered on; UNDECLARED_METADATA for a declared one of another type."""
    size = sum(len(name.encode()) + len(value.text.encode()) for name, value in metadata.items())
    if len(metadata) > MAX_METADATA_FIELDS or size > MAX_METADATA_BYTES:
        limits = f"{MAX_METADATA_FIELDS} fields of {MAX_METADATA_BYTES} bytes together"
        raise invalid("metadata", "There is too much of it.", f"Send at most {limits}.")
    for name, value in metadata.items():
        sort = value.WhichOneof("value")
        if sort is None or (sort == "number" and not math.isfinite(value.number)):
            raise invalid(f"metadata.{name}", "It has no value.", "Send a text or a finite number.")
        require_declared(info, name, sort, f"metadata.{name}", optional=True)


def require_declared(info: NamespaceInfo, name: str, sort: str, field: str, *, optional: bool = False) -> None:
    """UNDECLARED_METADATA unless the namespace declares the field with this type ("text" or "number")."""
    declared = {f.name: "number" if f.type == MetadataType.METADATA_TYPE_NUMBER else "text" for f in info.fields}
    if declared.get(name) == sort or (optional and name not in declared):
        return
    raise MnemeError(
        "UNDECLARED_METADATA",
        f"It is declared as {declared[name]}." if name in declared else "The namespace does not declare this field.",
        field=field,
        remedy="Use a declared field with its type.",
        metadata={"declared": ", ".join(f"{n}: {s}" for n, s in declared.items())},
    )


def time_range(given: TimeRange, field: str) -> tuple[datetime | None, datetime | None]:
    """Its two sides. TIME_RANGE when it ends before it starts."""
    start = moment(given.start, f"{field}.start") if given.HasField("start") else None
    end = moment(given.end, f"{field}.end") if given.HasField("end") else None
    if start is not None and end is not None and end < start:
        raise MnemeError(
            "TIME_RANGE", "The range ends before it starts.", field=field, remedy="Swap its sides, or correct one."
        )
    return start, end


def moment(given: Timestamp, field: str) -> datetime:
    clocks.check_stamp(given, field)
    return clocks.moment(given)


def claimed(given: Timestamp, field: str) -> datetime:
    """A time of the caller's own, past or planned. INVALID_FIELD where no calendar bears counting from it."""
    at = moment(given, field)
    if (wrong := misdated(at, LATEST)) is not None:
        raise invalid(field, *wrong)
    return at
