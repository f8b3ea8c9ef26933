"""A disk that is full: what cannot be kept is refused in words, what was kept is there, and room mends it."""

from __future__ import annotations

import resource
import sys

import grpc
import pytest
from mneme.v1.common_pb2 import Observation

from services.cli.local import Local
from services.common.errors import MnemeError, from_rpc_error
from tests.e2e import talk

NAMESPACE = "e2e/disk"
ROOM = 400_000  # bytes that files may still grow
BATCH = 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit to bound the files of running processes")


def bound_files(local: Local, limit: int) -> None:
    """As if the disk had room for files of ``limit`` bytes: for every service that writes."""
    for service, pid in talk.replica_pids(local).items():
        if service in ("perception", "episodic", "gateway"):
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
