"""Sealing: every text at rest in a log or an index is AES-256-GCM under a data key that can be destroyed.

Keys have three steps. The master key wraps the name key of each namespace, which wraps the data keys of its texts, and
these seal. A text has a data key of its own, which is one of a tree of 256 (``services.common.crypto.tree``) with one
record in ``mneme.keys.v1``: destroying a key is writing the record of what is left of its tree, and what erases the
text. Keys with a life of their own (of alias groups, checkpoints, dead letters), and all those of a namespace without a
name key, which an earlier version made, are records of their own, under the master key. Keyed hashes (``mac``) let
writers know ids and contents again without keeping them.

A namespace's name is kept out of what cannot be deleted from in the same way: the ledger calls it by a keyed hash, its
pseudonym, and the name key, which tells the name, is destroyed with it (``services.common.ledger.named``).

**One writer of each tree.** No record may give back what an earlier one destroyed. Whoever makes a tree writes it once,
before its first key is used, and never again. Else only ``Keyring.transaction`` writes trees, in the name of their
partition of the ledger: it takes that name, which fences whoever had it, then reads what is there, then writes.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from mneme.v1.ledger_pb2 import DataKey, Sealed

from services.common.crypto.master import ExposedKey, MalformedKey, MasterKey
from services.common.crypto.open_trees import OpenTrees
from services.common.crypto.records import KeyRecords
from services.common.crypto.tree import KeyTree
from services.common.crypto.wrapping import (
    NONCE_BYTES,
    KeyDestroyed,
    Tampered,
    Unwrapping,
    bind,
    tree_and_leaf,
    wrapped_by,
)
from services.common.ids import pseudonym_in
from services.common.ledger import topics
from services.common.log.base import Consumer, Log, LogUnavailable, Message, Transaction, partition_of

__all__ = [
    "KEY_WAIT_S",
    "MAC_BYTES",
    "TAG_BYTES",
    "ExposedKey",
    "KeyDestroyed",
    "Keyring",
    "MalformedKey",
    "MasterKey",
    "NewKey",
    "Tampered",
    "TextKey",
    "destroying",
    "record_of",
    "wrapped_by",
]

KEY_WAIT_S = 2.0  # for ``within_s`` of whoever follows the ledger
MAC_BYTES = 16
TAG_BYTES = 16  # that a text grows by when it is sealed


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh data key, and the message that must be appended with, or before, what it seals."""

    key_id: str
    message: Message


@dataclass(frozen=True, slots=True)
class TextKey:
    """A data key that nothing was sealed under yet, and what must be appended with, or before, what it seals."""

    key_id: str
    messages: tuple[Message, ...] = ()


def record_of(key_id: str) -> str:
    """The id of the record that a key is in, as ``Keyring.keys_of`` lists it."""
    return key_id.partition(".")[0]


def destroying(namespace: str, key_ids: Iterable[str]) -> list[Message]:
    """Messages that destroy keys which are records of their own, once appended. ValueError for keys of a tree, which
    ``Keyring.transaction`` alone can destroy.

    A key ring learns of it when it reads them, so a transaction that fails has destroyed nothing anywhere.
    """
    return [_destroying(key_id, partition_key=namespace.encode()) for key_id in key_ids]


