"""One generation as it can be read: its rows in the index, its directory, and a bounded cache of opened engrams.

Written from the feed only, by one thread; read by many.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from mneme.v1.ledger_pb2 import EngramDetail, EngramRecord, FeedRecord, Sealed

from services.common.crypto.seal import KeyDestroyed, Keyring
from services.common.ids import unnamed
from services.common.ledger import topics
from services.common.ledger.entries import MAC_TERM, MAC_VALUE, SEAL_ENGRAM
from services.common.log.base import Log, Message
from services.common.models.embed import Vectors
from services.common.text import lexical
from services.episodic.plugins.base import Key, Vector
from services.episodic.search.index import Collection, VectorSearch
from services.episodic.search.rows import Found, Row, pk
from services.episodic.state.directory import Directory
from services.episodic.state.namespaces import Registry
from services.episodic.state.records import Stored, from_core, to_core, to_detail, with_detail
from services.episodic.state.slots import Document, Slot, slot_of
from services.episodic.state.space import Space
from services.episodic.state.term_lists import TermLists
from services.episodic.state.warm import Warm

SEAL_DETAIL = "engram-detail"
SEAL_VECTOR = "engram-vector"
CACHE_BYTES = 64 * 1024 * 1024
_OVERHEAD_BYTES = 1_500  # of one cached engram beside its text
_BATCH = 256
_FEW = 16


@dataclass(frozen=True, slots=True)
class Written:
    """A feed record, where it lies, and the engram in it where the writer has it at hand."""

    feed: FeedRecord
    offset: int
    stored: Stored | None = None


def feed_key(generation: int, pseudonym: bytes, id: str) -> bytes:
    """Without the namespace's name: what removes a record keeps its key for a day."""
    return f"{generation}/{unnamed(pseudonym)}/{id}".encode()


def key_use(generation: int) -> str:
    """Of the keys of what a generation derives: they go with it."""
    return f"generation {generation}"


def seal(stored: Stored, generation: int, keyring: Keyring) -> tuple[Stored, FeedRecord, list[Message]]:
    """The engram with its keys, its feed record, and the messages that must be appended with it.

    A base engram is sealed under its observation's own key. What is derived (a derived engram, the retrieval keys
    of a base one, which hold neighbours' texts) is sealed under a key of its own, made here where there is none.
    """
    messages: list[Message] = []

    def new_key() -> str:
        key = keyring.text_key(stored.namespace, key_use(generation))
        messages.extend(key.messages)
        return key.key_id

    seal_key = stored.seal_key or new_key()
    if stored.record.is_base and stored.record.keys:
        detail_key = stored.detail_key if stored.detail_key not in ("", seal_key) else new_key()
    else:
        detail_key = seal_key
    stored = replace(stored, seal_key=seal_key, detail_key=detail_key)
    core, detail = to_core(stored).SerializeToString(), to_detail(stored).SerializeToString()
    feed = FeedRecord(
        generation=generation,
        namespace=stored.namespace,
        engram_id=stored.id,
        version=stored.version,
        position={"partition": stored.partition, "offset": stored.version},
        sealed=keyring.seal(seal_key, core, namespace=stored.namespace, purpose=SEAL_ENGRAM),
        detail=keyring.seal(detail_key, detail, namespace=stored.namespace, purpose=SEAL_DETAIL),
    )
    return stored, feed, messages


def open_core(feed: FeedRecord, keyring: Keyring) -> Stored:
    """KeyDestroyed once erased."""
    core = keyring.open(feed.sealed, namespace=feed.namespace, purpose=SEAL_ENGRAM)
    return from_core(EngramRecord.FromString(core), feed.sealed.key_id, feed.detail.key_id)


def open_whole(feed: FeedRecord, keyring: Keyring) -> Stored:
    detail = keyring.open(feed.detail, namespace=feed.namespace, purpose=SEAL_DETAIL)
    return with_detail(open_core(feed, keyring), EngramDetail.FromString(detail))


def index_bytes(feed: FeedRecord) -> bytes:
    """What the index keeps: the feed record without the namespace, and the detail, of which the key's id stays."""
    kept = FeedRecord()
    kept.CopyFrom(feed)
    kept.ClearField("namespace")
    kept.detail.CopyFrom(Sealed(key_id=feed.detail.key_id))
    return kept.SerializeToString()


def from_index(kept: bytes, namespace: str) -> FeedRecord:
    """The feed record, less the detail, of what ``index_bytes`` gave."""
    feed = FeedRecord.FromString(kept)
    feed.namespace = namespace
    return feed


