"""The quota of a namespace: the most that it may hold of texts, and the refusal of what goes beyond it.

What it holds is what it was told less what is erased (``NamespaceFacts.held``), the count that ListUsage shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from mneme.v1.admin_pb2 import Quota

from services.common.serving.errors import MnemeError

EXCEEDED = "QUOTA_EXCEEDED"


@dataclass(frozen=True, slots=True)
class Amount:
    """Of texts, and the bytes of them as they are sealed in the ledger."""

    texts: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.texts + other.texts, self.bytes + other.bytes)


NOTHING = Amount()
NO_QUOTA = Quota()  # one for all namespaces that have none: a message of its own takes each some hundred bytes


def changed(there: Quota, given: Quota) -> Quota:
    """Each limit that is given in place of the one that is there; 0 takes it away."""
    if not is_given(given):
        return there
    limits = {name: getattr(of, name) for of in (there, given) for name in _limits(of)}
    left = {name: limit for name, limit in limits.items() if limit}
    return Quota(**left) if left else NO_QUOTA


def keeps(there: Quota, given: Quota) -> bool:
    """Whether every limit that is given is there."""
    return changed(there, given) == there


def is_given(quota: Quota) -> bool:
    return bool(_limits(quota))


def require_room(namespace: str, quota: Quota, held: Amount, text: Amount) -> None:
    """QUOTA_EXCEEDED where a namespace that holds so much may not take one more text."""
    if quota.max_texts and held.texts + text.texts > quota.max_texts:
        what = f"The namespace holds {held.texts} texts, and its quota is {quota.max_texts}."
        raise _exceeded(namespace, "max_texts", quota.max_texts, held.texts, text.texts, what)
    if quota.max_bytes and held.bytes + text.bytes > quota.max_bytes:
        what = f"The namespace holds {held.bytes} bytes, the text has {text.bytes}, and the quota is {quota.max_bytes}."
        raise _exceeded(namespace, "max_bytes", quota.max_bytes, held.bytes, text.bytes, what)


def _exceeded(namespace: str, setting: str, limit: int, used: int, needed: int, what: str) -> MnemeError:
    """Without the name in its words: a dead letter keeps them."""
    option = f"--{setting.replace('_', '-')}"
    return MnemeError(
        EXCEEDED,
        what,
        field=f"quota.{setting}",
        remedy=f"Forget something, or have the quota raised: `mneme namespace change NAME {option} N`.",
        metadata={"namespace": namespace, "limit": str(limit), "used": str(used), "needed": str(needed)},
    )


def _limits(quota: Quota) -> list[str]:
    return [field.name for field, _ in quota.ListFields()]
