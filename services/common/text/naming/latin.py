"""Names in Latin letters that no lexicon makes doubtful: what small letters, pronouns and places make of them."""

from __future__ import annotations

from functools import cached_property

from services.common.text.naming import function_words, inflection, places, scripts, things, words
from services.common.text.naming.spellings import Spelling


class Latin:
    """A text, and what is known of it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._function_words: dict[str, bool] = {}  # by folded word

    @cached_property
    def tongues(self) -> inflection.Tongues:
        return inflection.tongues(self._source)

    def doubt(self, spelling: Spelling, start: int, end: int) -> str:
        """Why what stands there may be none of a name; "" where it is the name, or has other letters."""
        if scripts.script(spelling.form[0]) != "LATIN":
            return ""
        source, is_single = self._source, len(spelling.words) == 1
        is_small = not source[start].isupper()
        may_be_small = is_small or words.opens_sentence(source, start)
        if is_single and may_be_small and self._is_function_word(spelling.words[0], source[start:end]):
            return words.SMALL if is_small else words.OPENS
        if is_single and (thing := things.doubt(spelling.words[0], source, start, end)):
            return thing
        if is_single and (place := places.doubt(spelling.words[0], source, start, end)):
            return place
        if not is_small or spelling.declared or self._is_in_handle(start, end):
            return ""
        if function_words.stands_before(source, start, self.tongues.spoken):
            return words.THING
        if not is_single or function_words.is_asked(source, start):
            return ""
        is_word = self.writes_capitals or function_words.joins(source, start, end)
        return words.SMALL_HERE if is_word else ""

    def _is_function_word(self, word: str, written: str) -> bool:
        """Whether the rest of the text is in a language where it is a pronoun or the like."""
        if not function_words.is_any(word):
            return False
        if word not in self._function_words:
            rest = inflection.tongues(self._source, beside=written).spoken
            self._function_words[word] = function_words.is_one(word, rest)
        return self._function_words[word]

    def _is_in_handle(self, start: int, end: int) -> bool:
        """Whether what joins the parts of a user's name stands beside it: "tom_b", "tom42"."""
        beside = self._source[max(0, start - 1) : start] + self._source[end : end + 1]
        return any(c == "_" or c.isdigit() for c in beside)

    @cached_property
    def writes_capitals(self) -> bool:
        return function_words.writes_capitals(self._source)
