"""Decode over sealed (quantised) pages and a tail in full precision: two reads, merged by lse."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import Backend
from kernels.merge_states.host import merge_states
from kernels.paged_decode.host import paged_decode
from kernels.quantised import QuantisedPool


def sealed_decode(
    q: Tensor,
    sealed: QuantisedPool,
    sealed_table: Tensor,
    sealed_lens: Tensor,
    tails: Tensor,
    tail_table: Tensor,
    tail_lens: Tensor,
    *,
    scale: float,
    backend: Backend,
    window: int = 0,
    sinks: int = 0,
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """paged_decode of rows with ``sealed_lens`` tokens in ``sealed`` and then ``tail_lens`` more in ``tails``.

    One softmax over both, as if the row lay in one pool. A row of no sealed token has the bits of its tail alone.
    """
    old, old_lse = paged_decode(
        q, sealed, sealed_table, sealed_lens,
        scale=scale, backend=backend, window=window, sinks=sinks, softcap=softcap, newer=tail_lens,
    )  # fmt: skip
    new, new_lse = paged_decode(
        q, tails, tail_table, tail_lens,
        scale=scale, backend=backend, window=window, sinks=sinks, softcap=softcap, older=sealed_lens,
    )  # fmt: skip
    return merge_states(torch.stack((old, new)), torch.stack((old_lse, new_lse)), backend=backend)
