"""What one token's flood does to another's calls, of the whole service.

    python -m benchmarks.flood [--kinds recall,long,...] [--seconds 20] [--bar 2.0] [--force]

A `mneme up` of its own, on embedded defaults. Ann recalls in her own namespace, one call after the other; then she
forgets a few sessions of three turns. She does so quietly first, then beside each kind of flood of Eve, who has a token
and namespaces of her own (one in the partition of Ann's) and 64 threads in another process (``benchmarks.attacker``),
then quietly again: that last row says how far the machine itself can be trusted. Her calls are counted from the first
of the flood on.

Of each kind: Ann's recalls, and how many times her quiet p99 theirs is; Ann's Forget; Eve's calls a second and what
became of them; cores that Eve's own process used, which on a small machine she takes from the service, those of the
service's processes, and of all that ran on the machine. After each, how long the service still works on what Eve left.

Exits 1 when a call of Ann's fails; with --bar also when a p99 is more than so many times the quiet one. 2 when the
machine is busy.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

import grpc
import numpy as np
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2

from benchmarks.attacker import KINDS, LONG_TEXTS, Flooded, Target, long_texts
from benchmarks.busy import busy_share, refuse_when_busy
from benchmarks.ingest import texts
from services.cli.client import Client, connect
from services.cli.local import Local, environment, serving
from services.common.log.base import partition_of
from services.common.serving.errors import from_rpc_error

MAX_BUSY = 0.25
ANN, EVE = "ann/talk", "eve/long"
TURNS = 400  # of Ann's
FORGETS, FORGETS_WITHIN_S = 5, 40.0  # of each row
PAUSE_S = 0.05  # between two recalls: a product that asks, not a flood
_DEADLINE_S = 60.0
_SETTLED_S = 600.0
_SESSION = 20
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of each of Ann's calls that succeeded, and why the others failed."""

    recalls: list[float] = field(default_factory=list)
    forgets: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def p99(self) -> float:
        return float(np.percentile(self.recalls, 99))


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    measured: Measured
    cores: dict[str, float]  # that the service's processes used, by name, and "all": whoever used them
    eve: Flooded | None = None


