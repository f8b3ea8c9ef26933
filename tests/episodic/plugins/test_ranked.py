"""What comes first in small memories of ``ranked.yaml``, a kind of fault each: open sessions and closed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.episodic.plugins import build
from services.episodic.plugins.base import EpisodeClosed, Record
from services.episodic.plugins.exact import ExactHost
from services.episodic.plugins.pipeline import Recalled
from tests.episodic.plugins import world

CASES: Mapping[str, Sequence[Any]] = yaml.safe_load(Path(__file__).with_name("ranked.yaml").read_text(encoding="utf-8"))
NOW = datetime(2026, 3, 14, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def told(lines: Sequence[str], days: Sequence[date] = (), apart: bool = False) -> list[Record]:
    """Turns of "who: text", in one session a day; ``apart``: each in its own. Said on ``days``, "who: " left out."""
    turns = []
    for n, line in enumerate(lines):
        day = days[n] if days else date(2025, 2, 1)
        actor, _, text = ("", "", line) if days else line.partition(":")
        at = datetime.combine(day, time(9), UTC) + n * MINUTE
        turns.append(world.turn(n, f"{day} {n if apart else ''}", actor, text.strip(), at))
    return turns


def memory(turns: Sequence[Record], closed: bool = True) -> ExactHost:
    sessions: dict[str, list[Record]] = {}
    for turn in turns:
        sessions.setdefault(turn.session, []).append(turn)
    ends = [EpisodeClosed(f"e{n}", n, tuple(some), "session ended", some[-1].seq) for n, some in sessions.items()]
    return world.host(build(world.SHIPPED), [*turns, *(ends if closed else ())])


def ask(host: ExactHost, question: str, known: datetime | None = None) -> Recalled:
    return world.ask(host, replace(world.query(question), asked_at=NOW, known=known))


def first(host: ExactHost, question: str, known: datetime | None = None) -> str:
    return world.texts(ask(host, question, known))[0]


def asked(case: Any) -> str:
    return str(case["question"] if isinstance(case, dict) else case[-1])


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
@pytest.mark.parametrize(
    "case",
    [c for kind in ("own_words", "topics", "statements", "namings", "doubtful_times") for c in CASES[kind]],
    ids=asked,
)
def test_the_answer_is_first(case: Mapping[str, Any], closed: bool) -> None:
    turns = told(case["turns"], case.get("at", ()))
    assert first(memory(turns, closed), case["question"]) == turns[case["first"]].text


@pytest.mark.parametrize("apart", [True, False], ids=["a session each", "one session"])
@pytest.mark.parametrize("case", CASES["by_id"], ids=asked)
def test_of_lines_that_differ_in_an_id_the_one_asked_for_is_first(case: Mapping[str, str], apart: bool) -> None:
    numbers = range(10, 50)
    host = memory(told([":" + case["line"].format(n=n) for n in numbers], apart=apart))
    got = {n: first(host, case["question"].format(n=n)) for n in numbers[::5]}
    assert {n: text for n, text in got.items() if text != case["line"].format(n=n)} == {}


def test_the_first_of_many_alike_is_among_those_that_are_looked_at() -> None:
    """Nothing stands before it, so by its key it is no nearer than the others; its id alone tells."""
    lines = [f"Parcel PK-{n:02} for Quill Books was signed by X." for n in range(80)]
    host = memory(told([f":{line}" for line in lines]), closed=False)
    assert first(host, "Who signed parcel PK-00?") == lines[0]


@pytest.mark.parametrize("apart", [True, False], ids=["a session each", "one session"])
@pytest.mark.parametrize("case", CASES["updates"], ids=asked)
def test_the_later_word_is_first_and_the_earlier_as_of_before_it(case: Sequence[str], apart: bool) -> None:
    earlier, later, question = case
    between = earlier.partition(":")[0] + ": It rained all week."
    turns = told([earlier, between, later], apart=apart)
    host = memory(turns)
    assert first(host, question) == turns[2].text
    assert first(host, question, known=turns[2].event.start - MINUTE / 2) == turns[0].text


@pytest.mark.parametrize("case", CASES["no_updates"], ids=asked)
def test_another_fact_said_later_is_no_update(case: Sequence[str]) -> None:
    answer, later, question = case
    turns = told([answer, later], apart=True)
    assert first(memory(turns), question) == turns[0].text


@pytest.mark.parametrize("apart", [True, False], ids=["a session each", "one session"])
@pytest.mark.parametrize("case", CASES["echoes"], ids=lambda case: str(case[1]))
def test_for_key_words_too_what_tells_more_comes_before_what_only_repeats_them(case: Any, apart: bool) -> None:
    lines, query, answer = case
    turns = told(lines, apart=apart)
    assert first(memory(turns), query) == turns[answer].text
