"""What one person said several times in the same words takes one place, and says how often.

The best-ranked stands for the others, whose ids it carries. Case, white space and punctuation make no difference;
another speaker, or another kind of engram, does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from services.episodic.plugins.base import Composition, Context, Plan, Plugin, Ranked, Record
from services.episodic.plugins.spoken import bare, opening


@dataclass(frozen=True)
class Repeats(Plugin):
    name: ClassVar[str] = "repeats"

    def compose(self, plan: Plan, items: Sequence[Ranked], ctx: Context) -> Composition:
        openings = [opening(item.record.text) for item in items]
        alike = Counter(openings)
        same: dict[object, list[Ranked]] = {}
        for item, begins in zip(items, openings, strict=True):
            said = _said(item.record) if alike[begins] > 1 else item.record.id
            same.setdefault(said, []).append(item)
        return Composition(tuple(_one_for_all(group) for group in same.values()))


def _said(record: Record) -> object:
    """Equal for two records that say the same."""
    return record.namespace, record.kind, record.actor, bare(record.text)


def _one_for_all(group: Sequence[Ranked]) -> Ranked:
    first, *others = group
    if not others:
        return first
    why = f"{first.why}; " if first.why else ""
    return replace(first, repeats=tuple(i.record.id for i in others), why=f"{why}said {len(group)} times")
