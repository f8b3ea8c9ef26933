"""Keys as they lie in the log: wrapped, each under another, up to the master key (AES-256-GCM, the nonce first)."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from mneme.v1.ledger_pb2 import DataKey

from services.common.crypto.master import MasterKey
from services.common.crypto.records import KeyRecords
from services.common.crypto.tree import LEAVES, KeyTree, exists

T = TypeVar("T")
NONCE_BYTES = 12
_TREES, _NAME_KEYS = 4_096, 4_096  # that are held unwrapped: some 2 KiB and 1 KiB each


class KeyDestroyed(Exception):
    """The data key is gone: the text was erased."""


class Tampered(Exception):
    """The ciphertext, its key or what it is bound to was changed."""


def bind(*parts: str) -> bytes:
    """What a ciphertext is bound to; no two lists of parts give the same."""
    return b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)


def tree_and_leaf(key_id: str) -> tuple[str, int | None]:
    """The record that a key is in, and where it is one of a tree, which. KeyDestroyed for what is no key's id."""
    id, dot, leaf = key_id.partition(".")
    if not dot:
        return id, None
    if not leaf.isdecimal() or int(leaf) >= LEAVES:
        raise KeyDestroyed(key_id)
    return id, int(leaf)


class Unwrapping:
    """Keys unwrapped as they are asked for, of records that were read; those used of late are held. Thread-safe."""

    def __init__(self, records: KeyRecords, master: MasterKey) -> None:
        self._records = records
        self._master = _wrapping(master)
        self._name_keys: _Held[AESGCM] = _Held(_NAME_KEYS)
        self._trees: _Held[tuple[str, KeyTree]] = _Held(_TREES)  # each with the id of its name key
        records.on_replaced = self._forget

    def key(self, key_id: str) -> bytes:
        """32 bytes. KeyDestroyed, Tampered."""
        id, leaf = tree_and_leaf(key_id)
        if leaf is None:
            record = self._there(id)
            return self._unwrapped(DataKey.FromString(record))
        try:
            return self.tree(id).key(leaf)
        except KeyError:
            raise KeyDestroyed(key_id) from None

    def has(self, key_id: str) -> bool:
        """Whether a key is there, and that under which it is wrapped."""
        id, leaf = tree_and_leaf(key_id)
        record = self._records.get(id)
        if record is None:
            return False
        key = DataKey.FromString(record)
        name_key_is_there = not key.name_key_id or self._records.get(key.name_key_id) is not None
        return name_key_is_there and (leaf is None or exists(key.nodes, leaf))

    def namespace_of(self, key_id: str) -> str:
        """Whose key it is. KeyDestroyed."""
        key = DataKey.FromString(self._there(tree_and_leaf(key_id)[0]))
        return DataKey.FromString(self._there(key.name_key_id)).namespace if key.nodes else key.namespace

    def tree(self, id: str) -> KeyTree:
        """What is left of it. KeyDestroyed, Tampered."""
        name_key_id, tree = self._trees.get(id, self._there(id), self._read_tree)
        self._there(name_key_id)
        return tree

    def wrapped(self, key: DataKey, plain: bytes) -> DataKey:
        """``key`` with these bytes, wrapped under its name key or under the master key. KeyDestroyed, Tampered."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        key.wrapped = nonce + self._above(key).encrypt(nonce, plain, _bound(key))
        return key

    def with_tree(self, key: DataKey, tree: KeyTree) -> DataKey:
        """``key`` as the record of this tree."""
        del key.nodes[:]
        key.nodes.extend(tree.nodes)
        return self.wrapped(key, tree.seeds)

    def _forget(self, id: str) -> None:
        """What was made of a record that is not there any more: nothing of the destroyed is held."""
        self._name_keys.drop(id)
        self._trees.drop(id)

    def _there(self, id: str) -> bytes:
        record = self._records.get(id)
        if record is None:
            self._records.refresh()
            record = self._records.get(id)
        if record is None:
            raise KeyDestroyed(id)
        return record

    def _read_tree(self, record: bytes) -> tuple[str, KeyTree]:
        key = DataKey.FromString(record)
        return key.name_key_id, KeyTree.read(key.nodes, self._unwrapped(key))

    def _above(self, key: DataKey) -> AESGCM:
        """That under which a key is wrapped."""
        if not key.name_key_id:
            return self._master
        return self._name_keys.get(key.name_key_id, self._there(key.name_key_id), self._read_name_key)

    def _read_name_key(self, record: bytes) -> AESGCM:
        return AESGCM(self._unwrapped(DataKey.FromString(record)))

    def _unwrapped(self, key: DataKey) -> bytes:
        try:
            return _opened(self._above(key), key)
        except InvalidTag as error:
            raise Tampered(f"data key {key.key_id}; is this the master key that wrapped it?") from error


class _Held(Generic[T]):
    """What was made of records, by id, as long as the records are the same; the least recently used goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[str, tuple[bytes, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, id: str, record: bytes, make: Callable[[bytes], T]) -> T:
        with self._lock:
            held = self._held.get(id)
            if held is not None and held[0] is record:
                self._held.move_to_end(id)
                return held[1]
        made = make(record)
        with self._lock:
            self._held[id] = record, made
            self._held.move_to_end(id)
            while len(self._held) > self._limit:
                self._held.popitem(last=False)
        return made

    def drop(self, id: str) -> None:
        with self._lock:
            self._held.pop(id, None)


def wrapped_by(master: MasterKey, key: DataKey) -> bool:
    """Whether this is the master key under which a key was wrapped, that has no name key above it."""
    try:
        _opened(_wrapping(master), key)
    except InvalidTag:
        return False
    return True


def _wrapping(master: MasterKey) -> AESGCM:
    return AESGCM(master.derive("wrap"))


def _opened(above: AESGCM, key: DataKey) -> bytes:
    """InvalidTag."""
    return above.decrypt(key.wrapped[:NONCE_BYTES], key.wrapped[NONCE_BYTES:], _bound(key))


def _bound(key: DataKey) -> bytes:
    if not key.nodes:
        return bind(key.namespace, key.key_id)
    return bind("tree", key.name_key_id, key.key_id, ",".join(map(str, key.nodes)))
