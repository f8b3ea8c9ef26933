"""The terms of texts that recalls looked at lately: of a text of 59 kB they take a tenth of a second each time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import blake2b

from services.common.text import lexical

_ENTRY_BYTES = 250
_POINTER_BYTES = 8
_STRING_BYTES = 60

_Key = tuple[str, bytes]


class TermLists:
    """By namespace and text, the least recently used first to go; bounded in bytes. Thread-safe.

    No text is held, only its digest, and only of what a recall in that namespace alone looked at. Another namespace's
    texts cost as much as if they had never been looked at: how long a recall takes tells nothing of them.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held: OrderedDict[_Key, tuple[str, ...]] = OrderedDict()
        self._bytes = 0
        self.erasures = 0  # so far, of any namespace
        self._lock = threading.Lock()

    def of(self, namespace: str, text: str, erasures: int) -> tuple[str, ...]:
        """As ``lexical.terms``. ``erasures``: as there were when the text was read, or before."""
        key = namespace, blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        with self._lock:
            if (known := self._held.get(key)) is not None:
                self._held.move_to_end(key)
                return known
        terms = tuple(lexical.terms(text))
        with self._lock:
            if erasures == self.erasures:  # or the text may be among what was erased meanwhile
                self._put(key, terms)
        return terms

    def forget(self, namespace: str) -> None:
        """Hold nothing of a namespace, of which something was erased."""
        with self._lock:
            self.erasures += 1
            for key in [key for key in self._held if key[0] == namespace]:
                self._remove(key)

    def _put(self, key: _Key, terms: tuple[str, ...]) -> None:
        if key in self._held:
            self._remove(key)
        self._held[key] = terms
        self._bytes += _cost(terms)
        while self._bytes > self._limit:
            self._remove(next(iter(self._held)))

    def _remove(self, key: _Key) -> None:
        self._bytes -= _cost(self._held.pop(key))


def _cost(terms: tuple[str, ...]) -> int:
    """At most: one string may be in several lists."""
    return _ENTRY_BYTES + _POINTER_BYTES * len(terms) + sum(_STRING_BYTES + len(term) for term in {*terms})
