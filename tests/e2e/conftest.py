"""One embedded service with two engines for the whole folder; tests keep to namespaces of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.local import Local, environment, serving


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mneme")


@pytest.fixture(scope="session")
def local(folder: Path) -> Iterator[Local]:
    unsafe = {"RAY_AUTH_MODE": "disabled"}  # as a shell may have it; the service must not inherit it
    with serving({**environment(folder, reasoning__replicas=2), **unsafe}) as running:
        yield running
