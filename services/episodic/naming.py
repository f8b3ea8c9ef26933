"""Who is meant by a person that is to be forgotten: the names, and whether a text holds one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mneme.v1.admin_pb2 import AliasGroup

from services.common.extract import Aliases, plain
from services.episodic.plugins.base import Record

_TITLES = re.compile(r"^(?:mr|mrs|ms|miss|dr|sir|lady|lord|prof)\.?\s+(?=\S+\s+\S)", re.IGNORECASE)


class Naming:
    """The names of one person, as whole words in any case. Immutable.

    A title before two or more words is left off: who forgets "Dr. Ruth Fenwick" means "Ruth Fenwick" too. Before one
    word it stays, for it is what tells "Mr. Posh" from "Mrs. Posh"; so it does where the rest is somebody else's name
    ("Mrs. Murray Posh"). Its stop may be there or not, as any word's.
    """

    def __init__(self, given: Iterable[str], groups: Sequence[AliasGroup] = ()) -> None:
        """``given``: at least one name with a letter in it. The namespace's ``groups`` that know one are added."""
        names = [name.strip() for name in given if plain(name)]
        heads = set(map(Aliases(groups).canonical, names))
        names += [n for group in groups if group.name in heads for n in (group.name, *group.aliases)]
        others = {plain(n) for group in groups if group.name not in heads for n in (group.name, *group.aliases)}
        self.names = tuple(sorted(set(names)))
        spellings = {rest if plain(rest := _TITLES.sub("", name)) not in others else name for name in names}
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(_loose, sorted(spellings)))})(?!\w)", re.IGNORECASE)

    def within(self, text: str) -> bool:
        """Whether the text holds one of the names."""
        return self._pattern.search(text) is not None

    def meant_by(self, record: Record) -> bool:
        """Whether the engram's text, people or speaker hold one of the names."""
        return any(map(self.within, (record.text, record.actor, *record.people)))


def _loose(name: str) -> str:
    """A pattern for a name, with or without stops after its words."""
    words = [word.rstrip(".") or word for word in name.split()]
    return r"\s+".join(re.escape(word) + r"\.?" for word in words)
