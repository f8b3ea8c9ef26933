"""What every segmentation plug-in keeps. A new one adds its line to PLUGINS."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.perception.sessions.segmentation.base import Segmentation, Unit
from services.perception.sessions.segmentation.fixed import FixedSize
from services.perception.sessions.segmentation.surprise import Surprise
from tests.perception.segmentation.folding import Sent, axis, episodes, host, near, units

PLUGINS: list[Segmentation] = [
    FixedSize(units=5),
    FixedSize(units=1),
    Surprise(),
    Surprise(gamma=-np.inf),
    Surprise(gamma=0.0, min_units=1),
]


@st.composite
def streams(draw: st.DrawFn) -> list[Sent]:
    topics = draw(st.lists(st.integers(0, 3), min_size=0, max_size=60))
    steps = draw(st.lists(st.sampled_from([0.0, 1.0, 60.0, 61.0, 5_000.0, -30.0]), min_size=60, max_size=60))
    at, out = 0.0, []
    for n, topic in enumerate(topics):
        at += steps[n]
        out.append(Sent(n.to_bytes(16, "big"), at, near(axis(topic), seed=n)))
    return out


@pytest.mark.parametrize("plugin", PLUGINS, ids=repr)
@settings(max_examples=25)
@given(sent=streams())
def test_episodes_partition_the_stream_in_order(plugin: Segmentation, sent: list[Sent]) -> None:
    found = episodes(plugin, sent)
    assert [i for ids, _ in found for i in ids] == [u.id for u in sent]


@pytest.mark.parametrize("plugin", PLUGINS, ids=repr)
@settings(max_examples=10)
@given(sent=streams())
def test_closed_episodes_never_change_when_more_comes(plugin: Segmentation, sent: list[Sent]) -> None:
    whole = episodes(plugin, sent, end=False)
    for n in range(0, len(sent), 7):
        part = episodes(plugin, sent[:n], end=False)
        assert whole[: len(part)] == part


@pytest.mark.parametrize("plugin", PLUGINS, ids=repr)
@settings(max_examples=15)
@given(sent=streams(), gone=st.sets(st.integers(0, 59)))
def test_a_dropped_unit_leaves_no_trace_in_the_state(plugin: Segmentation, sent: list[Sent], gone: set[int]) -> None:
    more = Sent(b"next", 1e6, near(axis(0), seed=99))
    state, vectors = b"", host([*sent, more])
    for one in sent:
        state, _ = plugin.push(state, Unit(one.id, one.at), vectors)
    ids = frozenset(sent[n].id for n in gone if n < len(sent))
    cleaned = plugin.drop(state, ids)
    for n in gone & set(range(len(sent))):
        assert sent[n].id not in cleaned
        assert sent[n].id.hex().encode() not in cleaned
        assert _quantised(sent[n]) not in cleaned
    # What is left goes on working.
    _, cuts = plugin.push(cleaned, Unit(more.id, more.at), vectors)
    assert all(c.units > 0 for c in cuts)


@pytest.mark.parametrize("plugin", PLUGINS, ids=repr)
def test_dropping_a_stranger_changes_nothing(plugin: Segmentation) -> None:
    state, _ = plugin.push(b"", Unit(b"a", 0.0), host([Sent(b"a", 0.0, axis(0))]))
    assert plugin.drop(state, frozenset({b"stranger"})) == state


@pytest.mark.parametrize("plugin", PLUGINS, ids=repr)
def test_after_an_end_nothing_is_open(plugin: Segmentation) -> None:
    sent = units([near(axis(n % 2), seed=n) for n in range(30)])
    state, vectors = b"", host(sent)
    for one in sent:
        state, _ = plugin.push(state, Unit(one.id, one.at), vectors)
    state, _ = plugin.end(state, vectors)
    assert plugin.end(state, vectors)[1] == []


def _quantised(unit: Sent) -> bytes:
    return np.rint(unit.vector * 16_384).astype("<i2").tobytes()