class Ann:
    """One product that asks, and forgets now and then."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._texts = texts(TURNS)
        self._numbers = count()

    def tell(self) -> None:
        self._observe([(f"t{n}", f"s{n // _SESSION}", text) for n, text in enumerate(self._texts)])

    def tell_what_to_forget(self) -> list[str]:
        """Sessions of three turns each."""
        sessions = [f"gone{next(self._numbers)}" for _ in range(FORGETS)]
        self._observe([(f"{s}-{n}", s, f"The key of {s} lies under stone {n}.") for s in sessions for n in range(3)])
        return sessions

    def call(self, seconds: float, sessions: Sequence[str]) -> Measured:
        """Recall for so long, then forget the sessions."""
        measured = Measured()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._timed(self._recall, measured.recalls, measured.failed)
            time.sleep(PAUSE_S)
        until = time.monotonic() + FORGETS_WITHIN_S
        for session in sessions:
            if time.monotonic() < until:
                self._timed(partial(self._forget, session), measured.forgets, measured.failed)
        return measured

    def _timed(self, call: Callable[[], object], took: list[float], failed: Counter[str]) -> None:
        began = time.perf_counter()
        try:
            call()
        except grpc.RpcError as error:
            failed[from_rpc_error(error).reason] += 1
        else:
            took.append(time.perf_counter() - began)

    def _recall(self) -> None:
        query = " ".join(self._texts[next(self._numbers) % TURNS].split()[:9])
        request = episodic_pb2.RecallRequest(namespace=ANN, query=query)
        self._client.episodic.Recall(request, metadata=self._client.metadata, timeout=_DEADLINE_S)

    def _forget(self, session: str) -> None:
        selector = episodic_pb2.ForgetSelector(session=session)
        request = episodic_pb2.ForgetRequest(namespace=ANN, selector=selector, id=session)
        self._client.episodic.Forget(request, metadata=self._client.metadata, timeout=_DEADLINE_S)

    def _observe(self, some: Sequence[tuple[str, str, str]]) -> None:
        observe(self._client, ANN, some)


def observe(client: Client, namespace: str, some: Sequence[tuple[str, str, str]]) -> None:
    """Of (id, session, text)."""
    observations = []
    for n, (id, session, text) in enumerate(some):
        one = common_pb2.Observation(id=id, namespace=namespace, session=session, text=text, actor="Pooter")
        one.observed_at.FromSeconds(1_780_000_000 + 60 * n)
        observations.append(one)
    client.observe(observations)


class Service:
    """The service under flood: its namespaces, tokens and processes."""

    def __init__(self, local: Local) -> None:
        self._local = local
        self._client = local.client
        partitions = local.settings.common.partitions
        beside = partition_of(ANN.encode(), partitions)
        names = (f"eve/written{n}" for n in count())
        self.written = next(name for name in names if partition_of(name.encode(), partitions) == beside)

    def fill(self) -> None:
        for name in (ANN, EVE, self.written):
            request = admin_pb2.CreateNamespaceRequest(namespace=name)
            self._client.admin.CreateNamespace(request, metadata=self._client.metadata, timeout=_DEADLINE_S)
        observe(self._client, EVE, [(f"o{n}", f"s{n}", text) for n, text in enumerate(long_texts(LONG_TEXTS))])

    def token(self, principal: str) -> str:
        rights = [admin_pb2.RIGHT_READ, admin_pb2.RIGHT_WRITE, admin_pb2.RIGHT_FORGET]
        request = admin_pb2.IssueTokenRequest(
            principal=principal, namespace_prefixes=[principal], rights=rights, ttl_s=86_400
        )
        issued = self._client.admin.IssueToken(request, metadata=self._client.metadata, timeout=_DEADLINE_S)
        return str(issued.token)

    def settle(self) -> float:
        """Wait until all that was told is applied; the seconds it took. TimeoutError."""
        began = time.monotonic()
        while time.monotonic() < began + _SETTLED_S:
            if not any(map(self._lag, (ANN, EVE, self.written))):
                return time.monotonic() - began
            time.sleep(0.2)
        raise TimeoutError(f"not applied after {_SETTLED_S:.0f} s")

    def _lag(self, name: str) -> int:
        request = admin_pb2.GetStatsRequest(namespace=name, counts_only=True)
        return int(self._client.admin.GetStats(request, metadata=self._client.metadata, timeout=_DEADLINE_S).lag)

    @contextmanager
    def cores(self) -> Iterator[dict[str, float]]:
        """Filled at the end: the cores that each process of the service used meanwhile, by name, and "all" together."""
        used: dict[str, float] = {}
        processes, began, busy_s = self._processes(), time.monotonic(), _busy_s()
        before = {pid: _cpu_s(pid) for pid in processes}
        yield used
        seconds = time.monotonic() - began
        used["all"] = (_busy_s() - busy_s) / seconds
        for pid, name in processes.items():
            used[name] = used.get(name, 0.0) + max(0.0, _cpu_s(pid) - before[pid]) / seconds

    def _processes(self) -> dict[int, str]:
        """Name by process id."""
        gateway = self._local.settings.layers["gateway"]
        with urllib.request.urlopen(f"http://{gateway['host']}:{gateway['metrics_port']}/metrics", timeout=30) as page:
            metrics = page.read().decode()
        found = re.findall(r"^mneme_process_start_time_seconds\{(.*)\}", metrics, re.MULTILINE)
        labels = [dict(re.findall(r'(\w+)="([^"]*)"', each)) for each in found]
        return {int(each["pid"]): each["process"] for each in labels}


def _busy_s() -> float:
    """Seconds of all cores that were not idle, since the machine's start."""
    user, nice, system, _, _, irq, softirq, *_ = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq))) / _TICKS


