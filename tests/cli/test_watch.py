"""What `mneme up` watches with ends when it is told to."""

import time
from pathlib import Path

import pytest

from services.cli.up.metrics import MetricsProcess
from services.cli.up.watch import Watch
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
