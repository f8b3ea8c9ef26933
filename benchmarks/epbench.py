"""EpBench's long book (Huet et al., ICLR 2025) as a conversation: a paragraph an observation, a chapter a session.

Its development questions with at most one chapter as answer: 92 of 180 have none. Chapters come in reading order, a
day apart; the dates that they speak of are in the text only, as for a reader.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.locomo import Conversation, Question
from services.episodic.plugins.base import Interval, Record

NAME = "epbench"
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def folder() -> Path | None:
    """The data set's folder, where MNEME_EVAL_DATA says; None where there is none."""
    data = os.environ.get("MNEME_EVAL_DATA")
    found = Path(data) / "epbench" if data else None
    return found if found is not None and found.is_dir() else None


def load(data: Path) -> Conversation:
    """The book and its questions; the evidence of one is every paragraph of its chapter, empty where there is none."""
    book = json.loads((data / "book_196_chapters.json").read_text())
    sessions: list[tuple[Record, ...]] = []
    for chapter in book:
        sessions.append(_paragraphs(chapter, sum(map(len, sessions))))
    of = {c["chapter"]: frozenset(r.id for r in s) for c, s in zip(book, sessions, strict=True)}
    questions = [
        Question(q["question"], frozenset().union(*(of[c] for c in q["correct_answer_chapters"])), 0)
        for q in json.loads((data / "questions_dev.json").read_text())
        if q["n_chapters"] <= 1
    ]
    return Conversation(NAME, ("", ""), tuple(sessions), tuple(questions))


def _paragraphs(chapter: dict[str, Any], first: int) -> tuple[Record, ...]:
    at = _FIRST + timedelta(days=chapter["chapter"])
    return tuple(
        Record(
            id=f"c{chapter['chapter']}/{i}",
            namespace=NAME,
            kind="turn",
            text=text,
            event=Interval(at, at),
            session=f"c{chapter['chapter']}",
            seq=first + i,
        )
        for i, text in enumerate(line.strip() for line in chapter["text"].split("\n") if line.strip())
    )
