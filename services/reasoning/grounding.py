"""Whether what a model says stands in the notes that it was given. No model is asked: pure functions of texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.common.cached import cached_property
from services.common.text import lexical, times
from services.common.text.stems import stem
from services.common.text.times import Mention, Spoken
from services.common.text.times import words as time_words
from services.reasoning import claims, codes, numerals, own_day, proportions, quantities, spelled
from services.reasoning.held import DAY, Held, noon
from services.reasoning.prompt import Note
from services.reasoning.quantities import Amount, Clock
from services.reasoning.spelled import Number

_PHONE_DIGITS = 5  # and more: however they are divided, they are one number
_DIALLED_DIGITS = 7  # and more, in parts: the parts have one order
_WEEKDAY = re.compile(r"^\D*(?:mon|tues|wednes|thurs|fri|satur|sun)day$", re.I)
_NAMED_WEEKDAY = re.compile(time_words.WEEKDAY)
_DAY_OF_MONTH = re.compile(r"(?i)^\D*\b(\d{1,2})(?:st|nd|rd|th)$")
_LONG_AFTER = timedelta(days=4_000)  # what counts from now means another time by then


@dataclass(frozen=True, slots=True)
class _Claim:
    """Something of a sentence that can be looked up."""

    stands_in: Callable[[Held], bool]
    terms: frozenset[str]


class Grounding:
    """The notes of one prompt, ready for any number of sentences."""

    def __init__(self, question: str, notes: Sequence[Note], asked_on: str = "") -> None:
        """``asked_on``: the day from which a sentence's "yesterday" counts, as of ``Note.when``; "" where none does."""
        self._held = [Held(note) for note in notes]
        self._asked_at = noon(asked_on) if asked_on else None
        self._question = frozenset(lexical.terms(question))
        self._asked = claims.words(question)
        lines = "\n".join([question, *(held.line for held in self._held)])
        self._ordinary = frozenset(claims.uncapital_stems(lines))
        named = (name for line in lines.splitlines() for name in claims.names(line, self._ordinary))
        self._names = frozenset(name for name in named if stem(name) not in self._ordinary)
        self._units = quantities.units(question)
        self._rates = proportions.rates(question)
        self._context = lines

    def cited(self, sentence: str) -> list[Note] | None:
        """The notes that support ``sentence``, best first; None when it claims what stands in none of them.

        A claim stands in a note that holds it and is about the same: it shares another word with the sentence, or,
        where no note does, with the question. Without claims, every note that shares a word supports it.
        """
        terms = frozenset(lexical.terms(numerals.in_digits(sentence)))
        if said := [held for held in self._held if held.quotes(sentence)]:
            return [held.note for held in said]
        made = self._claims(sentence)
        if not made:
            return [held.note for held in self._held if held.terms & terms]
        claimed = frozenset(term for claim in made for term in claim.terms)
        about = [held for held in self._held if self._is_about(held, made, terms - claimed, claimed)]
        if not all(any(claim.stands_in(held) for held in about) for claim in made):
            return None
        whole = [held.note for held in about if all(claim.stands_in(held) for claim in made)]
        return whole or [held.note for held in about if any(claim.stands_in(held) for claim in made)]

    def _is_about(self, held: Held, made: Sequence[_Claim], rest: frozenset[str], claimed: frozenset[str]) -> bool:
        """``rest``: what the sentence says beside its claims."""
        if any(other.terms & rest for other in self._held):
            return bool(held.terms & rest)
        asked = self._question - claimed
        if len(made) > 1 and sum(claim.stands_in(held) for claim in made) > 1:
            return True
        return not asked or bool(held.terms & asked)

    def _claims(self, sentence: str) -> list[_Claim]:
        addresses = claims.addresses(sentence)
        made = [_claim(_address(address), sentence[at:end]) for address, at, end in addresses]
        rest = quantities.blanked(sentence, [(at, end) for _, at, end in addresses])
        languages = spelled.languages(rest, self._context)
        numbers, days = spelled.numbers(rest, languages), spelled.days(rest, languages)
        spoken = times.read(rest)
        mentions = spoken.at(_READ_AT)
        is_past = not mentions or claims.looks_back(sentence)
        undated = quantities.blanked(rest, [(m.at, m.at + len(m.text)) for m in mentions])
        for mention in mentions:
            told = self._on_their_day(undated, mention)
            made.append(_claim(_date(spoken, mention, self._asked_at, told, is_past), mention.text))
        made += [_claim(_quote(day), day) for day in claims.numbered_days(rest)]
        written = codes.claimed(undated)
        made += [_claim(_code(code), code) for code, _, _ in written]
        rest = proportions.in_minutes(quantities.blanked(undated, [(at, end) for _, at, end in written]))
        shares = proportions.shares(rest)
        made += [_claim(_share(share), rest[share.at : share.end]) for share in shares]
        measured = numerals.figures(quantities.blanked(rest, [(s.at, s.end) for s in shares]))
        made += [_claim(_rate(unit), unit) for unit in proportions.claimed_rates(measured) - self._rates]
        clocks = quantities.clocks(measured)
        made += [_claim(_clock(clock, measured), measured[clock.at : clock.end]) for clock in clocks]
        measured = quantities.blanked(measured, [(c.at, c.end) for c in clocks])
        amounts = quantities.amounts(measured)
        made += [_claim(_amount(amount, self._units), amount.run) for amount in amounts]
        measured = quantities.blanked(
            measured, [(a.at, a.end) for a in amounts if not measured[a.at - 1 : a.at].isalpha()]
        )
        made += [_claim(_part_of_day(part), part) for part in quantities.parts(measured) - self._asked]
        made += [_claim(_number(number), number.text) for number in numbers]
        made += [_claim(_day(day), day.text) for day in days]
        no_names = claims.words(" ".join([*(number.text for number in numbers), *(day.text for day in days)]))
        named = self._names_in(measured) - no_names
        made += [_claim(_name(name), name) for name in named]
        heard = {name for name in named if not self._is_unheard(name)}
        made += [_claim(_full_name(*two), " ".join(two)) for two in claims.full_names(measured, heard)]
        made += [_claim(_quote(quote), "") for quote in claims.quotes(sentence)]
        made += [_claim(_name(word), word) for word in claims.uncapitalised(rest) - self._asked]
        return made

    def _on_their_day(self, undated: str, mention: Mention) -> list[Held]:
        """Notes that tell of their own day what a sentence, without its times, says of the time at ``mention``.

        They state no time where they hold the most of its words, nor does what holds more of them elsewhere.
        """
        everywhere = [passage for held in self._held for passage in held.passages]
        said = own_day.clause(undated, mention.at, mention.at + len(mention.text))
        terms = frozenset(lexical.terms(said))
        if not any(own_day.likeness(passage, terms) for passage in everywhere):
            terms = frozenset(lexical.terms(undated))
        timed = max((own_day.likeness(p, terms) for p in everywhere if p.states_time), default=-1)
        return [held for held in self._held if own_day.is_untimed(held.passages, terms, timed)]

    def _names_in(self, text: str) -> set[str]:
        found = set(claims.names(text, self._ordinary))
        if any(self._is_unheard(name) for name in found):
            found -= {opener for opener in (claims.common_opener(text),) if self._is_unheard(opener)}
        return found | self._small_names(text)

    def _is_unheard(self, word: str) -> bool:
        return not any(_name(word)(held) for held in self._held)

    def _small_names(self, text: str) -> set[str]:
        """Names without a capital: such as have one elsewhere, and such as no note has and the tagger takes for one."""
        small = claims.small(text)
        unheard = {w for w in small if w not in self._asked and self._is_unheard(w)}
        proper = claims.proper(text) | self._in_place_of_names(text) if unheard else set()
        return (proper & unheard) | (small & self._names)

    @cached_property
    def _before_names(self) -> set[str]:
        return {before for held in self._held for before in claims.before_names(held.note.text)}

    def _in_place_of_names(self, text: str) -> set[str]:
        """Nouns behind a word behind which a note has a name: "in basel" where it has "in Bern"."""
        return {noun for before, noun in claims.led(text) if before in self._before_names}


