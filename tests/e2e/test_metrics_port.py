"""The metrics port from outside: anybody may knock there, as often as they like, and no call feels it."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from services.cli.local import Local
from tests.e2e import talk
from tests.waiting import until

NAMESPACE = "e2e/port"
CALLS = 150
CONNECTIONS = 800
# Keeps so many connections half open, and knocks again wherever one is cut.
FLOOD = """
import selectors, socket, sys, time
port, most = int(sys.argv[1]), int(sys.argv[2])
waiting = selectors.DefaultSelector()
held, knocks = 0, 0
while True:
    while held < most:
        s = socket.create_connection(("127.0.0.1", port)); s.sendall(b"GET /met")
        waiting.register(s, selectors.EVENT_READ); held += 1; knocks += 1
        if knocks == most:
            print("flooding", flush=True)
        if knocks % 20 == 0:
            break
    for key, _ in waiting.select(0.02):
        waiting.unregister(key.fileobj); key.fileobj.close(); held -= 1
"""


def scrape(local: Local, path: str = "/metrics") -> str:
    gateway = local.settings.layers["gateway"]
    with urllib.request.urlopen(f"http://{gateway['host']}:{gateway['metrics_port']}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def p99_s(local: Local) -> float:
    took = []
    for _ in range(CALLS):
        start = time.perf_counter()
        talk.stats(local.client, NAMESPACE)
        took.append(time.perf_counter() - start)
    return sorted(took)[int(0.99 * CALLS)]


def test_a_flood_of_the_metrics_port_delays_no_call_and_ends_nobody(local: Local) -> None:
    talk.create(local.client, NAMESPACE)
    before = talk.living(local)
    port = str(local.settings.layers["gateway"]["metrics_port"])
    quiet = [p99_s(local)]
    flood = subprocess.Popen(
        [sys.executable, "-c", FLOOD, port, str(CONNECTIONS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert flood.stdout is not None
        assert flood.stdout.readline() == "flooding\n"
        flooded = p99_s(local)
        assert "mneme_calls_total" in scrape(local)
        assert flood.poll() is None, "it floods still"
    finally:
        flood.kill()
        flood.communicate()
    quiet.append(p99_s(local))
    assert flooded < 2 * max(quiet) + 0.02
    assert before <= talk.living(local)


def test_a_killed_metrics_server_comes_back_with_a_line_and_takes_nobody_with_it(local: Local, folder: Path) -> None:
    before = talk.living(local)
    pid = int(next(line for line in scrape(local).splitlines() if 'process="metrics"' in line).split('"')[1])
    os.kill(pid, signal.SIGKILL)
    talk.stats(local.client, NAMESPACE)
    until(lambda: "mneme_calls_total" in scrape(local))  # on the same port, once the gateway has come back to it
    assert scrape(local, "/healthz") == "ok\n"
    (log,) = (folder / "logs").glob("up-*.jsonl")
    (line,) = [line for line in log.read_text().splitlines() if "the metrics server has ended" in line]
    assert f'"pid": {pid}' in line
    assert '"reason": "signal 9"' in line
    assert before <= talk.living(local)
