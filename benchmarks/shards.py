"""What a shard that is killed, or stands still, costs its own namespaces, and what those of others.

    python -m benchmarks.shards [--shards 2] [--quiet-s 15] [--force]

A service of its own with two partitions a shard and a namespace in each. In each shard one client reads and one writes,
one call after the other; a call that is refused is made again, as the same. They do so quietly first, then while the
second shard is killed (SIGKILL), then while the first stands still (SIGSTOP, and goes on after its successor serves).
At last another start has the same folder with one shard, and must come to the same state hashes.

Exits 1 when a bar is missed or an acknowledged write is not there exactly once, 2 when the machine is busy.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2

from benchmarks.busy import busy_share, refuse_when_busy
from services.cli.client import Client
from services.cli.local import Local, environment, serving
from services.common.log.base import partition_of
from services.common.serving.errors import from_rpc_error
from services.common.serving.shards import application_of

# Bars: longest without an answer, of a namespace whose shard was killed, or stands still and is found out first.
AWAY_S = {signal.SIGKILL: 10.0, signal.SIGSTOP: 15.0}
OTHERS_S = 2.0  # bar: longest call of another shard's namespace meanwhile
MAX_BUSY = 0.25
_TRY_AGAIN_S = 0.05
_DEADLINE_S = 20.0
_AFTER_S = 3.0  # that are measured once all answer again
_TEXTS = 40  # in each namespace before it begins
_QUOTES_ONLY = {"reasoning__model__package": '""', "kvstore__replicas": 0}


@dataclass(slots=True)
class Calls:
    """Of one client, of one kind: when each call that succeeded was begun and ended, by ``time.monotonic``."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def within(self, since: float) -> list[float]:
        """Seconds of each call that ended after ``since``."""
        return [end - begin for begin, end in self.spans if end >= since]


