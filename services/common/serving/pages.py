"""Pages of lists: how many a caller may ask for at once."""

from __future__ import annotations

from services.common.serving.errors import invalid

DEFAULT_PAGE, MAX_PAGE = 100, 1_000


def page_size(given: int) -> int:
    """``given``, or the default where it is 0. INVALID_FIELD."""
    if given > MAX_PAGE:
        raise invalid("page_size", f"It is {given}.", f"Ask for 1 to {MAX_PAGE}.")
    return given or DEFAULT_PAGE
