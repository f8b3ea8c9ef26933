"""Whoever runs it reads, in the logs and in the terminal, what ended, why, and what came of it."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from typing import Any

import grpc
import pytest
from mneme.v1 import admin_pb2, episodic_pb2

from services.cli.local import Local, is_serving
from services.common.serving.errors import from_rpc_error
from tests.e2e import talk
from tests.waiting import until

NOTICED_S = 8.0  # within which Serve has ended a replica that is frozen
NAMESPACE = "e2e/watched"


def said(local: Local, service: str, message: str) -> list[dict[str, Any]]:
    lines = [
        json.loads(line)
        for path in local.settings.common.log_dir.glob(f"{service}-*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return [line for line in lines if line["message"] == message]


def metric(local: Local, name: str) -> float:
    """Of perception."""
    gateway = local.settings.layers["gateway"]
    with urllib.request.urlopen(f"http://{gateway['host']}:{gateway['metrics_port']}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    (line,) = (each for each in lines if each.startswith(f'{name}{{application="perception"}}'))
    return float(line.rpartition(" ")[2])


@pytest.fixture(scope="module")
def away() -> dict[str, float]:
    """Seconds for which a replica was away, by what was done to it."""
    return {}


def test_every_service_says_when_it_started_and_how_long_that_took(local: Local) -> None:
    starts = {"gateway": "listening", "perception": "perceiving", "episodic": "remembering", "reasoning": "answering"}
    for service, message in {**starts, "kvstore": "keeping blocks"}.items():
        assert all(line["seconds"] >= 0 for line in said(local, service, message))
        assert said(local, service, message), service


def test_a_killed_replica_leaves_a_line_for_its_death_and_one_for_its_successor(
    local: Local, away: dict[str, float]
) -> None:
    restarts = metric(local, "mneme_replica_restarts_total")
    away["killed"] = _ends_and_comes_back(local, signal.SIGKILL, "its process was killed, or crashed")
    until(lambda: metric(local, "mneme_replica_restarts_total") == restarts + 1, within_s=15)
    until(lambda: metric(local, "mneme_replicas_up") == metric(local, "mneme_application_up") == 1, within_s=15)


def test_a_frozen_replica_is_said_to_be_silent_is_replaced_and_refuses_at_once_meanwhile(
    local: Local, away: dict[str, float]
) -> None:
    away_s = _ends_and_comes_back(
        local, signal.SIGSTOP, "Serve ended it: it did not answer, or said that it is not well"
    )
    # Some 5 s are of the freeze; the rest, the start of any replica, takes longer on a slow machine.
    assert away_s < max(15.0, away.get("killed", 0.0) + NOTICED_S)
    silent = said(local, "gateway", "an application does not answer; its calls are refused")[-1]
    assert silent["application"] == "perception"
    assert said(local, "gateway", "an application answers again")[-1]["application"] == "perception"


def test_a_frozen_gateway_is_replaced_in_time_and_nothing_else_ends(local: Local) -> None:
    before, ends = talk.living(local), len(said(local, "up", "a replica has ended"))
    gateway = talk.replica_pids(local)["gateway"]
    os.kill(gateway, signal.SIGSTOP)
    frozen_at = time.monotonic()
    assert not is_serving(local.address)
    until(lambda: is_serving(local.address), within_s=40)
    assert time.monotonic() - frozen_at < 15
    until(lambda: len(said(local, "up", "a replica has ended")) > ends, within_s=10)
    (died,) = sorted(said(local, "up", "a replica has ended"), key=lambda line: line["at"])[ends:]
    assert (died["application"], died["pid"]) == ("gateway", gateway)
    until(lambda: bool(_again_since(local, died["at"])), within_s=10)
    assert _again_since(local, died["at"])[0]["application"] == "gateway"
    assert before - talk.living(local) == {gateway}
    grpc.channel_ready_future(local.client.channel).result(timeout=20)  # for whoever comes next


def _ends_and_comes_back(local: Local, number: int, reason: str) -> float:
    """Seconds from the signal until the service is whole again."""
    sent_at = time.monotonic()
    pid = talk.replica_pids(local)["perception"]
    os.kill(pid, number)
    until(lambda: not is_serving(local.address), within_s=10)
    asked_at = time.monotonic()
    with pytest.raises(grpc.RpcError) as refused:
        talk.create(local.client, f"{NAMESPACE}-{number}")
    error = from_rpc_error(refused.value)
    assert (error.reason, error.metadata["app"]) == ("SERVICE_UNAVAILABLE", "perception")
    assert time.monotonic() - asked_at < 2
    until(lambda: is_serving(local.address), within_s=40)
    away_s = time.monotonic() - sent_at
    until(lambda: any(line["pid"] == pid for line in said(local, "up", "a replica has ended")), within_s=10)
    (died,) = (line for line in said(local, "up", "a replica has ended") if line["pid"] == pid)
    assert (died["application"], died["reason"]) == ("perception", reason)
    assert died["seconds"] > 0, "how long it had run"
    until(lambda: bool(_again_since(local, died["at"])), within_s=10)
    again = _again_since(local, died["at"])[0]
    assert again["application"] == "perception"
    assert again["seconds"] > 0, "how long it was away"
    return away_s


def _again_since(local: Local, at: str) -> list[dict[str, Any]]:
    return [line for line in said(local, "up", "the application serves again") if line["at"] > at]


def test_an_erasure_and_a_rebuild_leave_lines_with_what_they_did_and_how_long_it_took(local: Local) -> None:
    talk.create(local.client, NAMESPACE)
    local.client.observe(talk.observations(NAMESPACE))
    talk.await_idle(local.client, NAMESPACE, 6)
    selector = episodic_pb2.ForgetSelector(session="talk")
    request = episodic_pb2.ForgetRequest(namespace=NAMESPACE, selector=selector, id="watched")
    receipt = local.client.episodic.Forget(request, metadata=local.client.metadata, timeout=60).receipt
    (erased,) = (line for line in said(local, "episodic", "an erasure is done") if line["operation"] == receipt.id)
    assert erased["count"] == 6
    assert erased["seconds"] >= 0
    rebuild = admin_pb2.RebuildRequest()
    operation = local.client.admin.Rebuild(rebuild, metadata=local.client.metadata, timeout=60).operation
    partitions = set(range(local.settings.common.partitions))
    until(lambda: _partitions_of(local, "a rebuild begins", operation.id) == partitions, within_s=60)
    until(lambda: _partitions_of(local, "a rebuild is done", operation.id) == partitions, within_s=60)


def _partitions_of(local: Local, message: str, operation: str) -> set[int]:
    """Whose line that is."""
    return {line["partition"] for line in said(local, "episodic", message) if line["operation"] == operation}