class Load:
    """One reader and one writer of a namespace, until it is stopped."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.namespace = namespace
        self.reads, self.writes = Calls(), Calls()
        self.acknowledged: list[str] = []
        self._client = client
        self._stopped = threading.Event()
        self._threads = ThreadPoolExecutor(2)
        self._running: list[Future[None]] = []

    def start(self) -> None:
        for call, calls in ((self._read, self.reads), (self._write, self.writes)):
            self._running.append(self._threads.submit(self._loop, call, calls))

    def stop(self) -> None:
        """What failed for another reason than a refusal is raised."""
        self._stopped.set()
        with self._threads:
            for each in self._running:
                each.result()

    def _loop(self, call: Callable[[int], None], calls: Calls) -> None:
        number, begun = 0, time.monotonic()
        while not self._stopped.is_set():
            try:
                call(number)
            except grpc.RpcError as error:
                calls.refused[from_rpc_error(error).reason] += 1
                time.sleep(_TRY_AGAIN_S)
                continue
            calls.spans.append((begun, time.monotonic()))
            number, begun = number + 1, time.monotonic()

    def _read(self, number: int) -> None:
        request = episodic_pb2.RecallRequest(namespace=self.namespace, query=f"Who paid for crate {number % _TEXTS}?")
        self._client.episodic.Recall(request, metadata=self._client.metadata, timeout=_DEADLINE_S)

    def _write(self, number: int) -> None:
        id = f"w{number}"
        request = episodic_pb2.RememberRequest(namespace=self.namespace, id=id, text=f"Crate {number} went out by sea.")
        self._client.episodic.Remember(request, metadata=self._client.metadata, timeout=_DEADLINE_S)
        self.acknowledged.append(id)
        time.sleep(_TRY_AGAIN_S)  # a product that writes, not a flood


@contextmanager
def loaded(loads: list[Load]) -> Iterator[None]:
    for load in loads:
        load.start()
    try:
        yield
    finally:
        for load in loads:
            load.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--quiet-s", type=float, default=15.0, help="seconds of quiet load")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    asked = parser.parse_args()
    if asked.shards < 2:
        parser.error("--shards: at least 2, for one is to be killed and another not")
    busy = busy_share()
    print(f"{os.cpu_count()} cores, {busy:.0%} busy, load {os.getloadavg()[0]:.2f} before the start", flush=True)
    if refuse_when_busy(busy, force=asked.force, most=MAX_BUSY):
        return 2
    partitions = 2 * asked.shards
    names = [_named(partition, partitions) for partition in range(partitions)]
    with tempfile.TemporaryDirectory() as folder:

        def started(shards: int) -> dict[str, str]:
            settings = {"episodic__shards": shards, "common__partitions": partitions, **_QUOTES_ONLY}
            return environment(Path(folder), **settings)

        with ExitStack() as stack:
            local = stack.enter_context(serving(started(asked.shards), stdout=_quiet(stack), stderr=_quiet(stack)))
            print(f"{asked.shards} shards serve after {local.start_seconds:.1f} s", flush=True)
            for name in names:
                _tell(local.client, name)
            loads = [Load(local.client, name) for name in names[: asked.shards]]
            good = _measure(local, loads, asked.quiet_s)
            before = {name: _settled(local.client, name) for name in names}
            good &= all([_is_whole(local.client, load) for load in loads])
        with ExitStack() as stack:
            local = stack.enter_context(serving(started(1), stdout=_quiet(stack), stderr=_quiet(stack)))
            same = {name: _settled(local.client, name) for name in names} == before
            print(f"one shard on the same folder: state hashes {'are the same' if same else 'DIFFER'}")
    return int(not (good and same))


def _measure(local: Local, loads: list[Load], quiet_s: float) -> bool:
    """Whether the bars hold."""
    good = True
    with loaded(loads):
        begun = time.monotonic()
        time.sleep(quiet_s)
        quiet = [np.array(load.reads.within(begun)) for load in loads]
        for load, reads in zip(loads, quiet, strict=True):
            print(f"quiet: {load.namespace} {_shown(reads)}", flush=True)
        for what, victim, sent in (("killed", 1, signal.SIGKILL), ("stands still", 0, signal.SIGSTOP)):
            pid = _pid_of(local, application_of(victim))
            begun = time.monotonic()
            os.kill(pid, sent)
            away_s = _until_it_answers(loads[victim], begun)
            if sent == signal.SIGSTOP:
                _go_on(pid)
            time.sleep(_AFTER_S)
            others = [np.array(load.reads.within(begun)) for n, load in enumerate(loads) if n != victim]
            slowest = max(float(reads.max()) for reads in others)
            good &= away_s <= AWAY_S[sent] and slowest <= OTHERS_S
            refused = dict(loads[victim].reads.refused + loads[victim].writes.refused)
            name = application_of(victim)
            print(f"{name} {what}: its namespace answers after {away_s:.1f} s (bar {AWAY_S[sent]:.0f}); {refused}")
            for reads in others:
                print(f"  others meanwhile: {_shown(reads)} (bar: longest {OTHERS_S * 1000:.0f} ms)", flush=True)
    return good


def _shown(seconds: np.ndarray) -> str:
    p50, p99 = np.percentile(seconds, (50, 99)) * 1000
    return f"{len(seconds)} recalls, p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {seconds.max() * 1000:.0f} ms"


def _until_it_answers(load: Load, since: float) -> float:
    """Seconds until a read and a write that were begun after ``since`` have succeeded. TimeoutError."""
    while time.monotonic() < since + 120:
        ends = [
            next((end for begin, end in calls.spans[-50:] if begin >= since), None)
            for calls in (load.reads, load.writes)
        ]
        # The call that was under way counts as begun before: it may have been answered just before the signal.
        if None not in ends:
            return max(end for end in ends if end is not None) - since
        time.sleep(0.02)
    raise TimeoutError(f"{load.namespace} does not answer: {load.reads.refused}")


def _go_on(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        print("  it was ended before it could wake")


def _pid_of(local: Local, service: str) -> int:
    """The newest process of a service, by the log file that it writes."""
    files = local.settings.common.log_dir.glob(f"{service}-*.jsonl")
    own = [file for file in files if re.fullmatch(rf"{service}-\d+", file.stem)]  # not of "episodic-1" for "episodic"
    found = sorted(own, key=lambda file: file.stat().st_mtime)
    return int(found[-1].stem.rpartition("-")[2])


def _named(partition: int, partitions: int) -> str:
    names = (f"bench/space{n}" for n in range(10_000))
    return next(name for name in names if partition_of(name.encode(), partitions) == partition)


def _tell(client: Client, namespace: str) -> None:
    request = admin_pb2.CreateNamespaceRequest(namespace=namespace)
    client.admin.CreateNamespace(request, metadata=client.metadata, timeout=_DEADLINE_S)
    observations = []
    for n in range(_TEXTS):
        one = common_pb2.Observation(id=f"o{n}", namespace=namespace, session="s", text=f"Mr. Ames paid for crate {n}.")
        one.observed_at.FromSeconds(1_780_000_000 + 60 * n)
        observations.append(one)
    client.observe(observations)


def _settled(client: Client, namespace: str) -> str:
    """The state hash, once everything that was acknowledged is applied. TimeoutError."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        request = admin_pb2.GetStatsRequest(namespace=namespace)
        stats = client.admin.GetStats(request, metadata=client.metadata, timeout=_DEADLINE_S)
        if stats.state_hash and not stats.unfolded:
            return str(stats.state_hash)
        time.sleep(0.2)
    raise TimeoutError(f"{namespace}: not applied after two minutes")


def _is_whole(client: Client, load: Load) -> bool:
    """Whether each acknowledged write is there exactly once."""
    texts = Counter[str]()
    request = episodic_pb2.ListRequest(namespace=load.namespace, page_size=1000)
    for page in client.pages(client.episodic.List, request):
        texts.update(each.text for each in page.engrams if not each.sources)
    counts = [texts[f"Crate {id[1:]} went out by sea."] for id in load.acknowledged]
    lost, doubled = counts.count(0), sum(count > 1 for count in counts)
    print(f"{load.namespace}: {len(counts)} acknowledged writes, {lost} lost, {doubled} doubled")
    return not lost and not doubled


def _quiet(stack: ExitStack) -> int:
    null = open(os.devnull, "w")  # noqa: SIM115  # closed by the stack
    return stack.enter_context(null).fileno()


if __name__ == "__main__":
    sys.exit(main())
