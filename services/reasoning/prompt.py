"""From what was recalled to a prompt. Pure functions.

What several questions share comes first: the instruction, then the notes in order of time, and the question last. So
the next question over the same notes finds their blocks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.common.text import lexical
from services.reasoning.blocks import Lineage, Span
from services.reasoning.models.tokenizer import ChatTokenizer
from services.reasoning.passages import excerpt

INSTRUCTION = (
    "You answer questions from notes. Answer in one or two short sentences, with what the notes say and nothing else. "
    "If the notes do not hold the answer, say that they do not."
)
_SYSTEM = {"role": "system", "content": INSTRUCTION}
# What begins a line, or moves on one: characters that are no text.
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NOTE_MARGIN = 8  # tokens of a note's frame, beside its text, speaker and date
# Tokens of a note: a longer one is cut to the passages that answer. A small model finds nothing in more, and reads 300
# of them in a second on two cores.
_LONG = 256
_CHARACTERS = 16  # that a token holds at most, nearly always; what is longer is not tokenised to be told so


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
    # Those that found room, in order of rank, with the text that is in the prompt.
    notes: tuple[Note, ...]


def one_line(text: str) -> str:
    """``text`` without line breaks or control characters: in a prompt of lines, nobody's words begin another's line."""
    return _BREAKS.sub(" ", text).strip()


def ask_prompt(tokenizer: ChatTokenizer, question: str, notes: Sequence[Note], room: int) -> Prompt:
    """The prompt for ``question`` over as many ``notes`` (best first) as ``room`` tokens hold, the long ones cut.

    Without a note where not even a passage of the best one fits. TooLong when the question alone is.
    """
    room -= len(tokenizer.encode_chat_in_parts([_SYSTEM], "user", _parts(question, ()), most=room)[0])
    kept: list[Note] = []
    for note in notes:
        shown = _shown(tokenizer, question, note, min(room, _LONG)) if room > _NOTE_MARGIN else None
        if shown is None:
            break
        kept.append(shown)
        room -= _cost(tokenizer, shown)
    ordered = sorted(kept, key=lambda n: (n.when, n.namespace, n.engram_id))
    ids, starts = tokenizer.encode_chat_in_parts([_SYSTEM], "user", _parts(question, ordered))
    spans = [Span(start, note.lineage) for start, note in zip(starts[1:], ordered, strict=False)]
    return Prompt(tuple(ids), tuple(spans), tuple(kept))


def _shown(tokenizer: ChatTokenizer, question: str, note: Note, room: int) -> Note | None:
    """The note, or what of it answers the question in so many tokens; None where nothing of it fits."""
    if len(note.text) <= _LONG * _CHARACTERS and _cost(tokenizer, note) <= room:
        return note
    text = excerpt(question, note.text, lambda part: _cost(tokenizer, replace(note, text=part)) <= room)
    return replace(note, text=text) if text else None


def _cost(tokenizer: ChatTokenizer, note: Note) -> int:
    return len(tokenizer.encode(note.line())) + _NOTE_MARGIN


def support(wording: str, notes: Sequence[Note]) -> list[tuple[Note, float]]:
    """For each note that holds any of the wording's words, by stem, the share of them that it holds.

    The greatest first, ties in order. A note that was read and left no word in the wording supports nothing.
    """
    words = set(lexical.terms(wording))
    held = [(note, words & set(lexical.terms(note.line()))) for note in notes]
    return sorted(((note, len(found) / len(words)) for note, found in held if found), key=lambda each: -each[1])


def _parts(question: str, ordered: Sequence[Note]) -> list[str]:
    """What the user says: how the notes begin, each note, the question."""
    return ["Notes:\n", *(note.line() for note in ordered), f"\nQuestion: {one_line(question)}"]
