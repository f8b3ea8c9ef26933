"""A small made-up memory, and an exact host over it, for the tests of plug-ins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from services.common import ids
from services.common.models.embed import Embedder
from services.episodic.plugins.base import EpisodeClosed, Filter, Interval, Plan, Plugin, Query, Record
from services.episodic.plugins.exact import ExactHost
from services.episodic.plugins.pipeline import Recalled, recall

SHIPPED = [
    "turns",
    "episodes",
    "time_plan",
    "dense",
    "lexical",
    "between",
    "own_words",
    "updates",
    "repeats",
    "contiguity",
    "pack",
]
START = datetime(1901, 3, 4, 9, tzinfo=UTC)  # a Monday
ASKED = datetime(2026, 1, 15, tzinfo=UTC)

TALK = {
    "kitchen": [
        ("Ada", "The kettle is broken again."),
        ("Bert", "I could mend it on Saturday."),
        ("Ada", "Good. Then we shall have tea with Mrs. Crane."),
        ("Bert", "She plays the harmonium, does she not?"),
    ],
    "garden": [
        ("Ada", "The radishes have not come up."),
        ("Bert", "The cat from next door digs there."),
        ("Ada", "Mrs. Crane keeps that cat."),
    ],
    "ball": [
        ("Ada", "What a ball it was! I danced with the mayor."),
        ("Bert", "I tore my coat on the gate."),
        ("Ada", "You tore it before the dancing began."),
    ],
    "after": [
        ("Bert", "The tailor wants nine shillings for the coat."),
        ("Ada", "Nine shillings! Take it to his brother."),
    ],
}
DAYS = {"kitchen": 0, "garden": 40, "ball": 60, "after": 64}


@cache
def embedder() -> Embedder:
    return Embedder.packaged(threads=1)


def turn(number: int, session: str, actor: str, text: str, at: datetime, namespace: str = "home") -> Record:
    id = ids.digest("turn", namespace, session, number)
    return Record(id, namespace, "turn", text, Interval(at, at), session=session, actor=actor, seq=number)


def turns(namespace: str = "home") -> list[Record]:
    """Every turn of TALK in order, ten minutes apart within a session."""
    found: list[Record] = []
    for session, said in TALK.items():
        at = START + timedelta(days=DAYS[session])
        for n, (actor, text) in enumerate(said):
            found.append(turn(len(found), session, actor, text, at + timedelta(minutes=10 * n), namespace))
    return found


Event = Record | EpisodeClosed


def events(namespace: str = "home") -> list[Event]:
    """The turns, and an episode closed behind each session."""
    out: list[Event] = []
    every = turns(namespace)
    for session in TALK:
        members = tuple(t for t in every if t.session == session)
        episode = ids.digest("episode", namespace, session, members[0].id)
        out += [*members, EpisodeClosed(episode, session, members, "session ended", members[-1].seq)]
    return out


def fold(host: ExactHost, some: Sequence[Event]) -> ExactHost:
    for event in some:
        if isinstance(event, Record):
            host.observe(event)
        else:
            host.close(event.members[0].namespace, event)
    return host


def host(plugins: Sequence[Plugin], some: Sequence[Event] | None = None) -> ExactHost:
    return fold(ExactHost(plugins, embedder().embed), events() if some is None else some)


def query(
    text: str,
    limit: int = 5,
    budget: int | None = None,
    wanted: Filter | None = None,
    namespaces: tuple[str, ...] = ("home",),
) -> Query:
    return Query(namespaces, text, limit, budget, ASKED, wanted or Filter())


def plan(text: str) -> Plan:
    return Plan(query(text), text)


def ask(on: ExactHost, asked: Query) -> Recalled:
    return recall(on.plugins, asked, on.context(asked.asked_at), on.fetch)


def texts(found: Recalled) -> list[str]:
    return [item.record.text for item in found.kept]
