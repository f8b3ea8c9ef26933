"""How many observations a second become recallable, beside what their models alone take of the same cores.

    python -m benchmarks.ingest [--texts 1200] [--log kafka://HOST:PORT] [--beside CHECKOUT] [--force]

*Alone*: as many processes as there are cores embed each text once and find its names once, with the models of the
service and nothing else. *Service*: a `mneme up` of its own takes the same texts from its inbox, in one topic, until
each can be recalled: inbox, ledger, feed and index. *Beside*: the same of another checkout (of an earlier commit, say),
in the same run, by this same file. Last, at half of the service's rate, how long after its acknowledgement an observed
turn can be recalled.

Bars: service / alone at least 0.8; service / beside at least 3; p99 of acknowledged to recallable at most 1 s. Exits 1
when one is missed, 2 when the machine is busy. Texts are The Diary of a Nobody's, cut into some 34 words each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2

# What another checkout has too: of all else, only what is measured there is imported where it is used.
from services.cli.local import environment, serving
from services.common.log.base import Message
from services.common.log.open import open_log

BARS = {"alone": 0.8, "beside": 3.0}
FRESH_S = 1.0
WORDS = 34
NAMESPACES = 8
SESSION = 40  # observations
MAX_BUSY = 0.25
_FRESH_CALLS = 400
INBOX = "mneme.observations.v1"
_DIARY = Path(__file__).parents[1] / "examples" / "diary" / "diary.jsonl"
_QUOTES_ONLY = {"reasoning__model__package": '""', "kvstore__replicas": 0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1200)
    parser.add_argument("--log", default="", help="kafka://HOST:PORT; default: the embedded SQLite log")
    parser.add_argument("--beside", type=Path, help="another checkout, measured in the same run")
    parser.add_argument("--service-alone", action="store_true", help="print the service's rate and nothing else")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    asked = parser.parse_args()
    given = texts(asked.texts)
    if asked.service_alone:
        print(json.dumps(service(given, asked.log, fresh=False)))
        return 0
    from benchmarks.busy import busy_share, refuse_when_busy

    busy = busy_share()
    print(f"{os.cpu_count()} cores, {busy:.0%} busy, load {os.getloadavg()[0]:.2f} before the start", flush=True)
    if refuse_when_busy(busy, force=asked.force, most=MAX_BUSY):
        return 2
    alone_s = alone(given)
    print(f"alone: {len(given) / alone_s:.1f} texts/s embedded and named", flush=True)
    measured = service(given, asked.log, fresh=True)
    ours = len(given) / measured["seconds"]
    ratios = {"alone": ours * alone_s / len(given)}
    print(f"service: {ours:.1f} observations/s, {ratios['alone']:.2f} x alone (bar {BARS['alone']})", flush=True)
    if asked.beside is not None:
        theirs = len(given) / _of(asked.beside, asked.texts, asked.log)
        ratios["beside"] = ours / theirs
        print(f"beside: {theirs:.1f} observations/s; service {ratios['beside']:.2f} x it (bar {BARS['beside']})")
    p50, p99 = measured["fresh_p50"], measured["fresh_p99"]
    print(f"acknowledged to recallable at {ours / 2:.1f}/s: p50 {p50:.2f} s, p99 {p99:.2f} s (bar {FRESH_S})")
    good = p99 <= FRESH_S and all(ratio >= BARS[what] for what, ratio in ratios.items())
    return int(not good)


def texts(count: int) -> list[str]:
    """Of the diary, in order; from its beginning again where it is not long enough, and then with a number."""
    words = " ".join(json.loads(line)["text"] for line in _DIARY.read_text().splitlines()).split()
    cut = [" ".join(words[at : at + WORDS]) for at in range(0, len(words) - WORDS, WORDS)]
    return [cut[n % len(cut)] + (f" {n}" if n >= len(cut) else "") for n in range(count)]


# --- the models alone -------------------------------------------------------------------------------------------------


def alone(given: Sequence[str]) -> float:
    """Seconds of all cores."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, initializer=_load) as pool:
        list(pool.map(_work, [given[n : n + 1] for n in range(4 * cores)]))  # every process has begun
        parts = [given[at : at + 32] for at in range(0, len(given), 32)]
        began = time.perf_counter()
        list(pool.map(_work, parts))
        return time.perf_counter() - began


_models: tuple[object, object] | None = None


def _load() -> None:
    global _models
    from services.common.config import load
    from services.common.models.embed import Embedder
    from services.common.text.extract import Extractor

    settings = load(environ={}).layers["perception"]
    extractor = Extractor(
        package=settings["ner_package"],
        weights=settings["ner_weights"],
        sha256=settings["ner_sha256"],
        setting="perception.ner_sha256",
    )
    extractor.load()
    _models = Embedder.packaged(threads=1, remembered=1), extractor


def _work(part: Sequence[str]) -> int:
    from services.common.models.embed import Embedder
    from services.common.text.extract import Extractor

    assert _models is not None
    embedder, extractor = _models
    assert isinstance(embedder, Embedder)
    assert isinstance(extractor, Extractor)
    embedder.embed(part)
    return sum(len(extractor.find(text).people) for text in part)


