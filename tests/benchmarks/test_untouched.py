"""The forty questions on a text that nothing was tuned on: well formed, and every evidence is in the text."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import untouched
from benchmarks.locomo import Conversation
from benchmarks.untouched import __main__ as command

PARAGRAPH = re.compile(r"\bc\d+-p\d+\b")
TINY = "CHAPTER I. A START.\n\nOne.\n\nTwo.\n\nCHAPTER II. AN END.\n\nThree.\n"


@pytest.fixture(scope="module")
def book() -> Conversation:
    try:
        return untouched.conversation(untouched.read())
    except untouched.DataError as error:
        pytest.skip(f"needs the evaluation data: {error}")


def test_forty_questions_ten_of_them_unanswerable() -> None:
    asked = untouched.questions()
    assert [q["id"] for q in asked] == [f"q{n:02}" for n in range(1, 41)]
    assert len({q["question"] for q in asked}) == 40
    kinds = Counter(q["type"] for q in asked)
    assert kinds == {"who": 8, "where": 7, "what": 8, "when": 3, "relative": 4, "unanswerable": 10}


@pytest.mark.parametrize("question", untouched.questions(), ids=lambda q: q["id"])
def test_a_question_has_evidence_or_a_reason_why_there_is_none(question: dict[str, object]) -> None:
    assert str(question["question"]).endswith("?")
    if question["type"] == "unanswerable":
        assert question.keys() == {"id", "type", "question", "evidence", "why"}
        assert question["evidence"] == []
        assert question["why"]
    else:
        assert question.keys() == {"id", "type", "question", "expect", "evidence"}
        assert question["expect"]
        evidence = question["evidence"]
        assert isinstance(evidence, list)
        assert len(evidence) == len(set(evidence)) > 0
        assert all(PARAGRAPH.fullmatch(id) for id in evidence)


def test_every_paragraph_that_is_named_is_in_the_text(book: Conversation) -> None:
    known = {record.id for chapter in book.sessions for record in chapter}
    asked = untouched.questions()
    assert len(book.sessions) == 12
    assert untouched.missing(asked, book) == []
    assert [id for q in asked for id in PARAGRAPH.findall(q.get("why", "")) if id not in known] == []


def test_paragraphs_are_counted_without_headings_and_a_chapter_is_a_day() -> None:
    book = untouched.conversation(TINY)
    assert [(r.id, r.text, r.seq, r.session, r.event.start.day) for c in book.sessions for r in c] == [
        ("c1-p1", "One.", 0, "c1", 1),
        ("c1-p2", "Two.", 1, "c1", 1),
        ("c2-p1", "Three.", 2, "c2", 2),
    ]


def test_evidence_that_is_not_in_the_text_is_named() -> None:
    asked = [{"id": "q01", "evidence": ["c1-p2", "c1-p3"]}, {"id": "q02", "evidence": ["c9-p1"]}]
    assert untouched.missing(asked, untouched.conversation(TINY)) == ["q01: c1-p3", "q02: c9-p1"]


def test_the_diary_to_compare_with_is_the_demos() -> None:
    questions, book = command.diary()
    assert (len(questions), sum(map(len, book.sessions)), len(book.sessions)) == (40, 599, 169)
    assert untouched.missing(questions, book) == []


def run(monkeypatch: pytest.MonkeyPatch, data: Path) -> int:
    monkeypatch.setenv("MNEME_EVAL_DATA", str(data))
    monkeypatch.setattr("sys.argv", ["untouched"])
    return command.main()


def test_without_the_data_it_exits_1_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path) == 1
    assert "MNEME_EVAL_DATA names no folder with eltec-novels/novels_dev.tar.xz" in capsys.readouterr().err


def test_another_text_exits_1_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / untouched.NOVEL
    text.write_text(TINY)
    archive = tmp_path / untouched.ARCHIVE
    archive.parent.mkdir()
    with tarfile.open(archive, "w:xz") as made:
        made.add(text, untouched.NOVEL)
    assert run(monkeypatch, tmp_path) == 1
    assert "is another text" in capsys.readouterr().err
