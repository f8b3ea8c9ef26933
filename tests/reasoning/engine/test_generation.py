"""What comes out: the same tokens, whoever else is computed, however the prompt is cut."""

from __future__ import annotations

import math

import pytest
import torch

from services.reasoning.engine import core
from services.reasoning.engine.port import LEAST_TEMPERATURE, MOST_TEMPERATURE, Finished, Refused, Sampling
from services.reasoning.engine.sampler import choose
from services.reasoning.models.load import LoadedModel
from tests.reasoning.engine.conftest import Naive
from tests.reasoning.engine.small import Driver, prompt

DRAW = Sampling(temperature=1.0, seed=11)


def assert_nothing_is_held(driver: Driver) -> None:
    stats = driver.core.stats()
    assert (stats.pages_used, stats.running, stats.waiting) == (0, 0, 0)
    assert stats.pages_free + stats.pages_cached == stats.pages
    assert driver.core._scheduler.promised() == 0
    assert sorted(driver.core._scheduler._slots) == list(range(driver.settings.max_running))


@pytest.mark.parametrize("length", [1, 15, 16, 17, 22, 33, 100])
@pytest.mark.parametrize("sampling", [Sampling(), DRAW])
def test_one_request_equals_naive_generation(model: LoadedModel, naive: Naive, length: int, sampling: Sampling) -> None:
    driver = Driver(model, chunk_tokens=20)
    expected = naive.generate(prompt(length), 20, sampling)
    assert driver.generate(prompt(length), 20, sampling=sampling) == expected
    assert len(set(expected)) > 3  # no constant output that anything would equal
    assert_nothing_is_held(driver)


def test_invariant_28_results_do_not_depend_on_the_neighbours(model: LoadedModel) -> None:
    """Requests of all lengths at once, arriving while others run, equal each on its own."""
    cases = [
        (prompt(5 + 23 * i, i), 6 + 5 * i, Sampling(temperature=0.8 * (i % 3), top_k=7 * (i % 2), seed=i))
        for i in range(7)
    ]
    together = Driver(model, pool_pages=128)
    ids = []
    for tokens, count, sampling in cases:
        ids.append(together.submit(tokens, count, sampling=sampling))
        together.core.step()
    together.run()
    for request_id, (tokens, count, sampling) in zip(ids, cases, strict=True):
        assert together.tokens(request_id)[0] == Driver(model).generate(tokens, count, sampling=sampling)
    assert_nothing_is_held(together)


def test_samples_share_the_prompt_and_copy_on_write(model: LoadedModel, naive: Naive) -> None:
    """Four samples of a prompt that ends within a page: one prefill, three copies, and four texts of their own."""
    driver = Driver(model)
    request_id = driver.submit(prompt(40), 12, sampling=DRAW, samples=4)
    driver.run()
    made = driver.tokens(request_id)
    assert made == [naive.generate(prompt(40), 12, DRAW, sample) for sample in range(4)]
    assert len({tuple(m) for m in made}) == 4
    stats = driver.core.stats()
    assert stats.copies_on_write == 3
    assert stats.prompt_tokens == 40
    assert_nothing_is_held(driver)


