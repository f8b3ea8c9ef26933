"""From what was recalled to a prompt. Pure functions.

What several questions share comes first: the instruction, then the notes in order of time, and the question last. So
the next question over the same notes finds their blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.common import lexical
from services.reasoning.blocks import Lineage, Span
from services.reasoning.models.tokenizer import ChatTokenizer

INSTRUCTION = (
    "You answer questions from notes. Answer in one or two short sentences, with what the notes say and nothing else. "
    "If the notes do not hold the answer, say that they do not."
)
_SYSTEM = {"role": "system", "content": INSTRUCTION}
# What begins a line, or moves on one: characters that are no text.
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NOTE_MARGIN = 8  # tokens of a note's frame, beside its text, speaker and date


@dataclass(frozen=True, slots=True)
class Note:
    """A recalled text as the model sees it."""

    namespace: str
    engram_id: str
    text: str
    actor: str
    # "1888-04-06"; the notes are put in this order.
    when: str
    # Itself, and the base engrams that it was computed from.
    lineage: Lineage

    def line(self) -> str:
        actor = one_line(self.actor)
        said = f"{actor}: " if actor else ""
        return f"[{self.when}] {said}{one_line(self.text)}\n"


@dataclass(frozen=True, slots=True)
class Prompt:
    ids: tuple[int, ...]
    # Where the text of which engrams begins.
    spans: tuple[Span, ...]
    # Those that found room, in order of rank.
    notes: tuple[Note, ...]


def one_line(text: str) -> str:
    """``text`` without line breaks or control characters: in a prompt of lines, nobody's words begin another's line."""
    return _BREAKS.sub(" ", text).strip()


def ask_prompt(tokenizer: ChatTokenizer, question: str, notes: Sequence[Note], room: int) -> Prompt:
    """The prompt for ``question`` over as many whole ``notes`` (best first) as ``room`` tokens hold.

    It may be longer than ``room`` when the question alone is.
    """
    room -= len(tokenizer.encode_chat(_messages(question, ())))
    kept: list[Note] = []
    for note in notes:
        cost = len(tokenizer.encode(note.line())) + _NOTE_MARGIN
        if cost > room:
            break
        kept.append(note)
        room -= cost
    ordered = sorted(kept, key=lambda n: (n.when, n.namespace, n.engram_id))
    ids = tokenizer.encode_chat(_messages(question, ordered))
    spans = []
    for at, note in enumerate(ordered):
        before = tokenizer.encode_chat([_SYSTEM, {"role": "user", "content": _notes(ordered[:at])}])
        spans.append(Span(_common(ids, before), note.lineage))
    return Prompt(tuple(ids), tuple(spans), tuple(kept))


def support(wording: str, notes: Sequence[Note]) -> list[tuple[Note, float]]:
    """For each note that holds any of the wording's words, by stem, the share of them that it holds.

    The greatest first, ties in order. A note that was read and left no word in the wording supports nothing.
    """
    words = set(lexical.terms(wording))
    held = [(note, words & set(lexical.terms(note.line()))) for note in notes]
    return sorted(((note, len(found) / len(words)) for note, found in held if found), key=lambda each: -each[1])


def _messages(question: str, ordered: Sequence[Note]) -> list[Mapping[str, str]]:
    return [_SYSTEM, {"role": "user", "content": f"{_notes(ordered)}\nQuestion: {one_line(question)}"}]


def _notes(ordered: Sequence[Note]) -> str:
    return "Notes:\n" + "".join(note.line() for note in ordered)


def _common(ids: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that both begin with: what comes before the text that only one of them holds."""
    return next((n for n, (a, b) in enumerate(zip(ids, other, strict=False)) if a != b), min(len(ids), len(other)))
