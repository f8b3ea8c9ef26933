"""What a text says it was made from: engrams, by their ids, and answers.

An answer is kept nowhere: its id tells the engrams that it was made of. It is a hash, a full stop and the engrams' ids
in base64url, and "~" at its end where they are not all of them.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.common.ids import MAX_ID
from services.common.serving.errors import invalid

MAX_DERIVED_FROM = 64
MAX_ENGRAMS = 64
"""Engrams that one text is derived from, through all the answers that it names."""
_ID_BYTES = 16
_ENGRAM = re.compile(r"[0-9a-f]{32}")
_ANSWER = re.compile(r"[0-9a-f]{32}\.([A-Za-z0-9_-]{0,1366})(~?)")
_REMEDY = "Send answer_id as Ask or Generate returned it, or the id of an engram."


@dataclass(frozen=True, slots=True)
class Lineage:
    """The engrams, and whether they are all of them."""

    engrams: tuple[str, ...]
    complete: bool


def answer_id(made_of: str, engrams: Iterable[str], *, complete: bool = True) -> str:
    """``made_of``: 32 hex digits. Of the engrams the first MAX_ENGRAMS are told, best first."""
    ids = list(dict.fromkeys(engrams))
    told = [id for id in ids if _ENGRAM.fullmatch(id)][:MAX_ENGRAMS]
    packed = urlsafe_b64encode(bytes.fromhex("".join(told))).decode().rstrip("=")
    return f"{made_of}.{packed}{'' if complete and told == ids else '~'}"


def is_answer(named: str) -> bool:
    return _ANSWER.fullmatch(named) is not None


def lineage_of(derived_from: Sequence[str]) -> Lineage:
    """What is named, in order. What is neither an answer's id nor an engram's leaves it incomplete."""
    each = [_named(named) for named in derived_from]
    engrams = dict.fromkeys(id for lineage in each if lineage is not None for id in lineage.engrams)
    return Lineage(tuple(engrams), all(lineage is not None and lineage.complete for lineage in each))


def check_derived_from(derived_from: Sequence[str]) -> None:
    """INVALID_FIELD where an engram has no room for what is named, or an id cannot be one. One that is merely unknown
    may be of another memory: it is kept, and the lineage with it unknown."""
    if len(derived_from) > MAX_DERIVED_FROM:
        raise invalid("derived_from", f"More than {MAX_DERIVED_FROM} ids are named.", "Name what the text quotes.")
    for n, named in enumerate(derived_from):
        if not named or (len(named) > MAX_ID and _named(named) is None):
            raise invalid(f"derived_from[{n}]", "This is no id of an answer, nor of an engram.", _REMEDY)
    if (count := len(lineage_of(derived_from).engrams)) > MAX_ENGRAMS:
        what = f"It names {count} engrams, through answers too; a text is derived from {MAX_ENGRAMS} at most."
        raise invalid("derived_from", what, "Name what the text quotes, or send it in parts.")


def _named(named: str) -> Lineage | None:
    if _ENGRAM.fullmatch(named):
        return Lineage((named,), True)
    found = _ANSWER.fullmatch(named)
    if found is None:
        return None
    packed, cut = found.groups()
    try:
        raw = urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    except ValueError:
        return None
    if len(raw) % _ID_BYTES:
        return None
    ids = (raw[at : at + _ID_BYTES].hex() for at in range(0, len(raw), _ID_BYTES))
    return Lineage(tuple(ids), not cut)