def _cpu_s(pid: int) -> float:
    """Seconds of a core that it has used; 0.0 once it has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, default=20.0, help="of recalls, each row")
    parser.add_argument("--bar", type=float, help="times the quiet p99 that another's may be")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    asked = parser.parse_args()
    kinds = asked.kinds.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"--kinds: there is no {', '.join(sorted(unknown))}")
    busy = busy_share()
    print(f"{os.cpu_count()} cores, {busy:.0%} busy, load {os.getloadavg()[0]:.2f} before the start", flush=True)
    if refuse_when_busy(busy, force=asked.force, most=MAX_BUSY):
        return 2
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as null,
        serving(environment(Path(folder)), stdout=null, stderr=null) as local,
    ):
        rows = list(_rows(local, kinds, asked.seconds))
    return int(not _is_good(rows, asked.bar))


def _rows(local: Local, kinds: Sequence[str], seconds: float) -> Iterator[Row]:
    """Measures and prints each: quiet, of each kind, quiet."""
    service = Service(local)
    service.fill()
    client = connect(local.address, service.token("ann"))
    ann = Ann(client)
    ann.tell()
    print(f"{TURNS} turns of Ann's, {LONG_TEXTS} long texts of Eve's: applied after {service.settle():.0f} s")
    ann.call(5.0, ())  # warms up
    gateway = local.settings.layers["gateway"]
    where = (gateway["host"], gateway["port"], gateway["metrics_port"])
    target = Target("", *where, service.token("eve"), EVE, service.written, seconds + FORGETS_WITHIN_S + _DEADLINE_S)
    quiet_s = float("nan")
    for name in ("quiet", *kinds, "quiet again"):
        row = _row(service, ann, name, replace(target, kind=name) if name in KINDS else None, seconds)
        quiet_s = row.measured.p99() if name == "quiet" else quiet_s
        print(_shown(row, quiet_s), flush=True)
        yield row
        if (left_s := service.settle()) > 1.0:
            print(f"  what was left of it was applied {left_s:.0f} s later", flush=True)
    client.close()


def _row(service: Service, ann: Ann, name: str, target: Target | None, seconds: float) -> Row:
    sessions = ann.tell_what_to_forget()
    service.settle()
    time.sleep(2.0)  # what she used of her burst comes back
    with service.cores() as cores:
        if target is None:
            return Row(name, ann.call(seconds, sessions), cores)
        with _flooding(target) as process:
            measured = ann.call(seconds, sessions)
            said, _ = process.communicate(timeout=_DEADLINE_S)
    return Row(name, measured, cores, Flooded(**json.loads(said.splitlines()[-1])))


@contextmanager
def _flooding(target: Target) -> Iterator[subprocess.Popen[str]]:
    """Eve's process, which floods; it ends with its input."""
    command = [sys.executable, "-m", "benchmarks.attacker"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(target)) + "\n")
        process.stdin.flush()
        if process.stdout.readline() != "begun\n":
            raise RuntimeError(f"the flood did not begin: exit code {process.wait(10)}")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _shown(row: Row, quiet_s: float) -> str:
    recalls = np.array(row.measured.recalls) * 1000
    p50, p99 = np.percentile(recalls, (50, 99))
    shown = f"{row.name:<11} {len(recalls):>4} recalls p50 {p50:>5.0f} p99 {p99:>5.0f} max {recalls.max():>5.0f} ms"
    shown += f" {p99 / quiet_s / 1000:>5.2f} x quiet"
    if row.measured.forgets:
        forgets = np.array(row.measured.forgets) * 1000
        shown += f"; {len(forgets)} forgets p50 {np.median(forgets):.0f} max {forgets.max():.0f} ms"
    if row.measured.failed:
        shown += f"; FAILED {dict(row.measured.failed)}"
    if row.eve is not None:
        per_s = {what: round(number / row.eve.seconds, 1) for what, number in sorted(row.eve.outcomes.items())}
        shown += f"\n  eve: calls a second {per_s}, {row.eve.cpu:.2f} cores of her own"
    most = sorted(row.cores.items(), key=lambda each: -each[1])[:6]
    return shown + "\n  cores: " + ", ".join(f"{name} {used:.2f}" for name, used in most)


def _is_good(rows: Sequence[Row], bar: float | None) -> bool:
    """Whether no call of Ann's failed, and all are within the bar."""
    good = not any(row.measured.failed for row in rows)
    for row in rows[1:]:
        if bar is not None and row.measured.p99() > bar * rows[0].measured.p99():
            print(f"{row.name}: p99 is more than {bar} x quiet")
            good = False
    return good


if __name__ == "__main__":
    sys.exit(main())
