"""The Sign of Four as a conversation: a paragraph an observation, a chapter a session; and forty questions about it.

Nothing of Mneme was chosen on this text, and nothing may be: what is measured here tells how the settings carry over.
The text is a file of ELTeC-eng (public domain) in MNEME_EVAL_DATA; only the questions are kept here. It has no dates
of its own, so chapter n is dated to day n, and nobody is named as the speaker.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmarks.locomo import Conversation
from services.episodic.plugins.base import Interval, Record

NAME = "untouched"
ARCHIVE = Path("eltec-novels") / "novels_dev.tar.xz"
NOVEL = "ENG18900_Doyle.txt"
SHA256 = "7d67088c24dcae6d0718dbadabc6fbcecdfcbcdb43a401ac69815fe8bdcedc4f"
QUESTIONS = Path(__file__).with_name("questions.yaml")
_CHAPTER = re.compile(r"CHAPTER [IVXL]+\. .+")
_BEFORE = datetime(1889, 12, 31, tzinfo=UTC)  # day 1 is the first of the year in which the book came out


class DataError(Exception):
    """The text is absent or not the one that the questions were written from."""


def read() -> str:
    """The novel, out of the archive that MNEME_EVAL_DATA holds. DataError."""
    data = os.environ.get("MNEME_EVAL_DATA")
    if not data or not (Path(data) / ARCHIVE).is_file():
        raise DataError(f"MNEME_EVAL_DATA names no folder with {ARCHIVE}.")
    with tarfile.open(Path(data) / ARCHIVE, "r:xz") as archive:
        member = next((m for m in archive if m.name == NOVEL), None)
        file = archive.extractfile(member) if member is not None else None
        if file is None:
            raise DataError(f"{ARCHIVE} holds no {NOVEL}.")
        content = file.read()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise DataError(f"{NOVEL} is another text: SHA-256 {found}, not {SHA256}.")
    return content.decode()


def questions() -> list[dict[str, Any]]:
    """The forty: id, type, question, evidence; expect where there is an answer, why where there is none."""
    loaded: list[dict[str, Any]] = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))
    return loaded


def conversation(text: str) -> Conversation:
    """The chapters in order, their headings left out: ids ``c<chapter>-p<paragraph>``, both counted from 1."""
    chapters: list[list[Record]] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        if _CHAPTER.fullmatch(block.strip()):
            chapters.append([])
        else:
            chapters[-1].append(_paragraph(len(chapters), len(chapters[-1]) + 1, sum(map(len, chapters)), block))
    return Conversation(NAME, ("", ""), tuple(map(tuple, chapters)), ())


def _paragraph(chapter: int, number: int, seq: int, block: str) -> Record:
    at = _BEFORE + timedelta(days=chapter)
    return Record(
        id=f"c{chapter}-p{number}",
        namespace=NAME,
        kind="turn",
        text=block.strip(),
        event=Interval(at, at),
        session=f"c{chapter}",
        seq=seq,
    )


def missing(asked: Sequence[dict[str, Any]], book: Conversation) -> list[str]:
    """Evidence that the text does not hold, each with its question's id."""
    known = {record.id for chapter in book.sessions for record in chapter}
    return [f"{q['id']}: {id}" for q in asked for id in q["evidence"] if id not in known]
