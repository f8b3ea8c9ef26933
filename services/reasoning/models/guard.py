"""What a template receives as content, made safe: whatever a text spells, only the template opens and ends turns.

Two kinds of structure exist. Control tokens ("<|im_end|>") have ids of their own: what a text spells of them passes the
template under another name and is tokenised as letters. Role markers ("[INST]", "### Instruction:") are plain text
that some templates write around contents: what a text spells of them is broken by a space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from services.common.models.packages import ModelError

ROLES = ("system", "user", "assistant", "tool")
"""Who may speak in a chat: the roles that templates know."""

Render: TypeAlias = Callable[[Sequence[Mapping[str, str]]], str]
"""A chat through the model's template. ModelError when it refuses."""

# A text's own escape character is escaped too, so that every text comes back as it was.
_ESCAPE = "\U0010fffd"
_CODES = 0xF0000
# Stands for a content while the template shows what it writes around one.
_PROBE = "\U0010fffc"
_PROBES = (("system", "user", "assistant", "user"), ("user", "assistant", "user"), ("user",))
_MARKER = re.compile(r"(?=.*\w)(?=.*[^\w\s]).{3,}")


class Guard:
    """Hides in texts what a template's structure is made of. Immutable."""

    def __init__(self, control: Iterable[str], markers: Iterable[str] = ()) -> None:
        """``control``: every token that is not text. ``markers``: as ``role_markers`` finds them."""
        ordered = sorted(set(control), key=len, reverse=True)
        self._hidden = {spelled: _ESCAPE + chr(_CODES + n) for n, spelled in enumerate([_ESCAPE, *ordered])}
        self._shown = {hidden: spelled for spelled, hidden in self._hidden.items()}
        self._spelled = _any_of(self._hidden)
        self._codes = re.compile(f"{_ESCAPE}(?s:.)")
        self._markers = _any_of(markers)
        self.control = _any_of(ordered)

    def hide(self, text: str) -> str:
        """``text`` as a template may have it: no control token, no role marker."""
        broken = self._markers.sub(lambda hit: f"{hit.group()[0]} {hit.group()[1:]}", text)
        return self._spelled.sub(lambda hit: self._hidden[hit.group()], broken)

    def show(self, text: str) -> str:
        """What ``hide`` hid, as it was spelled, in any part of what the template made."""
        return self._codes.sub(lambda hit: self._shown.get(hit.group(), hit.group()), text)

    def holds(self, text: str) -> bool:
        """Whether ``hide`` would change it."""
        return bool(self._spelled.search(text) or self._markers.search(text))


def role_markers(render: Render, control: re.Pattern[str]) -> list[str]:
    """What the template writes around contents beside control tokens: pieces of a line with letters and punctuation.

    "user" alone after a control token is none: without that token it opens nothing.
    """
    for roles in _PROBES:
        try:
            made = render([{"role": role, "content": _PROBE} for role in roles])
        except ModelError:
            continue  # a template without a system turn, say; the next chat has none
        pieces = (
            line.strip() for frame in made.split(_PROBE) for part in control.split(frame) for line in part.splitlines()
        )
        return sorted({piece for piece in pieces if _MARKER.fullmatch(piece)}, key=len, reverse=True)
    return []


def _any_of(spellings: Iterable[str]) -> re.Pattern[str]:
    """Finds any of them, the longest first as they come; nothing where there are none."""
    return re.compile("|".join(map(re.escape, spellings)) or r"(?!)")
