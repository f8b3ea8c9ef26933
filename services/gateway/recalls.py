"""What several shards recalled for one question, as one answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from mneme.v1.episodic_pb2 import RecallItem, RecallRequest, RecallResponse, StageScore

from services.common.fusion import CONSTANT, leading, ranks
from services.common.serving.pages import WHOLE_BYTES, fitting

GATHERED = "gathered"


def merged_recalls(request: RecallRequest, responses: Sequence[RecallResponse]) -> RecallResponse:
    """The answers as one; the first is that of the caller's own namespace.

    Each channel ranks the items of all shards by its own scores, and these ranks are fused as a shard fuses its own.
    What a shard put before something else stays before it: what it reranked and composed is kept.
    """
    scores = _fused(responses)
    packed, dropped = _packed(request, list(_in_turn(responses, scores)), max(len(r.items) for r in responses))
    items, _ = fitting(packed, lambda item: item.engram.ByteSize(), WHOLE_BYTES)
    dropped += [item.engram.id for item in packed[len(items) :]]
    for rank, item in enumerate(items, 1):
        item.score = scores[item.engram.id]
        item.trace.append(StageScore(stage=GATHERED, rank=rank, score=item.score))
    whole = RecallResponse(
        items=items,
        found=any(r.found for r in responses),
        confidence=max(r.confidence for r in responses),
        threshold=responses[0].threshold,
        stages=responses[0].stages,
        positions=[position for r in responses for position in r.positions],
        dropped=[*(id for r in responses for id in r.dropped), *dropped],
        channel_weights=_weights(responses),
    )
    if responses[0].HasField("understood_time"):
        whole.understood_time.CopyFrom(responses[0].understood_time)
    for response in responses:
        whole.erasure_epochs.update(response.erasure_epochs)
    return whole


def _weights(responses: Sequence[RecallResponse]) -> dict[str, float]:
    return {name: weight for response in responses for name, weight in response.channel_weights.items()}


def _fused(responses: Sequence[RecallResponse]) -> dict[str, float]:
    """A score for each item's id, in (0, 1]; what no channel found (a neighbour) keeps its own."""
    weights, by_channel = _weights(responses), defaultdict[str, list[tuple[float, str]]](list)
    fused: dict[str, float] = {}
    for item in (item for response in responses for item in response.items):
        for stage in item.trace:
            if stage.stage in weights:
                by_channel[stage.stage].append((stage.score, item.engram.id))
    for channel, found in by_channel.items():
        found.sort(key=lambda hit: (-hit[0], hit[1]))
        for (_, id), rank in zip(found, ranks([score for score, _ in found]), strict=True):
            fused[id] = fused.get(id, 0.0) + weights[channel] / (CONSTANT + rank)
    best = leading({channel: weights[channel] for channel in by_channel}) if by_channel else 1.0
    return {
        item.engram.id: round(fused[item.engram.id] / best, 6) if item.engram.id in fused else item.score
        for response in responses
        for item in response.items
    }


def _in_turn(responses: Sequence[RecallResponse], scores: dict[str, float]) -> Iterator[RecallItem]:
    """The items of all, of each shard in its order: next is always the better of those that are first in theirs."""
    heads = [list(response.items) for response in responses]
    while any(heads):
        first = min((items for items in heads if items), key=lambda items: _place(items[0], scores))
        yield first.pop(0)


def _place(item: RecallItem, scores: dict[str, float]) -> tuple[float, int, str]:
    """Better first; of equal ones the later event, then by id, as in a shard."""
    return -scores[item.engram.id], -item.engram.event_start.ToNanoseconds(), item.engram.id


def _packed(request: RecallRequest, items: Sequence[RecallItem], default: int) -> tuple[list[RecallItem], list[str]]:
    """As many as were asked for, within the budget, and the ids of those that it does not take."""
    limit, left = request.limit or default, request.token_budget
    kept: list[RecallItem] = []
    dropped: list[str] = []
    for item in items:
        if len(kept) == limit:
            break
        if request.token_budget and item.tokens > left:
            dropped.append(item.engram.id)
            continue
        left -= item.tokens
        kept.append(item)
    return kept, dropped
