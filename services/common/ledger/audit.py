"""Who did what: one page of it at a time, the newest first; and the record of what is done to the service itself.

What is done in a namespace its ledger entries tell. Acts that no ledger entry is of (tokens, shards, rebuilds, dead
letters) lie in a topic of their own, an ``AuditEntry`` each, and expire there. They name principals, as the ledger
does, and no namespace: a name has to go with its namespace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mneme.v1.admin_pb2 import AuditAction, AuditEntry

from services.common.ledger import topics
from services.common.log.base import Log, Message
from services.common.serving import clocks
from services.common.serving.pages import PAGE_BYTES, no_such_page

STARTER = "mneme up"  # who does what a start does by itself
_CHUNK = 100  # entries read at once
_LOOKED_AT = 500  # entries of a page, shown or not
_CLOCKS_APART = timedelta(hours=1)  # between processes that write: entries lie about in order of time
_TOKEN = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries a caller asks for."""

    principal: str = ""  # "": anybody's
    actions: frozenset[AuditAction] = frozenset()  # none: all
    start: datetime | None = None
    end: datetime | None = None

    def takes(self, entry: AuditEntry) -> bool:
        at = clocks.moment(entry.at)
        return (
            self.principal in ("", entry.principal)
            and (not self.actions or entry.action in self.actions)
            and (self.start is None or at >= self.start)
            and (self.end is None or at < self.end)
        )

    def is_past(self, entry: AuditEntry) -> bool:
        """Whether nothing before this entry is of the time that is asked for."""
        return self.start is not None and clocks.moment(entry.at) < self.start - _CLOCKS_APART


@dataclass(frozen=True, slots=True)
class AuditPage:
    entries: list[AuditEntry]
    next_page_token: str  # "" on the last page


def newest_first(
    read: Callable[[int, int], Iterable[tuple[int, AuditEntry | None]]], end: int, wanted: Wanted, size: int
) -> AuditPage:
    """Of what ``read`` gives of places [start, end), each with its place, in order; None where it is not to be told.

    A page looks at a bounded number of places, and says where to go on. Where ``read`` gives nothing at all, nothing
    lies before either.
    """
    found: list[AuditEntry] = []
    room, at = PAGE_BYTES, end
    while at > max(0, end - _LOOKED_AT):
        start = max(0, at - _CHUNK)
        chunk = list(read(start, at))
        for place, entry in reversed(chunk):
            if entry is None:
                continue
            if wanted.is_past(entry):
                return AuditPage(found, "")
            if wanted.takes(entry):
                found.append(entry)
                room -= entry.ByteSize()
            if len(found) >= size or room < 0:
                return AuditPage(found, _token(place))
        at = start if chunk else 0
    return AuditPage(found, _token(at))


def place_in(token: str) -> int:
    """Where the page of a token begins. INVALID_FIELD."""
    if not _TOKEN.fullmatch(token):
        raise no_such_page()
    return int(token)


def _token(place: int) -> str:
    return str(place) if place else ""


# --- of the service itself ---


def act(action: AuditAction, principal: str, *, subject: str = "", count: int = 0, issued_to: str = "") -> Message:
    """To append with what is done, or before it: what could not be recorded is not done."""
    entry = AuditEntry(action=action, principal=principal, subject=subject, count=count, issued_to=issued_to)
    entry.at.CopyFrom(clocks.now())
    return Message(topics.AUDIT, b"", entry.SerializeToString(), partition=0)


def acts(log: Log, wanted: Wanted, size: int, token: str) -> AuditPage:
    """A page of what was done to the service. INVALID_FIELD; LogError."""

    def read(start: int, end: int) -> Iterable[tuple[int, AuditEntry]]:
        for record in log.read(topics.AUDIT, 0, start, end):
            yield record.offset, AuditEntry.FromString(record.value or b"")

    end = log.end_offset(topics.AUDIT, 0)
    return newest_first(read, min(end, place_in(token)) if token else end, wanted, size)
