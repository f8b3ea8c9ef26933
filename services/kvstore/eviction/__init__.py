"""Eviction policies. Add a file with a subclass of ``EvictionPolicy`` and its line here."""

from __future__ import annotations

from services.kvstore.eviction.base import EvictionPolicy
from services.kvstore.eviction.lru import LeastRecentlyUsed

POLICIES: dict[str, type[EvictionPolicy]] = {"lru": LeastRecentlyUsed}
