"""`mneme audit` and `mneme usage`: what they ask for, page by page, and what a line of each shows."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from click.testing import CliRunner, Result
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import admin_pb2 as pb
from mneme.v1.admin_service_pb2_grpc import AdminServiceServicer
from mneme.v1.common_pb2 import Position, TimeRange

from services.cli import render
from services.cli.main import main
from tests.cli.serving import served

AT = Timestamp(seconds=1_710_000_000)
TIME = "2024-03-09T16:00:00Z"
DONE = [
    pb.AuditEntry(
        action=pb.AUDIT_ACTION_ERASED,
        principal="acme/ann",
        at=AT,
        position=Position(partition=1, offset=7),
        subject="r1",
        count=3,
        selected_by="person",
    ),
    pb.AuditEntry(
        action=pb.AUDIT_ACTION_TOKEN_ISSUED, principal="operator", at=AT, subject="t1", issued_to="sh\x1b[2Jop"
    ),
    pb.AuditEntry(action=pb.AUDIT_ACTION_SHARDS_SET, principal="operator", at=AT, count=2),
    pb.AuditEntry(action=77, principal="operator", at=AT),  # type: ignore[arg-type]  # of a later release
]
USED = [
    pb.NamespaceUsage(namespace="acme/ann", told=5, erased=1, ledger_bytes=900, last_told_at=AT),
    pb.NamespaceUsage(namespace="acme/bob"),
]
FULL = pb.NamespaceUsage(
    namespace="acme/full", told=9, erased=2, ledger_bytes=900, erased_bytes=100, quota=pb.Quota(max_texts=7)
)


class Door(AdminServiceServicer):
    """A page for each thing there is, and an empty one before them."""

    def __init__(self) -> None:
        self.address = ""
        self.audits: list[pb.ListAuditRequest] = []
        self.usages: list[pb.ListUsageRequest] = []

    def ListAudit(self, request: pb.ListAuditRequest, context: grpc.ServicerContext) -> pb.ListAuditResponse:
        self.audits.append(request)
        n = int(request.page_token or -1)
        token = str(n + 1) if n + 1 < len(DONE) else ""
        return pb.ListAuditResponse(entries=DONE[n : n + 1] if n >= 0 else [], next_page_token=token)

    def ListUsage(self, request: pb.ListUsageRequest, context: grpc.ServicerContext) -> pb.ListUsageResponse:
        self.usages.append(request)
        n = int(request.page_token or 0)
        return pb.ListUsageResponse(namespaces=USED[n : n + 1], next_page_token="1" if n == 0 else "")

    def mneme(self, *arguments: str) -> Result:
        return CliRunner(env={"MNEME_TOKEN": "t"}).invoke(main, ["--address", self.address, *arguments])


@pytest.fixture
def door() -> Iterator[Door]:
    with served(Door()) as door:
        yield door


def test_a_line_says_when_what_by_whom_to_what_and_where(door: Door) -> None:
    assert door.mneme("audit", "-n", "acme/ann").stdout.splitlines() == [
        f"{TIME}  erased                acme/ann  r1 3 told by person (1:7)",
        f"{TIME}  token-issued          operator  t1 for sh\N{REPLACEMENT CHARACTER}[2Jop",
        f"{TIME}  shards-set            operator  2",
        f"{TIME}  action-77             operator",
    ]
    assert {each.namespace for each in door.audits} == {"acme/ann"}


def test_what_is_asked_for_is_asked_of_every_page(door: Door) -> None:
    asked = ("--principal", "ann", "--action", "erased", "--action", "token-issued", "--since", TIME, "--until", TIME)
    assert door.mneme("audit", *asked).exit_code == 0
    assert len(door.audits) == 5
    for each in door.audits:
        assert (each.namespace, each.principal) == ("", "ann")
        assert each.actions == [pb.AUDIT_ACTION_ERASED, pb.AUDIT_ACTION_TOKEN_ISSUED]
        assert each.time == TimeRange(start=AT, end=AT)


@pytest.mark.parametrize("wrong", [("--action", "baked"), ("--since", "yesterday"), ("--until", "2024-03-09")])
def test_what_cannot_be_asked_for_is_refused_before_anybody_is_asked(door: Door, wrong: tuple[str, str]) -> None:
    assert door.mneme("audit", *wrong).exit_code == 2
    assert not door.audits


def test_json_is_an_object_a_line_with_all_there_is(door: Door) -> None:
    erased, *_ = map(json.loads, door.mneme("audit", "--json").stdout.splitlines())
    assert erased == {
        "action": "AUDIT_ACTION_ERASED",
        "principal": "acme/ann",
        "at": TIME,
        "position": {"partition": 1, "offset": "7"},
        "subject": "r1",
        "count": "3",
        "selected_by": "person",
    }
    _, unused = map(json.loads, door.mneme("usage", "--json").stdout.splitlines())
    assert unused == {"namespace": "acme/bob", "told": "0", "erased": "0", "ledger_bytes": "0", "erased_bytes": "0"}


def test_usage_is_a_line_for_each_namespace(door: Door) -> None:
    assert door.mneme("usage", "-n", "acme").stdout.splitlines() == [
        f"acme/ann  5 told, 1 of them erased, 900 bytes in the ledger, last {TIME}",
        "acme/bob  0 told, 0 of them erased, 0 bytes in the ledger, last never",
    ]
    assert [each.prefix for each in door.usages] == ["acme", "acme"]


def test_usage_tells_what_is_held_beside_the_quota() -> None:
    told = f"acme/full  9 told, 2 of them erased, 900 bytes in the ledger, last never, quota {'{}'}"
    assert render.usage(FULL) == told.format("7 of 7 texts")
    FULL.quota.max_bytes = 1_000
    assert render.usage(FULL) == told.format("7 of 7 texts and 800 of 1000 bytes")
