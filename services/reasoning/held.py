"""What one note holds: its words, numbers, names, times, each found when a claim is first looked for among them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from services.common.cached import cached_property
from services.common.text import lexical, times
from services.common.text.stems import stem
from services.common.text.times import Mention, Spoken
from services.reasoning import claims, codes, numerals, own_day, proportions, quantities, spelled
from services.reasoning.codes import Part
from services.reasoning.own_day import Passage
from services.reasoning.prompt import Note, one_line
from services.reasoning.quantities import Amount, Clock
from services.reasoning.spelled import Number

# A sentence of fewer words is not taken for a quotation of the note that holds it: "15" stands in many.
_QUOTATION_WORDS = 3
_DAY_OR_MONTH = re.compile(r"(?<!\d)\d\d?(?!\d)")
_DIGITS = re.compile(r"\d{1,12}")
DAY = timedelta(days=1)
_MONTH = timedelta(days=31)


class Held:
    """What one note holds, as the model was shown it."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.line = one_line(note.line())
        self.terms = frozenset(lexical.terms(self.line))
        self.read_at = noon(note.when)

    def quotes(self, sentence: str) -> bool:
        said = claims.spelled(sentence)
        return len(said.split()) >= _QUOTATION_WORDS and claims.stands(said, self.spelled)

    @cached_property
    def spelled(self) -> str:
        return claims.spelled(self.line)

    @cached_property
    def said(self) -> str:
        """Its text as ``spelled``, without who said it and when."""
        return claims.spelled(one_line(self.note.text))

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(claims.words(self.line))

    @cached_property
    def in_order(self) -> claims.Line:
        return claims.Line(self.line)

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(map(stem, self.words))

    @cached_property
    def parts_of_codes(self) -> list[Part]:
        return codes.parts(self.spelled)

    @cached_property
    def addresses(self) -> frozenset[str]:
        return frozenset(address for address, _, _ in claims.addresses(self.line))

    @cached_property
    def measured(self) -> str:
        """What was said, less the figures of its dates but years."""
        text = self.note.text
        days = [(m.at + d.start(), m.at + d.end()) for m in self.mentions for d in _DAY_OR_MONTH.finditer(m.text)]
        text = quantities.blanked(text, days)
        text = proportions.in_minutes(text)
        text = quantities.blanked(text, [(share.at, share.end) for share in proportions.shares(text)])
        return numerals.figures(numerals.loosely(one_line(f"{self.note.actor}: {text}")))

    @cached_property
    def whole_numbers(self) -> frozenset[int]:
        """Of whatever it measures, dates and parts of a chain among them."""
        written = numerals.figures(self.note.text)
        return frozenset(spelled.whole((*_DIGITS.findall(written), *claims.values(written))))

    @cached_property
    def numbers(self) -> list[Number]:
        """In words of other languages than English."""
        return spelled.numbers(self.note.text, spelled.languages(self.note.text, ""))

    @cached_property
    def spellings(self) -> frozenset[str]:
        return frozenset(form for number in self.numbers for forms in number.readings.values() for form in forms)

    @cached_property
    def named_days(self) -> frozenset[tuple[bool, int]]:
        """Weekdays and months that it names in any language, or whose dates it has."""
        named = spelled.days(self.note.text, spelled.languages(self.note.text, ""))
        days = {(False, start.weekday()) for start, end in self.spoken_of if end - start == DAY}
        months = {(True, start.month) for start, end in self.spoken_of if end - start <= _MONTH}
        return frozenset({(day.is_month, day.value) for day in named} | days | months)

    @cached_property
    def shares(self) -> frozenset[Fraction]:
        percents = (n for amount in self.amounts if "percent" in amount.units for n in amount.values)
        return proportions.in_percent(percents) | {share.value for share in proportions.shares(self.note.text)}

    @cached_property
    def rates(self) -> frozenset[str]:
        return proportions.rates(self.measured)

    @cached_property
    def clocks(self) -> list[Clock]:
        return quantities.clocks(self.measured)

    @cached_property
    def parts(self) -> frozenset[str]:
        """Of the day."""
        return quantities.parts(self.measured)

    @cached_property
    def amounts(self) -> list[Amount]:
        sure = [(clock.at, clock.end) for clock in self.clocks if not clock.is_bare]
        return quantities.amounts(quantities.blanked(self.measured, sure))

    @cached_property
    def units(self) -> frozenset[str]:
        return quantities.units(self.measured)

    @cached_property
    def joined(self) -> frozenset[str]:
        return frozenset(claims.joined(amount.run) for amount in self.amounts)

    @cached_property
    def spoken(self) -> Spoken:
        return times.read(self.note.text)

    @cached_property
    def mentions(self) -> list[Mention]:
        """Times, read at its own."""
        return self.spoken.at(self.read_at)

    @cached_property
    def passages(self) -> list[Passage]:
        return own_day.passages(self.spoken)

    @cached_property
    def day(self) -> tuple[datetime, datetime]:
        day = self.read_at.replace(hour=0)
        return day, day + DAY

    @cached_property
    def spoken_of(self) -> list[tuple[datetime, datetime]]:
        return [(m.start, m.end) for m in self.mentions]


def noon(when: str) -> datetime:
    return datetime.fromisoformat(when).replace(hour=12, tzinfo=UTC)
