"""What capitals give away: the forms of names in any alphabet that has capitals, and what stands around them.

The forms are the same in every such alphabet; what a capital says depends on the language. In a text that does not
read as English, a word at the head of a sentence is no name, for no lexicon tells it from others; in a German one no
single word is, for every noun has a capital there.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import regex

from services.common.text import lexical

# --- forms ------------------------------------------------------------------------------------------------------

# Letters possessively and everything else a few times at most: one pass over any text.
_CAPITAL = r"\p{Lu}\p{M}*+"
_SMALL = r"(?:\p{Ll}\p{M}*+)++"
_WORD = (
    rf"(?:{_CAPITAL}{_SMALL}(?:['’]{_CAPITAL}{_SMALL})?(?:-{_CAPITAL}{_SMALL}){{0,4}}"
    rf"|(?:Mac|Mc|\p{{Lu}}['’]|De|Le){_CAPITAL}{_SMALL})"
)
_INITIAL = rf"(?:{_CAPITAL}\. ?)"
_PARTICLE = (
    r"(?:(?:of|de(?: las?| los)?|del|della|di|da|dos|du|des|von(?: de[rmn])?|van(?: de[rn]?)?|ter|zu|af|av|bin|ibn|bint"
    r"|wa|Ó) |d(?:ell|all|egl)?['’]|[ae]l-)"
)
RUN = regex.compile(
    rf"(?<![\w\p{{M}}.'’])(?:{_INITIAL}{{0,3}}|d(?:ell|all|egl)?['’]){_WORD}"
    rf"(?: (?:{_INITIAL}|{_PARTICLE}(?={_WORD}))?{_WORD}){{0,3}}"
    r"(?![\w\p{M}]|['’](?!s)\p{Ll})"
)
NAME = regex.compile(rf"(?:(?i:the) )?{_INITIAL}{{0,3}}{_WORD}(?:[ -](?:{_INITIAL}|{_PARTICLE}|the )?{_WORD}){{0,4}}")
_TITLE = (
    r"(?:Mr|Mrs|Messrs|Ms|Miss|Dr|Doctor|Master|Sir|Lady|Lord|Madame|Monsieur|Uncle|Aunt|Professor|Prof|Captain"
    r"|Colonel|Herrn?|Frau|Señora?|Signora?|Senhora?)"
)
TITLED = regex.compile(rf"\b{_TITLE}\b\.? (?:{_INITIAL}{{0,3}}{_WORD}(?: {_INITIAL}?{_WORD}){{0,2}})")
_JOINED = regex.compile(r"(?<![\p{L}\p{M}])(?:\p{Lu}['’]|Mc)\p{Lu}")
# Given names that stand behind another with a hyphen.
_COMPOUND = regex.compile(
    r"(?<![\p{L}\p{M}-])\p{Lu}\p{Ll}+-(?:Marie?|Mary|Maria|Louise?|Luc|Paul|Pierre|Claude|Jane|Jean|Anne?|Anna|Lou|Lynne?"
    r"|Kate|Rose|Sophie|Christine|Jacques|François|Yves|Philippe|Michel|Marc|Peter|Dieter|Heinz|Jose[pf]h?|Beth|Mae|Lee"
    r"|Bob|Ellen|Joy|Grace|Sue|Lena|Sofie|Charlotte|Elisabeth|Laure|Hélène|Baptiste|Christophe)(?![\p{L}\p{M}-])"
)
# Before another name; what a sentence opens with is one too then.
AND = regex.compile(r" (?:and|et|e|ed|y|i|og|och|en|ve|și|и|та|і|και|&) ")
_POSSESSIVE = regex.compile(r"['’]s?$")
_ANY = regex.compile(r"\p{Lu}")
_LATIN = regex.compile(r"\p{Latin}")
_SMALL_WORD = regex.compile(rf"(?<![\p{{L}}\p{{M}}]){_SMALL}(?!\p{{L}})")


def bare(run: str) -> str:
    """A name without the marks around it and its possessive."""
    return _POSSESSIVE.sub("", run.strip().strip('.,;:!?"“”‘()'))


def has_particle(run: str) -> bool:
    """Whether a run holds a word in small letters, such as names only have ("Maria de la Cruz"); "of" is none."""
    return any(word[0].islower() and word != "of" for word in run.split())


def has_form_of_names(run: str) -> bool:
    """Whether a run is written as nothing but a name is, whatever lexicon has it: "Charles de Gaulle", "O'Connor",
    "Anne-Marie"."""
    return has_particle(run) or _JOINED.search(run) is not None or _COMPOUND.search(run) is not None


def has_any(text: str) -> bool:
    """Whether a text has a capital at all."""
    return _ANY.search(text) is not None


def is_latin(letter: str) -> bool:
    return _LATIN.match(letter) is not None


# --- around them ------------------------------------------------------------------------------------------------

_OPENS = regex.compile(r"(?:^|[\p{Sentence_Terminal}:;…—\n\"\p{Ps}\p{Pi}\p{Pf}'¿¡*_-]\s*|\n\s*)$")
_TITLE_BEFORE = regex.compile(rf"\b(?:{_TITLE}|\p{{Lu}})\.\s*$")
_NEAR = 20  # characters before a name that are looked at
_IN = regex.compile(r"\b(?:in|near|at|outside|throughout|across)\s+(?:the\s+)?$")
_PLACED = regex.compile(
    r"\b(?:in|near|at|outside|throughout|across|to|from|of|for|via|leave|left|visit|visited)\s+(?:the\s+)?$"
)
# In other languages: before places; and before places and people alike.
_THERE = regex.compile(
    r"(?<!\p{L})(?:in|nach|aus|em|en|nel|nella|w|we|ve|v|i|på|til|в|во|из|στο|στη|στην|στον|op|te|naar|till)\s+$"
)
_THERE_OR_WITH = regex.compile(
    r"(?<!\p{L})(?:a|à|ad|au|da|de|di|do|na|u|od|z|ze|bei|на|от|до|к|у|σε|la|el|il|le|din|die|der|das)\s+$"
)
PLACE_WORDS = frozenset(
    """Street Road Lane Avenue Terrace Square Place Row Crescent Gardens Park Hill House Hall Court Station Theatre
    Theater Hotel Inn Church Chapel Cathedral Abbey School College University Hospital Library Museum Bridge Common
    Heath Green Market Pier Beach Bay Harbour Harbor River Lake Island Forest Castle Palace Villa Lodge Rooms Club
    Café Restaurant Bar Mall Airport City Town County Valley Mountain Mount""".split()
)
FUNCTION_WORDS = frozenset(
    """I A An The This That These Those He She It We You They My Our Your His Her Its Their And But Or Nor So Yet If
    When While Where What Who Whom Whose Which Why How As At By For From In Into Of On Onto To With Without After
    Before Since Until Then There Here Not No Yes Oh Ah Well Monday Tuesday Wednesday Thursday Friday Saturday Sunday
    January February March April May June July August September October November December Jan Feb Mar Apr Jun Jul Aug
    Sep Sept Oct Nov Dec Christmas Xmas Easter
    Hello Hullo Hulloh Hooray Hoorah Hurrah Guv Uncle Aunt Cousin""".split()
)
# What a sentence may open with right before a name, and the model takes into it ("Left Farmerson at the door").
_VERBS = frozenset(
    """Left Sent Found Told Met Saw Asked Heard Got Gave Took Wrote Went Came Had Made Poor Dear Old
    Tell Ask Call Give Send Meet Let Bring Remind Thank Show Help Invite Visit""".split()
)


def opens_sentence(text: str, start: int) -> bool:
    before = text[max(0, start - 16) : start]
    return start == 0 or (_OPENS.search(before) is not None and _TITLE_BEFORE.search(before) is None)


def without_head(text: str, start: int, end: int, is_english: bool) -> int:
    """Where a run starts without the words at its head that are no part of a name, in a sentence's first place.

    In a language that is not English, the first word of a sentence is none.
    """
    while start < end:
        first, space, rest = text[start:end].partition(" ")
        is_head = first in FUNCTION_WORDS or (not is_english and opens_sentence(text, start))
        if not (space and rest and is_head):
            break
        start += len(first) + 1
    return start


def after_verb(text: str, start: int, end: int) -> int:
    """Where a name starts when the model took the word before it in as well."""
    first, space, rest = text[start:end].partition(" ")
    is_verb = first in _VERBS or (len(first) > 4 and first.endswith(("ed", "ly", "ing")))
    return start + len(first) + 1 if space and rest and is_verb and opens_sentence(text, start) else start


def is_place_by_form(text: str, start: int, end: int) -> bool:
    """Whether the last word or the preposition says that this is a place."""
    run = text[start:end]
    if " " in run and bare(run).rsplit(" ", 1)[-1] in PLACE_WORDS:
        return True
    return _POSSESSIVE.search(run) is None and _IN.search(text, max(0, start - _NEAR), start) is not None


def is_behind_place_word(text: str, start: int) -> bool:
    """Whether the word before is one that places stand behind."""
    return _PLACED.search(text, max(0, start - _NEAR), start) is not None


# --- languages --------------------------------------------------------------------------------------------------

_ENGLISH_SHARE = 0.75  # of the small words, known to the lexicon


@dataclass(frozen=True, slots=True)
class Reading:
    """What language a text reads as, as far as its capitals depend on it."""

    is_english: bool  # nothing speaks against it
    is_german: bool

    @classmethod
    def of(cls, text: str, lexicon: Collection[str]) -> Reading:
        """``lexicon``: English words in small letters."""
        latin = lexical.languages(RUN.sub("", text)) & lexical.LATIN  # "Maria de la Cruz" makes no text Spanish
        small = [word for word in _SMALL_WORD.findall(text) if len(word) > 1]
        known = sum(word in lexicon for word in small)
        is_english = (not latin or "en" in latin) and known >= _ENGLISH_SHARE * len(small)
        return cls(is_english, "de" in latin)

    def sort(self, text: str, start: int, end: int, label: str | None) -> str | None:
        """ "person" or "place", or None where nothing tells: of a run of capitals in a text that is not English.

        ``label``: what the model, which knows English alone, takes it for.
        """
        words = bare(text[start:end]).split()
        opens = opens_sentence(text, start)
        if opens or self.is_german:
            is_name = label == "person" and len(words) > 1 and not any(map(lexical.is_function_word, words))
            return "person" if is_name and not (opens and self.is_german) else None
        before = max(0, start - _NEAR)
        if _THERE.search(text, before, start):
            return "place"
        if _THERE_OR_WITH.search(text, before, start):
            return label
        return None if lexical.is_function_word(words[0]) else "person"


# --- places in a text -------------------------------------------------------------------------------------------


class Spans:
    """Spans of a text that do not overlap, in order."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans = sorted(spans)

    def meets(self, start: int, end: int) -> bool:
        """Whether one of them overlaps [start, end)."""
        at = bisect_right(self._spans, (start, start))
        beside = self._spans[max(0, at - 1) : at + 1]
        return any(start < e and s < end for s, e in beside)

    def add(self, start: int, end: int) -> None:
        insort(self._spans, (start, end))
