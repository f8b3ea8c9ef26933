"""What stops the store from starting, and the failures that only the store finds."""

from __future__ import annotations

from services.common.serving.errors import MnemeError


class StartError(Exception):
    """A setting is well formed but cannot be used here. The message names the setting and the remedy."""


def too_many(what: str, limit: int, setting: str) -> MnemeError:
    return MnemeError(
        "OVERLOADED",
        f"Too many {what}.",
        remedy="Compute, or try again.",
        metadata={"limit": str(limit), "of": setting},
    )


def stale_reservation() -> MnemeError:
    return MnemeError(
        "NOT_FOUND",
        "The store lent no such staging slots: the reservation ran out, or the owner changed.",
        field="reservation",
        remedy="Reserve again.",
    )
