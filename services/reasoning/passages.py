"""What the model sees of a note that is too long for it: the passages that answer the question. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from services.reasoning.extract import Source, extract, sentences

# Characters of a passage: a longer sentence is taken in parts. Smaller ones are tried where the best does not fit, as
# in scripts of which every character is several tokens.
_SIZES = (300, 100, 40)
_GAP = " … "


def excerpt(question: str, text: str, fits: Callable[[str], bool]) -> str:
    """The passages of ``text`` that best answer ``question``, in their order, with what stands beside them.

    As much of it as ``fits``; "" where not even the best passage does.
    """
    for size in _SIZES:
        parts = list(_parts(text, size))
        sources = [Source(str(n), text[start:end]) for n, (start, end) in enumerate(parts)]
        chosen: list[int] = []
        for n in _in_turn([int(s.engram_id) for s in extract(question, sources, len(sources))], len(parts)):
            if not fits(_joined(text, parts, sorted([*chosen, n]))):
                break
            chosen.append(n)
        if chosen:
            return _joined(text, parts, sorted(chosen))
    return ""


def _parts(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Where sentences stand, the long ones cut at the last white space that ``size`` characters hold, or else there."""
    at = 0
    for sentence in sentences(text):
        at = text.index(sentence, at)
        last = at + len(sentence)
        while last - at > size:
            space = text.rfind(" ", at + 1, at + size)
            end = space if space > 0 else at + size
            yield at, end
            at = end
        yield at, last
        at = last


def _in_turn(ranked: Sequence[int], count: int) -> Iterator[int]:
    """Each passage once: the best, what follows it and what stands before it, then the next best."""
    seen: set[int] = set()
    for best in ranked:
        for n in (best, best + 1, best - 1):
            if 0 <= n < count and n not in seen:
                seen.add(n)
                yield n


def _joined(text: str, parts: Sequence[tuple[int, int]], chosen: Sequence[int]) -> str:
    """As the text has it, with a mark where something is left out."""
    shown, ended = "", 0
    for before, n in zip([-1, *chosen], chosen, strict=False):
        start, end = parts[n]
        shown += text[ended:end] if before == n - 1 else _GAP + text[start:end]
        ended = end
    return shown.strip()
