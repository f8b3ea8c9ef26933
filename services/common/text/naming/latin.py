"""Names in Latin letters that no lexicon makes doubtful: what small letters, pronouns and places make of them."""

from __future__ import annotations

from functools import cached_property

from services.common.text.naming import function_words, genitive, inflection, places, scripts, things, words
from services.common.text.naming.folding import folded
from services.common.text.naming.spellings import Spelling

_ENGLISH = frozenset({"en"})
_LEAST_SMALL = 5  # letters of a name that is sure in small letters, of which nothing else is said


class Latin:
    """A text, and what is known of it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._rest: dict[str, frozenset[str]] = {}  # of the rest of the text, by folded word

    @cached_property
    def tongues(self) -> inflection.Tongues:
        return inflection.tongues(self._source)

    def doubt(self, spelling: Spelling, start: int, end: int) -> str:
        """Why what stands there may be none of a name; "" where it is the name, or has other letters."""
        if scripts.script(spelling.form[0]) != "LATIN":
            return ""
        source, is_single = self._source, len(spelling.words) == 1
        is_small = not source[start].isupper()
        if is_single and (word := self._word(spelling.words[0], start, end)):
            return word
        if is_single and (thing := things.doubt(spelling.words[0], source, start, end)):
            return thing
        if is_single and not is_small and things.is_one_of_many(source, start, "en" in self.tongues.spoken):
            return words.THING
        if is_single and (place := places.doubt(spelling.words[0], source, start, end)):
            return place
        if not is_small or spelling.declared or self._is_in_handle(start, end):
            return ""
        if function_words.stands_before(source, start, self.tongues.spoken):
            return words.THING
        if not is_single:
            return ""
        if function_words.is_asked(source, start) and self._may_be_asked(spelling.words[0], start, end):
            return ""
        if self.writes_capitals or function_words.joins(source, start, end):
            return words.SMALL_HERE
        return "" if self._is_surely_small(spelling.words[0], start, end) else words.SMALL_HERE

    def _word(self, word: str, start: int, end: int) -> str:
        """The doubt about a name that is a pronoun or the like, or that is a noun and opens a sentence."""
        source = self._source
        written = source[start:end]
        is_function_word, is_noun = function_words.is_any(word), function_words.is_noun(word, ())
        if not is_function_word and not is_noun:
            return ""
        if not written[0].isupper():
            is_said = self._beside(written) == _ENGLISH and words.is_spoken_of(source, start, end)
            return words.SMALL if is_function_word and not (is_said and not function_words.is_english(word)) else ""
        if is_function_word and written.isupper() and len(written) > 1:
            return words.CAPITALS
        if not words.opens_sentence(source, start):
            return ""
        rest = self._beside(written)
        is_said = words.owns(source, end) or words.does(source, end)
        if is_function_word and (not (rest or is_said) or function_words.is_one(word, rest)):
            return "" if words.owns(source, end) and not function_words.is_english(word) else words.OPENS
        is_said = is_said or function_words.does(source, end)
        return words.OPENS if function_words.is_noun(word, rest) and not is_said else ""

    def _beside(self, written: str) -> frozenset[str]:
        """The languages of the rest of the text."""
        word = folded(written)
        if word not in self._rest:
            self._rest[word] = inflection.tongues(self._source, beside=written).spoken
        return self._rest[word]

    def _may_be_asked(self, word: str, start: int, end: int) -> bool:
        """Whether nothing says that somebody is called by another word: "ciao bella"."""
        return not function_words.is_listed(word) or self._beside(self._source[start:end]) == _ENGLISH

    def _is_surely_small(self, word: str, start: int, end: int) -> bool:
        """Whether a small word is the name in a text without capitals. Which words other languages have, no list of
        ours says whole: a name of which nothing is said as of a person is sure in English alone."""
        if function_words.is_told(self._source, start):
            return True
        is_listed = function_words.is_listed(word)
        is_english = self._beside(self._source[start:end]) == _ENGLISH
        if words.is_spoken_of(self._source, start, end):
            return is_english or (not is_listed and words.is_english(self._source))
        return is_english and len(word) >= _LEAST_SMALL and not is_listed and not words.may_be_words((word,))

    def _is_in_handle(self, start: int, end: int) -> bool:
        """Whether what joins the parts of a user's name stands beside it: "tom_b", "tom42"."""
        beside = self._source[max(0, start - 1) : start] + self._source[end : end + 1]
        return any(c == "_" or c.isdigit() for c in beside)

    def is_genitive(self, words_of: tuple[str, ...], start: int, end: int) -> bool:
        """Whether the s behind a name says whose something is ("Evas Nummer")."""
        return genitive.is_one(self._source, words_of, start, end, self.tongues.spoken)

    @cached_property
    def writes_capitals(self) -> bool:
        return function_words.writes_capitals(self._source)
