"""surprisal: -ln p of the token that came, and the entropy of what was expected, from logits."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.layout import Backend, check_backend
from kernels.surprisal.kernel import surprisal_kernel
from kernels.surprisal.portable import surprisal_portable

# Logits read at once: 8 KiB in bf16, 128 bits a thread and load.
BLOCK = 4096


def surprisal(logits: Tensor, targets: Tensor, *, backend: Backend) -> tuple[Tensor, Tensor]:
    """``logits`` [rows, vocab], ``targets`` [rows] int32, the token that followed each row, or -1 for none.

    Returns (surprisal [rows] in nats, entropy [rows] in nats), fp32, fp64 for fp64. The softmax is not made: logits
    are read once. A logit of -inf is a token that cannot come: surprisal inf if it came. Target -1: surprisal NaN.
    A target must be below vocab, and a row must have one finite logit. ValueError for shapes that do not fit.
    """
    check_backend(logits, backend)
    if logits.dim() != 2 or targets.shape != logits.shape[:1] or targets.dtype != torch.int32:
        raise ValueError(f"logits [rows, vocab] and int32 targets [rows] are needed, not {tuple(targets.shape)}")
    if backend == "torch":
        return surprisal_portable(logits, targets)
    rows, vocab = logits.shape
    if logits.stride(1) != 1:
        raise ValueError("logits: the vocabulary must be contiguous")
    made = torch.empty(rows, dtype=torch.float32, device=logits.device)
    entropy = torch.empty_like(made)
    if rows:
        surprisal_kernel[(rows,)](logits, targets, made, entropy, vocab, logits.stride(0), BLOCK=BLOCK)
    return made, entropy
