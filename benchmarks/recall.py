"""Recall over gRPC at 20,000 turns while 20 observations a second arrive: p50 <= 50 ms, p99 <= 150 ms, one client.

    python -m benchmarks.recall [--turns 20000] [--seconds 60]

Turns are two sentences of the diary each, drawn with a fixed seed, so their length is that of talk and no two are the
same; questions are the diary's forty. First one recall is checked to find what was put there, so that no speed is
reported of a service that finds nothing. Exits 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2

from services.cli.client import Client, connect
from services.cli.local import Local, environment, serving

DIARY = Path(__file__).parents[1] / "examples" / "diary"
NAMESPACE = "bench/recall"
P50_MS, P99_MS = 50.0, 150.0
RATE = 20.0
SESSION_TURNS = 40
NEEDLE = "The lighthouse keeper at Skerryvore repaired his harmonium with sealing wax."


def turns(seed: int = 7) -> Iterator[common_pb2.Observation]:
    """Turns without end, in sessions of forty, one a minute."""
    lines = (DIARY / "diary.jsonl").read_text().splitlines()
    sentences = [s for line in lines for s in re.split(r"(?<=[.!?]) +", json.loads(line)["text"]) if 20 < len(s) < 300]
    draw = random.Random(seed)
    for number in itertools.count():
        text = NEEDLE if number == 1000 else " ".join(draw.sample(sentences, 2))
        made = common_pb2.Observation(
            id=f"turn-{number}", namespace=NAMESPACE, session=f"s{number // SESSION_TURNS}", text=text, actor="Ann"
        )
        made.observed_at.FromSeconds(1_700_000_000 + number * 60)
        yield made


def fill(client: Client, source: Iterator[common_pb2.Observation], count: int) -> None:
    client.admin.CreateNamespace(
        admin_pb2.CreateNamespaceRequest(namespace=NAMESPACE), metadata=client.metadata, timeout=30
    )
    began = time.monotonic()
    client.observe(itertools.islice(source, count), timeout_s=3_600)
    print(f"{count} turns accepted in {time.monotonic() - began:.0f} s", flush=True)
    while True:
        stats = client.admin.GetStats(
            admin_pb2.GetStatsRequest(namespace=NAMESPACE), metadata=client.metadata, timeout=120
        )
        if stats.engrams_by_kind["turn"] >= count and stats.lag == 0:
            break
        print(f"  {stats.engrams_by_kind['turn']} recallable", flush=True)
        time.sleep(10)
    seconds = time.monotonic() - began
    print(f"all recallable after {seconds:.0f} s: {count / seconds:.0f} turns/s", flush=True)


def recall(client: Client, query: str, limit: int = 10) -> episodic_pb2.RecallResponse:
    response: episodic_pb2.RecallResponse = client.episodic.Recall(
        episodic_pb2.RecallRequest(namespace=NAMESPACE, query=query, limit=limit), metadata=client.metadata, timeout=10
    )
    return response


def arrive(local: Local, source: Iterator[common_pb2.Observation], stop: threading.Event, sent: list[int]) -> None:
    """Twenty observations a second, each in a call of its own, on a channel of its own."""
    client = connect(local.address, local.settings.common.token_path.read_text().strip())
    began = time.monotonic()
    for number in itertools.count():
        if stop.wait(max(0.0, began + number / RATE - time.monotonic())):
            break
        client.observe([next(source)], timeout_s=10)
        sent[0] += 1
    client.close()


def measure(local: Local, source: Iterator[common_pb2.Observation], seconds: float) -> np.ndarray:
    """Milliseconds of recalls, one after the other, while observations arrive."""
    queries = [q["question"] for q in yaml.safe_load((DIARY / "questions.yaml").read_text())]
    for query in queries:
        recall(local.client, query)  # warm
    stop, sent = threading.Event(), [0]
    writer = threading.Thread(target=arrive, args=[local, source, stop, sent])
    writer.start()
    taken = []
    began = time.monotonic()
    draw = random.Random(1)
    while time.monotonic() - began < seconds:
        # A new query each time: the embedder may not answer from its cache.
        query = f"{draw.choice(queries)} ({draw.randrange(10**6)})"
        start = time.perf_counter()
        recall(local.client, query)
        taken.append((time.perf_counter() - start) * 1000)
    elapsed = time.monotonic() - began
    stop.set()
    writer.join(30)
    print(f"{len(taken)} recalls in {elapsed:.0f} s while {sent[0] / elapsed:.1f} observations/s arrived")
    return np.array(taken)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--turns", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mneme-bench-") as folder, serving(environment(Path(folder))) as local:
        source = turns()
        fill(local.client, source, arguments.turns)
        found = recall(local.client, "Who repaired a harmonium with sealing wax?")
        if found.items[0].engram.text != NEEDLE:
            print("FAILED: the recall does not find what was put there")
            return 1
        taken = measure(local, source, arguments.seconds)
        stages = {s.stage: s.duration.ToTimedelta().total_seconds() * 1000 for s in found.stages}
        print("one recall by stage, ms: " + ", ".join(f"{k} {v:.1f}" for k, v in stages.items()))
    p50, p99 = np.percentile(taken, [50, 99])
    print(f"recall p50 {p50:.1f} ms (bar {P50_MS:.0f}), p99 {p99:.1f} ms (bar {P99_MS:.0f}), max {taken.max():.1f} ms")
    return 0 if p50 <= P50_MS and p99 <= P99_MS else 1


if __name__ == "__main__":
    sys.exit(main())
