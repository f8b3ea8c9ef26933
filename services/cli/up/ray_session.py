"""The folder of logs and sockets that Ray makes at each start, and never removes: a data folder has one of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_NOTE = "ray_session"  # names the folder that the last start on this data folder made


def remove_last(data_dir: Path) -> None:
    """Remove what Ray left of the last start on ``data_dir``, which must be claimed: nobody else uses it. OSError."""
    note = data_dir / _NOTE
    if not note.exists():
        return
    folder = Path(note.read_text("utf-8"))
    if _is_ours(folder):
        shutil.rmtree(folder)
    note.unlink()


def note(data_dir: Path, folder: Path) -> None:
    """Have the next start on ``data_dir`` remove Ray's ``folder``. OSError."""
    (data_dir / _NOTE).write_text(str(folder), "utf-8")


def _is_ours(folder: Path) -> bool:
    """Whether it is a session's folder of this user: a note that somebody changed must remove nothing else."""
    is_session = folder.name.startswith("session_2") and folder.parent.name == "ray" and not folder.is_symlink()
    return is_session and folder.is_dir() and folder.stat().st_uid == os.getuid()
