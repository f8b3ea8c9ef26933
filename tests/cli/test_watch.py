"""What `mneme up` watches with ends when it is told to."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest

from services.cli.up.metrics import MetricsProcess
from services.cli.up.watch import Replica, Replicas, Watch
from services.common import watched


def test_who_shows_lines_is_woken_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watched.NAME, "")  # given back afterwards
    metrics = MetricsProcess("127.0.0.1", 0, tmp_path)
    watch = Watch(metrics, print)
    metrics.lines.settimeout(60)
    watch.start()
    began = time.monotonic()
    watch.stop()
    assert time.monotonic() - began < 20


def test_an_application_that_was_ended_is_no_death_also_when_it_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    seen, first = Replicas(), Replica("a", "episodic-1", 1, alive=True, started=time.time())
    ended = replace(first, alive=False, reason="it was told to")
    second = replace(first, id="b", pid=2)
    seen.look([first], {"episodic-1": True})
    seen.look([ended], {})
    seen.look([ended, second], {"episodic-1": True})
    assert not caplog.records
    seen.look([ended, replace(second, alive=False)], {"episodic-1": False})
    assert [record.msg for record in caplog.records] == ["a replica has ended"]
