"""A spaCy model that threads share: one text holds it for a bounded piece at a time, and whoever waits is next.

A piece is read with a few words around it. The models here look four tokens to either side, so that what they say of a
long text is what they would say of it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from services.common.serving.fair import InTurn

PIECE = 512  # characters, some 20 ms on one core
_LEAST = PIECE // 2
_AROUND = 80  # characters


class Placed(Protocol):
    @property
    def start(self) -> int: ...


T = TypeVar("T", bound=Placed)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Of a text: [start, end), and [low, high) around it."""

    start: int
    end: int
    low: int
    high: int


class SharedModel:
    """Thread-safe. Loads the model at the first call."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._turn = InTurn()
        self._model: Any = None

    def load(self) -> None:
        """ModelError when it is missing or another one."""
        if self._model is not None:
            return
        with self._turn:
            if self._model is None:
                self._model = self._load()

    def knows(self, word: str) -> bool:
        """Whether the vocabulary has it. Between pieces: during one it has every word of that too."""
        self.load()
        with self._turn:
            return word in self._model.vocab.strings

    def read(self, text: str, stretch: Stretch, take: Callable[[Any, int], Iterable[T]]) -> list[T]:
        """What ``take`` finds in the model's reading of a stretch, as far as it begins within [start, end). ``take``
        is also told where in ``text`` the reading begins.
        """
        self.load()
        # In a memory zone, so that the model's string table does not keep every word it ever read.
        with self._turn, self._model.memory_zone():
            taken = list(take(self._model(text[stretch.low : stretch.high]), stretch.low))
        return [each for each in taken if stretch.start <= each.start < stretch.end]


def stretches(text: str) -> Iterator[Stretch]:
    """A text in pieces of at most PIECE characters, cut behind a space where there is one; a short one whole.

    A piece that is cut inside a word is read without what lies behind the cut, so that each makes tokens of its own.
    """
    start = 0
    while start < len(text):
        end = len(text) if len(text) - start <= PIECE else _cut(text, start + _LEAST, start + PIECE)
        low = high = 0
        if start and text[start - 1].isspace():
            low = 1 + text.find(" ", start - _AROUND, start)
        if end < len(text) and text[end - 1].isspace():
            high = 1 + text.rfind(" ", end, end + _AROUND)
        yield Stretch(start, end, low or start, high or end)
        start = end


def _cut(text: str, low: int, high: int) -> int:
    return 1 + max(text.rfind(" ", low, high), text.rfind("\n", low, high)) or high
