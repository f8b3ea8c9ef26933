"""The state hash: SHA-256 over the engrams of a namespace sorted by id, read back from the index and opened.

Left out: vectors, scores and every other computed float, ingest times, positions, versions, data keys, generations.
So a rebuild comes to the same hash, on any processor.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping

from mneme.v1.common_pb2 import MetadataValue
from mneme.v1.ledger_pb2 import EngramRecord, FeedRecord

from services.common.crypto.seal import Keyring
from services.common.ledger.entries import SEAL_ENGRAM
from services.episodic.search.index import Collection


def state_hash(collection: Collection, keyring: Keyring, namespace: str) -> str:
    """Hex. Reads every row of the namespace; KeyDestroyed when one cannot be opened any more."""
    cores: dict[str, bytes] = {}
    terms: dict[str, list[list[tuple[int, int]]]] = {}
    for row in collection.rows(keyring.pseudonym(namespace).hex()):
        if row.number == 0:
            feed = FeedRecord.FromString(row.sealed)
            cores[row.id] = keyring.open(feed.sealed, namespace=namespace, purpose=SEAL_ENGRAM)
        terms.setdefault(row.id, []).append(sorted(row.terms.items()))
    total = hashlib.sha256()
    for id in sorted(cores):
        for part in _parts(EngramRecord.FromString(cores[id])):
            _feed(total, part)
        # What retrieval matches is sealed in the feed only; its term hashes are here.
        for document in sorted(terms[id]):
            _feed(total, repr(document).encode())
    return total.hexdigest()


def _parts(core: EngramRecord) -> Iterator[bytes]:
    """The canonical form of an engram."""
    e = core.engram
    for text in (e.id, e.namespace, e.text, e.actor, e.session, e.source, e.observation_id, e.external_id):
        yield text.encode()
    yield repr((e.kind, e.state, e.superseded_by, e.made_by)).encode()
    yield repr((e.event_start.ToNanoseconds(), e.event_end.ToNanoseconds())).encode()
    yield repr((list(e.people), list(e.places), list(e.sources))).encode()
    yield repr([(t.range.start.ToNanoseconds(), t.range.end.ToNanoseconds()) for t in core.times]).encode()
    if e.utc_offset_minutes:  # without one the hash is as it was before there were any
        yield f"utc{e.utc_offset_minutes:+}".encode()
    if e.derived_from or e.lineage_unknown:  # so here
        yield repr((list(e.derived_from), e.lineage_unknown)).encode()
    yield repr(sorted((link.dst, link.relation) for link in e.links)).encode()
    yield repr(sorted(_metadata(e.metadata))).encode()


def _metadata(metadata: Mapping[str, MetadataValue]) -> Iterator[tuple[str, str, bytes]]:
    """Numbers bit by bit: a product's input that was only copied, never computed."""
    for name, value in metadata.items():
        if value.WhichOneof("value") == "number":
            yield name, "number", struct.pack(">d", value.number)
        else:
            yield name, "text", value.text.encode()


def _feed(total: hashlib._Hash, part: bytes) -> None:
    total.update(len(part).to_bytes(8, "big"))
    total.update(part)
