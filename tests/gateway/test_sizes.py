"""Which field makes a message too large."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from mneme.v1.admin_pb2 import AliasGroup, CreateNamespaceRequest
from mneme.v1.common_pb2 import MetadataValue, Observation
from mneme.v1.episodic_pb2 import GetRequest, RecallRequest
from mneme.v1.perception_pb2 import ObserveRequest

from services.common.serving.errors import MnemeError
from services.gateway.sizes import largest_field, require_size

LONG = "x" * 100_000
OBSERVE, RECALL = "mneme.v1.PerceptionService/Observe", "mneme.v1.EpisodicService/Recall"


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        (OBSERVE, ObserveRequest(observation=Observation(id="1", text=LONG)), "observation.text"),
        (
            OBSERVE,
            ObserveRequest(observation=Observation(metadata={"a": MetadataValue(text=LONG)})),
            "observation.metadata.value.text",
        ),
        (RECALL, RecallRequest(namespace="a", query=LONG), "query"),
        ("mneme.v1.EpisodicService/Get", GetRequest(namespace=LONG, engram_id="1"), "namespace"),
        (
            "mneme.v1.AdminService/CreateNamespace",
            CreateNamespaceRequest(aliases=[AliasGroup(name="n" * 100) for _ in range(1000)]),
            "",
        ),
        ("no.such.Service/Method", RecallRequest(query=LONG), ""),
    ],
)
def test_the_field_that_takes_most_is_named(method: str, request_: Message, field: str) -> None:
    assert largest_field(method, request_.SerializeToString()) == field


def test_a_field_that_is_not_known_is_named_by_its_number() -> None:
    unknown = b"\xfa\x07\xa0\x8d\x06" + LONG.encode()  # number 127, 100,000 bytes
    assert largest_field(RECALL, unknown) == "unknown field 127"
    nested = ObserveRequest(observation=Observation.FromString(unknown)).SerializeToString()
    assert largest_field(OBSERVE, nested) == "observation.unknown field 127"


@pytest.mark.parametrize("raw", [b"\xff" * 1000, b"", b"\x0a"])
def test_bytes_that_are_no_message_are_no_failure(raw: bytes) -> None:
    assert largest_field(RECALL, raw) == ""


def test_a_message_is_refused_by_limit_size_and_field() -> None:
    raw = RecallRequest(query=LONG).SerializeToString()
    require_size(raw, len(raw), RECALL)
    with pytest.raises(MnemeError) as refused:
        require_size(raw, len(raw) - 1, RECALL)
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "query")
    assert refused.value.metadata == {"limit_bytes": str(len(raw) - 1), "size_bytes": str(len(raw))}
