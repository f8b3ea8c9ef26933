"""The index: one Milvus collection a generation, reached through pymilvus only.

A path opens Milvus Lite (this process owns it), a URI a server. One row a key of an engram: the row's dense and
sparse vectors are of one key each, so that an engram can count by its best key. Row 0 also carries the sealed
engram, base64 over two fields (one VARCHAR takes 65,535 bytes). Nothing here is plaintext: what can be filtered
on is a keyed hash, a number or a time; terms are keyed hashes. Of the namespace, too, there is only its pseudonym:
files keep deleted rows until they are merged.

Rows are visible at once and survive a killed process; they are on disk for good after ``flush``.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from services.common.models.embed import DIMENSION
from services.common.serving.errors import MnemeError
from services.episodic.plugins.base import Vector

SLOTS = 4  # filterable metadata fields of each type in a namespace
_VARCHAR = 65_535
_SEALED_DENSE = 2_400  # 4 bytes a dimension and 80 of the seal, as base64
_NO_TERM = 0  # stands in the sparse field of a row without terms; no term hashes to it
_PAGE = 1_000
_INDEXED = ("pseudonym", "kind", "session", "actor", "source", "start_us", "end_us", "active")
# pymilvus pings every ten seconds; Milvus Lite, which is in this process, closes the connection of who does that while
# nothing is asked.
_LITE_CHANNEL = {"grpc.keepalive_time_ms": 2**31 - 1}
_open_lock = threading.Lock()

# pymilvus logs every error it raises, with values of the call; we raise it on and log it ourselves.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


def _is_news(record: logging.LogRecord) -> bool:
    """Not news: pymilvus asks Milvus Lite for timestamps at every iterator, which it does not have, and goes on."""
    return not (record.exc_info and record.exc_info[0] is NotImplementedError)


logging.getLogger("grpc._server").addFilter(_is_news)


class IndexUnavailable(Exception):
    """Milvus does not answer, or refuses. The feed still has everything."""


@dataclass(frozen=True, slots=True)
class Row:
    """One key of an engram."""

    id: str
    number: int  # 0 carries the sealed engram
    pseudonym: str  # of the namespace, in hex
    kind: str
    active: bool
    session: str  # keyed hash, as actor, source and metadata texts are
    actor: str
    source: str
    start_us: int
    end_us: int
    seq: int
    feed_offset: int
    rows: int  # rows of this engram
    dense_weight: float
    sparse_weight: float
    dense: Vector | None  # where Milvus searches it; else it is sealed, and nothing else
    terms: Mapping[int, int]
    sealed: bytes = b""
    sealed_dense: bytes = b""
    texts: Mapping[int, str] = field(default_factory=dict)  # metadata slot -> keyed hash
    numbers: Mapping[int, float] = field(default_factory=dict)

    @property
    def pk(self) -> str:
        return pk(self.id, self.number)


def pk(id: str, number: int) -> str:
    return f"{id}#{number}"


@dataclass(frozen=True, slots=True)
class Found:
    """One row of an engram as read back."""

    id: str
    number: int
    pseudonym: str
    rows: int
    feed_offset: int
    sealed: bytes
    terms: Mapping[int, int]
    sparse_weight: float
    dense_weight: float
    sealed_dense: bytes  # empty where the row has none, or it was not asked for


class Collection:
    """Rows of one generation. Thread-safe as far as Milvus is: one writer, many readers."""

    def __init__(self, client: MilvusClient, name: str, timeout_s: float, *, searches_vectors: bool) -> None:
        self.searches_vectors = searches_vectors
        self._client = client
        self._name = name
        self._timeout_s = timeout_s

    def upsert(self, rows: Sequence[Row]) -> None:
        if rows:
            self._call("upsert", data=[_to_milvus(row, self.searches_vectors) for row in rows])

    def delete(self, pks: Sequence[str]) -> None:
        if pks:
            self._call("delete", ids=list(pks))

    def flush(self) -> None:
        """Return once everything written so far is on disk."""
        self._call("flush")

    def search(self, vector: Vector, k: int, where: str) -> list[tuple[str, float]]:
        """(engram id, cosine x weight) of the rows nearest to ``vector``; approximate, an id may come twice."""
        [hits] = self._call(
            "search",
            data=[vector],
            anns_field="dense",
            limit=k,
            filter=where,
            search_params={"params": {"ef": max(64, k)}},
            output_fields=["id", "dense_weight"],
        )
        return [
            (hit["entity"]["id"], float(hit["distance"]) * hit["entity"]["dense_weight"])
            for hit in hits
            if hit["entity"]["dense_weight"] > 0.0
        ]

    def vectors(self, where: str) -> Iterator[tuple[str, float, Vector]]:
        """(engram id, weight, vector) of every row that has one: for exact search."""
        for row in self._iterate(f"({where}) and dense_weight > 0.0", ["id", "dense_weight", "dense"]):
            yield row["id"], row["dense_weight"], np.asarray(row["dense"], np.float32)

    def sealed(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Sealed engrams by id; those that are not there are left out."""
        out: dict[str, bytes] = {}
        for start in range(0, len(ids), _PAGE):
            pks = [pk(i, 0) for i in ids[start : start + _PAGE]]
            for row in self._call("query", ids=pks, output_fields=["id", "sealed_a", "sealed_b"]):
                out[row["id"]] = base64.b64decode(row["sealed_a"] + row["sealed_b"])
        return out

    def rows(self, pseudonym: str | None = None, *, vectors: bool = False) -> Iterator[Found]:
        """Every row, of one namespace or of all; with its sealed vector on demand, where Milvus does not search it."""
        where = f'pseudonym == "{pseudonym}"' if pseudonym is not None else ""
        fields = ["id", "number", "pseudonym", "rows", "feed_offset", "sealed_a", "sealed_b", "sparse", "sparse_weight"]
        fields += ["dense_weight", *(["sealed_dense"] if vectors else [])]
        for row in self._iterate(where, fields):
            yield Found(
                id=row["id"],
                number=row["number"],
                pseudonym=row["pseudonym"],
                rows=row["rows"],
                feed_offset=row["feed_offset"],
                sealed=base64.b64decode(row["sealed_a"] + row["sealed_b"]),
                terms={int(t): round(n) for t, n in row["sparse"].items() if int(t) != _NO_TERM},
                sparse_weight=row["sparse_weight"],
                dense_weight=row["dense_weight"],
                sealed_dense=base64.b64decode(row["sealed_dense"]) if vectors else b"",
            )

    def _iterate(self, where: str, fields: list[str]) -> Iterator[dict[str, Any]]:
        iterator = self._call("query_iterator", filter=where, output_fields=fields, batch_size=_PAGE)
        try:
            while page := iterator.next():
                yield from page
        except MilvusException as error:
            raise IndexUnavailable(f"query of {self._name}: code {error.code}") from error
        finally:
            iterator.close()

    def _call(self, method: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, method)(self._name, timeout=self._timeout_s, **arguments)
        except MilvusException as error:
            raise IndexUnavailable(f"{method} of {self._name}: code {error.code}") from error


