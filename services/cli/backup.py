"""Backups of an embedded service: one moment of its log, with what is needed to know it again.

A backup is a folder: ``log.db``, ``backup.json`` (``Manifest``) and, where it was asked for, ``master.key``. The index
is not in it: it is made again from the log.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from services.cli.up.errors import StartError
from services.cli.up.folder import claim
from services.common.config import CommonConfig
from services.common.crypto.seal import ExposedKey, MalformedKey, MasterKey
from services.common.files import private_part
from services.common.log.base import LogError
from services.common.log.sqlite.copying import Progress, copy

LOG, KEY, MANIFEST = "log.db", "master.key", "backup.json"
_FORMAT = 1
_CHUNK = 1 << 20
# What a service keeps of its log beside it: of another log it would be wrong.
_OF_A_LOG = (LOG, f"{LOG}-wal", "index", "perception", "episodic")


class BackupError(Exception):
    """A backup cannot be made or restored. The message names the place or the setting, and the remedy."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    made_at: str  # RFC 3339, UTC: nothing that was acknowledged before is missing
    log_bytes: int
    log_sha256: str
    key_fingerprint: str  # of the master key: tells it from others, and says nothing about it

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """BackupError."""
        try:
            manifest = cls(**json.loads((folder / MANIFEST).read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise BackupError(f"{folder}: no backup ({MANIFEST}: {error}). Name what `mneme backup` made.") from error
        if manifest.format != _FORMAT:
            raise BackupError(
                f"{folder}: a backup of format {manifest.format}; this version of Mneme knows {_FORMAT}. "
                "Use the version that made it."
            )
        return manifest


def make(common: CommonConfig, target: Path, *, with_key: bool, progress: Progress) -> Manifest:
    """Write a backup into ``target``, a new folder that is there once it is whole. The service may run. BackupError."""
    log = _log_of(common)
    if not log.is_file():
        raise BackupError(
            f"common.data_dir: there is no log in {common.data_dir.absolute()}. Go to the folder where `mneme up` was "
            "started, or name its --config, or set MNEME__COMMON__DATA_DIR."
        )
    if target.exists():
        raise BackupError(f"{target}: it is there already. Name a new folder.")
    key = _key(common.master_key_path)
    with _failing(target), _whole(target) as part:
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        copy(log, part / LOG, progress)
        _require_sound(part / LOG)
        digest = hashlib.sha256()
        for chunk in _chunks(part / LOG):
            digest.update(chunk)
        size = (part / LOG).stat().st_size
        manifest = Manifest(_FORMAT, made_at, size, digest.hexdigest(), fingerprint(key))
        _write(part / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
        if with_key:
            _write(part / KEY, common.master_key_path.read_text())
    return manifest


def restore(common: CommonConfig, source: Path, *, key_file: Path | None, progress: Progress) -> Manifest:
    """Put a backup into the data folder, which must hold no log; no service may run there. BackupError.

    ``key_file``: the master key, where neither the data folder nor the backup has it.
    """
    manifest = Manifest.read(source)
    log = _log_of(common)
    folder = common.data_dir
    if there := next((name for name in _OF_A_LOG if (folder / name).exists()), None):
        raise BackupError(
            f"common.data_dir: {folder.absolute()} holds a log already ({there}). Move it away, or name another folder."
        )
    given = _key_of(manifest, (common.master_key_path, key_file, source / KEY))
    try:
        claim(folder)
    except StartError as error:
        raise BackupError(str(error)) from error
    with _failing(folder):
        part = log.with_name(f"{LOG}.part")
        try:
            _copy_checked(source / LOG, part, manifest, progress)
            if given != common.master_key_path:
                _write(common.master_key_path, given.read_text())
            part.rename(log)
        finally:
            part.unlink(missing_ok=True)
        _sync(folder)
    return manifest


def fingerprint(key: MasterKey) -> str:
    """Tells a master key from others; nothing of the key follows from it."""
    return key.derive("mneme backup: fingerprint of the master key")[:8].hex()


def _key_of(manifest: Manifest, places: Sequence[Path | None]) -> Path:
    """The first of the files that is there, which must hold the backup's key."""
    given = next((place for place in places if place is not None and place.exists()), None)
    if given is None:
        raise BackupError(
            f"--master-key-file: the backup does not hold its master key, nor is it at {places[0]}. "
            "Name the file: without it nothing of the backup can be read."
        )
    if fingerprint(_key(given)) != manifest.key_fingerprint:
        raise BackupError(f"{given}: it is not the master key of this backup. Name its own (--master-key-file).")
    return given


def _log_of(common: CommonConfig) -> Path:
    if common.log != "sqlite":
        raise BackupError(
            f"common.log: the log is in Kafka ({common.log}), and nothing else has to be kept but the master key. "
            "Replicate its topics as the broker does it (docs/operating.md, Backup and restore)."
        )
    return common.data_dir / LOG


def _key(path: Path) -> MasterKey:
    try:
        return MasterKey.load(path)
    except (OSError, ExposedKey, MalformedKey) as error:
        raise BackupError(f"the master key: {error}") from error


def _require_sound(log: Path) -> None:
    db = sqlite3.connect(f"file:{log}?mode=ro&immutable=1", uri=True)
    try:
        (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    finally:
        db.close()
    if said != "ok":
        raise BackupError(f"common.data_dir: the log is damaged ({said}). Keep the last backup that was made.")


def _copy_checked(source: Path, target: Path, manifest: Manifest, progress: Progress) -> None:
    digest, done = hashlib.sha256(), 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        for chunk in _chunks(source):
            digest.update(chunk)
            file.write(chunk)
            done += len(chunk)
            progress(done, manifest.log_bytes)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != manifest.log_sha256:
        raise BackupError(f"{source}: it is not what was backed up (SHA-256 differs). Use another copy of the backup.")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with private_part(path, content) as part:
        part.rename(path)


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` that gets its name when the block ends; gone when it fails."""
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of one that was killed
    target.parent.mkdir(parents=True, exist_ok=True)
    part.mkdir(mode=0o700)
    try:
        yield part
        _sync(part)
        part.rename(target)
        _sync(target.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _failing(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, LogError) as error:
        raise BackupError(f"{place}: {error}. Look at the disk there: its room, and who may write.") from error
