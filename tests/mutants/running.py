"""Runs of the tests with modules replaced, each in a child process: no file is changed, ever."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from itertools import islice
from pathlib import Path
from types import ModuleType

import cosmic_ray.exceptions
import pytest
from coverage import Coverage

from tests.mutants.files import ROOT

# What tests import and we do not change: read once, before the children are made.
_OTHERS = (
    "cryptography.hazmat.primitives.ciphers.aead grpc google.protobuf.json_format hypothesis jwt numpy "
    "opentelemetry.sdk.trace prometheus_client pydantic pymilvus torch torch._dynamo transformers triton yaml"
).split()
ALIVE, KILLED, ENDLESS = "alive", "killed", "endless"
_OUTSIDE = ""  # of any test: the name that coverage gives it


def warm() -> None:
    for name in _OTHERS:
        importlib.import_module(name)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Tests to run with ``sources`` in the place of some files, until ``limit_s``: ``only`` some, in order."""

    sources: Mapping[str, str]
    tests: str
    limit_s: float
    only: Sequence[str] = ()
    measured: str = ""  # where what ``reach`` reads is written


@dataclass(frozen=True, slots=True)
class Became:
    """ "alive" when all tests passed, "killed" when one failed, "endless" past the limit; what it took and printed."""

    what: str
    seconds: float
    output: str

    @property
    def by(self) -> str:
        """The test that failed."""
        return next((line for line in self.output.splitlines() if line.startswith(("FAILED tests", "ERROR tests"))), "")


def run(trials: Iterable[Trial], workers: int) -> Iterator[tuple[Trial, Became]]:
    """Each trial and what became of it, in the order in which they end; ``workers`` at once."""
    waiting, running = iter(trials), list[_Running]()
    while True:
        running += [_Running(trial) for trial in islice(waiting, workers - len(running))]
        if not running:
            return
        for each in list(running):
            became = each.ended()
            if became is not None:
                running.remove(each)
                yield each.trial, became
        time.sleep(0.02)


class _Running:
    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self._started = time.monotonic()
        self._output = os.memfd_create("output")
        self._child = os.fork()
        if self._child == 0:
            _child(trial, self._output)

    def ended(self) -> Became | None:
        seconds = time.monotonic() - self._started
        ended, status = os.waitpid(self._child, os.WNOHANG)
        if not ended and seconds < self.trial.limit_s:
            return None
        _end_group(self._child)  # and what the tests started and left
        if not ended:
            os.waitpid(self._child, 0)
        os.lseek(self._output, 0, os.SEEK_SET)
        with open(self._output, errors="replace") as output:
            return Became(ENDLESS if not ended else KILLED if status else ALIVE, seconds, output.read())


# --- which tests reach a line ---


@dataclass(frozen=True, slots=True)
class Reach:
    """Which tests run which lines of the unchanged files, and the seconds of each test that passes then."""

    lines: Mapping[str, Mapping[int, Sequence[str]]]
    seconds: Mapping[str, float]
    failed: Sequence[str]

    def of(self, file: str, line: int) -> list[str]:
        """Tests that run the statement at a line, quickest first; behind them all others, where it also runs when the
        file is imported. What a fixture does for many tests counts for the first of them alone."""
        lines = self.lines[file]
        found = {test for at in _statement((ROOT / file).read_text(), line) for test in lines.get(at, ())}
        wanted = [test for test in self.seconds if test in found or _OUTSIDE in found]
        return sorted(wanted, key=lambda test: (test not in found, self.seconds[test]))


def reach(measured: str) -> Reach:
    read = json.loads(Path(measured).read_text())
    lines = {file: {int(n): tests for n, tests in found.items()} for file, found in read["lines"].items()}
    return Reach(lines, read["seconds"], read["failed"])


def _statement(source: str, line: int) -> range:
    """Lines of the innermost statement that holds ``line``."""
    around = [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return min(around, key=len, default=range(line, line + 1))


def temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="mutants-")


@dataclass(slots=True, eq=False)
class _Measured:
    """A plug-in of pytest: notes what each test runs of ``files``, and for how long."""

    files: Sequence[str]
    coverage: Coverage
    seconds: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.coverage.switch_context(item.nodeid)
        started = time.monotonic()
        result = yield
        self.seconds[item.nodeid] = time.monotonic() - started
        self.coverage.switch_context(_OUTSIDE)
        return result

    def write(self, path: str) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        lines = {file: data.contexts_by_lineno(str(ROOT / file)) for file in self.files}
        seconds = {test: took for test, took in self.seconds.items() if test not in self.failed}
        Path(path).write_text(json.dumps({"lines": lines, "seconds": seconds, "failed": sorted(self.failed)}))


@dataclass(frozen=True, slots=True)
class _Only:
    """A plug-in of pytest: some of the tests, in an order of their own."""

    tests: Sequence[str]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        by_id = {item.nodeid: item for item in items}
        items[:] = [by_id[test] for test in self.tests]


# --- the child ---


class _Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from other source."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self._path, loader=self) if name == self._name else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["CosmicRayTestingException"] = cosmic_ray.exceptions.CosmicRayTestingException
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)


def _child(trial: Trial, output: int) -> None:
    os.setsid()
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.pop("MNEME_NO_SKIPS", None)
        os.chdir(ROOT)
        for file, source in trial.sources.items():
            name = file.removesuffix(".py").replace("/", ".")
            assert name not in sys.modules, f"{name} was imported before it was replaced"
            sys.meta_path.insert(0, _Instead(name, ROOT / file, source))
        code = _measure(trial) if trial.measured else _try(trial)
    finally:
        os._exit(code)


def _test(trial: Trial, plugin: object, *more: str) -> int:
    quiet = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=60", *more]
    return int(pytest.main([*shlex.split(trial.tests), *quiet], plugins=[plugin]))


def _try(trial: Trial) -> int:
    return _test(trial, _Only(trial.only), "-x") if trial.only else 0  # no test comes there


def _measure(trial: Trial) -> int:
    files = list(trial.sources)
    coverage = Coverage(data_file=None, include=[str(ROOT / file) for file in files], config_file=False)
    measured = _Measured(files, coverage)
    coverage.start()
    code = _test(trial, measured)
    measured.write(trial.measured)
    return 0 if measured.failed else code


def _end_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of it has ended
