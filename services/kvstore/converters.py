"""Wire messages to the store's own types and back. Refuses what cannot be meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mneme.v1 import kvstore_pb2 as pb

from services.common.ledger.erasures import Erasure
from services.common.serving.errors import invalid
from services.kvstore.errors import too_many
from services.kvstore.layout import DIGEST_BYTES, IDENTITY_BYTES, KEY_BYTES
from services.kvstore.store import Dropped, Origin, Outcome, Staged

_EMPTY_KEY = bytes(KEY_BYTES)

OUTCOMES: Mapping[Outcome, pb.PutOutcome] = {
    Outcome.STORED: pb.PUT_OUTCOME_STORED,
    Outcome.EXISTS: pb.PUT_OUTCOME_EXISTS,
    Outcome.STALE_EPOCH: pb.PUT_OUTCOME_STALE_EPOCH,
    Outcome.ERASED: pb.PUT_OUTCOME_ERASED,
    Outcome.CORRUPT: pb.PUT_OUTCOME_CORRUPT,
    Outcome.NO_SPACE: pb.PUT_OUTCOME_NO_SPACE,
}


def keys_of(keys: Iterable[bytes], limit: int, field: str = "keys") -> list[bytes]:
    listed = list(keys)
    if len(listed) > limit:
        raise too_many("keys in one call", limit, "kvstore.max_keys")
    for key in listed:
        if len(key) != KEY_BYTES or key == _EMPTY_KEY:
            raise invalid(field, "A key is not 16 bytes, or all of them are 0.", "Send keys as the engine makes them.")
    return listed


def holder_of(holder: str) -> str:
    if not 0 < len(holder) <= 128:
        raise invalid("holder", "A holder has 1 to 128 characters.", "Choose one id for each client process.")
    return holder


def origin_of(request: pb.PutBlocksRequest) -> Origin:
    if not request.namespace:
        raise invalid("namespace", "No namespace is named.", "Name the namespace acted for.")
    if len(request.identity) != IDENTITY_BYTES:
        raise invalid("identity", "An identity has 16 bytes.", "Send the digest of frame and engine.")
    epochs = {e.namespace: e.erasure_epoch for e in request.epochs}
    first: dict[tuple[str, str], int] = {}
    for place, engram in enumerate(request.lineage):
        if engram.namespace not in epochs:
            raise invalid("epochs", "A namespace of the lineage has no epoch.", "Send the epoch that recall returned.")
        first.setdefault((engram.namespace, engram.engram_id), place)
    return Origin(request.namespace, epochs, first, request.lineage_unknown)


def staged_of(request: pb.PutBlocksRequest, limit: int) -> list[Staged]:
    keys = keys_of((block.key for block in request.blocks), limit, "blocks.key")
    for block in request.blocks:
        if len(block.digest) != DIGEST_BYTES:
            raise invalid("blocks.digest", "A digest has 16 bytes.", "Send XXH3-128, seeded as the proto says.")
        if block.lineage_count > len(request.lineage):
            raise invalid("blocks.lineage_count", "Counts more engrams than are listed.", "Count listed ones.")
    return [
        Staged(key, block.offset, block.length, block.digest, block.lineage_count)
        for key, block in zip(keys, request.blocks, strict=True)
    ]


def erasures_of(request: pb.DropBlocksRequest) -> list[Erasure]:
    for erasure in request.erasures:
        if not erasure.namespace or not erasure.erasure_epoch:
            raise invalid("erasures", "An erasure lacks its namespace or epoch.", "Send what the receipt says.")
    return [Erasure(e.namespace, e.erasure_epoch, tuple(e.engram_ids)) for e in request.erasures]


def dropped_to(dropped: Dropped) -> pb.DropBlocksResponse:
    return pb.DropBlocksResponse(
        named_blocks=dropped.named,
        unreachable_blocks=dropped.unreachable,
        overwritten_bytes=dropped.overwritten_bytes,
    )
