"""Trees that keys are being taken from: each was made by this process, which alone does, and takes a key once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from services.common.crypto.records import KeyRecords
from services.common.crypto.tree import LEAVES

# Of one key ring, some 300 bytes each; what is left of the one that was used longest ago is given up. Who takes from
# more in turn begins a tree for every text.
_OPEN = 65_536


@dataclass(slots=True)
class _Open:
    name_key_id: str
    id: str
    next: int = 0


class OpenTrees:
    """By namespace and use. Thread-safe."""

    def __init__(self, records: KeyRecords) -> None:
        self._records = records
        self._open: OrderedDict[tuple[str, str], _Open] = OrderedDict()
        self._lock = threading.Lock()

    def has_left(self, namespace: str, use: str, name_key_id: str) -> bool:
        """Whether ``take`` gives one."""
        with self._lock:
            return self._usable(namespace, use, name_key_id) is not None

    def take(self, namespace: str, use: str, name_key_id: str) -> str | None:
        """The id of a key that nobody took yet; None where a tree has to be begun first."""
        with self._lock:
            tree = self._usable(namespace, use, name_key_id)
            if tree is None:
                return None
            self._open.move_to_end((namespace, use))
            tree.next += 1
            return f"{tree.id}.{tree.next - 1}"

    def begin(self, namespace: str, use: str, name_key_id: str, id: str) -> None:
        """Take from a tree whose record is in the log."""
        with self._lock:
            self._open[namespace, use] = _Open(name_key_id, id)
            self._open.move_to_end((namespace, use))
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)

    def _usable(self, namespace: str, use: str, name_key_id: str) -> _Open | None:
        """One that went with its namespace is not."""
        tree = self._open.get((namespace, use))
        if tree is None or tree.name_key_id != name_key_id or tree.next == LEAVES:
            return None
        return tree if self._records.get(tree.id) is not None else None
