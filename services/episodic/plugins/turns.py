"""One key a base record: what was said, by whom, after what, and when.

A turn is seldom whole by itself ("Yes, in May!"): the question that brought it up holds the words that one will
search for. So its key is its own text with the speaker, then the turn before it, then its date in words. The own
text comes first because the embedder weighs what comes first, and cuts at 256 tokens. Source: LongMemEval's key
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
    """``previous_words``: how many of the last words of the turn before are taken; 0 for none."""

    name: ClassVar[str] = "turns"
    previous_words: int = 60

    def encode(self, event: Event, ctx: Context) -> Sequence[Operation]:
        if not isinstance(event, Observed):
            return ()
        record = event.record
        before, _ = ctx.neighbours(record, 1, 0) if self.previous_words else ((), ())
        key = Key("context", self._text(record, before[-1] if before else None))
        return [Patch(record.id, "keys", (key,), record.seq)]

    def _text(self, record: Record, previous: Record | None) -> str:
        lines = [said(record)]
        if previous is not None:
            lines.append(spoken(previous, " ".join(previous.text.split()[-self.previous_words :])))
        lines.append(day_words(record.event.start))
        return "\n".join(lines)


def said(record: Record) -> str:
    """A record's text behind who said it."""
    return spoken(record, record.text)


def spoken(record: Record, text: str) -> str:
    return f"{record.actor}: {text}" if record.actor else text


def day_words(moment: datetime) -> str:
    """A date as one would say it: "8 April 1888, Sunday"."""
    return f"{moment.day} {moment:%B} {moment.year}, {moment:%A}"
