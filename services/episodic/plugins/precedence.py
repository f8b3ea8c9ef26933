"""Which hit comes before which, whatever their scores: what one says of the question itself, and the other does not.

A hit that has every word of the question that another has, and more of them, comes before it

- where the other stands beside it: all that the other has beyond that, it borrows;
- where it alone has an id that the question names ("PK-10", "invoice 2024/041"): lines that differ in their ids alone
  borrow each other's, and are near each other in meaning.

Where both have the same words of it, what tells more than they do comes before what only repeats them ("Boiler serial
number, thanks."); else the nearer in meaning comes first, by what each says itself: a key is near for the turn before,
too.

What asks, or only names what is asked for, comes before nothing so: the turn after a question may be its answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.common.text.words import normal
from services.episodic.plugins.base import Context, Ranked, Record
from services.episodic.plugins.turns import said

TOP = 3  # best hits whose own meaning is looked at, where the turn before them says the same words of the question
WORDS = 40  # of a text whose meaning is looked at
STEP = 1e-6  # by which a hit's score stands above that of one it comes before


@dataclass(frozen=True, slots=True)
class Says:
    """What a record has of the question itself."""

    words: frozenset[str]
    ids: frozenset[str]
    tells: bool
    more: bool  # says more than the question, or is it

    @property
    def all(self) -> frozenset[str]:
        return self.words | self.ids

    def beyond(self, other: Says) -> bool:
        """Whether it has all that ``other`` has, and more."""
        return self.all > other.all


def nearer(
    items: Sequence[Ranked],
    says: Callable[[Record], Says],
    before: Callable[[Record], Sequence[str]],
    ctx: Context,
    text: str,
) -> list[Ranked]:
    """The same, each with a score above that of a best hit that follows it in its session, says the same words of the
    question, and is no nearer to it in itself. ``before``: ids of the turn before a record."""
    there = {item.record.id: item for item in items}
    pairs = [
        (there[id], item)
        for item in sorted(items, key=lambda item: -item.score)[:TOP]
        for id in before(item.record)
        if id in there and there[id].score < item.score
    ]
    pairs = [(a, b) for a, b in pairs if (what := says(a.record)).tells and what.all == says(b.record).all]
    if not pairs:
        return list(items)
    own = {item.record.id: " ".join(said(item.record).split()[:WORDS]) for pair in pairs for item in pair}
    asked, *vectors = ctx.embed([text, *own.values()])
    near = dict(zip(own, (float(vector @ asked) for vector in vectors), strict=True))
    score = {a.record.id: b.score + STEP for a, b in pairs if near[a.record.id] > near[b.record.id]}
    return [replace(item, score=round(score.get(item.record.id, item.score), 6)) for item in items]


def lifted(
    items: Sequence[Ranked], says: Callable[[Record], Says], beside: Callable[[Record], Sequence[str]]
) -> list[Ranked]:
    """The same, each with a score above those of the hits it comes before. ``beside``: ids of a record's neighbours."""
    alike: dict[frozenset[str], list[tuple[Ranked, Says]]] = {}
    neighbour: dict[str, list[tuple[str, Says]]] = {}
    for item in items:
        what = says(item.record)
        alike.setdefault(what.all, []).append((item, what))
        for id in beside(item.record):
            neighbour.setdefault(id, []).append((item.record.id, what))
    score: dict[str, float] = {}
    best: dict[Says, float] = {}  # of those that say the same
    for same in sorted(alike.values(), key=lambda some: len(some[0][1].all)):  # those they come before have scores
        for item, what in same:
            passed = [score[id] for id, other in neighbour.get(item.record.id, ()) if what.beyond(other)]
            passed += [top for other, top in best.items() if what.ids - other.ids and what.beyond(other)]
            own = item.score
            if passed and what.tells:
                own = max(own, round(max(passed) + STEP, 6))
            score[item.record.id] = own
        if same[0][1].all:
            score |= _more_first({item.record.id: what.more for item, what in same}, score)
        for item, what in same:
            best[what] = max(score[item.record.id], best.get(what, 0.0))
    return [replace(item, score=score[item.record.id]) for item in items]


def _more_first(more: Mapping[str, bool], score: Mapping[str, float]) -> dict[str, float]:
    """The scores of some ids, given to them anew so that those that say more have the better ones."""
    ordered = sorted(more, key=lambda id: (not more[id], -score[id]))
    scores = dict(zip(ordered, sorted((score[id] for id in more), reverse=True), strict=True))
    worst = min((scores[id] for id in ordered if more[id]), default=1.0)
    return {id: s if more[id] else min(s, round(worst - STEP, 6)) for id, s in scores.items()}


_ID = re.compile(r"\w\S*")
_AROUND = re.compile(r"(?:'s|\W)+$")


def ids(text: str) -> frozenset[str]:
    """What has a figure in it, as written but for case and what stands around it: "pk-10" of "PK-10's"."""
    return frozenset(
        _AROUND.sub("", written) for written in _ID.findall(normal(text).casefold()) if any(map(str.isdigit, written))
    )
