"""The plug-in interface of the episodic service.

A plug-in is a set of pure functions that return operations; the host owns storage, order, identity and time.
Hooks never write: what they return is applied by the host, once per operation key, so every plug-in is
idempotent under redelivery. This spine runs six of the ten hooks (encode, link, plan, retrieve, rerank, compose) and
gives ``Context`` what they need; the others join when their first plug-in does.

A plug-in subclasses ``Plugin`` and overrides the hooks it has. It is registered by its line in
``services/episodic/plugins/__init__.py``; an unknown name, or parameter, in the configuration stops the start.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]  # shape [384], unit norm

Kind = Literal["turn", "episode", "session", "fact", "note", "entity", "summary", "case", "concept", "task"]
State = Literal["active", "archived", "superseded", "forgotten"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Half-open time range. Its moments carry the offset of the clock they were said on, or asked by: instants compare
    as they are, days by ``clocks.as_shown``."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """What retrieval matches: a text that stands for the record. The host embeds it and indexes its terms.

    A record without keys is matched by its own text, both ways. Embedding is what indexing costs: give a key only
    the use it earns.
    """

    granularity: str  # "turn", "context", "episode", ...
    text: str
    weight: float = 1.0  # its scores are multiplied by this
    use: Literal["both", "dense", "lexical"] = "both"


@dataclass(frozen=True, slots=True)
class Record:
    """One engram, as hooks see it. Immutable; ``replace`` makes a changed copy."""

    id: str
    namespace: str
    kind: Kind
    text: str
    event: Interval
    session: str = ""
    actor: str = ""
    source: str = ""
    people: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    times: tuple[Interval, ...] = ()  # what the text speaks of
    metadata: Mapping[str, str | float] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    sources: tuple[str, ...] = ()  # base ids; empty for a base record
    derived_from: tuple[str, ...] = ()  # of a base record: engrams that whoever sent it says it was made from
    links: tuple[tuple[str, str, float], ...] = ()  # (dst, relation, weight), sorted
    state: State = "active"
    superseded_by: str = ""
    made_by: str = ""
    seq: int = 0  # ledger offset of the newest source; orders a namespace

    @property
    def is_base(self) -> bool:
        return not self.sources


# --- operations -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    record: Record


@dataclass(frozen=True, slots=True)
class Patch:
    """Change one field of a record; last writer by ``seq`` wins. Base records: only ``keys`` and ``links``."""

    id: str
    field: str
    value: object
    seq: int


@dataclass(frozen=True, slots=True)
class Link:
    src: str
    relation: str
    dst: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Unlink:
    src: str
    relation: str
    dst: str


@dataclass(frozen=True, slots=True)
class Retire:
    id: str
    state: State
    reason: str
    superseded_by: str = ""


@dataclass(frozen=True, slots=True)
class Touch:
    """Counts distinct event ids, so a replayed read never inflates strength."""

    id: str
    event_id: str
    amount: float = 1.0


Operation = Put | Patch | Link | Unlink | Retire | Touch


# --- events (what triggers encode) ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Observed:
    """A base record was just made of an observation (or of Remember, or Correct)."""

    record: Record


@dataclass(frozen=True, slots=True)
class EpisodeClosed:
    """Perception closed an episode over these base records (erased ones are left out), in order."""

    episode_id: str
    session: str
    members: tuple[Record, ...]
    reason: str
    seq: int


Event = Observed | EpisodeClosed


# --- queries ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that hold for every candidate. Empty: any."""

    kinds: tuple[Kind, ...] = ()
    actor: str = ""
    session: str = ""
    source: str = ""
    event: tuple[datetime | None, datetime | None] = (None, None)
    days: Interval | None = None  # that the event meets on the clock of whoever spoke
    metadata_equals: Mapping[str, str | float] = field(default_factory=dict)
    metadata_range: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    namespaces: tuple[str, ...]
    text: str
    limit: int
    token_budget: int | None
    asked_at: datetime
    filter: Filter = Filter()
    known: datetime | None = None  # only what had been said by then; None: all


@dataclass(frozen=True, slots=True)
class Anchor:
    """A time given by another event ("the week after the ball"): the host recalls ``text`` first, takes the event
    time t of the best hit, and makes the time range [t + start_days, t + end_days) in whole days of t's date."""

    text: str
    start_days: int
    end_days: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a query means. ``plan`` hooks refine it in listed order."""

    query: Query
    text: str  # what to search for; starts as the query's text
    time: Interval | None = None
    other_times: tuple[Interval, ...] = ()  # other readings of the same words: "April 27" of another year
    anchor: Anchor | None = None
    route: str = "retrieve"
    depth: int = 50  # candidates per channel

    def with_(self, **changes: object) -> Plan:
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hit of one channel. Channels return them best first; rank counts, score explains.

    ``sources`` is set by ``Context.knn`` and ``Context.bm25`` for derived records (an episode's members), so that a
    plug-in need not fetch them.
    """

    id: str
    namespace: str
    score: float
    why: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranked:
    """A fused hit: the record, its score, and where every stage put it: (stage, rank from 1, score)."""

    record: Record
    score: float
    trace: tuple[tuple[str, int, float], ...]
    why: str = ""
    repeats: tuple[str, ...] = ()  # ids of other records that say the same, which it stands for


