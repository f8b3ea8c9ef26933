"""A disk that is full: what cannot be kept is refused in words, what was kept is there, and room mends it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Collection

import grpc
import pytest
from mneme.v1.common_pb2 import Observation

from services.cli.local import Local
from services.common.serving.errors import MnemeError, from_rpc_error
from services.common.serving.methods import METHODS, Kind
from tests.e2e import talk
from tests.e2e.test_metrics_port import scrape
from tests.waiting import until

NAMESPACE = "e2e/disk"
ROOM = 400_000  # bytes that files may still grow
BATCH = 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit to bound the files of running processes")


WRITERS = ("perception", "episodic", "gateway")


def bound_files(local: Local, limit: int, services: Collection[str] = WRITERS) -> None:
    """As if the disk had room for files of ``limit`` bytes: for every service that writes."""
    for service, pid in talk.replica_pids(local).items():
        if service in services:
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, hard))


def batch(number: int) -> list[Observation]:
    made = []
    for n in range(BATCH):
        observation = Observation(id=f"b{number}-{n}", namespace=NAMESPACE, session=f"b{number}", actor="Ann")
        observation.text = f"Parcel {number}-{n} of the brass lamp arrived. " + "It was heavy. " * 150
        observation.observed_at.FromDatetime(talk.START)
        made.append(observation)
    return made


def test_a_full_disk_refuses_in_words_loses_nothing_and_is_mended_by_room(local: Local) -> None:
    talk.create(local.client, NAMESPACE)
    local.client.observe(talk.observations(NAMESPACE))
    talk.await_idle(local.client, NAMESPACE, 6)
    largest = max(p.stat().st_size for p in local.settings.common.data_dir.glob("*.db*") if p.is_file())
    bound_files(local, largest + ROOM)
    try:
        accepted, refused = fill(local)
        assert refused.reason == "LOG_UNAVAILABLE", refused
        assert "Send it again" in refused.remedy, refused
        # The caller learns nothing of our disks; the operator does.
        assert any("disk" in p.read_text() for p in local.settings.common.log_dir.glob("perception-*.jsonl"))
        # Alive, and what was indexed before can be recalled.
        assert talk.recall(local.client, NAMESPACE, "umbrella", freshness=None).items
    finally:
        bound_files(local, resource.RLIM_INFINITY)
    local.client.observe(batch(accepted), timeout_s=30)  # the product sends again what was refused
    talk.await_idle(local.client, NAMESPACE, 6 + (accepted + 1) * BATCH)


def fill(local: Local) -> tuple[int, MnemeError]:
    """Batches accepted until one was refused, and how."""
    for number in range(100):
        try:
            local.client.observe(batch(number), timeout_s=20)
        except grpc.RpcError as error:
            return number, from_rpc_error(error)
    raise AssertionError("the disk never became full")


def test_invariant_38_on_a_disk_without_a_byte_of_room_new_labels_end_nobody(local: Local) -> None:
    talk.create(local.client, "e2e/no-room")
    local.client.observe(talk.observations("e2e/no-room"))
    talk.await_idle(local.client, "e2e/no-room", 6)
    before = talk.replica_pids(local)
    everybody = [*WRITERS, "reasoning", "kvstore"]
    bound_files(local, 0, everybody)
    try:
        for method in [method for method, spec in METHODS.items() if spec.kind is Kind.UNARY]:
            call = local.client.channel.unary_unary(f"/{method}")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"\xff", metadata=local.client.metadata, timeout=10)
            assert from_rpc_error(refused.value).reason == "INVALID_FIELD", method
        assert talk.recall(local.client, "e2e/no-room", "umbrella", freshness=None).items
        until(lambda: '"span_lost"' in scrape(local))  # what could not be written is counted
    finally:
        bound_files(local, resource.RLIM_INFINITY, everybody)
    assert talk.replica_pids(local) == before
