"""What is known of each namespace, found again whether its name is at hand or, once that is gone, its pseudonym."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TypeVar

from services.common.crypto.seal import Keyring

V = TypeVar("V")


class ByNamespace(MutableMapping[str, V]):
    """A mapping by namespace: to a name and to its ``ids.unnamed`` it gives the same. Iterating gives what was set.

    An entry of a namespace that was deleted reads one way or the other, by when it is read, and what it says must meet
    what is known already.
    """

    def __init__(self, keyring: Keyring) -> None:
        self.pseudonym = keyring.pseudonym
        self._held: dict[bytes, tuple[str, V]] = {}

    def __getitem__(self, name: str) -> V:
        return self._held[self.pseudonym(name)][1]

    def __setitem__(self, name: str, value: V) -> None:
        self._held[self.pseudonym(name)] = (name, value)

    def __delitem__(self, name: str) -> None:
        del self._held[self.pseudonym(name)]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._held.values())

    def __len__(self) -> int:
        return len(self._held)
