"""Pages of lists: how many a caller may ask for at once, and how many bytes of them are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from services.common.serving.errors import MnemeError, invalid

T = TypeVar("T")
DEFAULT_PAGE, MAX_PAGE = 100, 1_000
# Clients of gRPC take 4 MiB of a message by default.
PAGE_BYTES = 1 << 20
WHOLE_BYTES = 2 << 20  # of what comes in one message: recalled items, a history


def page_size(given: int) -> int:
    """``given``, or the default where it is 0. INVALID_FIELD."""
    if given > MAX_PAGE:
        raise invalid("page_size", f"It is {given}.", f"Ask for 1 to {MAX_PAGE}.")
    return given or DEFAULT_PAGE


def no_such_page(what: str = "This is no page token.") -> MnemeError:
    return invalid("page_token", what, "Send the next_page_token of the page before.")


def fitting(items: Iterable[T], size_bytes: Callable[[T], int], most_bytes: int = PAGE_BYTES) -> tuple[list[T], bool]:
    """The first of ``items`` that fit together, one at least; and whether these are all. Takes one more than fits."""
    kept: list[T] = []
    for item in items:
        most_bytes -= size_bytes(item)
        if kept and most_bytes < 0:
            return kept, False
        kept.append(item)
    return kept, True
