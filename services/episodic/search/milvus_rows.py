"""The fields of a Milvus collection, and a row as Milvus takes it and gives it back.

Where Milvus searches the vectors, the fields are those that every server since 2.3 has: no sparse vector, nothing
nullable; a namespace is a partition key. Milvus Lite, where it only kept them, has terms as a sparse vector (every
collection needs a vector) and no partitions: they double the time of its writes.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from services.common.models.embed import DIMENSION
from services.episodic.search.rows import NO_NUMBER, SLOTS, Found, Row

INDEXED = ("pseudonym", "kind", "session", "actor", "source", "start_us", "end_us", "active")
PARTITIONS = 16
# Fields that hold them, by whether Milvus searches the vectors.
TERMS = {True: ("terms_a", "terms_b"), False: ("sparse",)}
_VARCHAR = 65_535
_SEALED_DENSE = 2_400  # 4 bytes a dimension and 80 of the seal, as base64
_NO_TERM = 0  # stands in the sparse field of a row without terms; no term hashes to it


def schema(searches_vectors: bool) -> Any:
    """Of a collection whose vectors Milvus searches, or only keeps."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("pk", DataType.VARCHAR, max_length=64, is_primary=True)
    schema.add_field("id", DataType.VARCHAR, max_length=48)
    schema.add_field("pseudonym", DataType.VARCHAR, max_length=32, is_partition_key=searches_vectors)
    schema.add_field("kind", DataType.VARCHAR, max_length=16)
    for name in ("session", "actor", "source", *(f"m_text_{i}" for i in range(SLOTS))):
        schema.add_field(name, DataType.VARCHAR, max_length=32)
    for i in range(SLOTS):
        schema.add_field(f"m_num_{i}", DataType.DOUBLE)
    schema.add_field("active", DataType.BOOL)
    for name in ("number", "rows", "start_us", "end_us", "seq", "feed_offset"):
        schema.add_field(name, DataType.INT64)
    schema.add_field("dense_weight", DataType.FLOAT)
    schema.add_field("sparse_weight", DataType.FLOAT)
    if searches_vectors:
        schema.add_field("dense", DataType.FLOAT_VECTOR, dim=DIMENSION)
        schema.add_field("terms_a", DataType.VARCHAR, max_length=_VARCHAR)
        schema.add_field("terms_b", DataType.VARCHAR, max_length=_VARCHAR)
    else:
        schema.add_field("sealed_dense", DataType.VARCHAR, max_length=_SEALED_DENSE)
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("sealed_a", DataType.VARCHAR, max_length=_VARCHAR)
    schema.add_field("sealed_b", DataType.VARCHAR, max_length=_VARCHAR)
    return schema


def indexes(searches_vectors: bool, *, scalars: bool, there: Collection[str] = ()) -> Any:
    """Those that are missing. ``scalars``: also of what is filtered on. ``there``: fields that have theirs."""
    searched = (
        ("dense", {"index_type": "HNSW", "metric_type": "COSINE", "params": {"M": 16, "efConstruction": 200}})
        if searches_vectors
        else ("sparse", {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP"})
    )
    filtered = [(name, {"index_type": "INVERTED"}) for name in (INDEXED if scalars else ())]
    indexes = MilvusClient.prepare_index_params()
    for name, how in (searched, *filtered):
        if name not in there:
            indexes.add_index(name, **how)
    return indexes


def to_milvus(row: Row, searches_vectors: bool) -> dict[str, Any]:
    if searches_vectors:
        dense = row.dense if row.dense is not None else np.zeros(DIMENSION, np.float32)
        searched: dict[str, Any] = {"dense": dense, **_split("terms", _packed(row.terms))}
    else:
        sparse = {t: float(n) for t, n in row.terms.items()} or {_NO_TERM: 1.0}
        searched = {"sealed_dense": base64.b64encode(row.sealed_dense).decode(), "sparse": sparse}
    return {
        **searched,
        **_split("sealed", row.sealed),
        "pk": row.pk,
        "id": row.id,
        "pseudonym": row.pseudonym,
        "kind": row.kind,
        "session": row.session,
        "actor": row.actor,
        "source": row.source,
        **{f"m_text_{i}": row.texts.get(i, "") for i in range(SLOTS)},
        **{f"m_num_{i}": row.numbers.get(i, NO_NUMBER) for i in range(SLOTS)},
        "active": row.active,
        "number": row.number,
        "rows": row.rows,
        "start_us": row.start_us,
        "end_us": row.end_us,
        "seq": row.seq,
        "feed_offset": row.feed_offset,
        "dense_weight": row.dense_weight,
        "sparse_weight": row.sparse_weight,
    }


def found(row: Mapping[str, Any]) -> Found:
    """Of a row with the fields that ``Collection.rows`` asks for."""
    if "sparse" in row:
        terms = {int(t): round(n) for t, n in row["sparse"].items() if int(t) != _NO_TERM}
    else:
        terms = _unpacked(joined(row, "terms"))
    return Found(
        id=row["id"],
        number=row["number"],
        pseudonym=row["pseudonym"],
        rows=row["rows"],
        feed_offset=row["feed_offset"],
        sealed=joined(row, "sealed"),
        terms=terms,
        sparse_weight=row["sparse_weight"],
        dense_weight=row["dense_weight"],
        sealed_dense=base64.b64decode(row.get("sealed_dense", "")),
    )


def _split(name: str, value: bytes) -> dict[str, str]:
    text = base64.b64encode(value).decode()
    return {f"{name}_a": text[:_VARCHAR], f"{name}_b": text[_VARCHAR:]}


def joined(row: Mapping[str, Any], name: str) -> bytes:
    """What ``_split`` laid over two fields."""
    return base64.b64decode(row[f"{name}_a"] + row[f"{name}_b"])


def _packed(terms: Mapping[int, int]) -> bytes:
    """Differences of the sorted terms, then their counts: 20,000 of one text fit in two fields so."""
    sorted_terms = np.array(sorted(terms), "<u4")
    counts = np.array([terms[t] for t in sorted_terms.tolist()], "<u4")
    return zlib.compress(np.diff(sorted_terms, prepend=np.uint32(0)).tobytes() + counts.tobytes(), 1)


def _unpacked(packed: bytes) -> dict[int, int]:
    differences, counts = np.frombuffer(zlib.decompress(packed), "<u4").reshape(2, -1)
    return dict(zip(np.cumsum(differences, dtype=np.uint32).tolist(), counts.tolist(), strict=True))
