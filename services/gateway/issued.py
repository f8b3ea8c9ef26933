"""The tokens that were issued: records of the state topic, followed by every gateway.

Key ``token/<token id>``, value what the token says, never the token itself, encrypted: it names principals and tenants.
The record is deleted when the token has expired.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from mneme.v1.admin_pb2 import AUDIT_ACTION_TOKEN_ISSUED
from mneme.v1.ledger_pb2 import TokenRecord

from services.common.crypto.auth import Caller, Right, Signer
from services.common.ledger import topics
from services.common.ledger.audit import act
from services.common.log.base import Log, Message, Record

_log = logging.getLogger(__name__)

_PREFIX = b"token/"
_PARTITION = 0  # the state topic has one
_NONCE = 12


class Issued:
    """The tokens on record as of the last ``refresh``. Blocking methods; thread-safe."""

    def __init__(self, log: Log, tokens: Signer) -> None:
        self._log = log
        self._aead = AESGCM(tokens.derive("records"))
        self._callers: dict[str, Caller] = {}
        self._next = 0
        self._lock = threading.Lock()

    def add(self, caller: Caller, by: str) -> None:
        """Put a token on record, durably, before anybody is given it. ``by``: the principal who issues it. LogError."""
        record = TokenRecord(
            principal=caller.principal,
            namespace_prefixes=caller.prefixes,
            rights=sorted(caller.rights),
            expires_at=caller.expires_at,
            lineage=caller.lineage,
            issued_under=caller.issued_under,
        )
        key, nonce = _PREFIX + caller.token_id.encode(), secrets.token_bytes(_NONCE)
        sealed = nonce + self._aead.encrypt(nonce, record.SerializeToString(), key)
        issued = act(AUDIT_ACTION_TOKEN_ISSUED, by, subject=caller.token_id, issued_to=caller.principal)
        self._log.append([Message(topics.STATE, key, sealed), issued])

    def refresh(self) -> None:
        """Read what is new, and delete the records of tokens that expired. LogError."""
        with self._lock:
            for record in self._log.read(topics.STATE, _PARTITION, self._next):
                self._next = record.offset + 1
                if record.key.startswith(_PREFIX):
                    self._take(record)
            now = time.time()
            expired = [id for id, caller in self._callers.items() if caller.expires_at <= now]
            if expired:
                self._log.append([Message(topics.STATE, _PREFIX + id.encode(), None) for id in expired])
                for id in expired:
                    del self._callers[id]

    def get(self, token_id: str) -> Caller | None:
        """What a token says. None: it has expired, or was issued before there were records."""
        with self._lock:
            return self._callers.get(token_id)

    def all(self) -> list[Caller]:
        """In order of their ids."""
        with self._lock:
            return [self._callers[id] for id in sorted(self._callers)]

    def _take(self, record: Record) -> None:
        token_id = record.key.removeprefix(_PREFIX).decode()
        if record.value is None:
            self._callers.pop(token_id, None)
            return
        nonce, sealed = record.value[:_NONCE], record.value[_NONCE:]
        try:
            said = TokenRecord.FromString(self._aead.decrypt(nonce, sealed, record.key))
        except InvalidTag:  # of another master key, which makes the token worthless too
            _log.warning("a token's record cannot be read", extra={"token_id": token_id})
            return
        self._callers[token_id] = Caller(
            principal=said.principal,
            prefixes=tuple(said.namespace_prefixes),
            rights=frozenset(Right(right) for right in said.rights),
            token_id=token_id,
            expires_at=said.expires_at,
            lineage=tuple(said.lineage),
            issued_under=said.issued_under,
        )
