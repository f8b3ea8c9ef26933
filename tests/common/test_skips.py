"""In CI (MNEME_NO_SKIPS) a skip fails the run, but for what a proper machine may lack."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import conftest

EXPECTED = [
    "there is a GPU",
    "needs a processor with AVX512-BF16",
    "the table is of another triton than 9.9.9; its faults were checked",
    "the broker runs in a container, for want of java and mvn: its process cannot be frozen",
    "the broker runs in a container, for want of java and mvn: its files cannot be read",
]


def _run(folder: Path, *reasons: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    shutil.copy(conftest.__file__, folder / "conftest.py")
    marked = [
        f"@pytest.mark.skipif(True, reason={reason!r})\ndef test_{n}_marked(): ..." for n, reason in enumerate(reasons)
    ]
    called = [f"def test_{n}_called(): pytest.skip({reason!r})" for n, reason in enumerate(reasons)]
    (folder / "test_it.py").write_text("\n".join(["import pytest", *marked, *called, "def test_runs(): ...", ""]))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", folder, *options, folder],
        env={**os.environ, "MNEME_NO_SKIPS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_what_a_proper_machine_may_lack_does_not_fail_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    ran = _run(tmp_path, *EXPECTED, options=options)
    assert ran.returncode == 0, ran.stdout
    assert f"1 passed, {2 * len(EXPECTED)} skipped" in ran.stdout


def test_any_other_skip_does(tmp_path: Path) -> None:
    others = ("no Kafka here: needs java 17", "no model: it needs a processor with AVX512-BF16")
    ran = _run(tmp_path, EXPECTED[0], *others)
    assert ran.returncode == 1, ran.stdout
    for number, reason in enumerate(others, start=1):
        assert f"test_it.py::test_{number}_called: {reason}" in ran.stdout
    assert f"::test_0_called: {EXPECTED[0]}" not in ran.stdout


def test_every_expected_reason_is_one_that_a_test_gives() -> None:
    here = Path(conftest.__file__).parent
    sources = "".join(p.read_text() for p in here.rglob("*.py") if p.name not in ("conftest.py", Path(__file__).name))
    assert [reason for reason in conftest.EXPECTED_SKIPS if reason not in sources] == []
