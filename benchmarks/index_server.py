"""Recall with a Milvus server beside the embedded index, the same turns and questions in one run.

    infra/milvus/up
    python -m benchmarks.index_server [--uri http://127.0.0.1:19530] [--turns 1000] [--seconds 20]

The server is emptied of what another run left. Prints both latencies, while 20 observations a second arrive, and how
many of the ten best both give alike.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import yaml

from benchmarks.recall import DIARY, fill, measure, recall, turns
from services.cli.local import environment, serving
from services.episodic.search.milvus import MilvusIndex


def run(uri: str, count: int, seconds: float) -> tuple[np.ndarray, list[set[str]]]:
    """Milliseconds of recalls, and the ids of the observations that each of the diary's questions finds."""
    questions = [q["question"] for q in yaml.safe_load((DIARY / "questions.yaml").read_text())]
    with (
        tempfile.TemporaryDirectory(prefix="mneme-bench-") as folder,
        serving(environment(Path(folder), episodic__index_uri=json.dumps(uri))) as local,
    ):
        source = turns()
        fill(local.client, source, count)
        found = [{i.engram.external_id for i in recall(local.client, q).items} for q in questions]
        return measure(local, source, seconds), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--uri", default="http://127.0.0.1:19530")
    parser.add_argument("--turns", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    index = MilvusIndex(given.uri)
    for generation in index.generations():
        index.drop(generation)
    index.close()
    embedded, exact = run("", given.turns, given.seconds)
    server, found = run(given.uri, given.turns, given.seconds)
    alike = np.mean([len(a & b) / max(1, len(a)) for a, b in zip(exact, found, strict=True)])
    for name, taken in (("embedded", embedded), ("server", server)):
        print(f"{name}: recall p50 {np.percentile(taken, 50):.1f} ms, p99 {np.percentile(taken, 99):.1f} ms")
    ratio = np.percentile(server, 50) / np.percentile(embedded, 50)
    print(f"server / embedded: p50 x {ratio:.2f}; found by both: {alike:.1%}")


if __name__ == "__main__":
    main()
