"""The metrics server: what several processes count, added up; bounded, honest, and apart from all of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.cli.up.metrics import MetricsProcess
from services.common import watched
from tests.waiting import until

# Counts, holds, and says what its first argument says of an application; until its input ends.
SHOWS = """
import sys
from services.common import telemetry
service, up = sys.argv[1:]
telemetry.configure(service)
telemetry.CALLS.labels("Echo", "OK").inc(3)
telemetry.HELD.labels("test", "bytes").set(5)
telemetry.STAGE_SECONDS.labels("test", "work").observe(0.004)
telemetry.APPLICATION_UP.labels("episodic").set(int(up))
print("shown", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricsProcess]:
    monkeypatch.setenv(watched.NAME, "restored by monkeypatch")
    (tmp_path / "log.db").write_bytes(b"x" * 10_000)
    process = MetricsProcess("127.0.0.1", 0, tmp_path)
    process.keep_running()
    yield process
    process.stop()


@contextmanager
def showing(service: str = "gateway", up: int = 1) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SHOWS, service, str(up)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "shown\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def get(metrics: MetricsProcess, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def value(metrics: MetricsProcess, sample: str) -> float | None:
    lines = get(metrics, "/metrics")[1].splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample), None)


CALLS = 'mneme_calls_total{method="Echo",status="OK"}'
HELD = 'mneme_held{kind="bytes",service="test"}'


def test_numbers_of_processes_add_up_and_what_one_counted_outlives_it(metrics: MetricsProcess) -> None:
    with showing(), showing():
        until(lambda: value(metrics, CALLS) == 6.0)
        assert value(metrics, HELD) == 10.0
        assert value(metrics, 'mneme_stage_seconds_bucket{le="0.005",service="test",stage="work"}') == 2.0
        with showing():
            until(lambda: value(metrics, CALLS) == 9.0)
        until(lambda: value(metrics, HELD) == 10.0)
        assert value(metrics, CALLS) == 9.0


def test_the_machine_s_numbers_are_there(metrics: MetricsProcess, tmp_path: Path) -> None:
    text = get(metrics, "/metrics")[1]
    for wanted in ("mneme_build_info{version=", "mneme_process_start_time_seconds{", "mneme_disk_free_bytes "):
        assert wanted in text
    assert value(metrics, 'mneme_data_bytes{what="log"}') == (tmp_path / "log.db").stat().st_blocks * 512
    resident = [line for line in text.splitlines() if line.startswith("mneme_process_resident_bytes{")]
    own = next(line for line in resident if 'process="metrics"' in line)
    assert 1e6 < float(own.rpartition(" ")[2]) < 60e6


def test_other_paths_are_not_found_and_other_methods_are_refused(metrics: MetricsProcess) -> None:
    for path in ("/", "/metric", "/metrics/", "/healthz/episodic"):
        assert get(metrics, path)[0] == 404, path
    with closing(socket.create_connection(("127.0.0.1", metrics.port), timeout=10)) as connection:
        connection.sendall(b"POST /metrics HTTP/1.1\r\n\r\n")
        assert connection.makefile("rb").readline() == b"HTTP/1.0 405 Method Not Allowed\r\n"


def test_health_names_who_does_not_answer(metrics: MetricsProcess) -> None:
    assert get(metrics, "/healthz") == (503, "does not answer: gateway\n")
    with showing(up=1) as door:
        until(lambda: get(metrics, "/healthz") == (200, "ok\n"))
        door.send_signal(signal.SIGSTOP)
        assert get(metrics, "/healthz") == (503, "does not answer: gateway\n")
        assert value(metrics, CALLS) == 3.0, "shown as it was last"
        door.send_signal(signal.SIGCONT)
        until(lambda: get(metrics, "/healthz") == (200, "ok\n"))
    with showing(up=0):
        until(lambda: get(metrics, "/healthz") == (503, "does not answer: episodic\n"))


def test_whoever_connects_and_says_nothing_gives_way(metrics: MetricsProcess) -> None:
    with closing(socket.create_connection(("127.0.0.1", metrics.port))) as first:
        silent = [socket.create_connection(("127.0.0.1", metrics.port)) for _ in range(800)]
        try:
            for each in silent:
                each.sendall(b"GET /met")
            assert get(metrics, "/metrics")[0] == 200
            first.settimeout(5)
            assert first.recv(1) == b"", "the oldest was let go"
        finally:
            for each in silent:
                each.close()


def test_a_request_that_never_ends_is_cut(metrics: MetricsProcess) -> None:
    with closing(socket.create_connection(("127.0.0.1", metrics.port), timeout=10)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert _is_cut(connection)


def _is_cut(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_a_killed_server_is_replaced_on_the_same_port_and_asks_everybody_again(metrics: MetricsProcess) -> None:
    with showing():
        until(lambda: value(metrics, CALLS) == 3.0)
        killed = metrics.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        until(lambda: _kept_running(metrics) != killed)
        until(lambda: value(metrics, CALLS) == 3.0)


def _kept_running(metrics: MetricsProcess) -> int | None:
    metrics.keep_running()
    return metrics.pid


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time; from services.cli.up.metrics import MetricsProcess\n"
        "m = MetricsProcess('127.0.0.1', 0, pathlib.Path(sys.argv[1])); m.keep_running()\n"
        "print(m.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    until(lambda: not Path(f"/proc/{pid}").exists())
