"""Dead letters of this ledger's namespaces: whose observations they hold, and under which keys."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable

from mneme.v1.ledger_pb2 import DeadLetter

from services.common.crypto.seal import Keyring
from services.common.ledger import topics
from services.common.log.base import Log


class Letters:
    """Keys by namespace and hash of the observation id, followed by reading; thread-safe. Letters that are older than
    ``retention_s`` are forgotten, as the topic forgets them."""

    def __init__(self, log: Log, keyring: Keyring, retention_s: int) -> None:
        self._log = log
        self._keyring = keyring
        self._retention_s = retention_s
        self._keys: defaultdict[tuple[bytes, bytes], set[str]] = defaultdict(set)
        self._read: deque[tuple[float, tuple[bytes, bytes], str]] = deque()  # when each was read, the oldest first
        self._next: dict[int, int] = {}
        self._lock = threading.Lock()

    def keys(self, namespace: str, id_macs: Iterable[bytes]) -> set[str]:
        """Keys of the letters that hold these observations, as of the end of the log now. LogError."""
        pseudonym = self._keyring.pseudonym(namespace)
        with self._lock:
            self._refresh()
            return {key for mac in id_macs for key in self._keys.get((pseudonym, mac), ())}

    def _refresh(self) -> None:
        for partition in range(self._log.partitions(topics.DEAD_LETTER)):
            for record in self._log.read(topics.DEAD_LETTER, partition, self._next.get(partition, 0)):
                self._next[partition] = record.offset + 1
                letter = DeadLetter.FromString(record.value or b"")
                if letter.id_mac:
                    of = (letter.namespace_pseudonym, letter.id_mac)
                    self._keys[of].add(letter.payload.key_id)
                    self._read.append((time.monotonic(), of, letter.payload.key_id))
        while self._read and self._read[0][0] < time.monotonic() - self._retention_s:
            _, of, key_id = self._read.popleft()
            self._keys[of].discard(key_id)
            if not self._keys[of]:
                del self._keys[of]
