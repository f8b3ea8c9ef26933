"""Skips are for machines that lack something; with MNEME_NO_SKIPS=1 (CI) each one fails the run."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from services.common.ledger import topics
from services.common.log.sqlite import SqliteLog

# A machine that is busy is no defect: what takes long is caught by the timeout of a test.
settings.register_profile("mneme", deadline=None)
settings.load_profile("mneme")

# What a machine may lack, or have, and still be a proper one for CI. Each is the beginning of a reason.
EXPECTED_SKIPS = (
    "there is a GPU",
    "needs a processor with AVX512-BF16",
    "needs a processor with bfloat16",
    "the table is of another triton than ",
    "the broker runs in a container, for want of java and mvn: ",
)


# `make test` runs the tests in three parts. Alone: where services and clusters are started, and seconds have bars, for
# two at once are too much for a small machine. Beside the rest, which computes: what waits more than it computes, for a
# broker or for a service to start, and keeps its bars on a busy machine.
PARTS = {
    "beside": ("conformance/test_log", "e2e/test_kafka", "e2e/test_shards"),
    "alone": ("e2e/", "gateway/test_serve.py"),
}
REST = "unit"
# What needs a Milvus server, which is fetched first: `make milvus`.
MILVUS = ("conformance/test_index_server",)


# Thousands of tests write a small log each, and wait for the disk; none outlives its test.
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 6 << 30  # that must be free to put their folders there


def pytest_configure() -> None:
    """Before the workers start, which inherit it. Who sets TMPDIR keeps it."""
    if "TMPDIR" not in os.environ and _has_room(MEMORY):
        folder = MEMORY / "mneme-tests"
        folder.mkdir(exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def _has_room(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(told["MemAvailable"].removesuffix("kB")) * 1024
    return min(available, shutil.disk_usage(folder).free) >= MEMORY_BYTES


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", choices=[*PARTS, REST], help="the tests of this part alone")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files of other parts are not even imported, which takes ten seconds."""
    part = config.getoption("part")
    if part is None or collection_path.is_dir():
        return None
    place = collection_path.relative_to(Path(__file__).parent).as_posix()
    return next((name for name, places in PARTS.items() if place.startswith(places)), REST) != part or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here).as_posix()
        if place.startswith(MILVUS) or (place.startswith("conformance/test_index_milvus") and "[server" in item.nodeid):
            item.add_marker(pytest.mark.milvus)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    unexpected = _unexpected(terminalreporter)
    if unexpected:
        terminalreporter.section("skips that this run does not allow (MNEME_NO_SKIPS)")
        for report in unexpected:
            terminalreporter.line(f"{report.nodeid}: {_reason(report)}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if isinstance(reporter, pytest.TerminalReporter) and _unexpected(reporter) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unexpected(reporter: pytest.TerminalReporter) -> list[pytest.TestReport | pytest.CollectReport]:
    if os.environ.get("MNEME_NO_SKIPS") != "1":
        return []
    skipped = reporter.stats.get("skipped", [])
    return [r for r in skipped if not _reason(r).startswith(EXPECTED_SKIPS)]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLog]:
    """An empty log on SQLite, with its topics."""
    log = SqliteLog(str(tmp_path / "log.db"))
    log.ensure_topics(topics.specs(4, []))
    yield log
    log.close()
