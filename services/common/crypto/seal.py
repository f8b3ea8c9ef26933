"""Sealing: every text at rest in a log or an index is AES-256-GCM under a data key that can be destroyed.

A base text has a data key of its own, made when it was accepted; derived text has keys of its own too. Data
keys lie in ``mneme.keys.v1`` wrapped under the master key; deleting a key there is what erases the text. Keyed
hashes (``mac``) let writers know ids and contents again without keeping them.

A namespace's name is kept out of what cannot be deleted from in the same way: the ledger calls it by a keyed hash, its
pseudonym, and the namespace's name key, which tells the name, is destroyed with it (``services.common.ledger.named``).
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from mneme.v1.ledger_pb2 import DataKey, Sealed

from services.common.files import private_part
from services.common.ids import pseudonym_in
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


def destroying(namespace: str, key_ids: Iterable[str], partition: int | None = None) -> list[Message]:
    """Messages that destroy keys once appended. A key ring learns of it when it reads them, so a transaction that
    fails has destroyed nothing anywhere.

    ``partition``: of the ledger, where the namespace's name may be gone; its keys lie in the same one.
    """
    of = namespace.encode()
    return [Message(topics.KEYS, k.encode(), None, partition=partition, partition_key=of) for k in key_ids]


class Keyring:
    """The data keys of ``mneme.keys.v1``, followed by reading it; thread-safe."""

    def __init__(self, log: Log, master: MasterKey, partitions: Sequence[int] | None = None) -> None:
        """``partitions``: those of the ledger whose namespaces' keys are wanted; None: all."""
        self._log = log
        self._partitions = partitions
        self._wrap = _wrapping(master)
        self._mac_key = master.derive("mac")
        self._wrapped: dict[str, DataKey] = {}
        self._naming: defaultdict[str, set[str]] = defaultdict(set)  # name keys by namespace
        self._until: dict[str, float] = {}  # of keys that are of use for so long only
        self._next: dict[int, int] = {}
        self._lock = threading.Lock()
        self.pseudonym: Callable[[str], bytes] = lru_cache(maxsize=65_536)(self._pseudonym)  # asked of every entry

    def new_key(self, namespace: str, until: float = 0.0) -> NewKey:
        """Make a data key. Usable at once here; elsewhere once its message is in the log.

        ``until``: Unix seconds, when it is of no more use; 0.0 where that never comes.
        """
        data_key = self._made(namespace)
        data_key.until = until
        with self._lock:
            self._wrapped[data_key.key_id] = data_key
        return NewKey(data_key.key_id, _appending(data_key))

    def name_key(self, namespace: str) -> NewKey:
        """A namespace's name key, made if there is none: to be in the log before the entry that creates it."""
        self.refresh()
        with self._lock:
            for key_id in sorted(self._naming.get(namespace, ())):
                return NewKey(key_id, _appending(self._wrapped[key_id]))
        data_key = self._made(namespace)
        data_key.pseudonym = self.pseudonym(namespace)
        return NewKey(data_key.key_id, _appending(data_key))

    def _made(self, namespace: str) -> DataKey:
        key_id = secrets.token_hex(12)
        nonce = secrets.token_bytes(_NONCE)
        wrapped = nonce + self._wrap.encrypt(nonce, secrets.token_bytes(32), _bind(namespace, key_id))
        return DataKey(key_id=key_id, namespace=namespace, wrapped=wrapped)

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

    def keys_of(self, namespace: str, *, naming: bool | None = None) -> list[str]:
        """Every key that exists of a namespace, as of the end of the log now.

        ``naming``: only its name keys, or all but them.
        """
        self.refresh()
        with self._lock:
            own = [key for key in self._wrapped.values() if key.namespace == namespace]
        return sorted(key.key_id for key in own if naming in (None, bool(key.pseudonym)))

    def of_no_more_use(self, now: float) -> dict[str, list[str]]:
        """Keys whose time has passed, by namespace, as of the end of the log now."""
        self.refresh()
        over: defaultdict[str, list[str]] = defaultdict(list)
        with self._lock:
            for key_id, until in self._until.items():
                if until < now:
                    over[self._wrapped[key_id].namespace].append(key_id)
        return over

    def names(self) -> dict[bytes, str]:
        """Of the namespaces that have a name key, by pseudonym, as of the end of the log now."""
        self.refresh()
        with self._lock:
            return {self.pseudonym(name): name for name, key_ids in self._naming.items() if key_ids}

    def namespace_of(self, key_id: str) -> str:
        """Whose key it is. KeyDestroyed."""
        return self._held(key_id).namespace

    def destroy(self, namespace: str, key_ids: Iterable[str], partition: int | None = None) -> list[Message]:
        """As ``destroying``. They stop working here at once."""
        ids = list(key_ids)
        with self._lock:
            for key_id in ids:
                self._drop(key_id)
        return destroying(namespace, ids, partition)

    def refresh(self) -> None:
        """Read what is new in the keys topic."""
        with self._lock:
            wanted = self._partitions
            for partition in range(self._log.partitions(topics.KEYS)) if wanted is None else wanted:
                start = self._next.get(partition, 0)
                for record in self._log.read(topics.KEYS, partition, start):
                    key_id = record.key.decode()
                    if record.value is None:
                        self._drop(key_id)
                    else:
                        self._wrapped[key_id] = key = DataKey.FromString(record.value)
                        if key.pseudonym:
                            self._naming[key.namespace].add(key_id)
                        if key.until:
                            self._until[key_id] = key.until
                    self._next[partition] = record.offset + 1

    def _drop(self, key_id: str) -> None:
        key = self._wrapped.pop(key_id, None)
        self._until.pop(key_id, None)
        if key is not None and key.pseudonym:
            self._naming[key.namespace].discard(key_id)

    def mac(self, namespace: str, purpose: str, value: str | bytes) -> bytes:
        """A 16-byte keyed hash of ``value``, different in every namespace and for every purpose."""
        h = hmac.HMAC(self._mac_key, hashes.SHA256())
        h.update(_bind(namespace, purpose))
        h.update(value if isinstance(value, bytes) else value.encode())
        return h.finalize()[:MAC_BYTES]

    def _pseudonym(self, namespace: str) -> bytes:
        """What a namespace is called where its name may not stay, 16 bytes. Of what is called so already, the same."""
        return pseudonym_in(namespace) or self.mac("", "namespace", namespace)

    def _unwrap(self, key_id: str) -> bytes:
        try:
            return _unwrapped(self._wrap, self._held(key_id))
        except InvalidTag as error:
            raise Tampered(f"data key {key_id}; is this the master key that wrapped it?") from error

    def _held(self, key_id: str) -> DataKey:
        """KeyDestroyed."""
        with self._lock:
            data_key = self._wrapped.get(key_id)
        if data_key is None:
            self.refresh()
            with self._lock:
                data_key = self._wrapped.get(key_id)
        if data_key is None:
            raise KeyDestroyed(key_id)
        return data_key


def wrapped_by(master: MasterKey, key: DataKey) -> bool:
    """Whether a data key was wrapped under this master key."""
    try:
        _unwrapped(_wrapping(master), key)
    except InvalidTag:
        return False
    return True


def _wrapping(master: MasterKey) -> AESGCM:
    return AESGCM(master.derive("wrap"))


def _unwrapped(wrapping: AESGCM, key: DataKey) -> bytes:
    """InvalidTag."""
    return wrapping.decrypt(key.wrapped[:_NONCE], key.wrapped[_NONCE:], _bind(key.namespace, key.key_id))


def _appending(key: DataKey) -> Message:
    return Message(topics.KEYS, key.key_id.encode(), key.SerializeToString(), partition_key=key.namespace.encode())


def _bind(*parts: str) -> bytes:
    return b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)
