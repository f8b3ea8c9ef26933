"""The engine's BlockStore over the KV store's client: the one place where the two meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mneme.v1 import kvstore_pb2 as pb

from services.kvstore.client import KvClient, Origin
from services.reasoning.blocks import EngramRef, Identity
from services.reasoning.engine.store import Block, StoreFailure


def store_identity(identity: Identity) -> bytes:
    """The 16 bytes under which a KvClient reads and writes this engine's frames."""
    return identity.digest()[:16]


class KvClientStore:
    """A BlockStore. The client bounds every call's time and answers a store that is gone with misses."""

    def __init__(self, client: KvClient) -> None:
        self._client = client

    def lookup(self, keys: Sequence[bytes]) -> int:
        return self._client.lookup(keys)

    def load(self, keys: Sequence[bytes], frames: Sequence[memoryview]) -> int:
        return self._client.load(keys, frames)

    def put(self, blocks: Sequence[Block], namespace: str, epochs: Mapping[str, int]) -> int:
        lineage, counts = _in_order_of_first_use(blocks)
        unknown = any(not engram_id for block in blocks for _, engram_id in block.lineage)
        origin = Origin(namespace, epochs, lineage, unknown)
        outcomes = self._client.put([b.key for b in blocks], [b.frame for b in blocks], origin, counts)
        if len(outcomes) < len(blocks):
            raise StoreFailure("the KV store went away during a put")
        return outcomes.count(pb.PUT_OUTCOME_STORED)

    def begin(self, keys: Sequence[bytes]) -> bool:
        flight = self._client.begin(keys)
        if flight.present == 0 and flight.held == 0:
            return True
        self._client.give_up(keys[flight.present : flight.present + flight.claimed])
        return False

    def end(self, keys: Sequence[bytes]) -> None:
        self._client.give_up(keys)

    def used(self, keys: Sequence[bytes]) -> None:
        self._client.used(keys)


def _in_order_of_first_use(blocks: Sequence[Block]) -> tuple[list[EngramRef], list[int]]:
    """The union of the lineages, and for each block how many of its first entries are the block's own."""
    ordered: dict[EngramRef, None] = {}
    counts = []
    for block in blocks:
        ordered.update(dict.fromkeys(sorted(ref for ref in block.lineage if ref[1])))
        counts.append(len(ordered))
    return list(ordered), counts
