"""Choosing the next token. A draw depends on the request's own logits and seed, never on the batch (invariant 28)."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from services.reasoning.engine.port import Sampling


class BadLogits(Exception):
    """The model's logits are no distribution: its weights or its cache are broken. Drawing would hide that."""


def uniform(seed: int, sample: int, position: int, draw: int) -> float:
    """A number in [0, 1) with 53 bits, by counter: a hash of what it is for. ``draw`` counts draws at a position."""
    counter = b"".join(part.to_bytes(8, "little", signed=True) for part in (seed, sample, position, draw))
    digest = hashlib.blake2b(counter, digest_size=8, person=b"mneme.uniform").digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def choose(logits: Tensor, sampling: Sampling, sample: int, position: int) -> int:
    """The next token from ``logits`` [vocab], to stand at ``position``. BadLogits.

    Temperature, top-k, top-p (of what top-k left), then one uniform through the inverse of the cumulated
    probabilities: the likeliest first where top-k or top-p is set, by token id otherwise. Equal logits: by token id.
    """
    if not bool(logits.max().isfinite()):  # of NaN anywhere, the largest is NaN
        raise BadLogits("the model's logits hold NaN or infinity, or nothing else than minus infinity")
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    ids, probabilities = _distribution(logits.double() / sampling.temperature, sampling)
    cumulated = probabilities.cumsum(0)
    at = torch.searchsorted(cumulated, uniform(sampling.seed, sample, position, 0) * float(cumulated[-1]), right=True)
    # The largest double below a sum may round up to it: then the last token with any probability is meant.
    return int(ids[min(int(at), len(ids) - 1)])


def _distribution(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """(token ids, probabilities) of what is kept, not renormalised. Sorts only tokens that can be kept."""
    ids = torch.arange(len(logits))
    if 0 < sampling.top_k < len(logits):
        ids = (logits >= logits.topk(sampling.top_k).values[-1]).nonzero().view(-1)  # with ties of the last
        ids = ids[logits[ids].sort(descending=True, stable=True).indices][: sampling.top_k]
    probabilities = torch.softmax(logits[ids], 0)
    if sampling.top_p < 1.0:
        # Tokens below this share hold less than 1 - top_p all together, so none of them is among the likeliest
        # that reach top_p.
        able = probabilities >= (1.0 - sampling.top_p) / len(ids)
        ids, probabilities = ids[able], probabilities[able]
        probabilities, order = probabilities.sort(descending=True, stable=True)
        before = probabilities.cumsum(0) - probabilities
        kept = max(1, int((before < sampling.top_p).sum()))
        ids, probabilities = ids[order][:kept], probabilities[:kept]
    return ids, probabilities
