"""One trace, one metrics port, and logs that know no text."""

import json
import os
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from mneme.v1.perception_pb2 import ObserveRequest
from mneme.v1.reasoning_pb2 import AskRequest, WordingOptions

from services.cli.local import Local
from services.common import telemetry
from tests.e2e import talk

NAMESPACE = "e2e/outside"


def _spans(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for p in (folder / "traces").glob("*.jsonl") for line in p.read_text().splitlines()]


def _await_services(folder: Path, trace_id: str, wanted: set[str]) -> set[str]:
    deadline, seen = time.monotonic() + 15, set[str]()
    while time.monotonic() < deadline and not wanted <= seen:
        seen = {str(s["service"]) for s in _spans(folder) if s["trace_id"] == trace_id}
        time.sleep(0.2)
    return seen


def test_one_trace_follows_an_observation_until_it_can_be_recalled(local: Local, folder: Path) -> None:
    telemetry.configure("product")
    talk.create(local.client, NAMESPACE)
    with telemetry.span("product.observe") as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
        metadata = (*local.client.metadata, *telemetry.carrier().items())
        requests = (ObserveRequest(observation=o) for o in talk.observations(NAMESPACE))
        local.client.perception.Observe(requests, metadata=metadata, timeout=30)
    talk.await_idle(local.client, NAMESPACE, 6)
    wanted = {"gateway", "perception", "episodic"}
    assert wanted <= _await_services(folder, trace_id, wanted)
    spans = [span for span in _spans(folder) if span["trace_id"] == trace_id]
    at_the_door = next(span for span in spans if span["service"] == "gateway")
    principals = {span["attributes"].get("principal") for span in spans} - {None}
    assert principals == {at_the_door["attributes"]["principal"]}, "the same in every process"
    (namespace,) = {span["attributes"].get("namespace") for span in spans} - {None}
    for told in (*principals, namespace):
        assert re.fullmatch("[0-9a-f]{16}", told), "a pseudonym"


def test_one_trace_follows_a_question_to_its_answer(local: Local, folder: Path) -> None:
    with telemetry.span("product.ask") as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
        metadata = (*local.client.metadata, *telemetry.carrier().items())
        request = AskRequest(namespace=NAMESPACE, question="Where is the umbrella?", extractive_only=True)
        assert list(local.client.reasoning.Ask(request, metadata=metadata, timeout=30))
    wanted = {"gateway", "reasoning", "episodic"}
    assert wanted <= _await_services(folder, trace_id, wanted)


def test_metrics_of_every_service_are_on_one_port(local: Local) -> None:
    ask = AskRequest(namespace=NAMESPACE, question="Where is the umbrella?", wording=WordingOptions(max_tokens=4))
    assert list(local.client.reasoning.Ask(ask, metadata=local.client.metadata, timeout=60))
    time.sleep(2.5)  # engines and the store show theirs every second
    gateway = local.settings.layers["gateway"]
    with urllib.request.urlopen(f"http://{gateway['host']}:{gateway['metrics_port']}/metrics", timeout=10) as response:
        text = response.read().decode()
    assert _value(text, "mneme_records_total", "engine", "blocks_published") >= 4
    assert _value(text, "mneme_records_total", "kvstore", "stored") >= 4
    assert _value(text, "mneme_held", "kvstore", "blocks") >= 4
    for wanted in (
        'mneme_lag_records{service="perception"',
        'mneme_lag_records{service="episodic"',
        "mneme_queue_depth{",
        'mneme_stage_seconds_bucket{le="0.01",service="perception"',
        'mneme_stage_seconds_bucket{le="0.01",service="episodic"',
        "mneme_calls_total{",
    ):
        assert wanted in text, wanted


def _value(text: str, name: str, *labels: str) -> float:
    lines = [line for line in text.splitlines() if line.startswith(name) and all(f'"{x}"' in line for x in labels)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_no_log_and_no_trace_holds_a_text_or_a_secret(local: Local, folder: Path) -> None:
    token = local.settings.common.token_path.read_text().strip()
    master = local.settings.common.master_key_path.read_text().strip()
    files = [p for sub in ("logs", "traces", "metrics") for p in (folder / sub).rglob("*") if p.is_file()]
    assert any(p.parent.name == "logs" for p in files)
    for path in files:
        content = path.read_bytes()
        for secret in (token, master, *(text for _, text in talk.LINES)):
            assert secret.encode() not in content, path.name


def test_what_replicas_open_to_the_network_answers_nobody_without_ray_s_token(local: Local) -> None:
    """They unpickle requests, and Ray binds them to every address."""
    ports = {port for pid in talk.replica_pids(local).values() for port in _open_to_the_network(pid)}
    assert ports, "nothing found to knock at; where Ray binds replicas to the loopback, this test can go"
    for port in ports:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/ray.serve.ASGIService/HandleRequest")(b"", timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, refused.value


def _open_to_the_network(pid: int) -> set[int]:
    """TCP ports that a process listens on, on every address."""
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().split("\n")
    ]
    own = {os.readlink(descriptor) for descriptor in Path(f"/proc/{pid}/fd").iterdir()}
    listening = [row for row in rows if len(row) > 9 and row[3] == "0A" and f"socket:[{row[9]}]" in own]
    return {int(port, 16) for address, _, port in (row[1].partition(":") for row in listening) if int(address, 16) == 0}


def test_nothing_at_rest_is_plaintext_once_accepted(local: Local, folder: Path) -> None:
    """Invariant 14: the log, the index and every other file hold sealed text only."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert any("milvus" in str(p) or p.suffix == ".db" for p in files)
    for path in files:
        content = path.read_bytes()
        for _, text in talk.LINES:
            assert text.encode() not in content, path.relative_to(folder)
