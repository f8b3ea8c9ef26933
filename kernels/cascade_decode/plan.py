"""Which shared prefixes are worth reading once: the plan of a cascade, made once a step, not once a layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.layout import Backend
from kernels.quantised import PAGE_TOKENS

# A level costs launches of its own: what a GPU reads meanwhile. 3 launches of 2 to 3 us at some 3 TB/s; not measured.
LAUNCH_BYTES = {"triton": 24 << 20, "torch": 0}


@dataclass(frozen=True, slots=True)
class Shared:
    """Rows whose tokens begin <= t < end lie on the same pages, those of the first row's table."""

    rows: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class CascadePlan:
    """Nodes that are read once (``nodes``, cut to pages) and what is left to each row, on the tables' device."""

    nodes: tuple[Shared, ...]
    members: Tensor  # [sum of rows] int32: node after node, the rows that read it
    levels: Tensor  # [sum of rows] int64: which of its row's nodes this is, from 0
    starts: Tensor  # [nodes + 1] int32: where each node's members start
    tables: Tensor  # [nodes, columns] int32
    lengths: Tensor  # [nodes] int32
    tail_tables: Tensor  # [rows, columns] int32: what no kept node holds
    tail_lens: Tensor  # [rows] int32
    depth: int  # most nodes that a row reads
    longest_node: int
    longest_tail: int
    most_members: int
    tokens_read: int
    tokens_plain: int  # what plain decode reads


def plan_cascade(
    block_table: Tensor,
    seq_lens: Tensor,
    shared: Iterable[Shared],
    *,
    heads: int,
    kv_heads: int,
    width: int,
    backend: Backend,
    element_bytes: float = 2.0,
    gate: bool = True,
) -> CascadePlan:
    """Keeps the nodes whose saved bytes exceed what reading them apart costs; ``gate`` False keeps all.

    ``block_table`` and ``seq_lens`` as for paged_decode: every row's whole sequence, so that plain decode can always
    read it. ``shared``: nodes of a prefix tree, any number of levels; a row's nodes must not overlap. A node's border
    inside a page is drawn back to the page's start (its end) or forward to it (its beginning). ValueError for nodes
    that overlap, or whose rows have other pages there.
    """
    table = block_table.cpu()
    lengths: list[int] = seq_lens.tolist()
    cut = [_cut(node, table, lengths) for node in shared]
    kept = [node for node in cut if node.end > node.begin]
    if gate:
        saves = [_gain(node, heads, kv_heads, width, element_bytes) for node in kept]
        kept = [node for node, gain in zip(kept, saves, strict=True) if gain > 0]
        if sum(gain for gain in saves if gain > 0) <= LAUNCH_BYTES[backend]:
            kept = []
    taken: list[list[tuple[int, int]]] = [[] for _ in lengths]
    members, levels, starts = [], [], [0]
    for node in kept:
        for row in node.rows:
            if any(node.begin < end and begin < node.end for begin, end in taken[row]):
                raise ValueError(f"row {row}: shared nodes overlap at tokens {node.begin} to {node.end}")
            levels.append(len(taken[row]))
            members.append(row)
            taken[row].append((node.begin, node.end))
        starts.append(len(members))
    return _assemble(block_table, lengths, table, kept, taken, members, levels, starts)


def _cut(node: Shared, table: Tensor, lengths: list[int]) -> Shared:
    first, last = -(-node.begin // PAGE_TOKENS), node.end // PAGE_TOKENS
    pages = table[node.rows[0], first:last]
    for row in node.rows:
        if node.end > lengths[row] or not torch.equal(table[row, first:last], pages):
            raise ValueError(f"row {row} does not share tokens {node.begin} to {node.end} with row {node.rows[0]}")
    return Shared(node.rows, first * PAGE_TOKENS, max(first, last) * PAGE_TOKENS)


def _gain(node: Shared, heads: int, kv_heads: int, width: int, element_bytes: float) -> float:
    """Bytes that reading a node once saves, less those of its states: written, read and merged in fp32."""
    rows = len(node.rows)
    saved = (rows - 1) * (node.end - node.begin) * 2 * kv_heads * width * element_bytes
    return saved - rows * heads * (width + 1) * 4 * 3


def _assemble(
    block_table: Tensor,
    lengths: list[int],
    table: Tensor,
    kept: list[Shared],
    taken: list[list[tuple[int, int]]],
    members: list[int],
    levels: list[int],
    starts: list[int],
) -> CascadePlan:
    device = block_table.device
    tails, tail_lens = torch.zeros_like(table), []
    for row, length in enumerate(lengths):
        columns = _left(length, taken[row])
        tails[row, : len(columns)] = table[row, columns]
        tail_lens.append(length - sum(end - begin for begin, end in taken[row]))
    node_lens = [node.end - node.begin for node in kept]
    node_tables = torch.zeros((len(kept), max(node_lens, default=0) // PAGE_TOKENS), dtype=torch.int32)
    for i, node in enumerate(kept):
        first, last = node.begin // PAGE_TOKENS, node.end // PAGE_TOKENS
        node_tables[i, : last - first] = table[node.rows[0], first:last]
    return CascadePlan(
        nodes=tuple(kept),
        members=torch.tensor(members, dtype=torch.int32, device=device),
        levels=torch.tensor(levels, dtype=torch.int64, device=device),
        starts=torch.tensor(starts, dtype=torch.int32, device=device),
        tables=node_tables.to(device),
        lengths=torch.tensor(node_lens, dtype=torch.int32, device=device),
        tail_tables=tails.to(device),
        tail_lens=torch.tensor(tail_lens, dtype=torch.int32, device=device),
        depth=max((len(row) for row in taken), default=0),
        longest_node=max(node_lens, default=0),
        longest_tail=max(tail_lens, default=0),
        most_members=max((len(node.rows) for node in kept), default=0),
        tokens_read=sum(node_lens) + sum(tail_lens),
        tokens_plain=sum(lengths),
    )


def _left(length: int, taken: list[tuple[int, int]]) -> list[int]:
    """Columns of a row's table that no node holds, in order: the last, partial page is always among them."""
    held = {c for begin, end in taken for c in range(begin // PAGE_TOKENS, end // PAGE_TOKENS)}
    return [c for c in range(-(-length // PAGE_TOKENS)) if c not in held]
