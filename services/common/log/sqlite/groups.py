"""Groups of consumers, as the file holds them: members, what each has, and who of them lives."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from services.common.files import try_lock


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    topics: frozenset[str]
    session_ms: int
    expires_ms: int

    def is_live(self, now_ms: int) -> bool:
        """Whether it polled in time. An expiry too far ahead was written before the clock was set back."""
        return now_ms < self.expires_ms <= now_ms + self.session_ms


@dataclass(frozen=True, slots=True)
class Group:
    members: dict[str, Member]
    claims: dict[int, str]  # partition id to member


class Presence:
    """A locked file that says a member's process lives: the kernel unlocks it when the process dies, however."""

    def __init__(self, folder: Path) -> None:
        self.member = secrets.token_hex(8)
        self._path = folder / self.member
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def is_released(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        is_free = try_lock(fd, shared=True)
    finally:
        os.close(fd)
    if is_free:
        path.unlink(missing_ok=True)  # its process died and left it
    return is_free


def load_group(db: sqlite3.Connection, group: str) -> Group:
    members = {
        name: Member(name, frozenset(json.loads(topics)), session_ms, expires_ms)
        for name, topics, session_ms, expires_ms in db.execute(
            "SELECT member, topics, session_ms, expires_ms FROM members WHERE grp = ?", (group,)
        )
    }
    return Group(members, dict(db.execute("SELECT partition, member FROM claims WHERE grp = ?", (group,)).fetchall()))


def expel(db: sqlite3.Connection, group: str, member: str) -> None:
    db.execute("DELETE FROM members WHERE grp = ? AND member = ?", (group, member))
    db.execute("DELETE FROM claims WHERE grp = ? AND member = ?", (group, member))
