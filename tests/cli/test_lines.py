"""A file of observations: what its lines may be, and what is said of those that are none."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.common_pb2 import MetadataValue, Observation
from mneme.v1.episodic_pb2 import RememberRequest

from services.cli.commands.lines import MAX_LINE_BYTES, Lines, Reader
from services.common.serving.errors import MnemeError

GOOD: dict[str, Any] = {"id": "t1", "session": "s", "text": "It rained.", "observed_at": "2026-01-31T10:00:00Z"}


def line(**more: object) -> bytes:
    return json.dumps({**GOOD, **more}).encode() + b"\n"


def read(*given: bytes, namespace: str | None = "acme/ann", each: bool = False) -> tuple[list[Observation], Lines]:
    reader = Reader(namespace, each_its_own=each, ensure=lambda name: None)
    lines = Lines(io.BytesIO(b"".join(given)), reader)
    lines.count()
    return list(lines.observations(lambda: None)), lines


def refusal(*given: bytes, namespace: str | None = "acme/ann", each: bool = False) -> MnemeError:
    _, lines = read(*given, namespace=namespace, each=each)
    assert lines.error is not None
    return lines.error


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"channel": "web", "n": 3, "x": 0.5}, {"channel": "web", "n": 3.0, "x": 0.5}),
        ({"channel": {"text": "web"}, "n": {"number": 3}}, {"channel": "web", "n": 3.0}),
        ({"gone": None, "stays": ""}, {"stays": ""}),
        ({"zero": 0, "text": {"text": ""}}, {"zero": 0.0, "text": ""}),
        ({}, {}),
        (None, {}),
    ],
)
def test_metadata_is_taken_as_the_wire_has_it_and_plain(given: object, kept: dict[str, object]) -> None:
    [made], lines = read(line(metadata=given))
    assert lines.error is None
    assert {k: _value(v) for k, v in made.metadata.items()} == kept


def _value(value: MetadataValue) -> object:
    return value.text if value.WhichOneof("value") == "text" else value.number


def test_a_line_that_the_wire_prints_is_read_as_it_was() -> None:
    made = Observation(id="t1", namespace="acme/ann", session="s", text="x", external_id="e", derived_from=["a"])
    made.metadata["n"].number = 3
    made.observed_at.FromJsonString("2026-01-31T10:00:00Z")
    for keep in (True, False):
        as_json = json.dumps(MessageToDict(made, preserving_proto_field_name=keep)).encode()
        assert read(as_json)[0] == [made]


@pytest.mark.parametrize(
    ("bad", "field", "says"),
    [
        (line(metadata={"b": [1]}), "metadata.b", "It is a list."),
        (line(metadata={"c": True}), "metadata.c", "It is true or false."),
        (line(metadata={"a": {"text": "x", "number": 1}}), "metadata.a.number", "only one of them"),
        (line(metadata={"a": {"words": "x"}}), "metadata.a.words", "no such field"),
        (line(metadata="web"), "metadata", "not an object"),
        (line(colour="red"), "colour", "no such field"),
        (line(observed_at="2026-01-31T10:00:00"), "observed_at", "offset is missing"),
        (line(observed_at=1_769_853_600), "observed_at", "a number"),
        (line(namespace="acme/bob"), "namespace", "acme/bob, not of acme/ann"),
        (line(namespace=["acme/ann"]), "namespace", "not a text"),
        (line()[:-12], "value", "not JSON"),
        (line().replace(b"It rained", b"J\xfcrgen"), "value", "not UTF-8"),
        (b"\xff\xfe" + line(), "value", "not UTF-8"),
        (line().replace(b"{", b"{\xef\xbb\xbf", 1), "value", "not JSON"),
        (b"[" * 200_000 + b"\n", "value", "nested"),
        (b'{"metadata": ' + b'{"a":' * 100_000 + b"\n", "value", "nested"),
        (line(metadata={"n": 0}).replace(b"0}", b"9" * 100_000 + b"}"), "metadata.n.number", "digits"),
        (line(metadata={"n": 0}).replace(b"0}", b"1e999}"), "metadata.n.number", "finite"),
        (line(metadata={"n": 0}).replace(b"0}", b"NaN}"), "metadata.n.number", "finite"),
        (line(metadata={"n": 0}).replace(b'"n": 0', b'"n": 0, "n": 1'), "metadata.n", "twice"),
        (b"[1]\n", "value", "not an object"),
        (b"null\n", "value", "not an object"),
        (b" " * MAX_LINE_BYTES + line(), "value", f"more than {MAX_LINE_BYTES} bytes"),
    ],
)
def test_a_line_that_is_no_observation_is_named_with_its_field(bad: bytes, field: str, says: str) -> None:
    made, lines = read(line(), b"\n", bad, line(id="t2"))
    assert [each.id for each in made] == ["t1"]  # those before it are sent
    assert lines.error is not None
    assert (lines.error.reason, lines.error.field) == ("INVALID_FIELD", field)
    what = "not an observation" if field == "value" else "refused"
    assert lines.error.message.startswith(f"line 3 is {what}: ")
    assert says in lines.error.message
    assert lines.error.remedy.endswith("What came before it is kept.")
    assert len(str(lines.error)) < 1_000


def test_a_byte_order_mark_at_the_start_of_the_file_is_none_of_the_first_line() -> None:
    made, lines = read(b"\xef\xbb\xbf" + line(), line(id="t2"))
    assert ([each.id for each in made], lines.error) == (["t1", "t2"], None)


def test_the_last_line_needs_no_end() -> None:
    made, lines = read(line(), line(id="t2").rstrip())
    assert ([each.id for each in made], lines.error) == (["t1", "t2"], None)


def test_a_line_goes_into_the_namespace_that_it_names_where_that_is_asked_for() -> None:
    given = (line(), line(id="t2", namespace="acme/bob"), line(id="t3", namespace=None))
    made, _ = read(*given, each=True)
    assert [each.namespace for each in made] == ["acme/ann", "acme/bob", "acme/ann"]
    refused = refusal(*given[1:], namespace=None, each=True)
    assert (refused.field, refused.message[:6]) == ("namespace", "line 2")


def test_each_namespace_is_seen_to_once_before_its_first_line_is_sent() -> None:
    ensured: list[str] = []

    def ensure(name: str) -> None:
        if name == "acme/carl":
            raise MnemeError("UNKNOWN_NAMESPACE", "The namespace was never created.", field="namespace")
        ensured.append(name)

    names = ["acme/ann", "acme/bob", "acme/ann", "acme/carl", "acme/bob"]
    file = io.BytesIO(b"".join(line(namespace=name) for name in names))
    lines = Lines(file, Reader(None, each_its_own=True, ensure=ensure))
    assert len(list(lines.observations(lambda: None))) == 3
    assert ensured == ["acme/ann", "acme/bob"]
    assert lines.error is not None
    assert lines.error.reason == "UNKNOWN_NAMESPACE"
    assert lines.error.message.startswith("line 4 cannot be sent: ")


def test_lines_are_counted_before_they_are_sent() -> None:
    reader = Reader("acme/ann", each_its_own=False, ensure=lambda name: None)
    lines = Lines(io.BytesIO(line() + b"\n  \n" + line(id="t2")), reader)
    assert lines.count() == 2
    assert len(list(lines.observations(lambda: None))) == 2


REMEMBER: dict[str, Any] = {"id": "r1", "text": "Ann owns a boat.", "metadata": {"n": 1}}
STATED = json.dumps({"remember": REMEMBER, "told_at": "2026-01-31T10:00:00Z"}).encode() + b"\n"
CORRECTED = json.dumps({"correct": {"id": "c1", "engram_id": "0" * 32, "text": "Two boats."}}).encode() + b"\n"
SETTINGS = json.dumps({"namespace": {"name": "acme/ann", "aliases": [{"name": "Ann", "aliases": ["Annie"]}]}}).encode()


def test_a_stream_ends_before_what_an_export_holds_beside_observations() -> None:
    reader = Reader("acme/ann", each_its_own=False, ensure=lambda name: None)
    lines = Lines(io.BytesIO(b"".join([SETTINGS, b"\n", line(), STATED, CORRECTED, line(id="t2")])), reader)
    found: list[object] = []
    while not lines.at_end:
        found += [each.id for each in lines.observations(lambda: None)]
        if (read := lines.statement()) is not None:
            found.append((type(read[0].request).__name__, read[1]))
            assert lines.statement() is None  # once
            if isinstance(read[0].request, RememberRequest):
                assert (read[0].request.namespace, read[0].request.metadata["n"].number) == ("acme/ann", 1)
                assert read[0].told_at == Timestamp(seconds=1_769_853_600)
    assert found == [("CreateNamespaceRequest", 1), "t1", ("RememberRequest", 3), ("CorrectRequest", 4), "t2"]


def test_who_reads_on_behind_a_refused_observation_comes_to_the_statement_again() -> None:
    reader = Reader("acme/ann", each_its_own=False, ensure=lambda name: None)
    lines = Lines(io.BytesIO(line() + line(id="t2") + STATED), reader)
    assert [each.id for each in lines.observations(lambda: None)] == ["t1", "t2"]
    assert lines.go_on_behind(MnemeError("ERASED", "", metadata={"index": "0"}))
    assert lines.statement() is None
    assert [each.id for each in lines.observations(lambda: None)] == ["t2"]
    assert lines.statement() is not None


@pytest.mark.parametrize(
    ("bad", "field", "says"),
    [
        ({"remember": {**REMEMBER, "namespace": "acme/bob"}}, "namespace", "acme/bob, not of acme/ann"),
        ({"remember": REMEMBER, "colour": "red"}, "colour", "no such field"),
        ({"remember": {"colour": "red"}}, "colour", "no such field"),
        ({"remember": REMEMBER, "correct": {}}, "correct", "no such field"),
        ({"correct": "x"}, "correct", "not an object"),
        ({"remember": REMEMBER, "told_at": 3}, "told_at", "a number"),
        ({"namespace": {"name": "acme/bob"}}, "namespace", "acme/bob, not of acme/ann"),
    ],
)
def test_a_statement_that_is_none_is_named_with_its_field(bad: object, field: str, says: str) -> None:
    refused = refusal(line(), json.dumps(bad).encode())
    assert (refused.reason, says in refused.message, refused.message[:6]) == ("INVALID_FIELD", True, "line 2")
    assert refused.field == field
