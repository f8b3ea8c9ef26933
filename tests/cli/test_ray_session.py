"""Ray makes a folder of logs at each start: only the last one of a data folder is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.up import ray_session


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


def session(tmp_path: Path, name: str = "session_2026-01-31_10-00-00_000001_7") -> Path:
    folder = tmp_path / "ray" / name
    (folder / "logs" / "serve").mkdir(parents=True)
    (folder / "logs" / "serve" / "replica.log").write_text("x")
    return folder


def test_the_last_starts_folder_is_removed_and_no_others(tmp_path: Path, data_dir: Path) -> None:
    mine, other = session(tmp_path), session(tmp_path, "session_2026-01-31_10-00-00_000002_8")
    ray_session.note(data_dir, mine)
    ray_session.remove_last(data_dir)
    assert (mine.exists(), other.exists()) == (False, True)
    ray_session.remove_last(data_dir)  # there is none any more


@pytest.mark.parametrize("kind", ["another folder", "a link", "gone"])
def test_a_note_that_names_no_session_removes_nothing(tmp_path: Path, data_dir: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    link = tmp_path / "ray" / "session_2026"
    link.parent.mkdir()
    link.symlink_to(precious)
    ray_session.note(data_dir, {"another folder": precious, "a link": link}.get(kind, tmp_path / "ray/session_2027"))
    ray_session.remove_last(data_dir)
    assert precious.exists()
