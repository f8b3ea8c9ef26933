"""The Triton kernel of cascade_decode: one program, one split of one node's keys, a tile of its members' queries."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import absorb, cap_scores, find_pages, finish, read_block


@triton.jit
def shared_level_kernel(
    q_ptr,  # [rows, heads, WIDTH] contiguous
    pool_ptr,  # as in paged_decode
    key_params_ptr,
    value_params_ptr,
    table_ptr,  # [nodes, table_stride] int32
    lens_ptr,  # [nodes] int32
    starts_ptr,  # [nodes + 1] int32
    members_ptr,  # [total] int32, rows
    out_ptr,  # [splits, total, heads, WIDTH] fp32
    lse_ptr,  # [splits, total, heads] fp32
    total_members,
    table_stride,
    scale,
    SOFTCAP: tl.constexpr,
    SPLIT: tl.constexpr,  # least tokens of a split, a multiple of BLOCK
    MAX_SPLITS: tl.constexpr,
    TILE: tl.constexpr,  # (member, head of the group) pairs of a program
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    KIND: tl.constexpr,
    PAGE: tl.constexpr,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDTH_PAD: tl.constexpr,
    TILES: tl.constexpr,
):
    # Tiles beside each other read the same keys: the second finds them in the cache.
    tile = tl.program_id(0) % TILES
    split = tl.program_id(0) // TILES
    kv_head = tl.program_id(1)
    node = tl.program_id(2)
    begin_member = tl.load(starts_ptr + node)
    members = tl.load(starts_ptr + node + 1) - begin_member
    length = tl.load(lens_ptr + node)
    tokens = tl.maximum(SPLIT, tl.cdiv(tl.cdiv(length, MAX_SPLITS), BLOCK) * BLOCK)
    begin = split * tokens
    end = tl.minimum(begin + tokens, length)

    pair = tile * TILE + tl.arange(0, TILE)
    member = pair // GROUP
    m_pair = member < members
    end = tl.where(tile * TILE // GROUP < members, end, 0)
    row = tl.load(members_ptr + begin_member + member, mask=m_pair, other=0).to(tl.int64)
    heads = KV_HEADS * GROUP
    head = kv_head * GROUP + pair % GROUP
    i_width = tl.arange(0, WIDTH_PAD)
    m_tile = m_pair[:, None] & (i_width < WIDTH)[None, :]
    b_q = tl.load(q_ptr + (row * heads + head)[:, None] * WIDTH + i_width[None, :], mask=m_tile, other=0.0)
    value_scale = 1.0
    if KIND == "fp8":
        scale *= tl.load(key_params_ptr + kv_head) * 256
        value_scale = tl.load(value_params_ptr + kv_head) * 256

    top = tl.full([TILE], -float("inf"), dtype=tl.float32)
    total = tl.zeros([TILE], dtype=tl.float32)
    acc = tl.zeros([TILE, WIDTH_PAD], dtype=tl.float32)
    dtype: tl.constexpr = q_ptr.dtype.element_ty
    p_table = table_ptr + node.to(tl.int64) * table_stride
    for start in range(begin, end, BLOCK):
        valid = start + tl.arange(0, BLOCK) < end
        page = find_pages(p_table, start, valid, KIND, BLOCK, PAGE)
        b_key = read_block(
            pool_ptr, key_params_ptr, page, start, valid, kv_head,
            dtype, 0, KIND, BLOCK, PAGE, KV_HEADS, WIDTH, WIDTH_PAD,
        )  # fmt: skip
        b_value = read_block(
            pool_ptr, value_params_ptr, page, start, valid, kv_head,
            dtype, 1, KIND, BLOCK, PAGE, KV_HEADS, WIDTH, WIDTH_PAD,
        )  # fmt: skip
        score = cap_scores(tl.dot(b_q, tl.trans(b_key), input_precision=PRECISION) * scale, SOFTCAP)
        score = tl.where(valid[None, :], score, -float("inf"))
        top, total, acc = absorb(top, total, acc, score, b_value, PRECISION)

    out, lse = finish(top, total, acc)
    cell = (split.to(tl.int64) * total_members + begin_member + member) * heads + head
    tl.store(out_ptr + cell[:, None] * WIDTH + i_width[None, :], out * value_scale, mask=m_tile)
    tl.store(lse_ptr + cell, lse, mask=m_pair)