# --- the service ------------------------------------------------------------------------------------------------------


def service(given: Sequence[str], log_url: str, *, fresh: bool) -> dict[str, float]:
    """Seconds from the first record until all are recallable; and, if asked, how fresh at half of that rate."""
    settings: dict[str, object] = dict(_QUOTES_ONLY)
    if log_url:
        settings["common__log"] = log_url
    names = [f"bench/space{n}" for n in range(NAMESPACES)]
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as quiet,
        serving(environment(Path(folder), **settings), stdout=quiet, stderr=quiet) as local,
    ):
        _create(local.client, names)
        warm = [_observation(f"w{n}", names[n % NAMESPACES], text) for n, text in enumerate(given[:32])]
        local.client.observe(warm)
        _await_turns(local.client, names, len(warm))
        records = [_observation(f"o{n}", _of_session(n, names), text) for n, text in enumerate(given)]
        began = time.perf_counter()
        _send(local.settings, records)
        _await_turns(local.client, names, len(warm) + len(records))
        found = {"seconds": time.perf_counter() - began}
        if fresh:
            found |= _freshness(local.client, names, given, len(given) / found["seconds"] / 2)
        return found


def _of_session(number: int, names: Sequence[str]) -> str:
    return names[number // SESSION % len(names)]


def _observation(id: str, namespace: str, text: str) -> common_pb2.Observation:
    number = int(id[1:])
    one = common_pb2.Observation(id=id, namespace=namespace, session=f"s{number // SESSION}", text=text, actor="Pooter")
    one.observed_at.FromSeconds(1_780_000_000 + 60 * number)
    return one


def _create(client: Any, names: Sequence[str]) -> None:
    for name in names:
        request = admin_pb2.CreateNamespaceRequest(namespace=name)
        client.admin.CreateNamespace(request, metadata=client.metadata, timeout=30)


def _send(settings: Any, records: Sequence[common_pb2.Observation]) -> None:
    """As a product does: one record for each, with no hint of ours."""
    values = [record.SerializeToString() for record in records]
    headers = {"content-type": b"application/x-protobuf"}
    common = settings.common
    security = [common.kafka] if hasattr(common, "kafka") else []  # an earlier commit has none
    with closing(open_log(common.log_url, *security)) as log:
        for at in range(0, len(values), 256):
            log.append([Message(INBOX, b"producer", value, headers=headers) for value in values[at : at + 256]])


def _await_turns(client: Any, names: Sequence[str], count: int) -> None:
    """Until so many turns are there and nothing is left to apply. TimeoutError."""
    until = time.monotonic() + 1800
    while time.monotonic() < until:
        turns = lag = 0
        for name in names:
            request = admin_pb2.GetStatsRequest(namespace=name)
            if "counts_only" in request.DESCRIPTOR.fields_by_name:  # an earlier commit has it not
                request.counts_only = True
            stats = client.admin.GetStats(request, metadata=client.metadata, timeout=60)
            turns += stats.engrams_by_kind["turn"]
            lag += stats.lag
        if turns >= count and lag == 0:
            return
        time.sleep(0.25)
    raise TimeoutError(f"{turns} of {count} turns are recallable")


def _freshness(client: Any, names: Sequence[str], given: Sequence[str], per_s: float) -> dict[str, float]:
    """Seconds from an acknowledgement until a read that asks for its position returns; one call each 1 / ``per_s``."""

    def one(number: int) -> float:
        namespace = names[number % len(names)]
        observed = client.observe([_observation(f"f{number}", namespace, f"{given[number]} {number}")])
        acknowledged = time.perf_counter()
        at_least = common_pb2.Positions(positions=observed.positions)
        fresh = common_pb2.Freshness(at_least=at_least)
        request = episodic_pb2.ListRequest(namespace=namespace, page_size=1, freshness=fresh)
        client.episodic.List(request, metadata=client.metadata, timeout=30)
        return time.perf_counter() - acknowledged

    began, asked = time.perf_counter(), []
    with ThreadPoolExecutor(64) as threads:
        for number in range(min(len(given), _FRESH_CALLS)):
            time.sleep(max(0.0, began + number / per_s - time.perf_counter()))
            asked.append(threads.submit(one, number))
        p50, p99 = np.percentile([each.result() for each in asked], (50, 99))
    return {"fresh_p50": float(p50), "fresh_p99": float(p99)}


def _of(checkout: Path, count: int, log_url: str) -> float:
    """Seconds of another checkout's service, by this file."""
    command = [sys.executable, str(Path(__file__).resolve()), "--service-alone", "--texts", str(count)]
    command += ["--log", log_url] if log_url else []
    path = os.pathsep.join([str(checkout), str(checkout / "protos")])
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{checkout} cannot be measured:\n{done.stderr[-2000:]}")
    seconds: float = json.loads(done.stdout.splitlines()[-1])["seconds"]
    return seconds


if __name__ == "__main__":
    sys.exit(main())
