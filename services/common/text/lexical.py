"""Terms and BM25 arithmetic: one way to cut a text into terms, for the index, the plug-ins and the answers.

A term is a word or number of any script, folded (``services.common.text.words``), without elided articles and English
clitics, cut to its stem by the stemmer of its script (Snowball's; for Latin letters the English one, for which
language a word is of, it alone does not say). Of scripts that write words together, every pair of neighbouring
characters and every ideograph is a term: what is looked for is found however its text was cut. Function words of the
text's own language are left out, unless a capital says that they are a name ("IT", "The Who", "Ask Will"), or their
place at the head of a line ("Will: ...") or of a sentence ("Will bought ...").

BM25 is Robertson's with the idf that never turns negative (Lucene's). Its statistics belong to one namespace; who
keeps them passes them in.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import regex
import Stemmer
from icu4py import icu_version

from services.common.text import stop_words
from services.common.text.stems import stem
from services.common.text.words import CACHED_LENGTH, Word, cut, fold, normal
from services.common.turns import checkpoint

K1 = 1.2
B = 0.75

# What the terms of a text depend on beside the text; part of an index's generation. Raise the first number where this
# module or those that it rests on cut otherwise.
IDENTITY = f"terms-6-icu-{icu_version}-snowball-{Stemmer.version()}"

_stem = lru_cache(maxsize=65_536)(stem)  # of words that may come again

_CLITIC = regex.compile(r"(?:n't|'(?:s|d|m|t|re|ve|ll)?)$")
# Articles and the like before an apostrophe, French, Italian and Catalan.
_ELIDED = regex.compile(
    r"^(?:[ldjmtscn]|qu|jusqu|lorsqu|puisqu|quoiqu|un|(?:de|a|ne|su|da|co)ll|quest|quell|sant)'"
    r"(?!(?:s|d|m|t|re|ve|ll)$)(?=\p{L})"
)
# Turkish cases behind the apostrophe of a name.
_CASE = regex.compile(r"(?<=\p{L}{3})'(?:[dt][ae]n?|[ny]?[iu]n?|[sy]?[ae]|y?l[ae])$")

# Each as it is written, and as those write it who leave marks out.
_LISTED = {
    language: frozenset(form for word in listed.split() for form in (normal(word).casefold(), fold(normal(word))))
    for group in stop_words.GROUPS
    for language, listed in group.items()
}
STOP_WORDS = _LISTED["en"]
_NUMBERS = frozenset({"once"})  # English that is a number in another language, Spanish: it tells neither
_CLIPPED = frozenset({"ca", "wo"})  # English by "n't" alone
_ALSO_ENGLISH = (STOP_WORDS - _CLIPPED) | frozenset(stop_words.ALSO_ENGLISH.split())
_LISTED_IN: dict[str, list[str]] = {}
for _language, _listed in _LISTED.items():
    for _word in _listed:
        _LISTED_IN.setdefault(_word, []).append(_language)
_FUNCTION_WORDS = STOP_WORDS | (_LISTED_IN.keys() - _ALSO_ENGLISH)
# Which group a language is of, and its place there.
_PLACE = {language: (g, n) for g, group in enumerate(stop_words.GROUPS) for n, language in enumerate(group)}
_BETWEEN_CHECKPOINTS = 1_000  # words: some 7 ms
LATIN = frozenset(stop_words.GROUPS[0])  # languages of Latin letters
# Of those, which write no pronoun with a capital for courtesy: inside a sentence a capital is a name's.
_NAMES_ALONE = frozenset({"en", "nl", "fr", "es", "pt", "ca", "ro", "sv", "nb", "fi", "tr"})
# Who speaks, at the head of a line: a word before a colon, or up to four with capitals.
_SPEAKER = regex.compile(
    r"^(?:\p{L}[\p{L}\p{M}\p{N}.'-]*+|\p{Lu}[\p{L}\p{M}\p{N}.'-]*+(?: \p{Lu}[\p{L}\p{M}\p{N}.'-]*+){1,3})(?=:)",
    regex.MULTILINE,
)


def words(text: str) -> list[str]:
    """Folded words and numbers of a text in order, function words included, not stemmed."""
    return [word.folded for word in cut(normal(text))]


def terms(text: str) -> list[str]:
    """Terms of a text in order, with repetitions: its words without function words, stemmed."""
    text = normal(text)
    found = list(_with_checkpoints(cut(text)))
    spoken = _languages(found)
    checkpoint()
    left_out = frozenset[str]().union(*(_LISTED[language] for language in spoken))
    speakers = [match.span() for match in _SPEAKER.finditer(text)] if ":" in text else []
    kept = [
        word
        for at, word in enumerate(found)
        if _bare(word) and (_listed_as(word) not in left_out or _is_name(text, found, at, spoken, speakers))
    ]
    checkpoint()
    return list(_terms(kept or _kept_after_all(found, spoken)))


def _with_checkpoints(found: Iterable[Word]) -> Iterator[Word]:
    for count, word in enumerate(found):
        if count % _BETWEEN_CHECKPOINTS == 0:
            checkpoint()
        yield word


def query_terms(text: str) -> list[str]:
    """Terms of what is searched for. Of function words alone ("the who") it keeps them all, or it would find nothing:
    where a text keeps one, it is a name."""
    return terms(text) or list(_terms([word for word in cut(normal(text)) if _bare(word)]))


def _kept_after_all(found: Sequence[Word], spoken: Sequence[str]) -> list[Word]:
    """Of a text of function words alone: those with a capital ("Them"), else all where the language is a guess."""
    capital = [word for word in found if word.written[0].isupper() and _bare(word)]
    return capital or ([] if "en" in spoken else [word for word in found if _bare(word)])


def is_surely_english(text: str) -> bool:
    """Whether it has a function word that no other language has."""
    return any(_LISTED_IN.get(word.folded) == ["en"] and word.folded not in _NUMBERS for word in cut(normal(text)))


def is_function_word(word: str) -> bool:
    """Whether a word is one in any language; those that may be an English name ("Dan") are not."""
    return normal(word).casefold() in _FUNCTION_WORDS


def may_be_function_word(word: str) -> bool:
    """Whether a word is one in any language, though it may be a noun or a name of another ("van", "Dan")."""
    return normal(word).casefold() in _LISTED_IN


def languages(text: str) -> frozenset[str]:
    """What a text is written in, by its function words: ISO 639-1 codes, one a script; empty where it has none."""
    return frozenset(_languages(list(cut(normal(text)))))


def likely_languages(text: str) -> frozenset[str]:
    """What a text may be written in: two of its words or more are function words of that language, and of no other
    more than one more; English only where no other has as many.

    Words that English has too ("la", "es") tell another language where it has two more of them than English.
    """
    hits, shown = _function_words([word for word in cut(normal(text)) if word.folded not in _NUMBERS])
    shown |= {language for language in hits if hits[language] >= hits["en"] + _SURE}
    most = max((hits[language] for language in shown), default=0)
    close = {language for language in shown if hits[language] >= max(_SURE, most - 1)}
    others = {language for language in close if language != "en"}
    return frozenset({"en"} if "en" in close and all(hits[o] < hits["en"] for o in others) else others)


_SURE = 2


def is_function_word_of(word: str, language: str) -> bool:
    """The same of one language, by its ISO 639-1 code, and of a folded word."""
    return word in _LISTED[language]


def _languages(found: Sequence[Word]) -> list[str]:
    """Of each group the language that most of the words are function words of; the first where that is even.

    A language of Latin letters must show a word that English has not.
    """
    hits, shown = _function_words(found)
    best: dict[int, str] = {}
    for language in sorted(shown, key=_PLACE.__getitem__):
        group, _ = _PLACE[language]
        if group not in best or hits[language] > hits[best[group]]:
            best[group] = language
    return list(best.values())


def _function_words(found: Sequence[Word]) -> tuple[Counter[str], set[str]]:
    """How many of the words are function words of each language, and which languages they may be of at all."""
    hits = Counter[str]()
    shown = set[str]()
    for word in found:
        listed, is_marked = _listed_as(word), not word.written.isascii()
        for language in _LISTED_IN.get(listed, ()):
            if language == "en" and (is_marked or word.folded in _CLIPPED):
                continue
            hits[language] += 1
            if language == "en" or is_marked or listed not in _ALSO_ENGLISH:
                shown.add(language)
    return hits, shown


def _is_name(text: str, found: list[Word], at: int, spoken: Sequence[str], speakers: Sequence[tuple[int, int]]) -> bool:
    """Whether a capital says that a function word is none: "IT" among small letters, "Who" inside a sentence.

    ``speakers``: where in the text who speaks is named.
    """
    word = found[at]
    speaker = bisect_right(speakers, (word.start, len(text))) - 1
    if speaker >= 0 and word.start < speakers[speaker][1]:
        return True
    if not word.written[0].isupper() or _bare(word) == "i" or not _MAY_OWN.fullmatch(word.written):
        return False
    if _bare(word) in _GIVEN and _ACTS.match(text, word.end - 2 * ("'" in word.written)):
        return True
    if len(word.written) > 1 and word.written.isupper():
        beside = found[max(0, at - 1) : at] + found[at + 1 : at + 2]
        return not beside or not all(other.written.isupper() for other in beside)
    is_inside = at > 0 and not text[found[at - 1].end : word.start].strip(" ")
    return is_inside and not _NAMES_ALONE.isdisjoint(spoken)


_MAY_OWN = regex.compile(r"[^']+(?:'[sS])?")
# Function words that people are named, and what follows a name and no auxiliary.
_GIVEN = frozenset({"will", "can"})
_ACTS = regex.compile(
    r"(?:'s| is| was| has| had| \p{Ll}{5,}+(?<=[^e]ed)| said| says| told| came| went| left| bought| brought| thought"
    r"| thinks| wrote| writes| got| gave| made| took| saw| met| sent| knew| knows| kept| lost| found| sold| ate| drove"
    r"| flew| rang| ran| won| wants| likes| loves| lives| works| and \p{Lu}\p{Ll}*)\b"
)


def _bare(word: Word) -> str:
    """A word without what is joined to it by an apostrophe."""
    return _unjoined(word.folded) if "'" in word.folded else word.folded


def _listed_as(word: Word) -> str:
    """A word as a list of function words may hold it: with its marks where it has any ("mã" is not "mà")."""
    if word.written.isascii() or "'" in word.folded or not _MARKED.search(word.written):
        return _bare(word)
    return word.written.casefold()


_MARKED = regex.compile(r"(?V1)[\p{Latin}--[\x00-\x7f]]")


@lru_cache(maxsize=4_096)
def _unjoined(word: str) -> str:
    return _CLITIC.sub("", _CASE.sub("", _ELIDED.sub("", word)))


def _terms(found: Sequence[Word]) -> Iterator[str]:
    together = ""
    for at, word in enumerate(found):
        if word.kind != "cjk":
            bare = _bare(word)
            yield _stem(bare) if len(bare) <= CACHED_LENGTH else bare
            continue
        together += word.written
        if at + 1 == len(found) or found[at + 1].kind != "cjk" or found[at + 1].start != word.end:
            yield from _neighbours(together, word.run)
            together = ""


def _neighbours(together: str, run: int) -> Iterator[str]:
    """Ideographs, and every two characters beside each other. What is no more than two is one term by itself."""
    if run <= 2:
        yield together
        return
    for at, character in enumerate(together):
        if _IDEOGRAPH.match(character):
            yield character
        if at + 1 < len(together):
            yield together[at : at + 2]


_IDEOGRAPH = regex.compile(r"\p{Han}")


def idf(documents: int, frequency: int) -> float:
    """Weight of a term that ``frequency`` of ``documents`` hold: ln(1 + (N - n + 1/2) / (n + 1/2)) > 0."""
    return math.log1p((documents - frequency + 0.5) / (frequency + 0.5))


def saturation(count: float, length: float, average_length: float, k1: float = K1, b: float = B) -> float:
    """What ``count`` occurrences of a term in a document of ``length`` terms are worth: 0 to k1 + 1."""
    norm = 1.0 - b + b * (length / average_length if average_length else 1.0)
    return count * (k1 + 1.0) / (count + k1 * norm)


def document_weights(document: Sequence[str], average_length: float, k1: float = K1, b: float = B) -> dict[str, float]:
    """Saturated weight of every term of a document: the sparse vector that an index stores.

    Its dot product with ``query_weights`` is the BM25 score.
    """
    length = len(document)
    return {term: saturation(n, length, average_length, k1, b) for term, n in Counter(document).items()}


def query_weights(query: Sequence[str], idf_by_term: Mapping[str, float]) -> dict[str, float]:
    """Weight of every query term: its idf times how often the query says it. Terms without an idf are left out."""
    return {term: n * idf_by_term[term] for term, n in Counter(query).items() if term in idf_by_term}


def score(query: Mapping[str, float], document: Mapping[str, float]) -> float:
    """Dot product of two sparse vectors: BM25 when they come from the functions above."""
    return sum(weight * document[term] for term, weight in query.items() if term in document)