class Keyring:
    """The keys of ``mneme.keys.v1``, followed by reading it; thread-safe."""

    def __init__(self, log: Log, master: MasterKey, partitions: Sequence[int] | None = None) -> None:
        """``partitions``: those of the ledger whose namespaces' keys are wanted; None: all."""
        self._log = log
        self._records = KeyRecords(log, partitions)
        self._unwrapping = Unwrapping(self._records, master)
        self._trees = OpenTrees(self._records)
        self._mac_key = master.derive("mac")
        self._deleted: set[bytes] = set()  # pseudonyms of namespaces whose name keys may be gone
        self._puncturing: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)  # by partition
        self._lock = threading.Lock()
        self.pseudonym: Callable[[str], bytes] = lru_cache(maxsize=65_536)(self._pseudonym)  # asked of every entry

    # --- new keys ---

    def text_key(self, namespace: str, use: str = "") -> TextKey:
        """A data key for a text: of a tree, which is appended here where a new one is begun. LogError.

        ``use``: what is destroyed together should have trees of its own, or much of them stays.
        """
        self.prepare([namespace], use)
        name_key_id = self._name_key_of(namespace)
        taken = self._trees.take(namespace, use, name_key_id) if name_key_id is not None else None
        if taken is not None:
            return TextKey(taken)
        # A namespace without a name key, or deleted meanwhile, or others took all in a moment.
        key = self.new_key(namespace)
        return TextKey(key.key_id, (key.message,))

    def prepare(self, namespaces: Iterable[str], use: str = "") -> None:
        """Begin the trees that ``text_key`` would, by one append for all of these namespaces. LogError."""
        begun: dict[str, DataKey] = {}
        for namespace in namespaces:
            name_key_id = self._name_key_of(namespace)
            if name_key_id is not None and not self._trees.has_left(namespace, use, name_key_id):
                key = DataKey(key_id=secrets.token_hex(12), name_key_id=name_key_id)
                with suppress(KeyDestroyed):  # the namespace is deleted in this moment
                    begun[namespace] = self._unwrapping.with_tree(key, KeyTree.new())
        if not begun:
            return
        appended = self._log.append([_appending(key, namespace) for namespace, key in begun.items()])
        for partition in {at.partition for at in appended}:
            self._records.refresh(partition)
        for namespace, key in begun.items():
            self._trees.begin(namespace, use, key.name_key_id, key.key_id)

    def new_key(self, namespace: str, until: float = 0.0) -> NewKey:
        """Make a data key that is a record of its own. Usable at once here; elsewhere once its message is in the log.

        ``until``: Unix seconds, when it is of no more use; 0.0 where that never comes.
        """
        data_key = self._made(DataKey(namespace=namespace, until=until))
        self._records.add(data_key)
        return NewKey(data_key.key_id, _appending(data_key, namespace))

    def name_key(self, namespace: str) -> NewKey:
        """A namespace's name key, made if there is none: to be in the log before the entry that creates it."""
        self._records.refresh()
        there = self._records.name_key_of(namespace)
        if there is not None and (record := self._records.get(there)) is not None:
            return NewKey(there, _appending(DataKey.FromString(record), namespace))
        data_key = self._made(DataKey(namespace=namespace, pseudonym=self.pseudonym(namespace)))
        return NewKey(data_key.key_id, _appending(data_key, namespace))

    def withdraw(self, key_ids: Iterable[str], error: BaseException) -> None:
        """Forget keys that were made here and that ``error`` kept from being appended. Those of trees are used for
        nothing else.

        Where that is in doubt they stay: the key ring may have read past their records, and never would again.
        """
        if not (isinstance(error, LogUnavailable) and error.in_doubt):
            self._records.drop(key_id for key_id in key_ids if tree_and_leaf(key_id)[1] is None)

    def was_deleted(self, namespace: str) -> None:
        """The ledger says so: made anew, its keys are other ones, which this key ring may not have read of yet."""
        with self._lock:
            self._deleted.add(self.pseudonym(namespace))

    def _made(self, key: DataKey) -> DataKey:
        key.key_id = secrets.token_hex(12)
        return self._unwrapping.wrapped(key, secrets.token_bytes(32))

    def _name_key_of(self, namespace: str) -> str | None:
        """Of a namespace that has one."""
        if not namespace:
            return None
        pseudonym = self.pseudonym(namespace)
        found = self._records.name_key_of(namespace)
        if found is None or pseudonym in self._deleted:
            self._records.refresh(self._partition(namespace))
            with self._lock:
                self._deleted.discard(pseudonym)
            found = self._records.name_key_of(namespace)
        return found

    # --- sealing ---

    def seal(self, key_id: str, plaintext: bytes, *, namespace: str, purpose: str) -> Sealed:
        """KeyDestroyed, Tampered."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        aead = AESGCM(self._unwrapping.key(key_id))
        return Sealed(key_id=key_id, nonce=nonce, ciphertext=aead.encrypt(nonce, plaintext, bind(namespace, purpose)))

    def open(self, sealed: Sealed, *, namespace: str, purpose: str, within_s: float = 0.0) -> bytes:
        """The plaintext. KeyDestroyed when it was erased, Tampered when anything was changed.

        ``within_s``: how long to wait for a key that is not there. What follows a log must: on Kafka an entry can be
        seen a moment before its key, though one transaction wrote both.
        """
        deadline = time.monotonic() + within_s
        while True:
            try:
                aead = AESGCM(self._unwrapping.key(sealed.key_id))
                break
            except KeyDestroyed:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.02)
        try:
            return aead.decrypt(sealed.nonce, sealed.ciphertext, bind(namespace, purpose))
        except InvalidTag as error:
            raise Tampered(f"sealed under {sealed.key_id}") from error

    # --- which there are ---

    def refresh(self) -> None:
        """Read what is new in the keys topic. LogUnavailable."""
        self._records.refresh()

    def has(self, key_id: str) -> bool:
        """Whether the key still exists, as of the end of the log now."""
        self._records.refresh()
        return self._unwrapping.has(key_id)

    def keys_of(self, namespace: str, *, naming: bool | None = None) -> list[str]:
        """The ids of every record that there is of a namespace, of keys and of trees, as of the end of the log now.

        ``naming``: only its name keys, or all but them.
        """
        self._records.refresh()
        return self._records.ids_of(namespace, naming=naming)

    def of_no_more_use(self, now: float) -> dict[str, list[str]]:
        """Keys whose time has passed, by namespace, as of the end of the log now."""
        self._records.refresh()
        over: defaultdict[str, list[str]] = defaultdict(list)
        for key_id in self._records.over_by(now):
            if (record := self._records.get(key_id)) is not None:
                over[DataKey.FromString(record).namespace].append(key_id)
        return over

    def names(self) -> dict[bytes, str]:
        """Of the namespaces that have a name key, by pseudonym, as of the end of the log now."""
        self._records.refresh()
        return {self.pseudonym(name): name for name in self._records.named()}

    def namespace_of(self, key_id: str) -> str:
        """Whose key it is. KeyDestroyed."""
        return self._unwrapping.namespace_of(key_id)

    # --- destroying ---

    @contextmanager
    def transaction(
        self, partition: int, doomed: Collection[str], consumer: Consumer | None = None, name: str | None = None
    ) -> Iterator[Transaction]:
        """A transaction of the log that also destroys these keys, of one partition of the ledger: all or none of it.

        As ``Log.transaction``. Where keys of trees are destroyed, it holds the partition's own name in place of
        ``name``. They stop working here as it ends; a transaction that fails has destroyed nothing anywhere.
        """
        records, leaves = _by_record(doomed)
        with ExitStack() as until_written:
            if leaves:
                name = _name(partition)
                until_written.enter_context(self._puncturing[partition])
            with self._log.transaction(consumer, name) as tx:
                yield tx
                for id in sorted(records):
                    tx.append(_destroying(id, partition=partition))
                for message in self._punctures(partition, leaves):
                    tx.append(message)
        if doomed:
            self._records.refresh(partition)

    def begin_anew(self, partition: int) -> None:
        """Whoever calls has come to own this partition of the ledger: what its owners before destroyed fences nothing
        that begins from now on."""
        with self._puncturing[partition]:
            self._log.let_go(_name(partition))

    def destroy(self, namespace: str, key_ids: Collection[str]) -> None:
        """In a transaction of their own. LogError."""
        with self.transaction(self._partition(namespace), key_ids):
            pass

    def _punctures(self, partition: int, leaves: dict[str, set[int]]) -> Iterator[Message]:
        """One message a tree, of what is left of it. Once the transaction has the name under which others write them:
        what is read now is what there is."""
        if leaves:
            self._records.refresh(partition)
        for id, gone in sorted(leaves.items()):
            record = self._records.get(id)
            if record is None:
                continue
            try:
                tree = self._unwrapping.tree(id)
                left = tree.without(gone)
                if left.nodes == tree.nodes:
                    continue
                key = self._unwrapping.with_tree(DataKey.FromString(record), left)
            except KeyDestroyed:  # the name key is gone, and nobody can read it
                left = KeyTree({})
            value = key.SerializeToString() if left.nodes else None
            yield Message(topics.KEYS, id.encode(), value, partition=partition)

    # --- keyed hashes ---

    def mac(self, namespace: str, purpose: str, value: str | bytes) -> bytes:
        """A 16-byte keyed hash of ``value``, different in every namespace and for every purpose."""
        h = hmac.HMAC(self._mac_key, hashes.SHA256())
        h.update(bind(namespace, purpose))
        h.update(value if isinstance(value, bytes) else value.encode())
        return h.finalize()[:MAC_BYTES]

    def _pseudonym(self, namespace: str) -> bytes:
        """What a namespace is called where its name may not stay, 16 bytes. Of what is called so already, the same."""
        return pseudonym_in(namespace) or self.mac("", "namespace", namespace)

    def _partition(self, namespace: str) -> int:
        return partition_of(namespace.encode(), self._log.partitions(topics.KEYS))


def _name(partition: int) -> str:
    """Of the transactions that destroy keys of trees."""
    return f"keys-{partition}"


def _by_record(key_ids: Iterable[str]) -> tuple[set[str], dict[str, set[int]]]:
    """Ids of whole records, and keys of trees that are none of these, by tree."""
    records: set[str] = set()
    leaves: defaultdict[str, set[int]] = defaultdict(set)
    for key_id in key_ids:
        id, leaf = tree_and_leaf(key_id)
        if leaf is None:
            records.add(id)
        else:
            leaves[id].add(leaf)
    return records, {id: gone for id, gone in leaves.items() if id not in records}


def _destroying(id: str, *, partition: int | None = None, partition_key: bytes | None = None) -> Message:
    """ValueError for a key of a tree."""
    if tree_and_leaf(id)[1] is not None:
        raise ValueError(f"{id} is a key of a tree; destroy it in a transaction of the key ring")
    return Message(topics.KEYS, id.encode(), None, partition=partition, partition_key=partition_key)


def _appending(key: DataKey, namespace: str) -> Message:
    return Message(topics.KEYS, key.key_id.encode(), key.SerializeToString(), partition_key=namespace.encode())
