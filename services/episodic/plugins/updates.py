"""What holds now comes before what held: for a question in the present, a speaker's later word before the earlier.

"Where does Ida work?" matches "I work at the bakery" better than "I left the bakery, I am at the post office now",
which shares no word with it. So a hit goes behind a later one of the same speaker

- that says a change ("now", "left", "no longer", English only) and speaks of the same: it shares ``SHARED`` of the
  earlier one's words, or all that the earlier one has of the question (that it must, where the change is but "new");
- that says of the speaker a change of what is asked for and shares no word with it: "I moved to Braga" changes where
  one lives, "I got engaged" whether one is single (``_CHANGES_OF``, English only);
- or that says the same of another value, in any language: it has all that the earlier one has of the question, and
  they have most words in common, where a figure stands for a figure and a name for a name ("The van is on level 2",
  "... on level 5").

A question about the past, or about a time, is left alone, and so is a text that is asked for by its own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import ClassVar

import regex

from services.common.text import lexical
from services.episodic.plugins.base import Context, Plan, Plugin, Ranked
from services.episodic.plugins.spoken import Spoken, Words
from services.episodic.plugins.tells import Tells
from services.episodic.plugins.turns import speaker

SHARED = 0.25
_PRESENT = re.compile(r"\b(?:is|are|am|does|do|has|have|now|current(?:ly)?|still|these days)\b|\w['’]s\b", re.I)
# English, then German, Dutch, French, Spanish, Portuguese, Italian, Swedish, Russian.
_PAST = re.compile(
    r"\b(?:was|were|did|had|used to|original(?:ly)?|before|previous(?:ly)?|earlier|former(?:ly)?|first|ever"
    r"|yet|ago|last|been|(?<!^)(?<!how )long|(?<!^)when|(?:who|what|which \w+) (?:\w+[^e\W]ed|[a-z]+ied)"
    r"|waren?|hatten?|wurden?|früher|zuerst|werd(?:en)?|vroeger|étai(?:s|t|ent)|avai(?:s|t|ent)|autrefois"
    r"|era[ns]?|fue(?:ron)?|estaban?|había|antes|foi|tinha|erano|prima|ieri|hade|förut|бы(?:л|ла|ло|ли)|раньше)\b",
    re.I,
)
_CHANGE = re.compile(
    r"\b(?:now|no longer|any\s?more|instead|left|quit|resigned|moved|switched|changed?|replaced?|stopped|gave up|sold"
    r"|became|become|used to|cancell?ed|postponed|rescheduled|retired|renamed|broke up|divorced|correction"
    r"|(?:went|gone) (?:up|down)|raised|increased|lowered|reduced|(?:rose|fell|dropped|cut) to|pushed back"
    r"|brought forward|extended|shortened|from (?:today|now|tomorrow)|as of|since then|upgraded|took over|swapped"
    r"|migrated)\b",
    re.I,
)
_MAY_CHANGE = re.compile(r"\b(?:new|actually|meanwhile|bought|updated?|turned out)\b", re.I)
_SPEAKER = r"\b(?:I|we)(?:['’]\w+)?(?: (?!(?:was|were|not|never)\b)\w+){0,2}? "
_COUPLED = r"(?:engaged|married|divorced|separated|widowed)"
_STATES = (
    (
        r"(?:live[sd]?|living|resid(?:e|es|ing)|based)",
        r"(?:(?:moved|relocated|emigrated)(?: back| over| out)? (?:in)?to|settled (?:down )?in)",
    ),
    (rf"(?:single|dating|{_COUPLED})", rf"(?:{_COUPLED}|broke up|split up)"),
    (
        r"(?:works?|working|employed)",
        r"(?:joined|(?:got|took|found|started) an? (?:\w+ ){0,2}(?:job|post)|(?:was|got) hired|started (?:work )?at)",
    ),
    (
        r"(?:vegetarian|vegan|(?:don['’]t |do not )?eat(?:s|ing)? (?:any |no )?meat)",
        r"(?:(?:eat|eating|have|having) (?:meat|fish|chicken|everything) again|back to (?:eating )?meat"
        r"|(?:started|began) (?:eating|to eat) meat|(?:became|turned|went|gone) (?:an? )?(?:vegetarian|vegan)"
        r"|(?:stopped|gave up|given up|quit) (?:eating )?meat)",
    ),
)
# Of each: a question for it, what says it of the speaker, and what says that they change it.
_CHANGES_OF = [
    tuple(re.compile(rf"{words}\b", re.I) for words in (rf"\b{state}", _SPEAKER + state, _SPEAKER + change))
    for state, change in _STATES
]
_NUMBERS = frozenset(
    lexical.terms(
        """
        one two three four five six seven eight nine ten eleven twelve thirteen fifteen sixteen twenty thirty forty
        fifty sixty seventy eighty ninety hundred thousand million half quarter dozen noon midnight
        """
    )
)
_NAME = regex.compile(r"(?<=[^\n] )\p{Lu}[\p{L}\p{M}]+")


@dataclass(frozen=True)
class Updates(Plugin):
    """``looked_at``: how many of the best hits are compared with every later one."""

    name: ClassVar[str] = "updates"
    looked_at: int = 5

    def rerank(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Sequence[Ranked]:
        text = plan.query.text
        if plan.time is not None or plan.anchor is not None or _PAST.search(text):
            return items
        if items and Words(text)(items[0].record.text):
            return items  # it was asked for by its own words
        ordered, same = list(items), _Same(text, ctx)
        for earlier in items[: self.looked_at]:
            later = [item for item in items if _comes_later(item, earlier) and same.fact(item, earlier)]
            if later:
                newest = max(later, key=lambda item: (item.record.event.start, item.record.id))
                ordered = _before(ordered, newest, earlier)
        return ordered


def _comes_later(item: Ranked, earlier: Ranked) -> bool:
    new, old = item.record, earlier.record
    return (new.namespace, new.actor) == (old.namespace, old.actor) and new.event.start > old.event.start


class _Same:
    """Whether two hits speak of the same fact, as far as a question asks for it."""

    def __init__(self, question: str, ctx: Context) -> None:
        self._question, self._ctx = question, ctx
        self._asked = frozenset(ctx.terms(question))
        self._is_present = bool(_PRESENT.search(question))
        self._tells = Tells(question, ctx)
        self._spoken = Spoken(self._asked, ctx)
        self._terms: dict[str, frozenset[str]] = {}
        self._named: dict[str, frozenset[str]] = {}

    def fact(self, later: Ranked, earlier: Ranked) -> bool:
        if self._is_present and self._changes(later.record.text, earlier.record.text):
            return True
        of_question = self._spoken.in_(earlier.record.text) - self._of(speaker(later.record))
        has_all = bool(of_question) and of_question <= self._spoken.in_(later.record.text)
        if self._is_present and _CHANGE.search(later.record.text):
            before, told = self._of(earlier.record.text), self._of(later.record.text)
            return has_all or len(told & before) >= SHARED * max(1, len(before))
        if self._is_present and has_all and _MAY_CHANGE.search(later.record.text):
            return True
        if not has_all or not self._tells(later.record) or not self._tells.more(later.record):
            return False
        return self._alike(earlier.record.text, later.record.text)

    def _changes(self, later: str, earlier: str) -> bool:
        """Whether the speaker tells a change of what is asked for, and told how it was."""
        return any(
            state.search(self._question) and said.search(earlier) and change.search(later)
            for state, said, change in _CHANGES_OF
        )

    def _alike(self, one: str, other: str) -> bool:
        """Whether most words of one, and half of the other's, are in both, a value for a value."""
        left, right = self._of(one), self._of(other)
        if any(map(_is_figure, left - self._asked)) != any(map(_is_figure, right - self._asked)):
            return False  # "800 euros" is answered by a figure, if at all
        shared = left & right
        common, names = len(shared), self._names(one) | self._names(other)
        for is_value in (_is_figure, names.__contains__):
            common += min(sum(map(is_value, left - shared)), sum(map(is_value, right - shared)))
        return 2 * common > len(left) and 2 * common >= len(right)

    def _names(self, text: str) -> frozenset[str]:
        """Words with a capital that does not begin it."""
        if text not in self._named:
            words = set(_NAME.findall(text))
            self._named[text] = frozenset(t for word in words for t in self._ctx.terms(word) if not _is_figure(t))
        return self._named[text]

    def _of(self, text: str) -> Set[str]:
        if text not in self._terms:
            self._terms[text] = frozenset(self._ctx.terms(text))
        return self._terms[text]


def _is_figure(word: str) -> bool:
    return word in _NUMBERS or any(c.isdigit() for c in word)


def _before(ordered: Sequence[Ranked], newest: Ranked, earlier: Ranked) -> list[Ranked]:
    """``newest`` right before ``earlier``, with its score, unless it is there already."""
    at, to = (next(n for n, i in enumerate(ordered) if i.record == one.record) for one in (newest, earlier))
    if at < to:
        return list(ordered)
    why = f"{newest.why}; " if newest.why else ""
    lifted = replace(newest, score=ordered[to].score, why=f"{why}said later than the next")
    return [*ordered[:to], lifted, *(i for i in ordered[to:] if i.record != newest.record)]
