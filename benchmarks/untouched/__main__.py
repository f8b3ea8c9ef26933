"""Forty questions on a text that nothing was tuned on: the demo's table and bars, out of sample.

    MNEME_EVAL_DATA=... python -m benchmarks.untouched
    python -m benchmarks.untouched --diary    # the demo's own text and questions the same way, to compare with

Over the exact host, as ``benchmarks.locomo``, with the plug-ins and the threshold of the shipped defaults; then
evidence in the first five by plain BM25. It measures: it exits 0 whatever the figures, and 1 only where the data are
absent or not what the questions were written from. Nothing may be tuned on what it prints.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import yaml

from benchmarks import locomo, untouched
from examples import demo
from services.common import config
from services.common.models.embed import Embedder
from services.episodic import plugins as listed
from services.episodic.config import EpisodicConfig
from services.episodic.plugins.base import Interval, Plugin, Record
from services.episodic.recall import confidence

FIRST = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and what was recalled for it."""

    question: dict[str, Any]
    items: tuple[Record, ...]  # best first
    found: bool
    seconds: float

    @property
    def answerable(self) -> bool:
        return bool(self.question["evidence"])

    @property
    def rank(self) -> int | None:
        """Rank of the first evidence among the first five; None when it is not there."""
        return next((n for n, r in enumerate(self.items, 1) if r.id in self.question["evidence"]), None)

    @property
    def wrong(self) -> str:
        """What went wrong, or nothing."""
        if not self.answerable:
            return "claims to have found it" if self.found else ""
        said = [] if self.rank else ["evidence not in the first five"]
        return "; ".join([*said, *([] if self.found else ['"not found"'])])


def ask(
    questions: Sequence[dict[str, Any]],
    book: locomo.Conversation,
    plugins: Sequence[Plugin],
    embedder: Embedder,
    threshold: float,
) -> list[Asked]:
    host = locomo.remember(book, plugins, embedder.embed)
    locomo.recall(host, book, "", FIRST)  # embeds the text, which is no question's time
    asked = []
    for question in questions:
        began = time.monotonic()
        recalled = locomo.recall(host, book, question["question"], FIRST)
        sure = confidence.assess(recalled.plan, recalled.ranked, host.context(book.asked_at))
        items = tuple(i.record for i in recalled.kept)
        asked.append(Asked(question, items, bool(items) and sure >= threshold, time.monotonic() - began))
    return asked


def novel() -> tuple[list[dict[str, Any]], locomo.Conversation]:
    """The untouched text's questions and paragraphs. DataError."""
    book, questions = untouched.conversation(untouched.read()), untouched.questions()
    if lost := untouched.missing(questions, book):
        raise untouched.DataError(f"Evidence that the text does not hold: {', '.join(lost)}.")
    return questions, book


def diary() -> tuple[list[dict[str, Any]], locomo.Conversation]:
    """The demo's questions and paragraphs."""
    lines = [json.loads(line) for line in (demo.HERE / "diary.jsonl").read_text(encoding="utf-8").splitlines()]
    entries = tuple(tuple(entry) for _, entry in groupby(map(_told, lines, range(len(lines))), lambda r: r.session))
    questions = yaml.safe_load((demo.HERE / "questions.yaml").read_text(encoding="utf-8"))
    return questions, locomo.Conversation(demo.NAMESPACE, ("", ""), entries, ())


def _told(line: dict[str, Any], seq: int) -> Record:
    at = datetime.fromisoformat(line["observed_at"])
    return Record(
        id=line["id"],
        namespace=demo.NAMESPACE,
        kind="turn",
        text=line["text"],
        event=Interval(at, at),
        session=line["session"],
        actor=line["actor"],
        seq=seq,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diary", action="store_true", help="the demo's text and questions, to compare with")
    try:
        questions, book = diary() if parser.parse_args().diary else novel()
    except untouched.DataError as error:
        print(error, file=sys.stderr)
        return 1
    shipped = config.load(environ={}).section("episodic", EpisodicConfig)
    embedder = Embedder.packaged(threads=2, remembered=50_000)
    asked = ask(questions, book, listed.build(shipped.plugins), embedder, shipped.confidence_threshold)
    plain = ask(questions, book, listed.build(locomo.VARIANTS[locomo.BASELINE]), embedder, 0.0)
    report(asked, plain)
    return 0


def report(asked: Sequence[Asked], baseline: Sequence[Asked]) -> None:
    demo.judge(asked)
    of = sum(a.answerable for a in baseline)
    print(f"  {locomo.BASELINE}: evidence in the first five {sum(a.rank is not None for a in baseline)}/{of}")
    for a in asked:
        if a.wrong:
            first = f"{a.items[0].id} {a.items[0].text[:60]!r}" if a.items else "nothing"
            print(f"  {a.question['id']} [{a.question['type']}] {a.wrong}; first {first}")


if __name__ == "__main__":
    sys.exit(main())
