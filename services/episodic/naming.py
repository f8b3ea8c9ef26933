"""Who is meant by a person that is to be forgotten: the names, and whether a text holds one of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from mneme.v1.admin_pb2 import AliasGroup

from services.common.extract import Aliases, compatible, folded, plain
from services.episodic.plugins.base import Record

_TITLES = re.compile(r"^(?:mr|mrs|ms|miss|dr|sir|lady|lord|prof)\.?\s+(?=\S+\s+\S)", re.IGNORECASE)


class Naming:
    """The names of one person, as whole words, however their characters are written (``folded``). Immutable.

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
        words = sorted({_loose(folded(_titled(name, others))) for name in names})
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)")

    def within(self, text: str) -> bool:
        """Whether the text holds one of the names."""
        return self._pattern.search(folded(text)) is not None

    def without(self, groups: Sequence[AliasGroup]) -> tuple[int, list[AliasGroup]]:
        """How many of a namespace's alias groups hold one of the names, and what is left of all without them.

        A group whose main name is one goes whole: its texts are known by that name, so they go too. A group of
        somebody else loses only such names ("Mrs. Murray Posh" of "Daisy Mutlar"). So what stays to be told is read
        as before.
        """
        held, left = 0, list[AliasGroup]()
        for group in groups:
            others = [alias for alias in group.aliases if not self.within(alias)]
            theirs = self.within(group.name)
            held += theirs or len(others) < len(group.aliases)
            if not theirs:
                left.append(AliasGroup(name=group.name, aliases=others))
        return held, left

    def meant_by(self, record: Record) -> bool:
        """Whether its text, people, speaker, session, source or a text of its metadata hold one of the names."""
        said = (record.text, *record.people, record.actor, record.session, record.source)
        return any(map(self.within, said)) or any(
            isinstance(v, str) and self.within(v) for v in record.metadata.values()
        )


def _all(group: AliasGroup) -> tuple[str, ...]:
    return (group.name, *group.aliases)


def _key(name: str) -> str:
    return plain(compatible(name))


def _titled(name: str, others: Collection[str]) -> str:
    """The name without its title, or with it where that tells it from one of ``others``, or is most of it."""
    rest = _TITLES.sub("", compatible(name))
    return name if _key(rest) in others else rest


def _loose(name: str) -> str:
    """A pattern for a name, with or without stops after its words."""
    words = [word.rstrip(".") or word for word in name.split()]
    return r"\s+".join(re.escape(word) + r"\.?" for word in words)