# Any time at all: which words are a date, and where they stand, does not depend on it.
_READ_AT = datetime(2000, 1, 1, 12, tzinfo=UTC)


def _claim(stands_in: Callable[[Held], bool], text: str) -> _Claim:
    return _Claim(stands_in, frozenset(lexical.terms(text)))


def _amount(amount: Amount, asked: frozenset[str]) -> Callable[[Held], bool]:
    """``asked``: units of the question."""
    read, together = claims.readings(amount.run), claims.joined(amount.run)
    is_long = len(together) >= _PHONE_DIGITS and not amount.units
    is_phone = len(together) >= _DIALLED_DIGITS and len(read) > 1
    shares = proportions.in_percent(amount.values) if "percent" in amount.units else frozenset()

    def stands_in(held: Held) -> bool:
        if is_phone:
            return any(together in other for other in held.joined)
        named = asked | held.units
        whole = all(quantities.is_borne_out(amount, number, held.amounts, named) for number in read)
        if whole or (is_long and together in held.joined) or quantities.is_single(amount, held.measured):
            return True
        if shares.intersection(held.shares):
            return True
        values = spelled.whole(amount.values)
        is_same_kind = not amount.units or bool(amount.units & (held.units | asked))
        return is_same_kind and any(number.is_any_of(values) for number in held.numbers)

    return stands_in


def _number(number: Number) -> Callable[[Held], bool]:
    forms = {form for readings in number.readings.values() for form in readings}
    return lambda held: not forms.isdisjoint(held.spellings) or number.is_any_of(held.whole_numbers)