def test_sharing_without_a_copy_would_be_noticed(
    model: LoadedModel, naive: Naive, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(model)
    monkeypatch.setattr(driver.core._pool, "writable", lambda page: page)
    request_id = driver.submit(prompt(40), 12, sampling=DRAW, samples=4)
    driver.run()
    assert driver.tokens(request_id) != [naive.generate(prompt(40), 12, DRAW, sample) for sample in range(4)]


def test_a_stop_token_ends_a_sequence_and_is_not_part_of_it(model: LoadedModel, naive: Naive) -> None:
    expected = naive.generate(prompt(20), 10)
    driver = Driver(model)
    request_id = driver.submit(prompt(20), 10, stop_ids=frozenset({expected[4]}))
    driver.run()
    events = driver.events(request_id)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "stop"
    assert [e.id for e in events[:-1] if not isinstance(e, Finished)] == expected[: expected.index(expected[4])]


@pytest.mark.parametrize(
    ("tokens", "more", "field", "reason"),
    [
        (prompt(500), {"max_tokens": 13}, "max_tokens", "more than the 512 of the engine's context"),
        (prompt(512), {"max_tokens": 1}, "prompt", "more than the 512 of the engine's context"),
        ((), {}, "prompt", "empty"),
        ((5, 101), {}, "prompt", "tokens that the model does not have"),
        ((5,), {"max_tokens": 0}, "max_tokens", "at least 1"),
        ((5,), {"samples": 0}, "samples", "at least 1"),
        ((5,), {"samples": 5}, "samples", "At most 4 samples"),
        ((5,), {"sampling": Sampling(temperature=-1.0)}, "sampling.temperature", "temperature"),
        ((5,), {"sampling": Sampling(temperature=math.nan)}, "sampling.temperature", "temperature"),
        ((5,), {"sampling": Sampling(temperature=math.inf)}, "sampling.temperature", "temperature"),
        ((5,), {"sampling": Sampling(temperature=1e-310, top_p=0.5)}, "sampling.temperature", "temperature"),
        ((5,), {"epochs": {"ns": 2**63}}, "scope.epochs", "epoch"),
        ((5,), {"epochs": {"ns": -1}}, "scope.epochs", "epoch"),
        ((5,), {"sampling": Sampling(top_k=-1)}, "sampling.top_k", "top_k"),
        ((5,), {"sampling": Sampling(top_p=0.0)}, "sampling.top_p", "top_p"),
        (prompt(300), {"max_tokens": 200, "samples": 4}, "samples", "needs 74 pages and the pool has 64"),
    ],
)
def test_what_can_never_be_served_is_refused_with_field_and_reason(
    model: LoadedModel, tokens: tuple[int, ...], more: dict[str, object], field: str, reason: str
) -> None:
    with pytest.raises(Refused, match=reason) as refused:
        Driver(model).submit(tokens, **more)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert not refused.value.overloaded


@pytest.mark.parametrize("temperature", [0.0, LEAST_TEMPERATURE, MOST_TEMPERATURE])
@pytest.mark.parametrize("cut", [{"top_k": 5}, {"top_p": 0.5}, {}])
def test_the_bounds_of_the_temperature_are_served(
    model: LoadedModel, temperature: float, cut: dict[str, float]
) -> None:
    sampling = Sampling(temperature, seed=3, **cut)  # type: ignore[arg-type]
    assert len(Driver(model).generate(prompt(20), 6, sampling=sampling, epochs={"ns": 2**63 - 1})) == 6


def test_a_defect_met_while_choosing_fails_that_request_and_no_other(
    model: LoadedModel, naive: Naive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver(model)
    bad = driver.submit(prompt(10, 1), 5, sampling=Sampling(1.0, seed=666), samples=2)
    good = driver.submit(prompt(10, 2), 5, samples=2)

    def broken(logits: torch.Tensor, sampling: Sampling, sample: int, position: int) -> int:
        if sampling.seed == 666 and sample == 1:
            raise IndexError("a defect")
        return choose(logits, sampling, sample, position)

    monkeypatch.setattr(core, "choose", broken)
    driver.run()
    ends = [e for e in driver.events(bad) if isinstance(e, Finished)]
    assert [(e.sample, e.reason) for e in ends] == [(0, "failed"), (1, "failed")]
    assert all("a defect" not in e.detail and e.detail for e in ends)
    assert "a defect" in caplog.text
    assert driver.tokens(good)[0] == naive.generate(prompt(10, 2), 5)
    assert_nothing_is_held(driver)


def test_nan_in_the_logits_fails_the_request_and_no_other(
    model: LoadedModel, naive: Naive, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(model)
    bad = driver.submit(prompt(10, 1), 5, samples=2)
    good = driver.submit(prompt(10, 2), 5)
    forward = driver.core._forward

    def poisoned(works: list[object]) -> torch.Tensor:
        logits = forward(works).clone()  # type: ignore[arg-type]
        logits[0, 3] = torch.nan
        monkeypatch.setattr(driver.core, "_forward", forward)
        return logits

    monkeypatch.setattr(driver.core, "_forward", poisoned)
    driver.run()
    ends = driver.events(bad)
    assert [(e.sample, e.reason) for e in ends if isinstance(e, Finished)] == [(0, "failed"), (1, "failed")]
    assert driver.tokens(good)[0] == naive.generate(prompt(10, 2), 5)
    assert_nothing_is_held(driver)
