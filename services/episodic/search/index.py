"""The index's port: one collection of rows for each generation of a partition, and what can be wrong with it.

One row a key of an engram, so that an engram can count by its best key; row 0 also carries the sealed engram. Nothing
in it is plaintext: what can be filtered on is a keyed hash, a number or a time; terms are keyed hashes. Of the
namespace, too, there is only its pseudonym. It holds nothing that the feed does not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

from services.common.serving.errors import MnemeError
from services.episodic.plugins.base import Vector
from services.episodic.search.rows import Found, Row

_log = logging.getLogger(__name__)


class IndexUnavailable(Exception):
    """The index does not answer, or refuses. The feed still has everything. The text names the setting and the
    remedy."""


class IndexTooOld(IndexUnavailable):
    """The server lacks what the index needs: to try again is no remedy."""


class VectorSearch(Protocol):
    """What an index that searches vectors itself does."""

    def search(self, vector: Vector, k: int, where: str) -> list[tuple[str, float]]:
        """(engram id, cosine x weight) of the rows nearest to ``vector``; approximate, an id may come twice."""

    def vectors(self, where: str) -> Iterator[tuple[str, float, Vector]]:
        """(engram id, weight, vector) of every row that has one: for exact search."""


class Collection(Protocol):
    """Rows of one generation. One writer, many readers. Its calls raise IndexUnavailable."""

    @property
    def vector_search(self) -> VectorSearch | None:
        """None where rows only keep vectors, sealed, and the directory searches them."""

    def write(self, new: Sequence[Row], gone: Sequence[str] = ()) -> None:
        """Add or replace rows, and delete those with the keys ``gone``. Readers see it from then on."""

    @property
    def follows(self) -> int | None:
        """What the last ``flush`` noted here; None where that is not known."""

    def flush(self, follows: int) -> None:
        """Return once everything written so far is on disk. ``follows``: the first feed offset that it does not
        have."""

    def sealed(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Sealed engrams by id; those that are not there are left out."""

    def rows(self, pseudonym: str | None = None, *, vectors: bool = False) -> Iterator[Found]:
        """Every row, of one namespace or of all; with its sealed vector on demand, where there is one."""


class Index(Protocol):
    """The collections of a partition. Its calls raise IndexUnavailable."""

    searches_vectors: bool

    def open(self, generation: int) -> tuple[Collection, bool]:
        """The collection of a generation, made where missing or of no use, and whether it was made now."""

    def drop(self, generation: int) -> None:
        """Again is once."""

    def generations(self) -> list[int]:
        """Those that there are, in order."""

    def close(self) -> None: ...


def unavailable(error: IndexUnavailable) -> MnemeError:
    """SERVICE_UNAVAILABLE for the caller, who learns nothing of our servers; the cause goes to our own log."""
    _log.warning("the index is away", extra={"error": str(error)})
    return MnemeError("SERVICE_UNAVAILABLE", "The index does not answer.", remedy="Try again shortly.")
