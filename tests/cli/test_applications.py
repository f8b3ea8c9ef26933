"""Applications that start are waited for, and a stop is one stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve.schema import ApplicationStatus

from services.cli.up import applications, stop
from services.cli.up.errors import StartError


def awaiting(monkeypatch: pytest.MonkeyPatch, *states: dict[str, str]) -> list[str]:
    """What is said while the applications go through these states, as Serve calls them."""
    said: list[str] = []
    coming = iter(states)
    monkeypatch.setattr(applications, "overviews", lambda: {name: _of(state) for name, state in next(coming).items()})
    monkeypatch.setattr(time, "sleep", lambda _: None)
    applications._await_running(["perception", "reasoning"], said.append)
    assert next(coming, None) is None, "it waited until all ran"
    return said


def _of(state: str) -> Any:
    status = SimpleNamespace(
        status=ApplicationStatus(state), message="Traceback\nservices.x.StartError: the disk is full"
    )
    return SimpleNamespace(app_status=status, deployment_statuses=[])


def test_one_that_dies_while_others_still_start_is_waited_for_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    deploying = {"perception": "RUNNING", "reasoning": "DEPLOYING"}
    said = awaiting(
        monkeypatch,
        {"perception": "DEPLOYING"},
        deploying,
        {"perception": "UNHEALTHY", "reasoning": "DEPLOYING"},
        deploying,
        {"perception": "RUNNING", "reasoning": "RUNNING"},
    )
    assert said == [
        "waiting for perception, reasoning",
        "waiting for reasoning",
        "waiting for perception (started again), reasoning",
        "waiting for reasoning",
    ]


def test_one_whose_start_failed_is_the_end_with_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartError, match="^perception: the disk is full$"):
        awaiting(monkeypatch, {"perception": "DEPLOY_FAILED", "reasoning": "DEPLOYING"})


def test_one_that_never_gets_well_is_named_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applications, "START_TIMEOUT_S", -1.0)
    with pytest.raises(StartError, match="^perception: not running after"):
        awaiting(monkeypatch, {"perception": "UNHEALTHY", "reasoning": "RUNNING"})


@pytest.fixture
def handlers() -> Iterator[None]:
    """Of signals; given back afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a stop went through, whose first part is sent a signal."""
    went: list[str] = []
    monkeypatch.setattr(stop, "stop_ray", lambda: went.append("ray"))

    def scaling() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        went.append("scaling")

    stop.ending.append(scaling)
    return went


def _failing_start() -> None:
    with stop.stopping():
        raise StartError("the disk is full")


@pytest.mark.usefixtures("handlers")
def test_a_signal_does_not_cut_short_the_stop_that_a_failed_start_began(ended: list[str]) -> None:
    with pytest.raises(StartError, match="the disk is full"):
        _failing_start()
    assert ended[0] == "scaling"


@pytest.mark.usefixtures("handlers")
def test_the_first_signal_ends_the_block_and_the_second_cuts_nothing_short(ended: list[str]) -> None:
    with stop.stopping():
        os.kill(os.getpid(), signal.SIGINT)
        ended.append("went on")
    assert ended[0] == "scaling"