class Hasher:
    """Keyed hashes of a namespace, of its terms and values, as the index holds them."""

    def __init__(self, keyring: Keyring) -> None:
        @lru_cache(maxsize=131_072)
        def term(namespace: str, text: str) -> int:
            # 1 to 2^32 - 3: 0 stands for no term, and Milvus refuses 2^32 - 1.
            return int.from_bytes(keyring.mac(namespace, MAC_TERM, text)[:8], "big") % (2**32 - 3) + 1

        @lru_cache(maxsize=16_384)
        def value(namespace: str, name: str, text: str) -> str:
            return keyring.mac(namespace, MAC_VALUE, f"{name}\0{text}").hex() if text else ""

        self.pseudonym: Callable[[str], str] = lambda namespace: keyring.pseudonym(namespace).hex()
        self.term: Callable[[str, str], int] = term
        self.value: Callable[[str, str, str], str] = value

    def counts(self, namespace: str, terms: Iterable[str]) -> Counter[int]:
        return Counter(self.term(namespace, t) for t in terms)


class Store:
    def __init__(
        self,
        number: int,
        log: Log,
        keyring: Keyring,
        registry: Registry,
        collection: Collection,
        embed: Callable[[Sequence[str]], Vectors],
        cache_bytes: int = CACHE_BYTES,
        warm: Warm | None = None,
    ) -> None:
        """``warm``: what holds namespaces in memory, and how much of them; None: all that were asked for."""
        self.number = number
        self.directory = Directory(self._read, warm, holds_vectors=collection.vector_search is None)
        self.collection = collection
        self.hasher = Hasher(keyring)
        self._log = log
        self._keyring = keyring
        self._registry = registry
        self.embed = embed
        self._cache = _Cache(cache_bytes)
        self.terms = TermLists(cache_bytes // 2)
        self._unreadable: set[str] = set()  # keys of rows
        self._unreadable_lock = threading.Lock()

    # --- writing ---

    def write(self, batch: Sequence[Written]) -> None:
        """Make feed records visible, in order. Of one engram only the newest counts. Again is once."""
        newest = {w.feed.engram_id: w for w in batch}
        live: list[tuple[Written, Stored]] = []
        gone: list[tuple[str, str]] = []
        for written in newest.values():
            stored = None if written.feed.erased else self._opened(written)
            if stored is None:
                gone.append((written.feed.namespace, written.feed.engram_id))
            else:
                live.append((written, stored))
        self._remove(gone)
        self._upsert(live)

    def _opened(self, written: Written) -> Stored | None:
        if written.stored is not None:
            return written.stored
        try:
            return open_whole(written.feed, self._keyring)
        except KeyDestroyed:
            return None  # a stub, or a newer version under another key, follows in the feed

    def forget(self, namespace: str, ids: Sequence[str]) -> None:
        """Take engrams out, of which the feed holds nothing that comes back. Again is once."""
        self._remove([(namespace, id) for id in ids])

    def _remove(self, gone: Sequence[tuple[str, str]]) -> None:
        """The index first: where that fails, the directory still knows how many rows there are."""
        rows = []
        for namespace, id in gone:
            slot = self.directory.get(namespace, id)
            rows += [pk(id, n) for n in range(slot.rows if slot else 1)]
        self.collection.write((), rows)
        for namespace, id in gone:
            self.directory.remove(namespace, id)
            self._cache.drop(id)

    def _upsert(self, live: Sequence[tuple[Written, Stored]]) -> None:
        planned = [(written, stored, _pairs(stored)) for written, stored in live]
        texts = [dense.text for _, _, pairs in planned for dense, _ in pairs if dense is not None]
        vectors = iter(self.embed(texts)) if texts else iter(())
        rows: list[Row] = []
        surplus: list[str] = []
        slots: list[tuple[Slot, list[Document], list[tuple[float, Vector]]]] = []
        for written, stored, pairs in planned:
            slot = slot_of(stored, written.offset, len(pairs))
            documents = [self.document(stored.namespace, lexical_key) for _, lexical_key in pairs]
            held: list[tuple[float, Vector]] = []
            for number, ((dense, _), document) in enumerate(zip(pairs, documents, strict=True)):
                row = self._row(slot, number, index_bytes(written.feed), document)
                if dense is not None:
                    held.append((dense.weight, next(vectors)))
                    row = self._with_vector(row, *held[-1], stored.detail_key)
                rows.append(row)
            before = self.directory.get(slot.namespace, slot.id)
            surplus += [pk(slot.id, n) for n in range(slot.rows, before.rows if before else 0)]
            slots.append((slot, [d for d in documents if d.counts], held))
        with self._unreadable_lock:
            self._unreadable.difference_update(row.pk for row in rows)  # they are written again, under another key
        self.collection.write(rows, surplus)
        for (slot, documents, held), (_, stored) in zip(slots, live, strict=True):
            self.directory.put(slot, documents, held)
            self._cache.put(stored)

    def document(self, namespace: str, key: Key | None) -> Document:
        if key is None:
            return Document({}, 0.0)
        return Document(self.hasher.counts(namespace, lexical.terms(key.text)), key.weight)

    def _row(self, slot: Slot, number: int, sealed: bytes, document: Document) -> Row:
        texts, numbers = self._metadata(slot)
        return Row(
            id=slot.id,
            number=number,
            pseudonym=self.hasher.pseudonym(slot.namespace),
            kind=slot.kind,
            active=slot.active,
            session=self.hasher.value(slot.namespace, "session", slot.session),
            actor=self.hasher.value(slot.namespace, "actor", slot.actor),
            source=self.hasher.value(slot.namespace, "source", slot.source),
            start_us=slot.start_us,
            end_us=slot.end_us,
            seq=slot.seq,
            feed_offset=slot.feed_offset,
            rows=slot.rows,
            dense_weight=0.0,
            sparse_weight=document.weight,
            dense=None,
            terms=document.counts,
            sealed=sealed if number == 0 else b"",
            texts=texts,
            numbers=numbers,
        )

    def _with_vector(self, row: Row, weight: float, vector: Vector, key_id: str) -> Row:
        """Sealed where the index only keeps it, under the key of the text it was computed from: files may keep deleted
        rows until their room is used, and a vector tells much of its text."""
        if self.collection.vector_search is not None:
            return replace(row, dense=vector, dense_weight=weight)
        plain = np.asarray(vector, "<f4").tobytes()
        try:
            sealed = self._keyring.seal(key_id, plain, namespace=row.pseudonym, purpose=SEAL_VECTOR)
        except KeyDestroyed:
            return row  # a stub, or a newer version under another key, follows in the feed
        return replace(row, sealed_dense=sealed.SerializeToString(), dense_weight=weight)

    def _vector(self, row: Found) -> Vector | None:
        sealed = Sealed.FromString(row.sealed_dense)
        try:
            plain = self._keyring.open(sealed, namespace=row.pseudonym, purpose=SEAL_VECTOR)
        except KeyDestroyed:
            return None
        return np.frombuffer(plain, "<f4")

    def _metadata(self, slot: Slot) -> tuple[Mapping[int, str], Mapping[int, float]]:
        texts: dict[int, str] = {}
        numbers: dict[int, float] = {}
        info = self._registry.namespace(slot.namespace)
        for name, value in slot.metadata.items():
            place = info.slot(name) if info else None
            if place and isinstance(value, str) and place[0] == "text":
                texts[place[1]] = self.hasher.value(slot.namespace, name, value)
            elif place and not isinstance(value, str) and place[0] == "number":
                numbers[place[1]] = value
        return texts, numbers

    @property
    def vector_search(self) -> VectorSearch:
        """Where the index searches vectors."""
        assert self.collection.vector_search is not None
        return self.collection.vector_search

    # --- reading ---

    def _read(self, namespace: str) -> Space:
        """A namespace as the index has it. Engrams whose key is gone are left out, and their rows swept later."""
        space = Space(holds_vectors=self.directory.holds_vectors)
        known: dict[str, Slot] = {}
        documents: dict[str, list[Document]] = {}
        dense: dict[str, list[tuple[float, Vector]]] = {}
        unreadable: list[str] = []
        for row in self.collection.rows(self.hasher.pseudonym(namespace), vectors=self.directory.holds_vectors):
            if row.number == 0:
                try:
                    stored = open_core(from_index(row.sealed, namespace), self._keyring)
                except KeyDestroyed:
                    unreadable += [pk(row.id, n) for n in range(row.rows)]
                    continue
                known[row.id] = slot_of(stored, row.feed_offset, row.rows)
            if row.terms:
                documents.setdefault(row.id, []).append(Document(row.terms, row.sparse_weight))
            if row.sealed_dense and (vector := self._vector(row)) is not None:
                dense.setdefault(row.id, []).append((row.dense_weight, vector))
        for id, slot in known.items():
            space.put(slot, documents.get(id, []), dense.get(id, []))
        space.fit()
        with self._unreadable_lock:
            self._unreadable.update(unreadable)
        return space

    def sweep(self) -> None:
        """Delete rows that were found to be unreadable. By the generation's one writer."""
        with self._unreadable_lock:
            gone = sorted(self._unreadable)
            self._unreadable.clear()
        if gone:
            self.collection.write((), gone)

    def get(self, namespace: str, id: str) -> Stored | None:
        """An engram, in any state; None when there is none or it was erased."""
        return self.fetch(namespace, [id]).get(id)

    def fetch(self, namespace: str, ids: Sequence[str]) -> dict[str, Stored]:
        """Opened engrams of a namespace by id; those that are not there, or erased, are left out."""
        out: dict[str, Stored] = {}
        missing: list[str] = []
        for id, slot in self.directory.some(namespace, ids).items():
            if self._registry.is_erased(namespace, id):
                continue
            cached = self._cache.get(id)
            if cached is not None and cached.version >= slot.version:
                out[id] = cached
            else:
                missing.append(id)
        for start in range(0, len(missing), _BATCH):
            out.update(self._open(namespace, missing[start : start + _BATCH]))
        return out

    def opened(self, namespace: str, ids: Sequence[str]) -> Iterator[Stored]:
        """As ``fetch``, in the order of ``ids``, a few opened at a time."""
        for start in range(0, len(ids), _FEW):
            few = ids[start : start + _FEW]
            found = self.fetch(namespace, few)
            yield from (found[id] for id in few if id in found)

    def _open(self, namespace: str, ids: Sequence[str]) -> dict[str, Stored]:
        out: dict[str, Stored] = {}
        for id, sealed in self.collection.sealed(ids).items():
            try:
                out[id] = open_core(from_index(sealed, namespace), self._keyring)
            except KeyDestroyed:
                continue  # erased between the look-up and now
            self._cache.put(out[id])
        return out

    def vectors(self, namespace: str) -> Iterator[tuple[str, float, Vector]]:
        """(engram id, weight, vector) of every dense key of active engrams, from the index: for exact search."""
        return self.vector_search.vectors(f'pseudonym == "{self.hasher.pseudonym(namespace)}" and active == true')

    def whole(self, namespace: str, id: str) -> Stored | None:
        """An engram with its keys, history and counts, from the feed. None as ``get``."""
        stored = self._cache.get(id)
        slot = self.directory.get(namespace, id)
        if slot is None or self._registry.is_erased(namespace, id):
            return None
        if stored is not None and stored.whole and stored.version >= slot.version:
            return stored
        for record in self._log.read(topics.FEED, slot.partition, slot.feed_offset, slot.feed_offset + 1):
            try:
                stored = open_whole(FeedRecord.FromString(record.value or b""), self._keyring)
            except KeyDestroyed:
                return None
            self._cache.put(stored)
            return stored
        return None


class Scratch:
    """A namespace that is folded again beside its store, as searches on the write path see it: exact, in memory."""

    def __init__(self, store: Store) -> None:
        self.directory = Directory()
        self.hasher = store.hasher
        self._store = store

    def absorb(self, changed: Iterable[Stored]) -> None:
        """Make engrams searchable, in their newest form."""
        for stored in changed:
            pairs = _pairs(stored)
            documents = [self._store.document(stored.namespace, key) for _, key in pairs]
            keys = [key for key, _ in pairs if key is not None]
            vectors = self._store.embed([key.text for key in keys]) if keys else ()
            dense = [(key.weight, v) for key, v in zip(keys, vectors, strict=True)]
            self.directory.put(slot_of(stored, -1, len(pairs)), [d for d in documents if d.counts], dense)


def _pairs(stored: Stored) -> list[tuple[Key | None, Key | None]]:
    """The dense and the lexical key of each row. One row at least; none matches when the engram is not active."""
    if stored.record.state != "active":
        return [(None, None)]
    keys = stored.record.keys or (Key(stored.record.kind, stored.record.text),)
    dense: list[Key | None] = [k for k in keys if k.use != "lexical"]
    sparse: list[Key | None] = [k for k in keys if k.use != "dense"]
    rows = max(len(dense), len(sparse))
    return list(zip(dense + [None] * (rows - len(dense)), sparse + [None] * (rows - len(sparse)), strict=True))


class _Cache:
    """Opened engrams, least recently used first to go; bounded in bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held: OrderedDict[str, tuple[Stored, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, id: str) -> Stored | None:
        with self._lock:
            found = self._held.get(id)
            if found is None:
                return None
            self._held.move_to_end(id)
            return found[0]

    def put(self, stored: Stored) -> None:
        cost = _OVERHEAD_BYTES + 2 * len(stored.record.text) + sum(2 * len(k.text) for k in stored.record.keys)
        cost += sum(e.ByteSize() for e in stored.history)
        with self._lock:
            old = self._held.pop(stored.id, None)
            if old is not None:
                self._bytes -= old[1]
            self._held[stored.id] = (stored, cost)
            self._bytes += cost
            while self._bytes > self._limit:
                _, (_, freed) = self._held.popitem(last=False)
                self._bytes -= freed

    def drop(self, id: str) -> None:
        with self._lock:
            old = self._held.pop(id, None)
            if old is not None:
                self._bytes -= old[1]
