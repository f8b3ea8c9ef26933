"""Writing and sealing pages, written to be believed: one number, one group at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.quantised import FP8_MAX, LEVELS, PAGE_TOKENS, VALUE_GROUP, KVPool, QuantisedPool


def kv_write_reference(key: Tensor, value: Tensor, pool: KVPool, slots: Tensor) -> None:
    """See kv_write in host.py for the shapes and the promises."""
    for token, slot in enumerate(slots.tolist()):
        if slot < 0:
            continue
        page, place = divmod(slot, PAGE_TOKENS)
        for part, given in enumerate((key, value)):
            for head in range(given.shape[1]):
                if isinstance(pool, QuantisedPool):
                    scale = (pool.key_params, pool.value_params)[part][head]
                    scaled = (given[token, head].float() / scale).clamp(-FP8_MAX, FP8_MAX)
                    pool.codes[page, part, head, place] = scaled.to(torch.float8_e4m3fn).view(torch.uint8)
                else:
                    pool[page, part, head, place] = given[token, head]


def seal_pages_reference(pool: Tensor, sources: Tensor, sealed: QuantisedPool, targets: Tensor) -> None:
    """See seal_pages in host.py. Keys: a group is a channel's 16 tokens; values: 32 channels of a token."""
    for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
        for head in range(pool.shape[2]):
            for channel in range(pool.shape[4]):
                codes, sealed.key_params[target, head, :, channel] = _group(pool[source, 0, head, :, channel], sealed)
                for slot, code in enumerate(codes):
                    _put(sealed, (target, 0, head, slot), channel, code)
            for slot in range(PAGE_TOKENS):
                for group in range(pool.shape[4] // VALUE_GROUP):
                    channels = range(group * VALUE_GROUP, (group + 1) * VALUE_GROUP)
                    codes, params = _group(pool[source, 1, head, slot, channels.start : channels.stop], sealed)
                    sealed.value_params[target, head, :, slot, group] = params
                    for channel, code in zip(channels, codes, strict=True):
                        _put(sealed, (target, 1, head, slot), channel, code)


def _group(numbers: Tensor, sealed: QuantisedPool) -> tuple[list[int], Tensor]:
    """Codes of a group, and its scale and minimum as they are stored: codes are made with those."""
    levels = LEVELS[sealed.kind]
    values = numbers.float()
    low = values.min().to(torch.float16)
    scale = ((values.max() - low.float()) / levels).to(torch.float16)
    if scale <= 0:  # a constant group
        return [0] * len(values), torch.stack((torch.zeros_like(low), low))
    codes = [min(levels, max(0, round(float((x - low.float()) / scale.float())))) for x in values]
    return codes, torch.stack((scale, low))


def _put(sealed: QuantisedPool, at: tuple[int, int, int, int], channel: int, code: int) -> None:
    if sealed.kind == "int8":
        sealed.codes[at][channel] = code
        return
    shift = 4 * (channel % 2)
    byte = int(sealed.codes[at][channel // 2])
    sealed.codes[at][channel // 2] = byte & ~(15 << shift) & 255 | code << shift
