"""Identifiers: hashes of what made the thing, never random, never a counter."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

_NAMESPACE = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
MAX_NAMESPACE = 200
MAX_ID = 200
MAX_NAME = 200  # characters of a person's name, wherever one is given
_UNNAMED = "~"  # no namespace's name begins so


def digest(*parts: str | bytes | int) -> str:
    """BLAKE2b-128, hex, over length-prefixed parts: no two lists of parts share a preimage."""
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        h.update(len(raw).to_bytes(8, "big"))
        h.update(raw)
    return h.hexdigest()


def engram_id(namespace: str, kind: str, plugin: str, sources: Sequence[str], ordinal: int = 0) -> str:
    """Id of an engram: hash(namespace, kind, plug-in, sorted source ids, ordinal)."""
    return digest(namespace, kind, plugin, *sorted(sources), ordinal)


def is_namespace(name: str) -> bool:
    return len(name) <= MAX_NAMESPACE and _NAMESPACE.fullmatch(name) is not None


def unnamed(pseudonym: bytes) -> str:
    """What a namespace is called where its name is gone; no namespace can be named so."""
    return _UNNAMED + pseudonym.hex()


def is_unnamed(name: str) -> bool:
    """Whether it begins as what ``unnamed`` makes."""
    return name.startswith(_UNNAMED)


def pseudonym_in(name: str) -> bytes | None:
    """The pseudonym of what is called as by ``unnamed``; None of a name."""
    return bytes.fromhex(name.removeprefix(_UNNAMED)) if is_unnamed(name) else None


def is_one_line(text: str) -> bool:
    """No line break in it, of any script, and no control character: a speaker's name before what they said."""
    return not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text)