def _day(day: spelled.Day) -> Callable[[Held], bool]:
    return lambda held: (day.is_month, day.value) in held.named_days


def _share(share: proportions.Share) -> Callable[[Held], bool]:
    return lambda held: share.value in held.shares


def _rate(unit: str) -> Callable[[Held], bool]:
    return lambda held: unit in held.rates


def _clock(clock: Clock, text: str) -> Callable[[Held], bool]:
    """At the same time; a note that leaves open which half of the day must say which in words."""
    number = frozenset(claims.values(text[clock.at : clock.end]) if clock.is_loose else ())

    def stands_in(held: Held) -> bool:
        for other in held.clocks:
            both = clock.minutes & other.minutes
            if both and (other.minutes <= clock.minutes or any(both & quantities.PARTS[part] for part in held.parts)):
                return True
        return any(number & amount.values for amount in held.amounts)

    return stands_in


def _part_of_day(part: str) -> Callable[[Held], bool]:
    minutes = quantities.PARTS[part]
    said = {stem(part), *(["tonight"] if part in ("evening", "night") else [])}
    return lambda held: (
        not said.isdisjoint(held.stems) or any(clock.minutes <= minutes for clock in held.clocks if not clock.is_loose)
    )


def _name(name: str) -> Callable[[Held], bool]:
    forms = claims.titles(name)
    return lambda held: not forms.isdisjoint(held.words) or stem(name) in held.stems


def _full_name(first: str, second: str) -> Callable[[Held], bool]:
    """Both of one name: who is told of John Smith and Mary Jones is told of no John Jones."""
    return lambda held: held.in_order.holds(first, second)


def _code(code: str) -> Callable[[Held], bool]:
    return lambda held: codes.stands(code, held.parts_of_codes)


def _address(address: str) -> Callable[[Held], bool]:
    return lambda held: address in held.addresses


def _quote(quote: str) -> Callable[[Held], bool]:
    return lambda held: claims.stands(quote, held.spelled)


def _date(
    spoken: Spoken, mention: Mention, asked_at: datetime | None, told: Collection[Held], is_past: bool
) -> Callable[[Held], bool]:
    """In the same words, or as a time that holds one of the note's: "in April" is right where it says the 6th.

    ``told``: notes whose own day is a time of theirs too. What counts from now ("yesterday", "last week") may mean the
    note's now or that of whoever asks; the note's own day is seen from the latter alone, for on it everything that the
    note says is "today". On that day something may have happened; nothing is due on it.
    """
    words = claims.spelled(mention.text)
    of_month = _DAY_OF_MONTH.match(words)
    counts = _counts_from_now(spoken, mention)

    def stands_in(held: Held) -> bool:
        if claims.stands(words, held.said):
            return True
        if of_month is not None and any(_is_on(int(of_month[1]), *span) for span in held.spoken_of):
            return True
        spans = [*held.spoken_of, held.day] if held in told else held.spoken_of
        seen = held.spoken_of if counts or not is_past else spans
        if _any_agrees(_read(spoken, mention, held.read_at), seen):
            return True
        return counts and asked_at is not None and _any_agrees(_read(spoken, mention, asked_at), spans)

    return stands_in


def _is_on(day: int, start: datetime, end: datetime) -> bool:
    return start.day == day and end - start == DAY


def _read(spoken: Spoken, mention: Mention, now: datetime) -> Mention | None:
    return next((m for m in spoken.at(now) if m.at == mention.at), None)


def _counts_from_now(spoken: Spoken, mention: Mention) -> bool:
    """Not so a weekday, which is one of any week."""
    later = _read(spoken, mention, _READ_AT + _LONG_AFTER)
    same = later is not None and later.start == mention.start
    return not (same or mention.yearless or _WEEKDAY.search(mention.text))


def _any_agrees(claimed: Mention | None, spans: Sequence[tuple[datetime, datetime]]) -> bool:
    return claimed is not None and any(_agrees(claimed, start, end) for start, end in spans)


def _agrees(claimed: Mention, start: datetime, end: datetime) -> bool:
    a_day = end - start == claimed.end - claimed.start == DAY
    named = _NAMED_WEEKDAY.search(claimed.text) if a_day else None
    if named is not None and time_words.weekday(named.group()) != start.weekday():
        return False  # "Sunday, 2 February 2026", which is a Monday
    if claimed.start <= start and end <= claimed.end:
        return True
    if claimed.yearless:  # of any year
        first, last = _in_year(claimed.start, claimed.end, start.year)
        return first <= start and end <= last
    return a_day and _WEEKDAY.search(claimed.text) is not None and claimed.start.weekday() == start.weekday()


def _in_year(start: datetime, end: datetime, year: int) -> tuple[datetime, datetime]:
    moved = start.replace(year=year, day=min(start.day, 28)) + timedelta(days=max(0, start.day - 28))
    return moved, moved + (end - start)
