"""The gateway in front of real Ray Serve replicas."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mneme.v1 import admin_pb2, admin_service_pb2_grpc

from services.cli import up
from services.common.config import Settings
from services.gateway import app as gateway_app
from tests.gateway import probe as in_memory
from tests.gateway.probe import MESSAGE_BYTES, PAGE_MESSAGES, SERVICE, assert_fails, bearer, fold, stream, unary
from tests.gateway.serve_probe import (
    PROBE_CALLS,
    ROTATE_BYTES,
    TABLE,
    channel,
    metrics_served,
    probe_application,
    ray_logs,
    serve_instance,
    settings,
)
from tests.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING


@dataclass
class Deployed:
    channel: grpc.Channel
    metrics_port: int
    probe: Any  # handle

    def running(self) -> int:
        answer = unary(self.channel, "Running")(StringValue(), metadata=bearer(), timeout=10)
        return int(answer.value)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    data_dir = tmp_path_factory.mktemp("gateway")
    _same_keys_as_the_probe(data_dir)
    many = {"max_running_calls": 1500, "max_running_calls_per_principal": 1500, "contended_reads": 1500}
    chosen = settings(data_dir, **many, default_timeout_s=30)
    with metrics_served(chosen), serve_instance() as serve:
        up.run_applications({"probe": probe_application(), "gateway": gateway_app.build(chosen, TABLE)}, print)
        port, metrics_port = (int(chosen.layers["gateway"][p]) for p in ("port", "metrics_port"))
        with channel(port) as open_channel:
            until(lambda: _overall(open_channel) == SERVING, 20)
            yield Deployed(open_channel, metrics_port, serve.get_app_handle("probe"))


def _same_keys_as_the_probe(data_dir: Path) -> None:
    key = data_dir / "master.key"
    key.write_text(bytes(range(32)).hex() + "\n")
    key.chmod(0o600)


def _overall(open_channel: grpc.Channel) -> int:
    status: int = health_pb2_grpc.HealthStub(open_channel).Check(health_pb2.HealthCheckRequest(), timeout=5).status
    return status


def test_a_plain_client_with_a_token_and_no_other_header_is_served(deployed: Deployed) -> None:
    answer = unary(deployed.channel, "Echo")(StringValue(value="hello"), metadata=bearer(), timeout=10)
    assert answer.value == "ann:hello"
    numbers = stream(deployed.channel, "Count")(Int64Value(value=20), metadata=bearer(), timeout=10)
    assert [n.value for n in numbers] == list(range(20))
    sent = (Int64Value(value=v) for v in range(500))
    assert fold(deployed.channel)(sent, metadata=bearer(), timeout=10).value == sum(range(500))


def test_errors_cross_the_handles_whole_and_without_a_traceback(deployed: Deployed) -> None:
    fail = unary(deployed.channel, "Fail")
    with pytest.raises(grpc.RpcError) as refused:
        fail(StringValue(value="typed"), metadata=bearer(), timeout=10)
    error = assert_fails(refused, grpc.StatusCode.FAILED_PRECONDITION, "ERASED")
    assert (error.field, error.metadata["id"]) == ("id", "7")
    calls = (
        lambda: fail(StringValue(value="defect"), metadata=bearer(), timeout=10),
        lambda: list(stream(deployed.channel, "Count")(Int64Value(value=13), metadata=bearer(), timeout=10)),
    )
    for call in calls:
        with pytest.raises(grpc.RpcError) as refused:
            call()
        told = f"{refused.value.details()} {assert_fails(refused, grpc.StatusCode.INTERNAL, 'INTERNAL')}"
        for leak in (in_memory.SECRET, "Traceback", "Ray", ".py"):
            assert leak not in told


def test_invariant_33_a_refusal_writes_nothing_into_rays_logs(deployed: Deployed) -> None:
    """Of every kind of call. What a refusal writes, it writes in each round; what Ray writes by the clock is in few."""
    channel = deployed.channel
    raw = {
        "Fail": channel.unary_unary(f"/{SERVICE}Fail"),
        "Count": channel.unary_stream(f"/{SERVICE}Count"),
        "Tail": channel.unary_stream(f"/{SERVICE}Tail"),
        "Sum": channel.stream_unary(f"/{SERVICE}Sum"),
    }
    typed = StringValue(value="typed").SerializeToString()

    def refuse(method: str) -> None:
        given = {"Fail": typed, "Sum": iter([b"\xff"])}.get(method, b"\xff")
        with pytest.raises(grpc.RpcError) as refused:
            list(raw[method](given, metadata=bearer(), timeout=20))
        assert refused.value.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT)

    for method in raw:  # whatever is written once, is
        refuse(method)
    calls, written = [*raw] * 10, []
    for _ in range(5):
        before = _sizes_in(ray_logs())
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(refuse, calls))
        time.sleep(0.5)  # for what is written behind
        written.append(_grown(before, _sizes_in(ray_logs())) / len(calls))
    assert statistics.median(written) < 100, f"bytes a refusal: {written}"


def test_ray_s_own_logs_start_over_when_they_are_full(deployed: Deployed) -> None:
    """Ray writes some lines for each call that is cancelled."""
    sleep = unary(deployed.channel, "Sleep")
    while not list(ray_logs().rglob("python-core-worker-*.log.1")):
        calls = [sleep.future(StringValue(value="20"), metadata=bearer(), timeout=60) for _ in range(50)]
        until(lambda: deployed.running() > 0)
        for call in calls:
            call.cancel()
    sizes = {path.name: path.stat().st_size for path in ray_logs().rglob("*") if path.is_file()}
    assert max(sizes.values()) < 1.2 * ROTATE_BYTES, sizes


def _sizes_in(folder: Path) -> dict[int, int]:
    """Of every file, by inode: a log that starts over keeps its old part under another name, or drops it."""
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return {each.st_ino: each.st_size for each in found}


def _grown(before: Mapping[int, int], now: Mapping[int, int]) -> int:
    """Bytes written, at least. An inode that has less than before is another file's now."""
    return sum(size - before.get(inode, 0) if size >= before.get(inode, 0) else size for inode, size in now.items())


