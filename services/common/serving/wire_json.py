"""JSON text into a message of the wire (protobuf JSON), with the field named in every refusal.

The library's own parser names a field in a sentence that quotes the text. A product needs the field apart, and no word
of its text may stand in a dead letter. So this walks the JSON beside the message's descriptor and hands the library
one value at a time. It is stricter where JSON is loose: a key that stands twice, a number that is none (NaN), digits
without end and nesting without end are refused.

A time's text carries the offset of whoever speaks, which a Timestamp cannot hold: it goes into the message's own field
for it (``observed_at`` into ``utc_offset_minutes``) where the sender leaves that out.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from google.protobuf import wrappers_pb2
from google.protobuf.descriptor import EnumValueDescriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.serving.clocks import MAX_OFFSET_MINUTES
from services.common.serving.errors import MnemeError, invalid

MAX_DEPTH = 32  # of lists and objects; the deepest message of the wire has six
MAX_DIGITS = 300  # of one number, all of which a double can hold
_MAX_NAME = 64  # characters of an unknown field's name in a refusal
_OFFSET_FIELDS = {
    "observed_at": "utc_offset_minutes",
    "event_at": "utc_offset_minutes",
    "asked_at": "asked_utc_offset_minutes",
}

_M = TypeVar("_M", bound=Message)


def parse(data: bytes, into: type[_M]) -> _M:
    """The message that ``data`` is, one JSON object in UTF-8. INVALID_FIELD as of ``loads`` and ``to_message``."""
    return to_message(loads(data), into)


def loads(data: bytes) -> object:
    """The JSON value of ``data``. INVALID_FIELD (field "value") where it is none, or is nested too deeply.

    What only the walk can name by its field (a key twice, NaN, a number without end) passes here and fails there.
    """
    remedy = "Send one JSON object in UTF-8, as protobuf JSON has it."
    try:
        text = data.decode().rstrip("\r\n")  # or a text that is not closed would seem to hold the line's end
    except UnicodeDecodeError as error:
        raise invalid("value", f"Byte {error.start} is not UTF-8.", remedy) from error
    if _depth(text) > MAX_DEPTH:
        raise invalid("value", f"It is nested more than {MAX_DEPTH} deep.", remedy)
    try:
        value: object = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_number)
    except json.JSONDecodeError as error:
        raise invalid(
            "value", f"It is not JSON: {error.msg.removesuffix(' at')}, at character {error.pos}.", remedy
        ) from error
    return value


def to_message(value: object, into: type[_M]) -> _M:
    """``value``, as ``loads`` returned it or in its form, as a message. INVALID_FIELD with the path of the field."""
    out = into()
    _fill(out, value, "")
    return out


def timestamp(text: object, field: str) -> tuple[Timestamp, int | None]:
    """An RFC 3339 time and its offset from UTC in minutes; None for "Z", which names an instant and no zone.

    INVALID_FIELD, of ``field``, for anything else: an epoch number, a time without an offset, a day no calendar has.
    """
    if not isinstance(text, str):
        sort = "a number" if isinstance(text, int | float) and not isinstance(text, bool) else "not a text"
        raise invalid(field, f"This is {sort}; a time is a text.", _TIME_REMEDY)
    match = _TIME.fullmatch(text)
    if match is None:
        raise invalid(field, "This is not an RFC 3339 time.", _TIME_REMEDY)
    clock, fraction, zone = match.groups()
    if zone is None:
        raise invalid(field, "The offset is missing.", _TIME_REMEDY)
    try:
        offset = 0 if zone in "Zz" else _offset(zone)
        at = datetime.fromisoformat(clock.upper()).replace(tzinfo=UTC) - timedelta(minutes=offset)
    except (ValueError, OverflowError) as error:
        raise invalid(field, "No calendar or clock has this time.", _TIME_REMEDY) from error
    out = Timestamp()
    out.FromDatetime(at)
    out.nanos = int((fraction or ".0")[1:].ljust(9, "0"))
    return out, None if zone in "Zz" or zone == "-00:00" else offset


_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII)
_TIME_REMEDY = "Send it with its offset, as 2026-01-31T10:00:00+01:00, or in UTC, as 2026-01-31T09:00:00Z."


def _offset(zone: str) -> int:
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    total = 60 * hours + minutes
    if minutes > 59 or total > MAX_OFFSET_MINUTES:
        raise ValueError("no such offset")
    return -total if zone[0] == "-" else total


# --- JSON -------------------------------------------------------------------------------------------------------


class _Twice(dict[str, object]):
    """An object in which a key stands twice."""

    key: str


class _TooLong:
    """A number with more digits than anybody needs; reading it would cost their square."""


# Texts match whole, and one without an end to the end: each character is looked at once.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in _BRACKETS.finditer(text):
        if match.group() in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match.group() in "]}":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    twice = _Twice(made)
    twice.key = Counter(key for key, _ in pairs).most_common(1)[0][0]
    return twice


def _integer(digits: str) -> int | _TooLong:
    return int(digits) if len(digits) <= MAX_DIGITS else _TooLong()


def _number(digits: str) -> float | _TooLong:
    return float(digits) if len(digits) <= MAX_DIGITS else _TooLong()


# --- the walk ---------------------------------------------------------------------------------------------------


def _fill(message: Message, value: object, path: str) -> None:
    descriptor: Any = message.DESCRIPTOR  # the stubs have two types for it
    if not isinstance(value, dict):
        raise invalid(path or "value", "It is not an object.", f"Send an object with the fields of {descriptor.name}.")
    if isinstance(value, _Twice):
        raise invalid(_join(path, _safe(value.key)), "The field stands twice.", "Send it once.")
    given = _fields(descriptor, value, path)
    chosen: dict[str, str] = {}
    for field, item in given.items():
        where = _join(path, field.name)
        oneof = field.containing_oneof
        if oneof is not None and chosen.setdefault(oneof.name, field.name) != field.name:
            raise invalid(where, f"{chosen[oneof.name]} is set too, and only one of them can be.", "Send one of them.")
        if _is_map(field):
            _fill_map(message, field, item, where)
        elif field.is_repeated:
            _fill_list(message, field, item, where)
        elif field.message_type is None:
            _fill_scalar(message, field, item, where)
        elif field.message_type.full_name == "google.protobuf.Timestamp":
            _fill_time(message, field, item, where)
        elif field.message_type.full_name.startswith("google.protobuf."):
            sort = field.message_type.name
            refusal = invalid(where, f"It is no {sort}.", f"Send a {sort} as protobuf JSON has it.")
            _by_library(getattr(message, field.name), item, refusal)
        else:
            getattr(message, field.name).SetInParent()
            _fill(getattr(message, field.name), item, where)


def _fields(descriptor: Any, value: Mapping[str, object], path: str) -> dict[FieldDescriptor, object]:
    """What is set, in the order of the proto, so that a field for an offset is read after its time.

    Null is unset, as protobuf JSON has it.
    """
    by_name = {f.name: f for f in descriptor.fields} | {f.json_name: f for f in descriptor.fields}
    given: dict[FieldDescriptor, object] = {}
    for name, item in value.items():
        field = by_name.get(name)
        if field is None:
            known = ", ".join(f.name for f in descriptor.fields)
            raise invalid(_join(path, _safe(name)), f"{descriptor.name} has no such field.", f"Send only {known}.")
        if field in given:
            raise invalid(_join(path, field.name), "The field stands twice, in both its spellings.", "Send it once.")
        given[field] = item
    return {f: item for f, item in sorted(given.items(), key=lambda pair: pair[0].number) if item is not None}


def _fill_map(message: Message, field: FieldDescriptor, value: object, path: str) -> None:
    if not isinstance(value, dict):
        raise invalid(path, "It is not an object.", "Send an object: a name and a value for each entry.")
    if isinstance(value, _Twice):
        raise invalid(_join(path, value.key), "The name stands twice.", "Send it once.")
    assert field.message_type is not None
    entry = field.message_type.fields_by_name
    out = getattr(message, field.name)
    for name, item in value.items():
        where = _join(path, name)
        key = _scalar(entry["key"], name, path)
        if entry["value"].message_type is None:
            out[key] = _scalar(entry["value"], item, where)
        else:
            _fill(out[key], item, where)


def _fill_list(message: Message, field: FieldDescriptor, value: object, path: str) -> None:
    if not isinstance(value, list):
        raise invalid(path, "It is not a list.", "Send a list.")
    out = getattr(message, field.name)
    for n, item in enumerate(value):
        if field.message_type is None:
            out.append(_scalar(field, item, f"{path}[{n}]"))
        else:
            _fill(out.add(), item, f"{path}[{n}]")


def _fill_time(message: Message, field: FieldDescriptor, value: object, path: str) -> None:
    at, offset = timestamp(value, path)
    getattr(message, field.name).CopyFrom(at)
    kept = _OFFSET_FIELDS.get(field.name, "")
    if offset is not None and kept in message.DESCRIPTOR.fields_by_name:
        setattr(message, kept, offset)


def _fill_scalar(message: Message, field: FieldDescriptor, value: object, path: str) -> None:
    read = _scalar(field, value, path)
    of_the_time = field.name in _OFFSET_FIELDS.values() and message.HasField(field.name)
    if of_the_time and getattr(message, field.name) != read:
        remedy = "Send the same offset in both, or leave this field out."
        raise invalid(path, "It contradicts the offset that stands in the time.", remedy)
    setattr(message, field.name, read)


def _scalar(field: FieldDescriptor, value: object, path: str) -> Any:
    """One value that is no message."""
    sort = _SORTS[field.cpp_type]
    refusal = invalid(path, f"It is not {sort}.", f"Send {sort}, or leave it out.")
    if isinstance(value, _TooLong):
        raise invalid(path, f"The number has more than {MAX_DIGITS} digits.", refusal.remedy)
    if isinstance(value, bool) is not (field.cpp_type == FieldDescriptor.CPPTYPE_BOOL):
        raise refusal
    if isinstance(value, str) and not _is_unicode(value):
        raise invalid(path, "It has half of a surrogate pair, which UTF-8 cannot carry.", refusal.remedy)
    if field.enum_type is not None:
        read = _enum(field.enum_type.values_by_name, value)
    else:
        read = _by_library(_WRAPPERS[field.type](), value, refusal).value
    if read is None or (isinstance(read, float) and not math.isfinite(read)):
        raise refusal
    return read


def _enum(names: Mapping[str, EnumValueDescriptor], value: object) -> int | None:
    """By name; by number too, which may be one of a later release."""
    if isinstance(value, str) and value in names:
        return int(names[value].number)
    return value if isinstance(value, int) and abs(value) < 2**31 else None


def _by_library(out: _M, value: object, refusal: MnemeError) -> _M:
    """A scalar's wrapper, or another message with a JSON form of its own, as the library reads it."""
    try:
        return ParseDict(value, out)  # type: ignore[arg-type]  # whose stub knows objects only
    except (ParseError, TypeError, ValueError) as error:
        raise refusal from error