@dataclass(frozen=True, slots=True)
class Composition:
    """What compose keeps, best first, and what it left out for the budget."""

    items: tuple[Ranked, ...]
    dropped: tuple[str, ...] = ()


class Context(Protocol):
    """What a hook may ask of the host. Reads only; on the write path, exact and as of the event: the base record of
    the event is there to ``get`` and ``scan``, searches find what was there before it.

    Records come without their ``keys``: hooks write those and never read them.
    """

    @property
    def now(self) -> datetime:
        """Event time on the write path, the query's asked_at on the read path. Never the wall clock."""
        ...

    @property
    def rng(self) -> random.Random:
        """Seeded by hash(namespace, trigger id)."""
        ...

    def embed(self, texts: Sequence[str]) -> list[Vector]: ...

    def tok_count(self, text: str) -> int: ...

    def get(self, namespace: str, id: str) -> Record | None: ...

    def scan(self, namespace: str, *, kind: Kind | None = None, session: str | None = None) -> Sequence[Record]:
        """Active records in (seq, id) order. On the read path bounded by the host (10,000). On the write path, where
        the plug-in reads a session, what was stated outside any (session "") is there alone, with what it was made
        to."""
        ...

    def neighbours(self, record: Record, before: int, after: int) -> tuple[Sequence[Record], Sequence[Record]]:
        """Active base records of the same session around a base record, in session order.

        Notes and facts that were stated outside any session (session "") have no neighbours.
        """
        ...

    def knn(self, vector: Vector, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        """Cosine over dense keys. Exact on the write path; may be approximate on the read path."""
        ...

    def bm25(self, text: str, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        """BM25 with the namespace's own statistics. Of a text of function words alone, all are searched for."""
        ...

    def between(self, time: Interval, k: int, namespace: str, filter: Filter) -> list[Candidate]:
        """Base records whose event time, or a time their text speaks of, meets the range, nearest its middle first.

        Both as their own clocks show them: the 4th of July is a day wherever it was spent.
        """
        ...

    def began(self, namespace: str, ids: Iterable[str]) -> Mapping[str, datetime]:
        """When the events of records began, without opening them: what orders equal scores. What is gone is absent."""
        ...

    def span(self, namespace: str) -> Interval | None:
        """From the earliest to the latest event time of active base records, as their clocks showed them; None of an
        empty namespace."""
        ...

    def idf(self, text: str, namespace: str) -> Mapping[str, float]:
        """Terms of the text (tokenised and stemmed as in the index) with their BM25 idf in the namespace."""
        ...

    def terms(self, text: str) -> list[str]:
        """Terms of a text, as the lexical index cuts them."""
        ...

    def entities(self, text: str) -> tuple[Sequence[str], Sequence[str]]:
        """People and places that a text names (the same code as perception's)."""
        ...

    def dates(self, text: str, now: datetime) -> list[tuple[str, Interval]]:
        """Time expressions of a text and what they mean at ``now``."""
        ...


class Plugin:
    """Base of all plug-ins: every hook does nothing. Parameters are the fields of a frozen dataclass subclass."""

    name: ClassVar[str]
    version: ClassVar[int] = 1

    weight: float = 1.0  # of its channels in the fusion; a plug-in may make it a parameter

    def weight_in(self, plan: Plan) -> float:
        """Weight of its channels in the fusion for this plan."""
        return self.weight

    # How far encode and link look, and write: the record's own session, or all of its namespace. The host holds
    # them to it. Entries are written in batches, and an erasure folds a session again instead of the namespace,
    # only where every plug-in stays within the session.
    reads: ClassVar[Literal["session", "namespace"]] = "session"

    def encode(self, event: Event, ctx: Context) -> Sequence[Operation]:
        """Make derived records, or keys of a base record, from what was just written."""
        return ()

    def link(self, record: Record, ctx: Context) -> Sequence[Operation]:
        """Link a record that was just written."""
        return ()

    def plan(self, plan: Plan, ctx: Context) -> Plan:
        """Refine what a query means."""
        return plan

    def retrieve(self, plan: Plan, ctx: Context) -> Mapping[str, Sequence[Candidate]]:
        """Hits by channel name, each best first. ``fuse.reciprocal_rank`` fuses the channels of all plug-ins."""
        return {}

    def rerank(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Sequence[Ranked]:
        """Order fused hits (best first) anew, by their texts. The same hits, none added and none left out."""
        return items

    def compose(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Composition:
        """Choose and order what is returned; never more tokens than the budget."""
        return Composition(tuple(items))
