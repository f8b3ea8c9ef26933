"""Where a node's store is: a small file that its owner writes and its clients read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from services.common.nodes import KVSTORE, write_endpoint
from services.kvstore.layout import Header


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One owner: its control port and its files. Another owner writes another one."""

    address: str
    arena: str
    staging: str
    arena_id: str
    owner_epoch: int
    pid: int
    started: int  # of the process: tells it from a later one with the same pid

    @classmethod
    def read(cls, data_dir: Path) -> Endpoint | None:
        """What the file says; None when there is none, or not a whole one."""
        try:
            return cls(**json.loads(_path(data_dir).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, data_dir: Path) -> None:
        path = _path(data_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_endpoint(path, asdict(self))

    def remove(self, data_dir: Path) -> None:
        """Remove the file if it is still this owner's."""
        if Endpoint.read(data_dir) == self:
            _path(data_dir).unlink(missing_ok=True)

    def names(self, header: Header) -> bool:
        """Whether an arena's header is of the owner that wrote this."""
        return header.arena_id.hex() == self.arena_id and header.owner_epoch == self.owner_epoch


def _path(data_dir: Path) -> Path:
    return data_dir / KVSTORE / "endpoint.json"