class Index:
    """Milvus: opens, creates and drops collections of generations."""

    def __init__(
        self, uri: str, *, token: str = "", timeout_s: float = 10.0, searches_vectors: bool | None = None
    ) -> None:
        """``uri``: a path for Milvus Lite, which this process then owns, or http(s)://host:port.

        ``searches_vectors``: whether Milvus does, or the directory (vectors.py); a server does, Lite does not.
        """
        self._timeout_s = timeout_s
        embedded = "://" not in uri
        self.searches_vectors = not embedded if searches_vectors is None else searches_vectors
        if embedded:
            Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with _open_lock:  # parallel first opens of Milvus Lite fail
            try:
                options = _LITE_CHANNEL if embedded else {}
                self._client = MilvusClient(uri=uri, token=token, timeout=timeout_s, grpc_options=options)
            except MilvusException as error:
                raise IndexUnavailable(
                    f"episodic.index_uri: {uri} cannot be opened (code {error.code}). "
                    "Is another process using the path, or is the server away?"
                ) from error

    def open(self, generation: int) -> tuple[Collection, bool]:
        """The collection of a generation, made where missing, and whether it was made now."""
        name = _name(generation)
        try:
            schema = _schema(self._client, self.searches_vectors)
            made = not self._has(name, schema)
            if made:
                self._client.create_collection(name, schema=schema)
            if len(self._client.list_indexes(name)) < len(_INDEXED) + 1 + self.searches_vectors:
                # Not waited for: pymilvus would look only every half second, for each of them.
                self._client.create_index(name, _indexes(self._client, self.searches_vectors), sync=False)
            self._client.load_collection(name)
        except MilvusException as error:
            raise IndexUnavailable(f"collection {name}: code {error.code}") from error
        return Collection(self._client, name, self._timeout_s, searches_vectors=self.searches_vectors), made

    def _has(self, name: str, schema: Any) -> bool:
        """Whether there is such a collection. One with other fields goes: the feed fills a new one."""
        if not self._client.has_collection(name):
            return False
        if {f["name"] for f in self._client.describe_collection(name)["fields"]} == {f.name for f in schema.fields}:
            return True
        self._client.drop_collection(name)
        return False

    def drop(self, generation: int) -> None:
        try:
            if self._client.has_collection(_name(generation)):
                self._client.drop_collection(_name(generation))
        except MilvusException as error:
            raise IndexUnavailable(f"drop of {_name(generation)}: code {error.code}") from error

    def generations(self) -> list[int]:
        names = self._client.list_collections()
        return sorted(int(n.removeprefix("engrams_g")) for n in names if n.startswith("engrams_g"))

    def close(self) -> None:
        self._client.close()


