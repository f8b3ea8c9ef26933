"""One run of the tests with one module replaced, in a child process: no file is changed, ever."""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import cosmic_ray.exceptions
import pytest

from tests.mutants.files import ROOT

# What tests import and we do not change: read once, before the children are made.
_OTHERS = (
    "grpc hypothesis numpy torch pymilvus google.protobuf.json_format opentelemetry.sdk.trace pydantic yaml".split()
)
ALIVE, KILLED, ENDLESS = "alive", "killed", "endless"


def warm() -> None:
    for name in _OTHERS:
        importlib.import_module(name)


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


def run(file: str, source: str, tests: str, limit_s: float) -> tuple[str, float]:
    """What became of the tests with ``file`` as ``source``, and the seconds that it took.

    "alive" when all passed, "killed" when one failed, "endless" past ``limit_s``.
    """
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(file, source, tests)
    while time.monotonic() - started < limit_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            _end_group(child)  # what the tests started and left
            return (ALIVE if status == 0 else KILLED), time.monotonic() - started
        time.sleep(0.02)
    _end_group(child)
    os.waitpid(child, 0)
    return ENDLESS, time.monotonic() - started


def _child(file: str, source: str, tests: str) -> None:
    os.setsid()
    code = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.environ.pop("MNEME_NO_SKIPS", None)
        os.chdir(ROOT)
        name = file.removesuffix(".py").replace("/", ".")
        assert name not in sys.modules, f"{name} was imported before it was replaced"
        sys.meta_path.insert(0, _Instead(name, ROOT / file, source))
        quiet = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=60"]
        code = int(pytest.main([*shlex.split(tests), *quiet]))
    finally:
        os._exit(code)


def _end_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of it has ended
