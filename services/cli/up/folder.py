"""The data folder of a service: claimed by one at a time, with the master key and the operator's token in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.cli.up import operator_token
from services.cli.up.errors import StartError
from services.common.config import Settings
from services.common.crypto.auth import Caller
from services.common.crypto.seal import ExposedKey, MalformedKey, MasterKey
from services.common.files import try_lock
from services.common.log.base import LogError


def claim(data_dir: Path) -> None:
    """Make the folder, and hold it until this process ends: two services on it would harm each other. StartError."""
    with making_folders():
        data_dir.mkdir(parents=True, exist_ok=True)
        # Never closed: the kernel does that, however the process ends. No child inherits it, so that what outlives
        # a kill for a moment does not hold the folder.
        lock = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not try_lock(lock):
            holder = os.read(lock, 20).decode()
            raise StartError(
                f"common.data_dir: another `mneme up` (process {holder}) uses {data_dir.absolute()}. "
                "Stop it, or name another folder."
            )
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())


def prepare(settings: Settings) -> None:
    """Folders, the master key and the operator's token."""
    common = settings.common
    with making_folders():
        common.data_dir.mkdir(parents=True, exist_ok=True)
    with _writing_token():
        operator_token.write(common.token_path, master_key(common.master_key_path))


def record_operator_token(settings: Settings) -> None:
    """Once there are topics. StartError."""
    common = settings.common
    try:
        with _writing_token():
            operator_token.record(common, master_key(common.master_key_path))
    except LogError as error:
        raise StartError(f"common.log: {error}") from error


def operator(settings: Settings) -> Caller:
    """What the operator's token says."""
    common = settings.common
    return operator_token.read(common.token_path, master_key(common.master_key_path))


@contextmanager
def _writing_token() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError(
            f"common.data_dir: the token cannot be written ({error}). "
            "Make room there, or name a folder that this user can write."
        ) from error


@contextmanager
def making_folders() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError(f"common.data_dir: {error}. Name a folder that this user can write.") from error


def master_key(path: Path) -> MasterKey:
    try:
        return MasterKey.load_or_create(path)
    except MalformedKey as error:
        raise StartError(
            f"common.master_key_file: {error}. Put back a copy of the key: without it, nothing in the log can be read. "
            "Where nothing was kept yet, delete the file, and a key is made."
        ) from error
    except ExposedKey as error:
        raise StartError(f"common.master_key_file: {error}") from error
    except OSError as error:
        raise StartError(
            f"common.master_key_file: {path} cannot be read or made ({error.strerror}). "
            "Make room there, or name a file in a folder that this user can write."
        ) from error
