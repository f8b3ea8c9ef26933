"""The master key: a 0600 file of 32 bytes in hex, from which every other secret follows."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.common.files import private_part


class MalformedKey(ValueError):
    """The file of the master key holds none."""


class ExposedKey(PermissionError):
    """Others may read the file of the master key."""


class MasterKey:
    """The 32-byte key that wraps data keys and from which every other secret is derived."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("a master key has 32 bytes")
        self._key = key

    @classmethod
    def load_or_create(cls, path: Path) -> MasterKey:
        """``load``, and the file is made if there is none: for who begins a log, never in place of a lost key."""
        if not path.exists():
            _make_key_file(path)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> MasterKey:
        """The key of a 0600 file. MalformedKey when it holds none; ExposedKey when others may read it; OSError."""
        if path.stat().st_mode & 0o077:
            raise ExposedKey(f"{path}: others may read the master key. chmod 600 it.")
        try:
            return cls(bytes.fromhex(path.read_text().strip()))
        except ValueError:  # not chained: it may show a part of the key
            raise MalformedKey(f"{path}: no master key, which is 64 hex digits") from None

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (HKDF-SHA256)."""
        return HKDF(hashes.SHA256(), 32, salt=None, info=purpose.encode()).derive(self._key)


def _make_key_file(path: Path) -> None:
    """Leave a whole new key at ``path``, durably, unless somebody else just did. OSError, and then nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with private_part(path, secrets.token_hex(32) + "\n") as part, suppress(FileExistsError):
        os.link(part, path)  # a rename would put it over a key that is in use
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
