"""Which of many forms begin at a place of a text, in a time that neither their number nor their lengths stretch.

A sorted list and a binary search: an automaton, of Mneme or of a library, finds every form that ends at a place, as
many as lie in one another, where the longest that fits is nearly always enough.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable

SPACES = r"\s・·"  # between words; the dots between the parts of a foreign name
_WIDE_GAP = re.compile(rf"\.[{SPACES}]+|[{SPACES}]{{2,}}")
_NARROW_GAP = re.compile(rf"[{SPACES}-]")
_GAP = re.compile(rf"\.?[{SPACES}]+|-")
_DOTS = str.maketrans("・·", "  ")
_LAST = "\U0010ffff"


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, without the stops after them."""
    return tuple(word for part in name.translate(_DOTS).split() if (word := part.rstrip(".")))


def close(text: str) -> str:
    """A name with one space for what may stand between its words: a hyphen, or spaces with or without a stop."""
    return _GAP.sub(" ", text).strip().rstrip(" .")


class Closed:
    """A text so closed, but for its edges. ``places``: of each of its characters, in the text, and the text's end."""

    def __init__(self, text: str) -> None:
        pieces: list[str] = []
        self.places = array("I")
        last = 0
        for gap in _WIDE_GAP.finditer(text):
            pieces += text[last : gap.start()], " "
            self.places.extend(range(last, gap.start() + 1))
            last = gap.end()
        pieces.append(text[last:])
        self.places.extend(range(last, len(text) + 1))
        self.text = _NARROW_GAP.sub(" ", "".join(pieces))


class Forms:
    """Immutable. Building it takes time and memory as their characters, sorting apart."""

    def __init__(self, forms: Iterable[str]) -> None:
        """``forms``: closed, each with a letter or digit."""
        self._shorter: dict[str, str] = {}  # by form: the longest other that it begins with
        # From each bound up to the next, the longest form with which everything begins that is sorted there.
        bounds: dict[str, str] = {}
        around = [""]

        def end() -> None:
            ended = around.pop()
            bounds[_behind(ended)] = around[-1]

        for form in sorted(set(forms)):
            while not form.startswith(around[-1]):
                end()
            self._shorter[form] = around[-1]
            bounds[form] = form
            around.append(form)
        while len(around) > 1:
            end()
        self._bounds = sorted(bounds)
        self._begins_with = [bounds[bound] for bound in self._bounds]
        self._longest = max(map(len, self._shorter), default=0)
        initials = "".join(sorted({form[0] for form in self._shorter}))
        self._initial = re.compile(f"[{re.escape(initials)}]" if initials else r"(?!)")

    def next_place(self, text: str, start: int) -> int | None:
        """From ``start`` on, where one may begin."""
        match = self._initial.search(text, start)
        return match.start() if match is not None else None

    def longest(self, text: str, start: int) -> str:
        """The longest with which the text goes on at a place, or ""."""
        found = bisect_right(self._bounds, text[start : start + self._longest]) - 1
        return self._begins_with[found] if found >= 0 else ""

    def shorter(self, form: str) -> str:
        """The longest other that a form begins with, or ""."""
        return self._shorter[form]


def _behind(form: str) -> str:
    """The first string in order behind all that begin with a form."""
    head = form.rstrip(_LAST)
    return head[:-1] + chr(ord(head[-1]) + 1)
