"""The page pool's bookkeeping."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
import torch

from services.reasoning.blocks import Frame
from services.reasoning.engine.pool import PagePool, PoolExhausted

E, F = ("ns", "e"), ("ns", "f")


def pool(pages: int = 4) -> PagePool:
    return PagePool(Frame(2, 3, 4, 4), pages, torch.float32, torch.device("cpu"))


def fill(p: PagePool, page: int, value: float) -> None:
    for layer in p.layers:
        layer[page] = value


def holds_zeros(p: PagePool, page: int) -> bool:
    return not any(bool(layer[page].any()) for layer in p.layers)


def test_layout_is_page_then_k_and_v_then_head_then_place() -> None:
    assert [tuple(layer.shape) for layer in pool().layers] == [(4, 2, 3, 16, 4)] * 2


def test_a_released_page_is_free_and_a_sealed_one_is_kept_until_room_is_needed() -> None:
    p = pool(2)
    a, b = p.allocate(), p.allocate()
    with pytest.raises(PoolExhausted):
        p.allocate()
    p.seal(a, b"a", frozenset())
    p.release(a)
    p.release(b)
    assert (p.free, p.cached, p.available) == (1, 1, 2)
    assert p.find(b"a") == a
    p.release(a)
    p.allocate()
    assert p.cached == 1
    p.allocate()
    assert p.find(b"a") is None


def test_the_least_recently_released_is_given_up_first() -> None:
    p = pool(3)
    pages = {key: p.allocate() for key in (b"1", b"2", b"3")}
    for key, page in pages.items():
        p.seal(page, key, frozenset())
        p.release(page)
    p.release(p.find(b"1") or 0)
    p.allocate()
    assert [p.find(key) is not None for key in pages] == [True, False, True]


def test_a_page_with_two_holders_is_freed_by_the_last() -> None:
    p = pool()
    a = p.allocate()
    p.share(a)
    p.release(a)
    assert p.free == 3
    p.release(a)
    assert p.free == 4


def test_what_is_free_or_given_anew_holds_zeros() -> None:
    """An evicted page, and one that was never sealed: a partial tail, or a block that another one stands for."""
    p = pool(2)
    evicted, unsealed = p.allocate(), p.allocate()
    fill(p, evicted, 5.0)
    fill(p, unsealed, 6.0)
    p.seal(evicted, b"k", frozenset({E}))
    assert not p.seal(unsealed, b"k", frozenset({E}))
    p.share(unsealed)
    p.release(unsealed)
    assert float(p.layers[0][unsealed].min()) == 6.0  # somebody holds it
    p.release(unsealed)
    assert holds_zeros(p, unsealed)
    p.release(evicted)
    assert [p.allocate(), p.allocate()] == [unsealed, evicted]
    assert holds_zeros(p, evicted)


def test_writable_copies_only_what_others_hold() -> None:
    p = pool()
    a = p.allocate()
    fill(p, a, 7.0)
    assert p.writable(a) == a
    p.share(a)
    b = p.writable(a)
    assert b != a
    fill(p, b, 8.0)
    assert [float(layer[a].min()) for layer in p.layers] == [7.0, 7.0]
    assert p.writable(a) == a
    assert p.copies == 1


def test_a_sealed_page_is_never_written() -> None:
    p = pool()
    a = p.allocate()
    p.seal(a, b"a", frozenset())
    assert p.writable(a) != a


def test_first_seal_wins() -> None:
    p = pool()
    a, b = p.allocate(), p.allocate()
    assert p.seal(a, b"k", frozenset())
    assert not p.seal(b, b"k", frozenset())
    assert p.find(b"k") == a


def test_drop_wipes_what_is_cached_now_and_what_is_used_when_it_is_released() -> None:
    p = pool()
    cached, used, other = p.allocate(), p.allocate(), p.allocate()
    for page, key, lineage in [(cached, b"c", {E}), (used, b"u", {E, F}), (other, b"o", {F})]:
        fill(p, page, 5.0)
        p.seal(page, key, frozenset(lineage))
    p.release(cached)
    assert (p.drop([E]), p.in_use([E])) == ((2, 1), 1)
    assert (p.find(b"c"), p.find(b"u")) == (None, None)
    assert float(p.layers[0][cached].max()) == 0.0
    assert float(p.layers[0][used].max()) == 5.0
    assert not p.seal(used, b"u", frozenset())
    p.release(used)
    assert float(p.layers[1][used].max()) == 0.0
    assert (p.drop([E]), p.in_use([E])) == ((0, 0), 0)
    assert (p.drop([F]), p.in_use([E]), p.in_use([F])) == ((1, 0), 0, 1)


def test_a_copy_of_a_condemned_page_is_condemned() -> None:
    p = pool()
    a = p.allocate()
    fill(p, a, 5.0)
    p.share(a)
    p.condemn(a, frozenset({E}))
    b = p.writable(a)
    assert p.in_use([E]) == 2
    p.release(a)
    p.release(b)
    assert all(float(layer.abs().max()) == 0.0 for layer in p.layers)


def test_frames_are_layer_then_head_then_k_and_v() -> None:
    p = pool()
    a, b = p.allocate(), p.allocate()
    for pages in p.layers:
        pages[a] = torch.randn(2, 3, 16, 4)
    frame = torch.empty(2, 3, 2, 16, 4)
    p.read_frame(a, frame)
    for layer in range(2):
        for head in range(3):
            assert torch.equal(frame[layer, head, 0], p.layers[layer][a, 0, head])
            assert torch.equal(frame[layer, head, 1], p.layers[layer][a, 1, head])
    p.write_frame(b, frame)
    assert all(torch.equal(layer[a], layer[b]) for layer in p.layers)


def test_pages_that_nobody_has_written_take_no_memory() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    before = resident()
    frame = Frame(30, 3, 64, 4)
    pool = PagePool(frame, 512, torch.float32, torch.device("cpu"))
    assert pool.layers[0].nbytes * frame.layers > 300e6
    assert resident() - before < 50e6
    assert not pool.layers[-1][pool.allocate()].any()
