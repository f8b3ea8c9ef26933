"""The plug-ins that there are, in one visible list. To add one: its file, its test, its line here, its row in
docs/methods.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass

from services.episodic.plugins.base import Plugin
from services.episodic.plugins.between import Between
from services.episodic.plugins.contiguity import Contiguity
from services.episodic.plugins.dense import Dense
from services.episodic.plugins.episodes import Episodes
from services.episodic.plugins.lexical import Lexical
from services.episodic.plugins.naive import Naive
from services.episodic.plugins.own_words import OwnWords
from services.episodic.plugins.pack import Pack
from services.episodic.plugins.repeats import Repeats
from services.episodic.plugins.time_plan import TimePlan
from services.episodic.plugins.turns import Turns
from services.episodic.plugins.updates import Updates

PLUGINS: tuple[type[Plugin], ...] = (
    Turns,
    Episodes,
    Naive,
    TimePlan,
    Dense,
    Lexical,
    Between,
    OwnWords,
    Updates,
    Repeats,
    Contiguity,
    Pack,
)

Parameters = Mapping[str, object]


class PluginError(Exception):
    """The configuration names a plug-in or a parameter that does not exist, or one twice."""


def build(
    named: Mapping[str, Parameters | None] | Sequence[str | Mapping[str, Parameters | None]],
) -> tuple[Plugin, ...]:
    """Plug-ins in the order named: ``["turns", {"dense": {"weight": 0.5}}]``, or a mapping of names to parameters."""
    known = {cls.name: cls for cls in PLUGINS}
    pairs: list[tuple[str, Parameters | None]] = []
    for entry in [named] if isinstance(named, Mapping) else named:
        pairs += [(entry, None)] if isinstance(entry, str) else list(entry.items())
    names = [name for name, _ in pairs]
    for name in names:
        if name not in known:
            raise PluginError(f"plugins.{name}: no such plug-in. Known: {', '.join(sorted(known))}.")
        if names.count(name) > 1:
            raise PluginError(f"plugins.{name}: named twice. Leave one.")
    return tuple(_make(known[name], parameters or {}) for name, parameters in pairs)


def _make(cls: type[Plugin], parameters: Parameters) -> Plugin:
    assert is_dataclass(cls)
    declared = {f.name: f for f in fields(cls)}
    for name, value in parameters.items():
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            raise PluginError(f"plugins.{cls.name}.{name}: no such parameter. Known: {known}.")
        wanted = type(declared[name].default)
        if isinstance(value, bool) or not isinstance(value, (int, float) if wanted is float else wanted):
            raise PluginError(f"plugins.{cls.name}.{name}: must be {wanted.__name__}, not {value!r}.")
    return cls(**parameters)