_WRAPPERS: dict[int, type[Any]] = {
    FieldDescriptor.TYPE_STRING: wrappers_pb2.StringValue,
    FieldDescriptor.TYPE_BYTES: wrappers_pb2.BytesValue,
    FieldDescriptor.TYPE_BOOL: wrappers_pb2.BoolValue,
    FieldDescriptor.TYPE_DOUBLE: wrappers_pb2.DoubleValue,
    FieldDescriptor.TYPE_FLOAT: wrappers_pb2.FloatValue,
    FieldDescriptor.TYPE_INT32: wrappers_pb2.Int32Value,
    FieldDescriptor.TYPE_SINT32: wrappers_pb2.Int32Value,
    FieldDescriptor.TYPE_INT64: wrappers_pb2.Int64Value,
    FieldDescriptor.TYPE_SINT64: wrappers_pb2.Int64Value,
    FieldDescriptor.TYPE_UINT32: wrappers_pb2.UInt32Value,
    FieldDescriptor.TYPE_UINT64: wrappers_pb2.UInt64Value,
}
_WHOLE = "a whole number in its range"
_SORTS = {
    FieldDescriptor.CPPTYPE_STRING: "a text",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "a finite number",
    FieldDescriptor.CPPTYPE_FLOAT: "a finite number",
    FieldDescriptor.CPPTYPE_ENUM: "one of the names of its enum",
    FieldDescriptor.CPPTYPE_INT32: _WHOLE,
    FieldDescriptor.CPPTYPE_INT64: _WHOLE,
    FieldDescriptor.CPPTYPE_UINT32: _WHOLE,
    FieldDescriptor.CPPTYPE_UINT64: _WHOLE,
}


# --- names ------------------------------------------------------------------------------------------------------


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _join(path: str, name: str) -> str:
    """The path of a field, or of a map's entry, whose name is the sender's: no longer than a refusal can show."""
    shown = name if len(name) <= _MAX_NAME and _is_unicode(name) else f"({len(name)} characters)"
    return f"{path}.{shown}" if path else shown


def _safe(name: str) -> str:
    """The name of an unknown field; not where it is none, for a dead letter keeps it in clear."""
    return name if len(name) <= _MAX_NAME and name.isidentifier() else "(no field name)"
