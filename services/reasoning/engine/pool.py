"""The paged pool: where keys and values lie, who refers to them, and which are worth keeping.

One pool a layer, ``[page, K/V, kv_head, 16, d]``. A page is free, used (somebody holds references), or cached: held
by nobody, but sealed under its key for a later hit, until room is needed. Sealed pages are never written again. What is
neither used nor findable is wiped, so that nothing is left of a text once no key leads to it: a free page holds zeros.
"""

from __future__ import annotations

import math
import mmap
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from services.reasoning.blocks import BLOCK_TOKENS, EngramRef, Frame, Lineage


class PoolExhausted(Exception):
    """No page is free or cached. Admission reserves, so this is a defect of the scheduler's sums."""


@dataclass(frozen=True, slots=True)
class _Seal:
    key: bytes
    lineage: Lineage


class PagePool:
    """Pages and their bookkeeping. Not thread-safe: one engine loop owns it."""

    def __init__(self, frame: Frame, pages: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (frame.layers, pages, 2, frame.kv_heads, BLOCK_TOKENS, frame.head_dim)
        self._all = _zeros(shape, dtype, device)
        self.layers: list[Tensor] = list(self._all.unbind(0))
        self.pages = pages
        self.frame = frame
        self.copies = 0
        self._references = [0] * pages
        self._seals: dict[int, _Seal] = {}
        self._page_of: dict[bytes, int] = {}
        self._by_lineage: dict[EngramRef, set[int]] = {}
        # Used pages that may never be found, since their text was erased, and what each of them holds.
        self._condemned: dict[int, Lineage] = {}
        self._free = list(range(pages - 1, -1, -1))
        # Least recently released first.
        self._cached: OrderedDict[int, None] = OrderedDict()

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def cached(self) -> int:
        return len(self._cached)

    @property
    def available(self) -> int:
        """Pages that allocate can give: free, or cached and given up for it."""
        return len(self._free) + len(self._cached)

    def allocate(self) -> int:
        """A page with one reference, all zeros. PoolExhausted."""
        if not self._free:
            if not self._cached:
                raise PoolExhausted
            page, _ = self._cached.popitem(last=False)
            self._unseal(page)
            self._wipe_and_free(page)
        page = self._free.pop()
        self._references[page] = 1
        return page

    def share(self, page: int) -> None:
        """One more reference to a used page."""
        assert self._references[page] > 0
        self._references[page] += 1

    def release(self, page: int) -> None:
        """One reference less. The last one: sealed pages stay cached, others are wiped and free."""
        self._references[page] -= 1
        assert self._references[page] >= 0
        if self._references[page]:
            return
        if page in self._seals:
            self._cached[page] = None
        else:
            self._condemned.pop(page, None)
            self._wipe_and_free(page)

    def condemn(self, page: int, lineage: Lineage) -> None:
        """Marks a used page, which holds ``lineage``: never to be found."""
        self._unseal(page)
        self._condemned[page] = lineage

    def condemned(self, page: int) -> bool:
        return page in self._condemned

    def writable(self, page: int) -> int:
        """``page``, when the caller is alone with it; otherwise a copy of it, one reference moved there."""
        if self._references[page] == 1 and page not in self._seals:
            return page
        copy = self.allocate()
        self._all[:, copy] = self._all[:, page]
        if page in self._condemned:
            self._condemned[copy] = self._condemned[page]
        self.release(page)
        self.copies += 1
        return copy

    def find(self, key: bytes) -> int | None:
        """The page sealed under ``key``, with one more reference; None when there is none."""
        page = self._page_of.get(key)
        if page is None:
            return None
        self._cached.pop(page, None)
        self._references[page] += 1
        return page

    def seal(self, page: int, key: bytes, lineage: Lineage) -> bool:
        """Makes a full page findable. First wins: False when another page is sealed under ``key`` already."""
        if key in self._page_of or page in self._condemned:
            return False
        self._seals[page] = _Seal(key, lineage)
        self._page_of[key] = page
        for engram in lineage:
            self._by_lineage.setdefault(engram, set()).add(page)
        return True

    def drop(self, lineage: Collection[EngramRef]) -> tuple[int, int]:
        """Unseals every page whose lineage names one of ``lineage``; wipes it now, or when its last reference goes.

        Returns (keys no longer addressable, pages wiped).
        """
        pages = {page for engram in lineage for page in self._by_lineage.get(engram, ())}
        wiped = 0
        for page in pages:
            if self._references[page]:
                self.condemn(page, self._seals[page].lineage)
            else:
                self._unseal(page)
                del self._cached[page]
                self._wipe_and_free(page)
                wiped += 1
        return len(pages), wiped

    def wipe(self) -> None:
        """Overwrites every page, whoever refers to it. The last call."""
        self._all.zero_()

    def in_use(self, lineage: Collection[EngramRef]) -> int:
        """Condemned pages that hold one of ``lineage``."""
        return sum(not held.isdisjoint(lineage) for held in self._condemned.values())

    def read_frame(self, page: int, frame: Tensor) -> None:
        """Copies a page into ``frame`` [layers, kv_heads, 2, 16, d], the stored form."""
        frame.copy_(self._all[:, page].transpose(1, 2))

    def write_frame(self, page: int, frame: Tensor) -> None:
        """Fills a page from the stored form."""
        self._all[:, page].copy_(frame.transpose(1, 2))

    def _unseal(self, page: int) -> None:
        seal = self._seals.pop(page, None)
        if seal is None:
            return
        del self._page_of[seal.key]
        for engram in seal.lineage:
            pages = self._by_lineage[engram]
            pages.discard(page)
            if not pages:
                del self._by_lineage[engram]

    def _wipe_and_free(self, page: int) -> None:
        # A memset of the page: for 720 KiB 40 us, and 10 us where it is filled next.
        self._all[:, page] = 0
        self._free.append(page)


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """On a CPU memory that nobody has touched: it costs nothing until a page is written."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    untouched = mmap.mmap(-1, math.prod(shape) * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(untouched, dtype=dtype).view(shape)
