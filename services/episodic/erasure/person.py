"""Who is meant by a person that is to be forgotten: the names, and whether a text holds one of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from mneme.v1.admin_pb2 import AliasGroup

from services.common.text.extract import Aliases, compatible, plain
from services.common.text.naming.fields import Divided
from services.common.text.naming.judging import Mention
from services.common.text.naming.names import Names
from services.common.text.naming.shown import readings, with_letters
from services.common.text.naming.spellings import LETTER
from services.episodic.plugins.base import Record

_FIELD = "it is the name of a metadata field"
_OTHER = "it is the name of another alias group"
_TITLES = re.compile(r"^(?:mr|mrs|ms|miss|dr|sir|lady|lord|prof)\.?\s+(?=\S+\s+\S)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What may name a person and may not: as it is written, and why that is doubtful."""

    written: str
    reason: str


class Naming:
    """The names of one person, however they are written (``services.common.text.naming``). Immutable.

    A title before two or more words is left off: who forgets "Dr. Ruth Fenwick" means "Ruth Fenwick" too. Before one
    word it stays, for it is what tells "Mr. Posh" from "Mrs. Posh"; so it does where the rest is somebody else's name
    ("Mrs. Murray Posh"). Its stop may be there or not, as any word's.
    """

    def __init__(self, given: Iterable[str], groups: Sequence[AliasGroup] = ()) -> None:
        """``given``: at least one name with a letter in it. The namespace's ``groups`` that know one are added."""
        names = [name.strip() for name in given if plain(name)]
        aliases = Aliases(AliasGroup(name=g.name, aliases=map(compatible, _all(g))) for g in groups)
        heads = {aliases.canonical(compatible(name)) for name in names}
        names += [name for group in groups if group.name in heads for name in _all(group)]
        self.names = tuple(sorted(set(names)))
        others = {_key(name) for group in groups if group.name not in heads for name in _all(group)}
        self.sought = tuple(_titled(name, others) for name in self.names)
        self.others = _others(self.sought, groups, heads)
        self.key = self.sought, self.others  # whoever has the same finds the same
        self._matcher = Names((*self.sought, *self.others))
        self._divided = Divided(self.sought)
        self._aliases: dict[str, bool] = {}  # those that were looked at, and whether one of the names stands in them

    def within(self, text: str) -> bool:
        """Whether the text surely holds one of the names."""
        return any(not mention.doubt for shown in readings(text) for mention in self._find(shown))

    def doubts(self, text: str) -> list[Doubt]:
        """What in the text may be one of the names and may not, each reason once; empty where it surely holds one."""
        read = list(readings(text))
        found = [(shown, mention) for shown in read for mention in self._find(shown)]
        if not all(mention.doubt for _, mention in found):
            return []
        found += [
            (text, replace(mention, doubt=mention.doubt or LETTER))
            for shown in with_letters(text)
            for mention in self._find(shown)
        ]
        if not found:
            found = [(shown, mention) for shown in read for mention in self._divided.find(shown)]
        return list({m.doubt: Doubt(shown[m.start : m.end], m.doubt) for shown, m in reversed(found)}.values())

    def without(self, groups: Sequence[AliasGroup]) -> tuple[int, list[AliasGroup]]:
        """How many of a namespace's alias groups hold one of the names, and what is left of all without them.

        A group whose main name is one goes whole: its texts are known by that name, so they go too. A group of
        somebody else loses only such names ("Mrs. Murray Posh" of "Daisy Mutlar"). So what stays to be told is read
        as before.
        """
        held, left = 0, list[AliasGroup]()
        for group in groups:
            others = [alias for alias in group.aliases if not self._is_in(alias)]
            theirs = self._is_in(group.name)
            held += theirs or len(others) < len(group.aliases)
            if not theirs:
                left.append(AliasGroup(name=group.name, aliases=others))
        return held, left

    def _is_in(self, alias: str) -> bool:
        if alias not in self._aliases:
            self._aliases[alias] = self.within(alias)
        return self._aliases[alias]

    def meant_by(self, record: Record, ids: Iterable[str] = ()) -> bool:
        """Whether its text, people, speaker, session, source, metadata, or ids that a product gave it, surely hold one
        of the names."""
        if any(map(self._names, (record.actor, *ids))) or any(map(self.within, _texts_in(record))):
            return True
        if any(self.within(field) and not field.isalpha() for field in record.metadata):
            return True
        # Perception takes many a word at the head of a sentence for a person.
        return any(map(self._names, record.people)) and not self.doubts(record.text)

    def doubted_of(self, record: Record, ids: Iterable[str] = ()) -> list[Doubt]:
        """What makes it doubtful whether a record that ``meant_by`` does not take is meant; empty where it is not."""
        people = [name for name in record.people if name not in self.others]  # whatever others were called in the text
        doubts = [d for said in (*_texts_in(record), *ids, *people) for d in self.doubts(said)]
        doubts += [Doubt(field, _FIELD) for field in record.metadata if self.within(field) or self.doubts(field)]
        return doubts + [replace(d, reason=f"of who said it: {d.reason}") for d in self.doubts(record.actor)]

    def _names(self, name: str) -> bool:
        return any(not m.doubt for shown in readings(name) for m in self._find(shown, is_name=True))

    def _find(self, text: str, *, is_name: bool = False) -> Iterator[Mention]:
        for mention in self._matcher.find(text, is_name=is_name):
            yield replace(mention, doubt=_OTHER) if mention.name in self.others else mention


def _others(sought: Sequence[str], groups: Sequence[AliasGroup], heads: Collection[str]) -> frozenset[str]:
    """Main names of other persons that hold one of the names: "Ann Smith", where "Ann" is sought of Ann Lee.

    None where no group is the person's and just one may be: who forgets "Ann" where there is an Ann Smith means her.
    """
    holding = frozenset(g.name for g in groups if g.name not in heads and _holds_more(sought, g.name))
    is_declared = any(group.name in heads for group in groups)
    return holding if is_declared or len(holding) > 1 else frozenset()


def _holds_more(sought: Sequence[str], name: str) -> bool:
    """Whether one of the names stands in a longer one."""
    length = len(plain(name))
    return any(m.end - m.start < length for m in Names(sought).find(compatible(name), is_name=True))


def said_in(record: Record) -> Iterator[str]:
    """Everything of a record that may name somebody."""
    yield from _names_in(record)
    yield from _texts_in(record)
    yield from record.metadata


def _names_in(record: Record) -> tuple[str, ...]:
    return (*record.people, record.actor)


def _texts_in(record: Record) -> Iterator[str]:
    yield from (record.text, record.session, record.source)
    yield from (value for value in record.metadata.values() if isinstance(value, str))


def _all(group: AliasGroup) -> tuple[str, ...]:
    return (group.name, *group.aliases)


def _key(name: str) -> str:
    return plain(compatible(name))


def _titled(name: str, others: Collection[str]) -> str:
    """The name without its title, or with it where that tells it from one of ``others``, or is most of it."""
    rest = _TITLES.sub("", compatible(name))
    return name if _key(rest) in others else rest