def test_the_deadline_reaches_the_replica(deployed: Deployed) -> None:
    left = unary(deployed.channel, "Remaining")(StringValue(), metadata=bearer(), timeout=9)
    assert 8 < float(left.value) < 9
    with pytest.raises(grpc.RpcError) as late:
        unary(deployed.channel, "Sleep")(StringValue(value="30"), metadata=bearer(), timeout=1)
    assert_fails(late, grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE")
    until(lambda: deployed.running() == 0)


def test_invariant_27_a_thousand_streams_cancelled_at_random_points_all_stop(deployed: Deployed) -> None:
    """Most around their very start, where Serve itself loses some. Nothing but the cancel ends them within 60 s."""
    chance = random.Random(27)
    count = stream(deployed.channel, "Count")
    ran_before = _calls(deployed, "count")

    def open_and_cancel(delay_s: float, reads: int) -> None:
        call = count(Int64Value(value=10_000_000), metadata=bearer(), timeout=60)
        try:
            for _ in range(reads):
                next(call)
            time.sleep(delay_s)
        finally:
            call.cancel()

    plans = [(chance.uniform(0, 0.02), chance.choice([0, 0, 0, 1, 3])) for _ in range(1000)]
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda plan: open_and_cancel(*plan), plans))
    until(lambda: deployed.running() == 0, within_s=10)
    assert time.monotonic() - started < 50, "stopped by the cancel, not by the deadline"
    assert _calls(deployed, "count") - ran_before > 200, "many reached the replica before they were cancelled"


def test_invariant_29_a_reader_that_stops_reading_stops_the_replica(deployed: Deployed) -> None:
    call = stream(deployed.channel, "Tail")(StringValue(), metadata=bearer(), timeout=30)
    next(call)
    asked = _standing_still(lambda: _calls(deployed, "pages"))
    assert asked * PAGE_MESSAGES * MESSAGE_BYTES < 16 * 1024 * 1024
    for _ in range(asked * PAGE_MESSAGES):
        next(call)
    until(lambda: _calls(deployed, "pages") > asked)
    call.cancel()


def _standing_still(count: Callable[[], int]) -> int:
    """What a counter says once it has not moved for a second; fails when it never stops."""
    deadline, last = time.monotonic() + 15, -1
    while time.monotonic() < deadline:
        now = count()
        if now == last:
            return now
        last = now
        time.sleep(1)
    raise AssertionError(f"still counting at {last}")


def _calls(deployed: Deployed, what: str) -> int:
    return int(deployed.probe.count_of.remote(what).result(timeout_s=10))


