"""One engram an episode, over its members: the larger grain at which a turn is also matched.

Its text is its members' texts in order, behind their speakers and the episode's date; it is matched by terms only
(the embedder would cut it). Erasing a member makes it again from those that are left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.common.text.limits import MAX_TEXT_BYTES
from services.episodic.plugins.base import (
    Context,
    EpisodeClosed,
    Event,
    Interval,
    Key,
    Operation,
    Plugin,
    Put,
    Record,
)
from services.episodic.plugins.turns import day_words, said


@dataclass(frozen=True)
class Episodes(Plugin):
    name: ClassVar[str] = "episodes"

    def encode(self, event: Event, ctx: Context) -> Sequence[Operation]:
        if not isinstance(event, EpisodeClosed) or not event.members:
            return ()
        members = event.members
        start, end = min(m.event.start for m in members), max(m.event.end for m in members)
        text = _cut("\n".join(said(m) for m in members))
        record = Record(
            id=event.episode_id,
            namespace=members[0].namespace,
            kind="episode",
            text=text,
            event=Interval(start, end),
            session=event.session,
            source=members[0].source if len({m.source for m in members}) == 1 else "",
            people=_union(m.people for m in members),
            places=_union(m.places for m in members),
            keys=(Key("episode", f"{text}\n{day_words(start)}", use="lexical"),),
            sources=tuple(m.id for m in members),
            seq=event.seq,
        )
        return [Put(record)]


def _union(names: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for group in names for n in group))


def _cut(text: str) -> str:
    """At most the 60,000 bytes that an engram may hold."""
    return text.encode()[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
