"""Clocks of whoever speaks or asks: an instant of the wire with the offset that came beside it.

A moment carries its offset. Instants are compared as they are; whose day it is, is asked of ``as_shown``: a turn of
22:15 at -07:00 was said on that day there, whatever day it was in UTC.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.serving.errors import invalid

MAX_OFFSET_MINUTES = 18 * 60  # of a zone; as ISO 8601 libraries bound it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> Timestamp:
    """This moment, to the microsecond."""
    stamp = Timestamp()
    stamp.FromMicroseconds(time.time_ns() // 1_000)
    return stamp


def moment(stamp: Timestamp, offset_minutes: int = 0) -> datetime:
    """On the clock that is so far east of UTC, cut to microseconds. OverflowError where a datetime cannot hold it."""
    at = _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)
    return at.astimezone(zone(offset_minutes)) if offset_minutes else at


def zone(offset_minutes: int) -> tzinfo:
    return timezone(timedelta(minutes=offset_minutes)) if offset_minutes else UTC


def offset_of(at: datetime) -> int:
    """Minutes that its clock is east of UTC."""
    return int((at.utcoffset() or timedelta(0)).total_seconds()) // 60


def as_shown(at: datetime) -> datetime:
    """What its clock shows, as if that were UTC: to compare days of clocks that differ."""
    return at.replace(tzinfo=UTC)


def check_stamp(stamp: Timestamp, field: str) -> None:
    """INVALID_FIELD for what is no time: out of the years 1 to 9999, or with more than a second of nanoseconds."""
    if not 0 <= stamp.nanos < 1_000_000_000:
        remedy = "Send seconds since 1970-01-01 and 0 to 999,999,999 nanos."
        raise invalid(field, f"It has {stamp.nanos} nanos.", remedy)
    try:
        moment(stamp)
    except OverflowError as error:
        raise invalid(field, "This is no time.", "Send seconds since 1970-01-01.") from error


def check_offset(minutes: int, field: str) -> None:
    """INVALID_FIELD for an offset that no clock has."""
    if abs(minutes) > MAX_OFFSET_MINUTES:
        message = f"It is {minutes}, and no clock is {MAX_OFFSET_MINUTES // 60} hours from UTC."
        raise invalid(field, message, f"Send minutes east of UTC, -{MAX_OFFSET_MINUTES} to {MAX_OFFSET_MINUTES}.")
