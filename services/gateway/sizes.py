"""Says which field makes a message too large. The one place where the gateway looks into a message, to refuse it."""

from __future__ import annotations

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from services.gateway import reflection as _reflection  # noqa: F401  # imported for the descriptors of all services
from services.gateway.errors import too_large

_BYTES = 2  # the wire type of texts, bytes and messages
_MOST_FIELDS = 100_000  # more are many small ones: none is to blame


def require_size(message: bytes, most: int, method: str, index: int | None = None) -> None:
    """INVALID_FIELD when a request of ``method`` has more than ``most`` bytes. ``index``: its place in a stream."""
    if len(message) > most:
        raise too_large(most, len(message), largest_field(method, message), index)


def largest_field(method: str, raw: bytes) -> str:
    """Path of the field that takes more than half of ``raw``, a request of ``method`` ("pkg.Service/Method"); "" where
    there is none, or it is no such message. A field that this release does not know is named by its number."""
    try:
        kind: Descriptor | None = descriptor_pool.Default().FindMethodByName(method.replace("/", ".")).input_type
    except KeyError:
        return ""
    path: list[str] = []
    size = len(raw)
    while (found := _largest(raw, size)) is not None:
        number, raw = found
        field = kind.fields_by_number.get(number) if kind is not None else None
        path.append(field.name if field is not None else f"unknown field {number}")
        kind = field.message_type if field is not None else None
        if kind is None:
            break
    return ".".join(path)


def _largest(raw: bytes, size: int) -> tuple[int, bytes] | None:
    """Number and bytes of a field that takes more than half of ``size``."""
    try:
        fields = UnknownFieldSet(Empty.FromString(raw))
    except DecodeError:
        return None
    if len(fields) > _MOST_FIELDS:
        return None
    for field in (fields[n] for n in range(len(fields))):
        if field.wire_type == _BYTES and 2 * len(field.data) > size:
            return field.field_number, field.data
    return None
