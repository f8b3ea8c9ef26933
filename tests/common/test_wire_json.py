"""JSON into a message: what protobuf JSON has is read, and whatever is refused is refused by its field's name."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given
from hypothesis import strategies as st
from mneme.v1.common_pb2 import MetadataValue, Observation, ObservationKind, Position, Positions
from mneme.v1.episodic_pb2 import RecallRequest

from services.common.serving import wire_json
from services.common.serving.errors import MnemeError


def read(**fields: object) -> Observation:
    return wire_json.parse(json.dumps(fields).encode(), Observation)


def refusal(data: bytes | str, into: Any = Observation) -> MnemeError:
    with pytest.raises(MnemeError) as caught:
        wire_json.parse(data.encode() if isinstance(data, str) else data, into)
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.message
    assert caught.value.remedy
    return caught.value


def test_what_the_library_writes_is_read_back_whole() -> None:
    sent = Observation(
        id="a",
        namespace="acme/ann",
        session="s",
        text='quotes " and \\ and { and ü',
        kind=ObservationKind.OBSERVATION_KIND_DOCUMENT,
        metadata={"channel": MetadataValue(text="web"), "rank": MetadataValue(number=2.5)},
        derived_from=["x", "y"],
        utc_offset_minutes=-420,
    )
    sent.observed_at.FromJsonString("2026-07-05T05:15:00.25Z")
    assert wire_json.parse(MessageToJson(sent).encode(), Observation) == sent
    assert wire_json.parse(MessageToJson(sent, preserving_proto_field_name=True).encode(), Observation) == sent


def test_lists_of_messages_and_messages_within_are_read_and_large_numbers_as_texts() -> None:
    made = wire_json.parse(b'{"positions": [{"partition": 1, "offset": "18446744073709551615"}]}', Positions)
    assert made == Positions(positions=[Position(partition=1, offset=2**64 - 1)])
    request = wire_json.parse(b'{"query": "q", "freshness": {"strong": true}, "filter": {}}', RecallRequest)
    assert request.freshness.strong
    assert request.HasField("filter")


def test_null_is_unset() -> None:
    assert read(id="a", actor=None, metadata=None, observed_at=None) == Observation(id="a")


REFUSED: list[tuple[str, bytes | str, str]] = [
    ("an unknown field", '{"id": "o1", "colour": "red"}', "colour"),
    ("an unknown field within", '{"metadata": {"channel": {"txt": "web"}}}', "metadata.channel.txt"),
    ("an unknown name that is a text", '{"call me at noon": 1}', "(no field name)"),
    ("a plain value of metadata", '{"metadata": {"channel": "web"}}', "metadata.channel"),
    ("null in metadata", '{"metadata": {"channel": null}}', "metadata.channel"),
    ("a list in metadata", '{"metadata": {"channel": ["web"]}}', "metadata.channel"),
    ("a boolean as a number", '{"metadata": {"x": {"number": true}}}', "metadata.x.number"),
    ("a number as a text", '{"metadata": {"x": {"text": 1}}}', "metadata.x.text"),
    ("two of a oneof", '{"metadata": {"x": {"text": "1", "number": 1}}}', "metadata.x.number"),
    ("NaN", '{"metadata": {"x": {"number": NaN}}}', "metadata.x.number"),
    ("NaN as a text", '{"metadata": {"x": {"number": "NaN"}}}', "metadata.x.number"),
    ("infinity by size", '{"metadata": {"x": {"number": 1e999}}}', "metadata.x.number"),
    ("digits without end", '{"metadata": {"x": {"number": %s}}}' % ("9" * 100_000), "metadata.x.number"),
    ("a key twice", '{"id": "a", "id": "b"}', "id"),
    ("a name of metadata twice", '{"metadata": {"x": {"text": "1"}, "x": {"text": "2"}}}', "metadata.x"),
    ("both spellings", '{"observed_at": "2026-01-01T00:00:00Z", "observedAt": null}', "observed_at"),
    ("no list", '{"derived_from": "a"}', "derived_from"),
    ("null in a list", '{"derived_from": ["a", null]}', "derived_from[1]"),
    ("an object for a text", '{"text": {"en": "hello"}}', "text"),
    ("half a surrogate pair", '{"text": "\\ud83d"}', "text"),
    ("half a pair in a name", '{"metadata": {"\\ud83d": {"text": "x"}}}', "metadata"),
    ("an enum's unknown name", '{"kind": "POEM"}', "kind"),
    ("half a number", '{"utc_offset_minutes": 1.5}', "utc_offset_minutes"),
    ("a number out of range", '{"utc_offset_minutes": 3000000000}', "utc_offset_minutes"),
    ("no object", "[1]", "value"),
    ("no JSON", "hello", "value"),
    ("nothing", "", "value"),
    ("nested without end", "[" * 100_000, "value"),
    ("nested and closed", '{"metadata": ' + "[" * 50_000 + "]" * 50_000 + "}", "value"),
    ("no UTF-8", b"\xff\xfe", "value"),
]


@pytest.mark.parametrize(("data", "field"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED])
def test_what_is_refused_is_refused_by_its_field(data: bytes | str, field: str) -> None:
    assert refusal(data).field == field


def test_no_word_of_the_sender_stands_in_a_refusal() -> None:
    for _, data, _ in REFUSED:
        said = refusal(data)
        assert "hello" not in said.message + said.remedy
        assert "noon" not in str(said)
    assert len(refusal('{"metadata": {"%s": 1}}' % ("x" * 20_000)).field) < 100


TIMES = [
    ("2026-07-04T22:15:00-07:00", "2026-07-05T05:15:00Z", -420),
    ("2026-07-04T22:15:00.123456789+05:30", "2026-07-04T16:45:00.123456789Z", 330),
    ("2026-07-04t22:15:00z", "2026-07-04T22:15:00Z", None),
    ("2026-07-04 22:15:00+00:00", "2026-07-04T22:15:00Z", 0),
    ("2026-07-04T22:15:00-00:00", "2026-07-04T22:15:00Z", None),
]


@pytest.mark.parametrize(("text", "instant", "offset"), TIMES)
def test_the_offset_of_a_time_is_kept_beside_it(text: str, instant: str, offset: int | None) -> None:
    made = read(observed_at=text)
    assert made.observed_at.ToJsonString() == instant
    assert (made.utc_offset_minutes if made.HasField("utc_offset_minutes") else None) == offset


def test_an_offset_given_apart_holds_unless_it_contradicts_the_time() -> None:
    assert read(utcOffsetMinutes=60, observed_at="2026-07-04T22:15:00Z").utc_offset_minutes == 60
    assert read(utc_offset_minutes=120, observed_at="2026-07-04T22:15:00+02:00").utc_offset_minutes == 120
    said = refusal('{"utc_offset_minutes": 60, "observed_at": "2026-07-04T22:15:00+02:00"}')
    assert said.field == "utc_offset_minutes"
    assert "contradicts" in said.message


def test_the_asker_s_offset_is_kept_too() -> None:
    made = wire_json.parse(b'{"asked_at": "2026-07-05T21:00:00-07:00"}', RecallRequest)
    assert made.asked_utc_offset_minutes == -420


BAD_TIMES = [
    ("2026-07-04T22:15:00", "offset is missing"),
    ("2026-07-04", "RFC 3339"),
    (1_783_203_300, "a number"),
    ({"seconds": 1}, "not a text"),
    (True, "not a text"),
    ("2026-02-30T10:00:00Z", "No calendar"),
    ("2026-02-20T25:00:00Z", "No calendar"),
    ("2026-02-20T10:00:00+19:00", "No calendar"),
    ("2026-02-20T10:00:00+01:75", "No calendar"),
    ("0001-01-01T00:00:00+01:00", "No calendar"),
    ("٢٠٢٦-02-20T10:00:00Z", "RFC 3339"),
    ("yesterday", "RFC 3339"),
]


@pytest.mark.parametrize(("value", "says"), BAD_TIMES)
def test_a_bad_time_says_what_is_wrong_with_it(value: object, says: str) -> None:
    said = refusal(json.dumps({"observed_at": value}))
    assert said.field == "observed_at"
    assert says in said.message
    assert "2026-01-31T10:00:00+01:00" in said.remedy


def read_or_refused(data: bytes) -> None:
    """Nothing else may come of it; what is read must be writable."""
    with suppress(MnemeError):
        wire_json.parse(data, Observation).SerializeToString()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*Observation.DESCRIPTOR.fields_by_name]) | st.text(max_size=4), inner)
    ),
)


@given(_VALUES)
def test_any_json_is_a_message_or_a_refusal(value: object) -> None:
    read_or_refused(json.dumps(value).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_refusal(data: bytes) -> None:
    read_or_refused(data)


@pytest.mark.parametrize(
    "piece", ['"', '\\"', '"\\', "[", "{}", '"a":', "1", "[]", '{"a":'], ids=lambda piece: repr(piece)
)
def test_reading_is_linear_in_the_length(piece: str) -> None:
    def seconds(size: int) -> float:
        data = (piece * (size // len(piece))).encode()
        began = time.thread_time()
        refusal(data)
        return time.thread_time() - began

    small = min(seconds(50_000) for _ in range(3))
    assert min(seconds(400_000) for _ in range(3)) < 8 * 4 * small + 0.05
