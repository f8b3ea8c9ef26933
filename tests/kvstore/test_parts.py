"""The parts that hold no bytes: slabs, staging ring, policy, erasures, configuration."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.ledger.erasures import Erasure
from services.kvstore.erasures import Erasures
from services.kvstore.eviction import POLICIES
from services.kvstore.slabs import Slabs
from services.kvstore.staging import StagingRing
from tests.kvstore.running import config, keys

PAGE = 4096


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_slots_never_overlap_and_all_space_comes_back(seed: int) -> None:
    rng = random.Random(seed)
    slabs = Slabs(PAGE * 3, 64 * PAGE, 16 * PAGE)
    live: dict[int, int] = {}
    for _ in range(200):
        if live and rng.random() < 0.5:
            offset = rng.choice(list(live))
            del live[offset]
            slabs.free(offset)
        elif (at := slabs.allocate(length := rng.choice([1, PAGE, 3 * PAGE, 16 * PAGE]))) is not None:
            end = at + length
            assert at >= PAGE * 3
            assert end <= PAGE * 67
            assert all(end <= other or other + size <= at for other, size in live.items())
            live[at] = length
    for start in live:
        slabs.free(start)
    assert [slabs.allocate(16 * PAGE) is not None for _ in range(5)] == [True] * 4 + [False]


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_the_ring_lends_no_byte_twice_and_gets_all_back(seed: int) -> None:
    rng = random.Random(seed)
    ring = StagingRing(32 * PAGE)
    lent: dict[int, list[tuple[int, int]]] = {}
    for _ in range(200):
        if lent and rng.random() < 0.5:
            number = rng.choice(list(lent))
            del lent[number]
            ring.release(number)
            continue
        size = rng.choice([100, PAGE, 5 * PAGE, 32 * PAGE])
        got = ring.reserve("h", rng.randint(1, 6), size, ends_at=1.0)
        if got is None:
            continue
        number, reservation = got
        ranges = [(offset, offset + size) for offset in reservation.offsets]
        taken = [r for others in lent.values() for r in others]
        for start, end in ranges:
            assert start >= 0
            assert end <= 32 * PAGE
            assert all(end <= s or e <= start for s, e in taken)
        lent[number] = ranges
    for number in lent:
        ring.release(number)
    assert ring.used_bytes == 0
    assert ring.reserve("h", 1, 32 * PAGE, ends_at=1.0) is not None


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_proposes_every_stored_key_once(name: str) -> None:
    policy = POLICIES[name]()
    chain = keys(6)
    policy.stored(chain[:4])
    policy.stored(chain[2:])
    policy.used([*chain[:2], *keys(1)])
    policy.removed(chain[3])
    policy.removed(chain[3])
    assert sorted(policy.victims()) == sorted(set(chain) - {chain[3]})


def test_lru_takes_the_oldest_chain_from_its_end() -> None:
    policy = POLICIES["lru"]()
    old, new = keys(3), keys(2)
    policy.stored(old)
    policy.stored(new)
    assert list(policy.victims()) == [*reversed(old), *reversed(new)]
    policy.used(old[:2])
    assert list(policy.victims()) == [old[2], *reversed(new), old[1], old[0]]


def test_erasures_survive_and_hold_no_name(tmp_path: Path) -> None:
    path = tmp_path / "erasures.db"
    erasures = Erasures(path, limit=2)
    erasures.record([Erasure("acme/ann", 3, ("e1", "e2", "e3"))])
    erasures.record([Erasure("acme/ann", 2, ())])
    erasures.close()
    again = Erasures(path, limit=2)
    assert again.epoch("acme/ann") == 3
    assert again.epoch("acme") == 0
    assert [again.any_erased([("acme/ann", e)]) for e in ("e1", "e2", "e3")] == [False, True, True]
    again.close()
    held = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"acme" not in held


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("eviction", "mru", "known: lru"),
        ("namespace_share", 0, "greater than 0"),
        ("arena_bytes", 1 << 17, "at least one extent"),
        ("owner_timeout_s", 0.1, "at least 3 heartbeat_s"),
        ("extent_bytes", 5000, "multiple of 4096"),
    ],
)
def test_a_wrong_setting_says_what_is_wrong(setting: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**{setting: value})
