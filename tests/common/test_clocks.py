"""Instants and the clocks that show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.common.serving import clocks
from services.common.serving.errors import MnemeError

STAMP = Timestamp(seconds=1_783_228_500, nanos=999_999_999)  # 2026-07-05T05:15:00Z and a second less a nanosecond


def test_an_instant_is_the_same_on_every_clock_and_its_day_is_not() -> None:
    there = clocks.moment(STAMP, -420)
    assert there == clocks.moment(STAMP) == datetime(2026, 7, 5, 5, 15, 0, 999_999, UTC)
    assert clocks.as_shown(there) == datetime(2026, 7, 4, 22, 15, 0, 999_999, UTC)
    assert clocks.offset_of(there) == -420


@given(st.integers(-clocks.MAX_OFFSET_MINUTES, clocks.MAX_OFFSET_MINUTES))
def test_an_offset_is_kept_to_the_minute(minutes: int) -> None:
    there = clocks.moment(STAMP, minutes)
    assert clocks.offset_of(there) == minutes
    assert clocks.as_shown(there) - clocks.moment(STAMP) == timedelta(minutes=minutes)
    clocks.check_offset(minutes, "utc_offset_minutes")


@pytest.mark.parametrize("minutes", [1_081, -1_081, 2**31 - 1, -(2**31)])
def test_an_offset_that_no_clock_has_is_refused(minutes: int) -> None:
    with pytest.raises(MnemeError) as refused:
        clocks.check_offset(minutes, "utc_offset_minutes")
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "utc_offset_minutes")


@pytest.mark.parametrize(
    "stamp",
    [
        Timestamp(nanos=1_000_000_000),
        Timestamp(nanos=-1),
        Timestamp(nanos=2**31 - 1),
        Timestamp(seconds=10**15),
        Timestamp(seconds=-(10**15)),
    ],
)
def test_what_is_no_time_is_refused(stamp: Timestamp) -> None:
    with pytest.raises(MnemeError) as refused:
        clocks.check_stamp(stamp, "event_at")
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "event_at")
