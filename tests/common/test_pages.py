"""Pages of lists: what fits into one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.common.serving.pages import fitting


@pytest.mark.parametrize(
    ("sizes", "most", "kept", "are_all"),
    [
        ([], 3, [], True),
        ([9, 1], 3, [9], False),
        ([9], 3, [9], True),
        ([1, 2], 3, [1, 2], True),
        ([1, 3], 3, [1], False),
    ],
)
def test_as_many_as_fit_and_one_at_least(sizes: Sequence[int], most: int, kept: list[int], are_all: bool) -> None:
    assert fitting(iter(sizes), lambda size: size, most) == (kept, are_all)
