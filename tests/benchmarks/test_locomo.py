"""The bars of LoCoMo's development half: what they compare. Its figures need the data, and minutes."""

from __future__ import annotations

import pytest

from benchmarks import locomo


def test_it_passes_only_where_every_bar_is_met(capsys: pytest.CaptureFixture[str]) -> None:
    assert locomo.passes(locomo.BARS)
    assert "MISSED" not in capsys.readouterr().out
    for name, bar in locomo.BARS.items():
        assert not locomo.passes({**locomo.BARS, name: bar - 0.001})
        assert f"MISSED {name}" in capsys.readouterr().out
