"""A small conversation, and the calls that most tests make."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import grpc
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2

from services.cli.client import Client
from services.cli.local import Local
from services.common.serving.errors import from_rpc_error

LINES = (
    ("Ann", "My dentist moved the appointment to Thursday at nine."),
    ("Bob", "Then I will walk Rufus that morning instead of you."),
    ("Ann", "Thank you. The blue umbrella is in the hall if it rains."),
    ("Bob", "Aunt Petronella called, she arrives from Lisbon on Sunday."),
    ("Ann", "We should buy quinces for her, she bakes that tart every autumn."),
    ("Bob", "The landlord fixed the boiler, it had leaked for a month."),
)
# Settings of a service that quotes and words nothing, for what a model and a block store have no part in: they take
# ten seconds of two cores to start.
QUOTES_ONLY = {"reasoning__model__package": '""', "kvstore__replicas": 0}
START = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


def observations(namespace: str, session: str = "talk", tag: str = "t") -> list[common_pb2.Observation]:
    made = []
    for number, (actor, text) in enumerate(LINES):
        observation = common_pb2.Observation(
            id=f"{tag}{number}", namespace=namespace, session=session, text=text, actor=actor
        )
        observation.observed_at.FromDatetime(START + timedelta(minutes=number))
        made.append(observation)
    return made


def create(client: Client, namespace: str, **settings: object) -> None:
    request = admin_pb2.CreateNamespaceRequest(namespace=namespace, **settings)  # type: ignore[arg-type]
    client.admin.CreateNamespace(request, metadata=client.metadata, timeout=20)


def recall(client: Client, namespace: str, query: str, **more: object) -> episodic_pb2.RecallResponse:
    fields: dict[str, object] = {"freshness": common_pb2.Freshness(strong=True), "limit": 5, **more}
    request = episodic_pb2.RecallRequest(namespace=namespace, query=query, **fields)  # type: ignore[arg-type]
    response: episodic_pb2.RecallResponse = client.episodic.Recall(request, metadata=client.metadata, timeout=20)
    return response


def stats(client: Client, namespace: str) -> admin_pb2.GetStatsResponse:
    request = admin_pb2.GetStatsRequest(namespace=namespace)
    response: admin_pb2.GetStatsResponse = client.admin.GetStats(request, metadata=client.metadata, timeout=20)
    return response


def await_idle(client: Client, namespace: str, turns: int, timeout_s: float = 60.0) -> admin_pb2.GetStatsResponse:
    """Wait until ``turns`` turns are recallable and the ledger is applied; survives a restarting replica."""
    deadline = time.monotonic() + timeout_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = stats(client, namespace)
            if last.lag == 0 and last.engrams_by_kind["turn"] >= turns:
                return last
        except grpc.RpcError as error:
            last = from_rpc_error(error)
        time.sleep(0.1)
    raise AssertionError(f"not idle after {timeout_s:.0f} s: {last}")


def observe_until_accepted(client: Client, namespace: str, tag: str, timeout_s: float = 60.0) -> None:
    """What a product does when a call fails: send the same again."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            client.observe(observations(namespace, tag=tag), timeout_s=15)
            return
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def living(local: Local) -> set[int]:
    """The processes that write logs, of every replica."""
    return {pid for _, pid in _logging(local)}


def replica_pids(local: Local) -> dict[str, int]:
    """The process of each service, by the log file that it writes; the newest of each."""
    return {service: pid for service, pid in _logging(local) if service != "up"}  # `mneme up` itself


def pids_of(local: Local, service: str) -> set[int]:
    """The processes of all its replicas."""
    return {pid for name, pid in _logging(local) if name == service}


def _logging(local: Local) -> Iterator[tuple[str, int]]:
    for path in sorted((local.settings.common.log_dir).glob("*.jsonl"), key=lambda p: p.stat().st_mtime):
        service, _, pid = path.stem.rpartition("-")
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), 0)
            yield service, int(pid)
