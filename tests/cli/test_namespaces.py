"""`mneme namespace`: the quota, as it is asked for and as it is shown."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from click.testing import CliRunner, Result
from mneme.v1 import admin_pb2 as pb
from mneme.v1.admin_service_pb2_grpc import AdminServiceServicer

from services.cli.main import main
from tests.cli.serving import served

THERE = pb.Namespace(name="acme/ann", quota=pb.Quota(max_texts=100))


class Door(AdminServiceServicer):
    def __init__(self) -> None:
        self.address = ""
        self.created: list[pb.CreateNamespaceRequest] = []
        self.updated: list[pb.UpdateNamespaceRequest] = []

    def CreateNamespace(
        self, request: pb.CreateNamespaceRequest, context: grpc.ServicerContext
    ) -> pb.CreateNamespaceResponse:
        self.created.append(request)
        return pb.CreateNamespaceResponse()

    def UpdateNamespace(
        self, request: pb.UpdateNamespaceRequest, context: grpc.ServicerContext
    ) -> pb.UpdateNamespaceResponse:
        self.updated.append(request)
        return pb.UpdateNamespaceResponse()

    def ListNamespaces(
        self, request: pb.ListNamespacesRequest, context: grpc.ServicerContext
    ) -> pb.ListNamespacesResponse:
        return pb.ListNamespacesResponse(namespaces=[THERE])

    def mneme(self, *arguments: str) -> Result:
        return CliRunner(env={"MNEME_TOKEN": "t"}).invoke(main, ["--address", self.address, "namespace", *arguments])


@pytest.fixture
def door() -> Iterator[Door]:
    with served(Door()) as door:
        yield door


def test_a_quota_is_asked_for_when_it_is_created(door: Door) -> None:
    for options in ([], ["--max-texts", "5"], ["--max-texts", "none", "--max-bytes", "9000"]):
        assert door.mneme("create", "acme/ann", *options).exit_code == 0
    assert [each.HasField("quota") for each in door.created] == [False, True, True]
    assert [each.quota for each in door.created[1:]] == [pb.Quota(max_texts=5), pb.Quota(max_texts=0, max_bytes=9_000)]


def test_a_change_asks_for_the_limits_that_are_given_and_shows_what_changes(door: Door) -> None:
    changed = door.mneme("change", "acme/ann", "--max-texts", "7", "--max-bytes", "9000", "--yes").stdout.splitlines()
    assert changed[1:4] == ["- quota        100 texts", "+ quota        7 texts", "+ quota        9000 bytes"]
    taken = door.mneme("change", "acme/ann", "--max-texts", "none", "--yes").stdout.splitlines()
    assert taken[1] == "- quota        100 texts"
    assert taken[2].startswith("key ")
    same = door.mneme("change", "acme/ann", "--max-texts", "100", "--dry-run").stdout.splitlines()
    assert same[1:] == ["nothing would change"]
    assert [each.quota for each in door.updated] == [pb.Quota(max_texts=7, max_bytes=9_000), pb.Quota(max_texts=0)]
    assert not any(each.HasField("aliases") for each in door.updated)


def test_it_is_shown(door: Door) -> None:
    assert "quota          100 texts\n" in door.mneme("show", "acme/ann").stdout
    assert '"quota": {"max_texts": "100"}' in door.mneme("show", "acme/ann", "--json").stdout


@pytest.mark.parametrize("given", ["0", "-1", "many", "1.5", str(2**64), ""])
def test_what_is_no_limit_is_refused(door: Door, given: str) -> None:
    refused = door.mneme("change", "acme/ann", "--max-bytes", given, "--yes")
    assert refused.exit_code == 2
    assert "--max-bytes" in refused.output
    assert door.updated == []
