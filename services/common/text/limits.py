"""How much text one thing that is remembered or asked may have."""

from __future__ import annotations

from services.common.serving.errors import MnemeError
from services.common.text.normal import is_blank

MAX_TEXT_BYTES = 60_000


def check_text(text: str, field: str = "text", least: int = 1) -> None:
    """TEXT_SIZE for a text of too many bytes, or of fewer than ``least``; also for a blank one, unless that is 0."""
    size = len(text.encode())
    if not least <= size <= MAX_TEXT_BYTES or (least and is_blank(text)):
        raise MnemeError(
            "TEXT_SIZE",
            "The text is blank." if is_blank(text) else f"The text has {size} bytes.",
            field=field,
            remedy=f"Send 1 to {MAX_TEXT_BYTES} bytes of UTF-8; split what is longer.",
            metadata={"limit_bytes": str(MAX_TEXT_BYTES), "size_bytes": str(size)},
        )
