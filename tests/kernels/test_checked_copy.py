"""checked_copy on every instruction set: the bytes, and the digest of the ``xxhash`` package; mutants must fail."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from pathlib import Path

import pytest
import xxhash

from kernels.checked_copy.host import DIGEST_BYTES, SHORTEST_BYTES, CheckedCopy
from kernels.checked_copy.reference import checked_copy_reference
from kernels.native import build
from kernels.native.loading import open_library
from tests.kernels.native_library import ISAS, MISSING, mutated, requires_native

BACKENDS = [*ISAS, *([pytest.param("none", marks=requires_native)] if MISSING else [])]
ROUND = 1024  # bytes between two scrambles
STRIPE = 64
# Where the digest's loops end, and around it.
EDGES = [SHORTEST_BYTES, 255, 256, 257, 8 * STRIPE, ROUND - 1, ROUND, ROUND + 1, ROUND + STRIPE, ROUND + STRIPE + 1]
EDGES += [2 * ROUND, 2 * ROUND + 1, 3 * ROUND - STRIPE, 17 * ROUND + 63]
SPARE = 64  # bytes around each target, which must stay


def with_isa(isa: str) -> CheckedCopy:
    return CheckedCopy(open_library(isa=isa))


def mutant(old: str, new: str, folder: Path) -> CheckedCopy:
    mutated("checked_copy/native.h", old, new, folder)
    return CheckedCopy(open_library(folder / build.LIBRARY_NAME, kernels=folder / "kernels"))


def address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def check(copy: CheckedCopy, lengths: list[int], seed: int, *, aligned: bool = False) -> None:
    """One call for all of ``lengths``, from and to addresses of any alignment, or to multiples of 64."""
    rng = random.Random(seed)
    size = sum(lengths) + (len(lengths) + 1) * 3 * SPARE
    source, target = bytearray(rng.randbytes(size)), bytearray(size)
    seeds = [rng.choice([0, 1, rng.getrandbits(64), 2**64 - 1]) for _ in lengths]
    base, froms, tos, at = address(target), [], [], SPARE
    for length in lengths:
        froms.append(at + rng.randrange(SPARE))
        tos.append(at + (-(base + at) % 64 if aligned else rng.randrange(SPARE)))
        at += length + 2 * SPARE
    digests = copy([address(source) + f for f in froms], [base + t for t in tos], lengths, seeds)
    expected = bytearray(size)
    for n, (length, f, t) in enumerate(zip(lengths, froms, tos, strict=True)):
        block = bytes(source[f : f + length])
        expected[t : t + length] = block
        digest = digests[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES]
        assert digest == xxhash.xxh3_128_digest(block, seeds[n]), (length, seeds[n])
    assert target == expected


@pytest.mark.parametrize("isa", BACKENDS)
def test_copies_and_digests_as_xxhash_does(isa: str) -> None:
    copy = with_isa(isa)
    check(copy, EDGES, 1)
    check(copy, EDGES, 2, aligned=True)
    rng = random.Random(3)
    for seed in range(40):
        check(copy, [rng.randint(SHORTEST_BYTES, 5000) for _ in range(8)], seed)
    check(copy, [], 4)


@pytest.mark.parametrize("isa", BACKENDS)
@pytest.mark.parametrize("aligned", [True, False])
def test_from_a_megabyte_on_it_writes_past_the_caches(isa: str, aligned: bool) -> None:
    rng = random.Random(5)
    check(with_isa(isa), [*EDGES, *(rng.randint(10_000, 300_000) for _ in range(8)), 1 << 20], 6, aligned=aligned)


@requires_native
def test_what_is_too_short_is_refused_before_any_copy() -> None:
    source, target = bytearray(b"x" * 600), bytearray(600)
    copy = with_isa(ISAS[-1])
    with pytest.raises(ValueError, match="block 1 has 240 bytes; 241 is the least"):
        copy([address(source)] * 2, [address(target), address(target) + 300], [300, 240], [0, 0])
    with pytest.raises(ValueError, match="2 sources, 1 targets"):
        copy([address(source)] * 2, [address(target)], [300, 300], [0, 0])
    assert not any(target)


def torn_copies(copy: CheckedCopy, wanted: int = 50, timeout_s: float = 20.0) -> tuple[int, int]:
    """(copies in which old and new bytes meet, digests that are not the copy's), while a thread scribbles.

    Copies that equal the source afterwards do not count: the writer stood still, waiting for a processor.
    """
    size = 48 * 1024 + 13
    source, target = bytearray(size), bytearray(size)
    from_, to, stop = address(source), address(target), threading.Event()

    def scribble() -> None:
        value = 0
        while not stop.is_set():
            value = (value + 1) % 256
            ctypes.memset(from_, value, size)

    thread = threading.Thread(target=scribble)
    thread.start()
    torn = wrong = 0
    until = time.monotonic() + timeout_s
    try:
        while torn < wanted and time.monotonic() < until:
            digest = copy([from_], [to], [size], [7])
            torn += target.count(target[0]) < size and target != source
            wrong += digest != xxhash.xxh3_128_digest(target, 7)
    finally:
        stop.set()
        thread.join()
    return torn, wrong


@pytest.mark.parametrize("isa", BACKENDS)
def test_the_digest_is_of_what_arrived_while_a_writer_scribbles(isa: str) -> None:
    torn, wrong = torn_copies(with_isa(isa))
    assert torn > 0
    assert wrong == 0


def test_the_reference_digests_the_copy() -> None:
    source, target = bytearray(range(256)) * 8, bytearray(2048)
    digests = checked_copy_reference([address(source)], [address(target) + 48], [2000], [9])
    assert target[48:] == source[:2000]
    assert not any(target[:48])
    assert digests == xxhash.xxh3_128_digest(source[:2000], 9)


@requires_native
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SECRET_BYTES - STRIPE_BYTES - 7)", "SECRET_BYTES - STRIPE_BYTES - 8)"),  # the last stripe's secret
        ("if (stripe == round_end) scramble", "if (stripe == stripes) scramble"),
        ("(length - 1) / STRIPE_BYTES, whole", "length / STRIPE_BYTES, whole"),  # a whole last stripe, twice
        ("(i % 2 ? -seed : seed)", "seed"),
        ("memcpy(to + whole, from + whole, length - whole);", ""),
        ("(mixed >> 32, prime) << 32", "(mixed >> 32, prime) << 31"),
    ],
)
def test_a_wrong_digest_or_copy_fails(old: str, new: str, tmp_path: Path) -> None:
    copy = mutant(old, new, tmp_path)
    with pytest.raises(AssertionError):
        check(copy, EDGES, 1)


@requires_native
def test_a_digest_of_the_source_fails(tmp_path: Path) -> None:
    """Copied first, then read again: what the digest vouches for is not what arrived."""
    line = "move_stripes<false>(sums, from, to, stripes, secret);"
    again = "move_stripes<false>(sums, from, (uint8_t*)__builtin_alloca(length), stripes, secret);"
    copy = mutant(line, "{ memcpy(to, from, length); " + again + " }", tmp_path)
    check(copy, EDGES, 1)  # right, while nobody writes
    torn, wrong = torn_copies(copy)
    assert torn > 0
    assert wrong > 0
