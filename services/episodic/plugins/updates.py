"""What holds now comes before what held: for a question in the present, a speaker's later word before the earlier.

"Where does Ida work?" matches "I work at the bakery" better than "I left the bakery, I am at the post office now",
which shares no word with it. So a hit goes behind a later one of the same speaker that says a change ("now", "left",
"no longer") and speaks of the same: it shares ``SHARED`` of the earlier one's words, or all that the earlier one has of
the question. A question about the past, or about a time, is left alone, and so is a text that is asked for by its own
words. English only: elsewhere it changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import ClassVar

from services.episodic.plugins.base import Context, Plan, Plugin, Ranked
from services.episodic.plugins.spoken import bare
from services.episodic.plugins.turns import speaker

SHARED = 0.25
_PRESENT = re.compile(r"\b(?:is|are|am|does|do|has|have|now|current(?:ly)?|still|these days)\b|\w['’]s\b", re.I)
_PAST = re.compile(
    r"\b(?:was|were|did|had|used to|original(?:ly)?|before|previous(?:ly)?|earlier|former(?:ly)?|first|ever|when"
    r"|long|yet|ago|last|been)\b",
    re.I,
)
_CHANGE = re.compile(
    r"\b(?:now|no longer|any\s?more|instead|left|quit|resigned|moved|switched|changed|replaced|stopped|gave up|sold"
    r"|became|become|used to|cancell?ed|postponed|rescheduled|retired|renamed|broke up|divorced|correction)\b",
    re.I,
)


@dataclass(frozen=True)
class Updates(Plugin):
    """``looked_at``: how many of the best hits are compared with every later one."""

    name: ClassVar[str] = "updates"
    looked_at: int = 5

    def rerank(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Sequence[Ranked]:
        text = plan.query.text
        if plan.time is not None or plan.anchor is not None or not _PRESENT.search(text) or _PAST.search(text):
            return items
        if items and bare(items[0].record.text) == bare(text):
            return items  # it was asked for by its own words
        ordered, asked = list(items), set(ctx.terms(text))
        changes = [item for item in items if _CHANGE.search(item.record.text)]
        for earlier in items[: self.looked_at]:
            later = [c for c in changes if _comes_later(c, earlier) and _speaks_of_the_same(c, earlier, asked, ctx)]
            if later:
                newest = max(later, key=lambda item: (item.record.event.start, item.record.id))
                ordered = _before(ordered, newest, earlier)
        return ordered


def _comes_later(item: Ranked, earlier: Ranked) -> bool:
    new, old = item.record, earlier.record
    return (new.namespace, new.actor) == (old.namespace, old.actor) and new.event.start > old.event.start


def _speaks_of_the_same(item: Ranked, earlier: Ranked, asked: Set[str], ctx: Context) -> bool:
    told, of_before = set(ctx.terms(item.record.text)), set(ctx.terms(earlier.record.text))
    of_question = (asked & of_before) - set(ctx.terms(speaker(item.record)))
    return len(told & of_before) >= SHARED * max(1, len(of_before)) or bool(of_question and of_question <= told)


def _before(ordered: Sequence[Ranked], newest: Ranked, earlier: Ranked) -> list[Ranked]:
    """``newest`` right before ``earlier``, with its score, unless it is there already."""
    at, to = (next(n for n, i in enumerate(ordered) if i.record == one.record) for one in (newest, earlier))
    if at < to:
        return list(ordered)
    why = f"{newest.why}; " if newest.why else ""
    lifted = replace(newest, score=ordered[to].score, why=f"{why}said later than the next")
    return [*ordered[:to], lifted, *(i for i in ordered[to:] if i.record != newest.record)]
