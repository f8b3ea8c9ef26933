"""What stops the gateway from starting, and the failures that only the gateway finds."""

from __future__ import annotations

from traceback import clear_frames

from services.common.serving.errors import MnemeError, invalid, retry_after

RETRY_AFTER_MS = 2000  # of what is being replaced: half of its usual time


def let_go(error: BaseException) -> None:
    """Free what the frames that it came through hold, a call's message above all: not while its refusal waits, and not
    until somebody collects the garbage, for what keeps an error in a variable is a cycle."""
    cause: BaseException | None = error
    seen = set[int]()  # causes may be each other's
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__


class StartError(Exception):
    """A setting is well formed but cannot be used here. The message names the setting and the remedy."""


def unknown_method() -> MnemeError:
    return MnemeError(
        "UNKNOWN_METHOD", "Mneme serves no such method.", remedy="Reflection lists the methods of this release."
    )


def deadline() -> MnemeError:
    return MnemeError("DEADLINE", "The deadline passed.", remedy="Allow more time, or ask for less.")


# Where nothing says when there will be a place.
_RETRY_S = 0.5


def overloaded(what: str) -> MnemeError:
    return MnemeError(
        "OVERLOADED", f"Too many {what} at once.", remedy="Try again, with back-off.", metadata=retry_after(_RETRY_S)
    )


def overloaded_principal(what: str) -> MnemeError:
    return MnemeError(
        "OVERLOADED",
        f"The principal has as many {what} open as one may.",
        remedy="Send fewer at once and try again, or have the operator raise it (gateway.max_*_per_principal).",
        metadata=retry_after(_RETRY_S),
    )


def overloaded_tenant(what: str) -> MnemeError:
    return MnemeError(
        "OVERLOADED",
        f"All whose tokens were issued from one have as many {what} open as they may together.",
        remedy="Send fewer at once and try again, or have the operator raise it (gateway.principals_per_tenant).",
        metadata=retry_after(_RETRY_S),
    )


def too_fast(what: str, seconds: float) -> MnemeError:
    return MnemeError(
        "OVERLOADED",
        f"The principal has used its share of the {what} a second.",
        remedy=f"Try again after the time in retry_after_ms, or have the operator raise gateway.{what}_per_s.",
        metadata=retry_after(seconds),
    )


def overloaded_token(most: int) -> MnemeError:
    return MnemeError(
        "OVERLOADED",
        f"The token has {most} streams of this kind open, the most that one may.",
        remedy="Close one, share one among threads, or raise gateway.max_streams_per_token.",
        metadata=retry_after(_RETRY_S),
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


def too_large(limit_bytes: int, size_bytes: int, field: str = "", index: int | None = None) -> MnemeError:
    """``field``: what takes most of it. ``index``: its place in a stream."""
    place = {} if index is None else {"index": str(index)}
    return MnemeError(
        "INVALID_FIELD",
        "The message is too large.",
        field=field,
        remedy=f"Send at most {limit_bytes} bytes; split what is longer.",
        metadata={"limit_bytes": str(limit_bytes), "size_bytes": str(size_bytes), **place},
    )


def no_message() -> MnemeError:
    return invalid("", "The call ended before its message came.", "Send one message.")
