"""What an engram has room for: what was said, always; the names that were found in it, as far as they fit beside it.

The index takes ``ENGRAM_BYTES`` of one engram. All that a caller may give of a text (the limits of the doors) fits, so
nothing that was acknowledged is too large to be folded. Names are found, not given: a namespace's aliases may be long,
and may be other ones when the ledger is read again. So whoever extracts names, the door and the fold, keeps those that
fit, by this one sum; the text itself holds them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

ENGRAM_BYTES = 96_000
# What the host adds to what was given: ids, hashes, positions, times, the link of a correction.
HOST_BYTES = 3_000
ID_BYTES = 34  # of a message, of one engram that it is derived from
_AROUND_NAME = 4  # bytes of a message around one name


def names_that_fit(
    room_bytes: int, people: Sequence[str], places: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first people, then the first places, that ``room_bytes`` hold."""
    kept = _first(people, room_bytes)
    return kept, _first(places, room_bytes - _bytes(kept))


def _first(names: Iterable[str], room_bytes: int) -> tuple[str, ...]:
    kept = []
    for name in names:
        room_bytes -= _bytes([name])
        if room_bytes < 0:
            break
        kept.append(name)
    return tuple(kept)


def _bytes(names: Iterable[str]) -> int:
    return sum(len(name.encode()) + _AROUND_NAME for name in names)
