"""Small files that only this user may read, never seen half-written; locks that a dead process lets go."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def private_part(path: Path, content: str | bytes) -> Iterator[Path]:
    """A new 0600 file with ``content`` beside ``path``, on disk: rename or link it there. Gone after the block.

    OSError.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
            f.write(content.encode() if isinstance(content, str) else content)
            f.flush()
            os.fsync(f.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Lock an open file if nobody holds it (``shared``: holds it alone). Held until the file is closed everywhere."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
