"""Revoked tokens: records of the state topic, followed by every gateway.

Key ``revoked/<token id>``, value the time (Unix seconds) after which the token would have expired anyway; then the
record is deleted. The log does the rest: it is durable, compacted, read by all, and says what was revoked before what.
"""

from __future__ import annotations

import threading
import time

from mneme.v1.admin_pb2 import AUDIT_ACTION_TOKEN_REVOCATION_WITHDRAWN, AUDIT_ACTION_TOKEN_REVOKED

from services.common.crypto.auth import MAX_TOKEN_TTL_S
from services.common.ledger import topics
from services.common.ledger.audit import act
from services.common.log.base import Log, Message, Record
from services.common.log.seen import until_read

_PREFIX = b"revoked/"
_PARTITION = 0  # the state topic has one


class Revocations:
    """The revoked tokens as of the last ``refresh``. Blocking methods; thread-safe."""

    def __init__(self, log: Log) -> None:
        self.log = self._log = log
        self._until: dict[str, float] = {}
        self._at: dict[str, int] = {}  # offset of the first record of each
        self._next = 0
        self._refreshing = threading.Lock()
        self._changing = threading.Lock()  # of _until; never held while the log works, for calls may wait for it

    def __contains__(self, token_id: object) -> bool:
        with self._changing:
            return token_id in self._until

    def revoke(self, token_id: str, by: str) -> int:
        """Revoke durably; here at once, elsewhere at the next refresh. Returns the record's offset. LogError when it
        cannot be written. ``by``: the principal who revokes it.

        An id says nothing of its token, so the record stays as long as any token could live.
        """
        until = time.time() + MAX_TOKEN_TTL_S
        record = Message(topics.STATE, _PREFIX + token_id.encode(), str(int(until)).encode())
        at, _ = self._log.append([record, act(AUDIT_ACTION_TOKEN_REVOKED, by, subject=token_id)])
        with self._changing:
            self._until[token_id] = until
        return at.offset

    def before(self, offset: int) -> frozenset[str]:
        """What was revoked before the record at ``offset``, which is in the log. LogError."""
        until_read(self.refresh, lambda: self._next > offset, "the revocation")
        with self._changing:
            return frozenset(token_id for token_id, at in self._at.items() if at < offset)

    def withdraw(self, token_id: str, by: str) -> None:
        """Take back a revocation that was not to be. LogError when it cannot be written."""
        removed = Message(topics.STATE, _PREFIX + token_id.encode(), None)
        self._log.append([removed, act(AUDIT_ACTION_TOKEN_REVOCATION_WITHDRAWN, by, subject=token_id)])
        with self._changing:
            self._forget(token_id)

    def refresh(self) -> None:
        """Read what is new, and delete the records of tokens that expired. LogError."""
        with self._refreshing:
            for record in self._log.read(topics.STATE, _PARTITION, self._next):
                self._next = record.offset + 1
                if record.key.startswith(_PREFIX):
                    self._take(record.key.removeprefix(_PREFIX).decode(), record)
            self._drop_expired()

    def _take(self, token_id: str, record: Record) -> None:
        with self._changing:
            if record.value is None:
                self._forget(token_id)
            else:
                self._until[token_id] = float(record.value)
                self._at.setdefault(token_id, record.offset)

    def _forget(self, token_id: str) -> None:
        self._until.pop(token_id, None)
        self._at.pop(token_id, None)

    def _drop_expired(self) -> None:
        now = time.time()
        with self._changing:
            expired = [token_id for token_id, until in self._until.items() if until < now]
        if expired:
            self._log.append([Message(topics.STATE, _PREFIX + token_id.encode(), None) for token_id in expired])
            with self._changing:
                for token_id in expired:
                    self._forget(token_id)
