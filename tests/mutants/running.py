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
    "grpc hypothesis numpy torch pymilvus google.protobuf.json_format opentelemetry.sdk.trace pydantic yaml".split()
)
ALIVE, KILLED, ENDLESS = "alive", "killed", "endless"


def warm() -> None:
    for name in _OTHERS:
        importlib.import_module(name)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Tests to run with ``sources`` in the place of some files, until ``limit_s``; those of ``first`` before others."""

    sources: Mapping[str, str]
    tests: str
    limit_s: float
    first: Sequence[str] = ()
    measured: str = ""  # where what ``reach`` reads is written


@dataclass(frozen=True, slots=True)
class Became:
    """ "alive" when all tests passed, "killed" when one failed, "endless" past the limit; and what it took."""

    what: str
    seconds: float


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
        self._child = os.fork()
        if self._child == 0:
            _child(trial)

    def ended(self) -> Became | None:
        seconds = time.monotonic() - self._started
        ended, status = os.waitpid(self._child, os.WNOHANG)
        if not ended and seconds < self.trial.limit_s:
            return None
        _end_group(self._child)  # and what the tests started and left
        if ended:
            return Became(ALIVE if status == 0 else KILLED, seconds)
        os.waitpid(self._child, 0)
        return Became(ENDLESS, seconds)


# --- which tests reach a line ---


@dataclass(frozen=True, slots=True)
class Reach:
    """Which tests run which lines of the unchanged files, and the seconds of each test."""

    lines: Mapping[str, Mapping[int, Sequence[str]]]
    seconds: Mapping[str, float]

    def first(self, file: str, line: int) -> list[str]:
        """Tests that run the statement at a line, quickest first. Others run after them: what a fixture does for many
        tests counts for the first of them alone."""
        lines = self.lines[file]
        found = {test for at in _statement((ROOT / file).read_text(), line) for test in lines.get(at, ())}
        return sorted(found, key=lambda test: self.seconds.get(test, 0.0))


def reach(measured: str) -> Reach:
    read = json.loads(Path(measured).read_text())
    lines = {file: {int(n): tests for n, tests in found.items()} for file, found in read["lines"].items()}
    return Reach(lines, read["seconds"])


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


@dataclass(slots=True)
class _Measured:
    """A plug-in of pytest: notes what each test runs of ``files``, and for how long."""

    files: Sequence[str]
    coverage: Coverage
    seconds: dict[str, float] = field(default_factory=dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.coverage.switch_context(item.nodeid)
        started = time.monotonic()
        result = yield
        self.seconds[item.nodeid] = time.monotonic() - started
        self.coverage.switch_context("")
        return result

    def write(self, path: str) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        lines = {
            file: {n: [t for t in tests if t] for n, tests in data.contexts_by_lineno(str(ROOT / file)).items()}
            for file in self.files
        }
        Path(path).write_text(json.dumps({"lines": lines, "seconds": self.seconds}))


@dataclass(frozen=True, slots=True)
class _First:
    """A plug-in of pytest: some tests before the others."""

    tests: Sequence[str]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        place = {test: n for n, test in enumerate(self.tests)}
        items.sort(key=lambda item: place.get(item.nodeid, len(place)))


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


def _child(trial: Trial) -> None:
    os.setsid()
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.environ.pop("MNEME_NO_SKIPS", None)
        os.chdir(ROOT)
        for file, source in trial.sources.items():
            name = file.removesuffix(".py").replace("/", ".")
            assert name not in sys.modules, f"{name} was imported before it was replaced"
            sys.meta_path.insert(0, _Instead(name, ROOT / file, source))
        code = _measure(trial) if trial.measured else _test(trial, _First(trial.first))
    finally:
        os._exit(code)


def _test(trial: Trial, plugin: object) -> int:
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=60"]
    return int(pytest.main([*shlex.split(trial.tests), *quiet], plugins=[plugin]))


def _measure(trial: Trial) -> int:
    files = list(trial.sources)
    coverage = Coverage(data_file=None, include=[str(ROOT / file) for file in files], config_file=False)
    measured = _Measured(files, coverage)
    coverage.start()
    code = _test(trial, measured)
    measured.write(trial.measured)
    return code


def _end_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of it has ended
