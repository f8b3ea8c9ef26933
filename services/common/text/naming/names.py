"""Where given names stand in a text: the one matcher, for a namespace's aliases and for a person to be forgotten."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

from services.common.text.naming import scripts
from services.common.text.naming.forms import Forms
from services.common.text.naming.judging import Mention, Text
from services.common.text.naming.phrases import Phrases
from services.common.text.naming.spellings import Form, parts_of, spellings
from services.common.turns import checkpoint

_MOST_DOUBTED = 8  # forms that begin at one place; of shorter ones none is asked then whether it is surer


class Names:
    """Given names, in any script. Immutable. Time grows with the text, whatever stands in it, and not with the names:
    with the logarithm of their number, and with how many begin with one another."""

    def __init__(self, given: Iterable[str], *, declared: bool = False) -> None:
        """``given``: names without a letter or digit are left out. ``declared``: one given in small letters ("mum") is
        meant as it is given; else it is a name that somebody typed without a capital."""
        self._by_form: dict[str, Form] = {}
        names = list(dict.fromkeys(given))
        for name in names:
            for spelling in spellings(name, declared):
                if spelling.form not in self._by_form:
                    self._by_form[spelling.form] = Form(spelling.form)
                self._by_form[spelling.form].add(spelling, name)
        self._forms = Forms(self._by_form)
        for form, of in self._by_form.items():
            of.shorter = self._by_form.get(self._forms.shorter(form))
        self._phrases = Phrases((name, parts) for name in names for parts in parts_of(name))

    @property
    def forms(self) -> Iterable[str]:
        """What is looked for of the names as they were given: folded, with one space between words."""
        return self._by_form

    def certain(self, text: str) -> bool:
        """Whether a text surely names one of them."""
        return any(not mention.doubt for mention in self.find(text))

    def find(self, text: str, *, is_name: bool = False) -> Iterator[Mention]:
        """Every mention, in order, none inside another; the longest of several, and rather a sure one.

        ``is_name``: the text is a name or a handle itself, so that no word of a language is meant.
        """
        checkpoint()
        seen = Text(text, is_name)
        checkpoint()
        others = sorted(filter(None, map(seen.read, self._phrases.find(seen.folded))), key=lambda m: (m.start, m.end))
        yield from _best(self._as_given(seen), others) if others else self._as_given(seen)

    def _as_given(self, seen: Text) -> Iterator[Mention]:
        """Mentions of the names as they were given, with what is written onto them."""
        at = 0
        while (start := self._forms.next_place(seen.closed.text, at)) is not None:
            mention, at = self._at(seen, start)
            if mention is not None:
                yield mention

    def _at(self, seen: Text, start: int) -> tuple[Mention | None, int]:
        """The best mention that begins at a place of the closed text, and where to look on."""
        form = self._by_form.get(self._forms.longest(seen.closed.text, start))
        place = seen.closed.places[start]
        if form is None:
            return None, start + 1
        before = scripts.before(seen.folded.text, place)
        if before is None and not seen.is_camel(place):
            return None, start + 1
        best: tuple[Mention, int] | None = None
        is_small, doubted = seen.is_small_latin(place), 0
        while form is not None and doubted < _MOST_DOUBTED:
            end = start + form.letters
            kind = end, is_small, form.declines
            if kind not in seen.no_ends:
                mention = self._best(seen, form, place, seen.closed.places[end - 1] + 1, before)
                if mention is not None and not mention.doubt:
                    return mention, end
                if mention is not None:
                    best = best or (mention, end)
                    doubted += 1
                elif form.written_out and seen.has_umlauts:
                    doubted += 1  # what is written there says it, not where it ends
                else:
                    seen.no_ends.add(kind)
            form = form.shorter
        return best or (None, start + 1)

    def _best(self, seen: Text, form: Form, start: int, end: int, before: str | None) -> Mention | None:
        """The first sure mention of a form at a place of the folded text; else the first."""
        best: Mention | None = None
        for spelling, names in seen.spelled(form, start, end):
            mention = seen.judged(spelling, names, start, end, before)
            if mention is not None and (best is None or (best.doubt and not mention.doubt)):
                best = mention
        return best


def _best(given: Iterator[Mention], others: Sequence[Mention]) -> Iterator[Mention]:
    """Both, in order, none inside another: of several rather the sure one, then the longer."""
    last: Mention | None = None
    for each in heapq.merge(given, others, key=lambda mention: mention.start):
        if last is None or each.start >= last.end:
            if last is not None:
                yield last
            last = each
        elif (bool(each.doubt), last.start - last.end) < (bool(last.doubt), each.start - each.end):
            last = each
    if last is not None:
        yield last
