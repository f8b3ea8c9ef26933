"""Which index an address names, in a service's own settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.config import ConfigError, load
from services.episodic.config import EpisodicConfig
from services.episodic.search.index import IndexUnavailable
from services.episodic.search.milvus import MilvusIndex
from services.episodic.search.opening import opened
from services.episodic.search.sqlite import SqliteIndex


def address(uri: str) -> str:
    """As it is read from the environment."""
    settings = load(environ={"MNEME__EPISODIC__INDEX_URI": json.dumps(uri)})
    return settings.section("episodic", EpisodicConfig).index_uri


@pytest.mark.parametrize(
    ("uri", "kind", "there"),
    [
        ("", MilvusIndex, "index/3.db"),
        ("{}/named", MilvusIndex, "named/3.db"),
        ("sqlite", SqliteIndex, "index/3"),
        ("sqlite:{}/named", SqliteIndex, "named/3"),
    ],
)
def test_an_embedded_index_lies_where_its_address_says(tmp_path: Path, uri: str, kind: type, there: str) -> None:
    index = opened(address(uri.format(tmp_path)), tmp_path / "index", 3)
    assert type(index) is kind
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")] == [there]
    index.close()


def test_milvus_lite_is_the_index_where_nothing_is_set() -> None:
    assert load(environ={}).section("episodic", EpisodicConfig).index_uri == ""


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sqlite:", "it names no folder"),
        ("sqlite:///var/index", "no index has this address"),
        ("grpc://host:19530", "no index has this address"),
        ("http://", "no index has this address"),
    ],
)
def test_what_is_no_address_is_refused_by_the_setting_s_name(uri: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"episodic\.index_uri: .*{said}.*sqlite:/a/folder"):
        address(uri)


_USING = """
import sys
from pathlib import Path
from services.episodic.search.opening import opened
index = opened(sys.argv[1], Path(sys.argv[2]), 0)
index.open(1)
print("open", flush=True)
sys.stdin.read()
print(index.generations(), flush=True)
"""


@pytest.mark.parametrize(("first", "then"), [("", "sqlite"), ("sqlite", "")])
def test_what_another_process_uses_is_neither_taken_over_nor_removed(tmp_path: Path, first: str, then: str) -> None:
    command = [sys.executable, "-c", _USING, first, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "open\n"
        with pytest.raises(IndexUnavailable, match=r"episodic\.index_uri: .*another process us"):
            opened(then, tmp_path, 0)
        there, _ = user.communicate("", timeout=60)
    assert there == "[1]\n"
    opened(then, tmp_path, 0).close()
