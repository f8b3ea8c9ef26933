"""Where a node's store is: a small file that its owner writes and its clients read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from services.common.nodes.nodes import KVSTORE, Registration
from services.kvstore.layout import Header


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One owner: its control port and its files. Another owner writes another one."""

    address: str
    arena: str
    staging: str
    arena_id: str
    owner_epoch: int

    @classmethod
    def read(cls, data_dir: Path) -> Endpoint | None:
        """What the file says; None when there is none, or not a whole one."""
        try:
            raw = json.loads(_path(data_dir).read_text())
            return cls(**{field.name: raw[field.name] for field in fields(cls)})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def register(self, data_dir: Path) -> Registration:
        """Write the file; withdraw it when the store stops."""
        return Registration(_path(data_dir), asdict(self))

    def names(self, header: Header) -> bool:
        """Whether an arena's header is of the owner that wrote this."""
        return header.arena_id.hex() == self.arena_id and header.owner_epoch == self.owner_epoch


def _path(data_dir: Path) -> Path:
    return data_dir / KVSTORE / "endpoint.json"
