"""Sealing: every text at rest in a log or an index is AES-256-GCM under a data key that can be destroyed.

A base text has a data key of its own, made when it was accepted; derived text has keys of its own too. Data
keys lie in ``mneme.keys.v1`` wrapped under the master key; deleting a key there is what erases the text. Keyed
hashes (``mac``) let writers know ids and contents again without keeping them.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from mneme.v1.ledger_pb2 import DataKey, Sealed

from services.common.files import private_part
from services.common.ledger import topics
from services.common.log.base import Log, Message

_NONCE = 12
KEY_WAIT_S = 2.0  # for ``within_s`` of whoever follows the ledger
MAC_BYTES = 16


class KeyDestroyed(Exception):
    """The data key is gone: the text was erased."""


class Tampered(Exception):
    """The ciphertext, its key or what it is bound to was changed."""


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


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh data key, and the message that must be appended with, or before, what it seals."""

    key_id: str
    message: Message


def destroying(namespace: str, key_ids: Iterable[str]) -> list[Message]:
    """Messages that destroy keys once appended. A key ring learns of it when it reads them, so a transaction that
    fails has destroyed nothing anywhere."""
    return [Message(topics.KEYS, k.encode(), None, partition_key=namespace.encode()) for k in key_ids]


class Keyring:
    """The data keys of ``mneme.keys.v1``, followed by reading it; thread-safe."""

    def __init__(self, log: Log, master: MasterKey) -> None:
        self._log = log
        self._wrap = AESGCM(master.derive("wrap"))
        self._mac_key = master.derive("mac")
        self._wrapped: dict[str, DataKey] = {}
        self._next: dict[int, int] = {}
        self._lock = threading.Lock()

    def new_key(self, namespace: str) -> NewKey:
        """Make a data key. Usable at once here; elsewhere once its message is in the log."""
        key_id = secrets.token_hex(12)
        nonce = secrets.token_bytes(_NONCE)
        wrapped = nonce + self._wrap.encrypt(nonce, secrets.token_bytes(32), _bind(namespace, key_id))
        data_key = DataKey(key_id=key_id, namespace=namespace, wrapped=wrapped)
        with self._lock:
            self._wrapped[key_id] = data_key
        message = Message(topics.KEYS, key_id.encode(), data_key.SerializeToString(), partition_key=namespace.encode())
        return NewKey(key_id, message)

    def seal(self, key_id: str, plaintext: bytes, *, namespace: str, purpose: str) -> Sealed:
        nonce = secrets.token_bytes(_NONCE)
        aead = AESGCM(self._unwrap(key_id))
        return Sealed(key_id=key_id, nonce=nonce, ciphertext=aead.encrypt(nonce, plaintext, _bind(namespace, purpose)))

    def open(self, sealed: Sealed, *, namespace: str, purpose: str, within_s: float = 0.0) -> bytes:
        """The plaintext. KeyDestroyed when it was erased, Tampered when anything was changed.

        ``within_s``: how long to wait for a key that is not there. What follows a log must: on Kafka an entry can be
        seen a moment before its key, though one transaction wrote both.
        """
        deadline = time.monotonic() + within_s
        while True:
            try:
                aead = AESGCM(self._unwrap(sealed.key_id))
                break
            except KeyDestroyed:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.02)
        try:
            return aead.decrypt(sealed.nonce, sealed.ciphertext, _bind(namespace, purpose))
        except InvalidTag as error:
            raise Tampered(f"sealed under {sealed.key_id}") from error

    def has(self, key_id: str) -> bool:
        """Whether the key still exists, as of the end of the log now."""
        self.refresh()
        with self._lock:
            return key_id in self._wrapped

    def keys_of(self, namespace: str) -> list[str]:
        """Every key that exists of a namespace, as of the end of the log now."""
        self.refresh()
        with self._lock:
            return sorted(key_id for key_id, key in self._wrapped.items() if key.namespace == namespace)

    def destroy(self, namespace: str, key_ids: Iterable[str]) -> list[Message]:
        """Messages that destroy keys once appended. They stop working here at once."""
        ids = list(key_ids)
        with self._lock:
            for key_id in ids:
                self._wrapped.pop(key_id, None)
        return destroying(namespace, ids)

    def refresh(self) -> None:
        """Read what is new in the keys topic."""
        with self._lock:
            for partition in range(self._log.partitions(topics.KEYS)):
                start = self._next.get(partition, 0)
                for record in self._log.read(topics.KEYS, partition, start):
                    key_id = record.key.decode()
                    if record.value is None:
                        self._wrapped.pop(key_id, None)
                    else:
                        self._wrapped[key_id] = DataKey.FromString(record.value)
                    self._next[partition] = record.offset + 1

    def mac(self, namespace: str, purpose: str, value: str | bytes) -> bytes:
        """A 16-byte keyed hash of ``value``, different in every namespace and for every purpose."""
        h = hmac.HMAC(self._mac_key, hashes.SHA256())
        h.update(_bind(namespace, purpose))
        h.update(value if isinstance(value, bytes) else value.encode())
        return h.finalize()[:MAC_BYTES]

    def _unwrap(self, key_id: str) -> bytes:
        with self._lock:
            data_key = self._wrapped.get(key_id)
        if data_key is None:
            self.refresh()
            with self._lock:
                data_key = self._wrapped.get(key_id)
        if data_key is None:
            raise KeyDestroyed(key_id)
        nonce, wrapped = data_key.wrapped[:_NONCE], data_key.wrapped[_NONCE:]
        try:
            return self._wrap.decrypt(nonce, wrapped, _bind(data_key.namespace, key_id))
        except InvalidTag as error:
            raise Tampered(f"data key {key_id}; is this the master key that wrapped it?") from error


def _bind(*parts: str) -> bytes:
    return b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)
