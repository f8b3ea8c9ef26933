"""What stops the gateway from starting, and the failures that only the gateway finds."""

from __future__ import annotations

from services.common.errors import MnemeError

RETRY_AFTER_MS = 2000  # of what is being replaced: half of its usual time


class StartError(Exception):
    """A setting is well formed but cannot be used here. The message names the setting and the remedy."""


def unknown_method() -> MnemeError:
    return MnemeError(
        "UNKNOWN_METHOD", "Mneme serves no such method.", remedy="Reflection lists the methods of this release."
    )


def deadline() -> MnemeError:
    return MnemeError("DEADLINE", "The deadline passed.", remedy="Allow more time, or ask for less.")


def overloaded(what: str) -> MnemeError:
    return MnemeError("OVERLOADED", f"Too many {what} at once.", remedy="Try again, with back-off.")


def overloaded_token(most: int) -> MnemeError:
    return MnemeError(
        "OVERLOADED",
        f"The token has {most} streams of this kind open, the most that one may.",
        remedy="Close one, share one among threads, or raise gateway.max_streams_per_token.",
    )


def unavailable(app: str) -> MnemeError:
    return MnemeError(
        "SERVICE_UNAVAILABLE",
        f"{app} does not answer: it starts, stops or lost its replica.",
        remedy="Try again in a few seconds.",
        metadata={"app": app, "retry_after_ms": str(RETRY_AFTER_MS)},
    )


def stopping() -> MnemeError:
    return MnemeError("SERVICE_UNAVAILABLE", "The gateway stops.", remedy="Connect again.")


def too_large(limit_bytes: int, size_bytes: int) -> MnemeError:
    return MnemeError(
        "INVALID_FIELD",
        "The message is too large.",
        remedy=f"Send at most {limit_bytes} bytes (gateway.max_message_bytes).",
        metadata={"limit_bytes": str(limit_bytes), "size_bytes": str(size_bytes)},
    )
