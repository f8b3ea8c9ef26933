"""Terms and BM25 arithmetic: one way to cut a text into terms, for the index, the plug-ins and the answers.

A term is a lower-case word or number, without "'s" or "n't", stop words left out, cut to its stem (Snowball's
English stemmer). BM25 is Robertson's with the idf that never turns negative (Lucene's). Its statistics belong to
one namespace; who keeps them passes them in.
"""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

import Stemmer

K1 = 1.2
B = 0.75

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_CLITIC = re.compile(r"(?:n't|'(?:s|d|m|t|re|ve|ll)?)$")

# Words that occur in almost any text and name nothing. Kept small: a stop word cannot be searched for.
_STOP_TEXT = """
a about after all also am an and any are as at be because been before being but by ca can could did do does
doing for from had has have having he her here hers him his how i if in into is it its just me more most my no
nor not of off on once only or other our ours out over own re she should so some such than that the their theirs
them then there these they this those through to too under until up very was we were what when where which while
who whom whose why will with wo would you your yours
"""
STOP_WORDS = frozenset(_STOP_TEXT.split())


# PyStemmer's stemmer keeps a buffer of its own: one a thread.
class _Local(threading.local):
    def __init__(self) -> None:
        self.stemmer = Stemmer.Stemmer("english")


_local = _Local()


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    stem: str = _local.stemmer.stemWord(word)
    return stem


def words(text: str) -> list[str]:
    """Lower-case words and numbers of a text in order, stop words included, not stemmed."""
    folded = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    return [_ORDINAL.sub(r"\1", word) for word in _WORD.findall(folded)]


def terms(text: str) -> list[str]:
    """Terms of a text in order, with repetitions: its words without stop words, stemmed."""
    bare = (_CLITIC.sub("", word) for word in words(text))
    return [_stem(word) for word in bare if word and word not in STOP_WORDS]


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
