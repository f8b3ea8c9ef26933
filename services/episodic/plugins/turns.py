"""One key a base record: what was said, by whom, after what, and when.

A short turn is seldom whole by itself ("Yes, in May!"): the question that brought it up holds the words that one will
search for. So its key is its own text with the speaker, then as many words of the turn before it as its own text
leaves room for, then its date in words; a long paragraph speaks for itself. The own text comes first because the
embedder weighs what comes first, and cuts at 256 tokens. Source: LongMemEval's key
expansion (Wu et al., ICLR 2025) without its model; measured in docs/methods.md.

Reads the turn before it in the session, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from services.episodic.plugins.base import Context, Event, Key, Observed, Operation, Patch, Plugin, Record


@dataclass(frozen=True)
class Turns(Plugin):
    """``words``: the turn before is cut, from its end, so that both have that many together; 0 for none of it."""

    name: ClassVar[str] = "turns"
    words: int = 60

    def encode(self, event: Event, ctx: Context) -> Sequence[Operation]:
        if not isinstance(event, Observed):
            return ()
        record = event.record
        before, _ = ctx.neighbours(record, 1, 0) if self._room(record) else ((), ())
        key = Key("context", self._text(record, before[-1] if before else None))
        return [Patch(record.id, "keys", (key,), record.seq)]

    def _text(self, record: Record, previous: Record | None) -> str:
        lines = [said(record)]
        if previous is not None:
            lines.append(spoken(previous, " ".join(previous.text.split()[-self._room(record) :])))
        lines.append(day_words(record.event.start))
        return "\n".join(lines)

    def _room(self, record: Record) -> int:
        return max(0, self.words - len(record.text.split()))


def said(record: Record) -> str:
    """A record's text behind who said it."""
    return spoken(record, record.text)


def spoken(record: Record, text: str) -> str:
    return f"{speaker(record)} {text}" if record.actor else text


def speaker(record: Record) -> str:
    """Who said it, as keys have it: the colon tells a name from a word ("Will")."""
    return f"{record.actor}:" if record.actor else ""


def day_words(moment: datetime) -> str:
    """A date as one would say it: "8 April 1888, Sunday"."""
    return f"{moment.day} {moment:%B} {moment.year}, {moment:%A}"