def _name(generation: int) -> str:
    return f"engrams_g{generation}"


def _schema(client: MilvusClient, searches_vectors: bool) -> Any:
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("pk", DataType.VARCHAR, max_length=64, is_primary=True)
    schema.add_field("id", DataType.VARCHAR, max_length=48)
    schema.add_field("pseudonym", DataType.VARCHAR, max_length=32)
    schema.add_field("kind", DataType.VARCHAR, max_length=16)
    for name in ("session", "actor", "source", *(f"m_text_{i}" for i in range(SLOTS))):
        schema.add_field(name, DataType.VARCHAR, max_length=32)
    for i in range(SLOTS):
        schema.add_field(f"m_num_{i}", DataType.DOUBLE, nullable=True)
    schema.add_field("active", DataType.BOOL)
    for name in ("number", "rows", "start_us", "end_us", "seq", "feed_offset"):
        schema.add_field(name, DataType.INT64)
    schema.add_field("dense_weight", DataType.FLOAT)
    schema.add_field("sparse_weight", DataType.FLOAT)
    if searches_vectors:
        schema.add_field("dense", DataType.FLOAT_VECTOR, dim=DIMENSION)
    else:
        schema.add_field("sealed_dense", DataType.VARCHAR, max_length=_SEALED_DENSE)
    schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("sealed_a", DataType.VARCHAR, max_length=_VARCHAR)
    schema.add_field("sealed_b", DataType.VARCHAR, max_length=_VARCHAR)
    return schema


def _indexes(client: MilvusClient, searches_vectors: bool) -> Any:
    indexes = client.prepare_index_params()
    if searches_vectors:
        indexes.add_index("dense", index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 200})
    indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    for name in _INDEXED:
        indexes.add_index(name, index_type="INVERTED")
    return indexes


def _to_milvus(row: Row, searches_vectors: bool) -> dict[str, Any]:
    text = base64.b64encode(row.sealed).decode()
    if searches_vectors:
        dense: dict[str, Any] = {"dense": row.dense if row.dense is not None else np.zeros(DIMENSION, np.float32)}
    else:
        dense = {"sealed_dense": base64.b64encode(row.sealed_dense).decode()}
    return {
        **dense,
        "pk": row.pk,
        "id": row.id,
        "pseudonym": row.pseudonym,
        "kind": row.kind,
        "session": row.session,
        "actor": row.actor,
        "source": row.source,
        **{f"m_text_{i}": row.texts.get(i, "") for i in range(SLOTS)},
        **{f"m_num_{i}": row.numbers.get(i) for i in range(SLOTS)},
        "active": row.active,
        "number": row.number,
        "rows": row.rows,
        "start_us": row.start_us,
        "end_us": row.end_us,
        "seq": row.seq,
        "feed_offset": row.feed_offset,
        "dense_weight": row.dense_weight,
        "sparse_weight": row.sparse_weight,
        "sparse": {t: float(n) for t, n in row.terms.items()} or {_NO_TERM: 1.0},
        "sealed_a": text[:_VARCHAR],
        "sealed_b": text[_VARCHAR:],
    }


def unavailable(error: IndexUnavailable) -> MnemeError:
    return MnemeError("SERVICE_UNAVAILABLE", "The index does not answer.", remedy="Try again shortly.")
