"""1,000,000 engrams in 10,000 namespaces: how long a start takes, what a shard holds, what a cold namespace costs.

    python -m benchmarks.scale --index sqlite [--engrams 1000000] [--namespaces 10000] [--folder FOLDER]

It makes the memory itself (``benchmarks.made``): one namespace in a hundred has 1,000 engrams, the others share the
rest. A folder that is named is kept, and used again as it is. Then a process of its own does what a shard's does (it is
no Ray actor), from its first instruction to its first recall, with none of the files in the page cache. Exits 1 where a
bar is missed. The single large namespace is ``--namespaces 1``, without bars.

``--index`` is an ``episodic.index_uri``. Without it the index is what the service defaults to, Milvus Lite, which has
all rows in memory: some 7 GB for a million engrams. So the large run names ``sqlite``. A folder that is used again is
of the index that it was made with.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.memory import resident_bytes

LARGE = 1_000  # engrams
WARM = 200
START_S, WARM_GIB, COLD_MS = 15.0, 1.5, 250.0
_PROBES = 20
_AT = datetime(2025, 1, 1, tzinfo=UTC)
_SIZES = "sizes.json"


def sizes(engrams: int, namespaces: int) -> dict[str, int]:
    """Engrams of each namespace."""
    large = min(namespaces // 100, engrams // LARGE // 2)
    rest, others = engrams - large * LARGE, namespaces - large
    of = [LARGE] * large + [rest // others + (n < rest % others) for n in range(others)]
    return {f"bench/n{n:06}": size for n, size in enumerate(of)}


def measured(folder: Path, index: str, began: float) -> dict[str, Any]:
    """What a shard does from its start on. ``began``: Unix seconds, when the process was started."""
    from benchmarks.made import Texts, settings
    from services.common.crypto.seal import MasterKey
    from services.common.log.open import open_log
    from services.episodic.config import EpisodicConfig
    from services.episodic.plugins.base import Filter, Query
    from services.episodic.service import Episodic

    imported_s = time.time() - began
    spaces: dict[str, int] = json.loads((folder / _SIZES).read_text())
    configured = settings(folder, index)
    common, config = configured.common, configured.section("episodic", EpisodicConfig)
    log = open_log(common.log_url)
    episodic = Episodic(log, MasterKey.load(common.master_key_path), common, config)
    made_s = time.time() - began
    episodic.start()
    started_s = time.time() - began
    texts = Texts(seed=9)

    def recall(name: str) -> float:
        """Milliseconds."""
        query = Query((name,), texts.text(8), 10, None, _AT, Filter())
        start = time.perf_counter()
        found = episodic.recaller.recall(query)
        took = (time.perf_counter() - start) * 1e3
        assert found.stored, f"nothing is found in {name}"
        return took

    draw = random.Random(4)
    names = draw.sample(sorted(spaces), len(spaces))
    first_ms = recall(names[0])
    first_s, cpu_s = time.time() - began, time.process_time()
    out: dict[str, Any] = {"imported_s": imported_s, "made_s": made_s, "started_s": started_s, "first_s": first_s}
    out |= {
        "cpu_s": cpu_s,
        "first_ms": first_ms,
        "loaded_at_start": _count("namespace_loaded") - 1,
        "start_gib": _rss_gib(),
    }
    if len(spaces) > WARM:
        for name in names[:WARM]:
            recall(name)
        out |= {"warm_gib": _rss_gib(), "warm": _held("warm_namespaces"), "warm_mib": _held("warm_bytes") / 2**20}
        out["warm_engrams"] = sum(spaces[name] for name in names[:WARM])
    large = [name for name in names[WARM:] if spaces[name] >= LARGE][:_PROBES]
    cold, warm, loading = [], [], []
    for name in large:
        begun = time.process_time()
        cold.append(recall(name))
        loading.append((time.process_time() - begun) * 1e3)
        warm += [recall(name) for _ in range(5)]
    out |= {"cold_ms": _median(cold), "warm_ms": _median(warm), "cold_cpu_ms": _median(loading), "cold_of": len(large)}
    if len(spaces) == 1:
        again = sorted(recall(names[0]) for _ in range(100))
        out |= {"p50_ms": again[50], "p99_ms": again[98], "gib": _rss_gib()}
    episodic.stop()
    log.close()
    return out


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def _count(outcome: str) -> int:
    from services.common import telemetry

    return int(telemetry.RECORDS.labels("episodic", outcome)._value.get())


def _held(kind: str) -> float:
    from services.common import telemetry

    return float(telemetry.HELD.labels("episodic", kind)._value.get())


def _rss_gib() -> float:
    return resident_bytes() / 2**30


def forgotten(folder: Path) -> None:
    """Take the files out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def run(folder: Path, index: str) -> dict[str, Any]:
    forgotten(folder)
    command = [sys.executable, "-m", "benchmarks.scale", "--measure", str(folder), "--index", index]
    command += ["--began", repr(time.time())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(found: Mapping[str, Any]) -> bool:
    """Whether every bar is met."""
    print(
        f"start: {found['imported_s']:.1f} s to import, {found['made_s']:.1f} with models and index, "
        f"{found['started_s']:.1f} started, first recall after {found['first_s']:.1f} s "
        f"(itself {found['first_ms']:.0f} ms; {found['cpu_s']:.1f} s of processor in all); "
        f"{found['loaded_at_start']} namespaces loaded before; "
        f"{found['start_gib']:.2f} GiB"
    )
    bars = [("process start to first recall", found["first_s"], START_S, "s")]
    if "warm_gib" in found:
        what = f"{found['warm']:.0f} warm namespaces of {found['warm_engrams']} engrams ({found['warm_mib']:.0f} MiB)"
        bars.append((what, found["warm_gib"], WARM_GIB, "GiB"))
    if found["cold_of"]:
        cold = f"cold {found['cold_ms']:.0f} ms ({found['cold_cpu_ms']:.0f} of processor)"
        what = f"{cold} less warm {found['warm_ms']:.0f} ms, {found['cold_of']} of {LARGE}"
        bars.append((what, found["cold_ms"] - found["warm_ms"], COLD_MS, "ms"))
    if "p50_ms" in found:
        print(f"one namespace: p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms, {found['gib']:.2f} GiB")
    for what, value, bar, unit in bars:
        print(f"{'met   ' if value <= bar else 'MISSED'} {what}: {value:.2f} {unit} (at most {bar:g})")
    return all(value <= bar for _, value, bar, _ in bars)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--engrams", type=int, default=1_000_000)
    parser.add_argument("--namespaces", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--index", default="", help="sqlite, or what episodic.index_uri takes for Milvus Lite")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        print(json.dumps(measured(given.measure, given.index, given.began)))
        return 0
    kept = nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory(prefix="mneme-bench-")
    with kept as named:
        folder = Path(named)
        if not (folder / _SIZES).exists():
            from benchmarks.made import make

            folder.mkdir(parents=True, exist_ok=True)
            spaces, begun = sizes(given.engrams, given.namespaces), time.monotonic()
            make(folder, spaces, given.index)
            (folder / _SIZES).write_text(json.dumps(spaces))
            took = time.monotonic() - begun
            print(f"{given.engrams} engrams in {given.namespaces} namespaces made in {took:.0f} s", flush=True)
            first = run(folder, given.index)
            print(f"a start that has no snapshot of the ledger's facts: {first['first_s']:.1f} s", flush=True)
        print(f"index: {given.index or 'Milvus Lite'}", flush=True)
        return 0 if report(run(folder, given.index)) else 1


if __name__ == "__main__":
    sys.exit(main())