def test_tokens_are_issued_and_revoked_through_the_door(deployed: Deployed) -> None:
    admin = admin_service_pb2_grpc.AdminServiceStub(deployed.channel)
    echo = unary(deployed.channel, "Echo")
    request = admin_pb2.IssueTokenRequest(
        principal="bob", namespace_prefixes=["acme"], rights=[admin_pb2.RIGHT_READ], ttl_s=600
    )
    issued = admin.IssueToken(request, metadata=bearer(), timeout=10)
    assert echo(StringValue(value="x"), metadata=bearer(issued.token), timeout=10).value == "bob:x"
    admin.RevokeToken(admin_pb2.RevokeTokenRequest(token_id=issued.token_id), metadata=bearer(), timeout=10)
    with pytest.raises(grpc.RpcError) as refused:
        echo(StringValue(value="x"), metadata=bearer(issued.token), timeout=10)
    assert_fails(refused, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


def test_metrics_of_the_gateway_and_its_replicas_come_from_one_port(deployed: Deployed) -> None:
    unary(deployed.channel, "Echo")(StringValue(value="x"), metadata=bearer(), timeout=10)
    with urllib.request.urlopen(f"http://127.0.0.1:{deployed.metrics_port}/metrics", timeout=10) as response:
        text = response.read().decode()
    assert 'mneme_calls_total{method="mneme.test.Probe/Echo",status="OK"}' in text
    assert 'mneme_stage_seconds_count{service="gateway",stage="mneme.test.Probe/Echo"}' in text
    assert 'mneme_queue_depth{queue="probe",service="probe"} 3.0' in text, "written by the replica"


def test_a_killed_replica_is_a_typed_error_and_comes_back(deployed: Deployed) -> None:
    pid = deployed.probe.pid.remote().result(timeout_s=10)
    in_flight = unary(deployed.channel, "Sleep").future(StringValue(value="30"), metadata=bearer(), timeout=20)
    until(lambda: deployed.running() == 1)
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as lost:
        in_flight.result()
    assert_fails(lost, grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
    assert time.monotonic() - started < 5
    until(lambda: _answers(deployed), within_s=30)
    until(lambda: _overall(deployed.channel) == SERVING, within_s=10)


def _answers(deployed: Deployed) -> bool:
    try:
        unary(deployed.channel, "Echo")(StringValue(value="x"), metadata=bearer(), timeout=10)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return False
        raise
    return True


def test_two_gateways_share_a_port_and_are_replaced_one_by_one_without_a_failed_call(
    deployed: Deployed, tmp_path: Path
) -> None:
    from ray import serve

    _same_keys_as_the_probe(tmp_path)
    first = settings(tmp_path, replicas=2, reuse_port=True, stop_grace_s=2)
    up.run_applications({"pair": gateway_app.build(first, TABLE)}, print)
    port = int(first.layers["gateway"]["port"])
    [pair] = serve.status().applications["pair"].deployments.values()
    assert pair.replica_states == {"RUNNING": 2}
    gateway = {**first.layers["gateway"], "default_timeout_s": 20}
    renewed = Settings(first.common, {**first.layers, "gateway": gateway})
    done, calls, failed = threading.Event(), Counter[str](), list[grpc.RpcError]()

    def call() -> None:
        policy = {"maxAttempts": 3, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2}
        # CANCELLED: what gRPC makes of a call that arrives in the instant in which a server stops.
        retry = {"name": [{}], "retryPolicy": {**policy, "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]}}
        options = [
            ("grpc.service_config", json.dumps({"methodConfig": [retry]})),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as own:
            while not done.is_set():
                try:
                    # Who is in the queue of a listener that closes is reset by the kernel: it connects again.
                    left = unary(own, "Remaining")(StringValue(), metadata=bearer(), wait_for_ready=True)
                except grpc.RpcError as error:
                    failed.append(error)
                else:
                    calls["new" if float(left.value) < 20.5 else "old"] += 1

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: calls["old"] > 50)
        up.run_applications({"pair": gateway_app.build(renewed, TABLE)}, print)
        old = calls["old"]
        until(lambda: calls["new"] > 50, within_s=30)
    finally:
        done.set()
        for thread in threads:
            thread.join()
        serve.delete("pair")
    assert not failed, (failed[0], len(failed), calls)
    assert old > 50


def test_calls_to_a_frozen_replica_fail_soon_with_a_hint_and_it_is_replaced(deployed: Deployed) -> None:
    pid = deployed.probe.pid.remote().result(timeout_s=10)
    echo = unary(deployed.channel, "Echo")
    in_flight = unary(deployed.channel, "Sleep").future(StringValue(value="60"), metadata=bearer(), timeout=90)
    until(lambda: deployed.running() == 1)
    lost_at: list[float] = []
    in_flight.add_done_callback(lambda _: lost_at.append(time.monotonic()))
    os.kill(pid, signal.SIGSTOP)
    frozen_at = time.monotonic()
    until(lambda: _overall(deployed.channel) != SERVING, within_s=5)
    asked_at = time.monotonic()
    with pytest.raises(grpc.RpcError) as refused:
        echo(StringValue(value="x"), metadata=bearer(), timeout=60)
    error = assert_fails(refused, grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
    assert time.monotonic() - asked_at < 2
    assert int(error.metadata["retry_after_ms"]) > 0
    with pytest.raises(grpc.RpcError) as lost:
        in_flight.result()
    error = assert_fails(lost, grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
    assert lost_at[0] - frozen_at < 2, "what was under way, or came before the silence was noticed"
    assert int(error.metadata["retry_after_ms"]) > 0
    until(lambda: _answers(deployed), within_s=20)
    replaced_s = time.monotonic() - frozen_at
    assert replaced_s < 15
    assert deployed.probe.pid.remote().result(timeout_s=10) != pid


def test_a_replica_whose_every_place_is_taken_is_busy_not_dead(deployed: Deployed) -> None:
    """For longer than silence is allowed to last; the waiting calls hold their places and say nothing."""
    sleep = unary(deployed.channel, "Sleep")
    waiting = [sleep.future(StringValue(value="3.5"), metadata=bearer(), timeout=30) for _ in range(PROBE_CALLS)]
    assert all(call.result().value == "slept" for call in waiting)
