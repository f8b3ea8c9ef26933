"""Bytes of messages that are there: so many at once, a share of them for each principal and tenant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.common.crypto.auth import Caller
from services.gateway.errors import overloaded, overloaded_principal, overloaded_tenant

_WHAT = "bytes"


class Held:
    """At most ``total`` bytes at once, of one principal and of all of a tenant's at most theirs; nobody waits. Of one
    event loop."""

    def __init__(self, total: int, per_principal: int, per_tenant: int) -> None:
        self._total = total
        self._per_principal = per_principal
        self._per_tenant = per_tenant
        self._of: Counter[str] = Counter()
        self._by: Counter[str] = Counter()  # tenant

    @contextmanager
    def bytes(self, size: int, caller: Caller) -> Iterator[None]:
        """Around what is done with a message. OVERLOADED when there is no room for it."""
        if self._of[caller.principal] + size > self._per_principal:
            raise overloaded_principal(_WHAT)
        if self._by[caller.tenant] + size > self._per_tenant:
            raise overloaded_tenant(_WHAT)
        if self._by.total() + size > self._total:
            raise overloaded(_WHAT)
        self._of[caller.principal] += size
        self._by[caller.tenant] += size
        try:
            yield
        finally:
            self._of[caller.principal] -= size
            self._by[caller.tenant] -= size
            self._of += Counter()  # forgets who has none
            self._by += Counter()
