"""Long texts are read in pieces: others come in between, and what is found is what is found in the whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.text import extract, shared_model, tagger
from services.common.text.extract import Extractor
from services.common.text.shared_model import PIECE, stretches

DIARY = (Path(__file__).parents[2] / "examples" / "diary" / "source.txt").read_text()[10_000:16_000]


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    made = Extractor()
    made.load()
    return made


@pytest.fixture(params=["names", "parts of speech"])
def reader(request: pytest.FixtureRequest, extractor: Extractor) -> tuple[Callable[[str], object], ModuleType, str]:
    """What reads a text, and where it takes what it wants of the model's reading."""
    tagger.load()
    return (extractor.find, extract, "_labels") if request.param == "names" else (tagger.tag, tagger, "_tokens")


def test_a_short_text_does_not_wait_for_the_end_of_a_long_one(
    reader: tuple[Callable[[str], object], ModuleType, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the order of the pieces, which a busy machine does not change."""
    read, module, name = reader
    take, order, begun = getattr(module, name), list[threading.Thread](), threading.Event()

    def watched(reading: Any, at: int) -> Iterator[object]:
        order.append(threading.current_thread())
        begun.set()
        return take(reading, at)  # type: ignore[no-any-return]

    monkeypatch.setattr(module, name, watched)
    long = threading.Thread(target=read, args=("Ann 3 met the mayor of Paris on 5 May 2024. " * 300,))
    short = threading.Thread(target=read, args=("Bob went to Berlin.",))
    long.start()
    assert begun.wait(10)
    short.start()
    short.join()
    long.join()
    assert order.count(short) == 1
    assert order[-1] is long


def test_what_is_found_in_pieces_is_what_is_found_in_the_whole(
    reader: tuple[Callable[[str], object], ModuleType, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, _, _ = reader
    in_pieces = read(DIARY)
    monkeypatch.setattr(shared_model, "PIECE", len(DIARY))
    assert in_pieces == read(DIARY)


def test_a_long_run_without_a_space_is_cut() -> None:
    tokens = tagger.tag("Zed met Ann " + "[" * 3 * PIECE)
    assert [t.text for t in tokens] == ["Zed", "met", "Ann", *"[" * 3 * PIECE]
    assert [t.start for t in tokens[3:]] == list(range(12, 12 + 3 * PIECE))


@given(st.text(st.sampled_from("Aa. \n\t["), min_size=1, max_size=40), st.integers(1, 4 * PIECE))
def test_the_pieces_are_the_text(unit: str, size: int) -> None:
    text = (unit * size)[:size]
    at = 0
    for stretch in stretches(text):
        assert at == stretch.start < stretch.end <= stretch.start + PIECE
        assert stretch.start - PIECE < stretch.low <= stretch.start
        assert stretch.end <= stretch.high <= min(len(text), stretch.end + PIECE)
        at = stretch.end
    assert at == len(text)
