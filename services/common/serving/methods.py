"""Every method Mneme serves: which application takes it, how it streams, which right it needs.

The gateway routes by this table and the applications serve by it; a method that is not here does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from services.common.crypto.auth import Right


class Kind(Enum):
    UNARY = "unary"
    # Server streams of few, bounded messages: a generator in one replica.
    STREAM = "stream"
    # Server streams without end: stateless pages, the next fetched when the reader took the last.
    PAGES = "pages"
    # Client streams: pages of messages folded into the response, one page in flight.
    FOLD = "fold"


@dataclass(frozen=True, slots=True)
class Method:
    app: str  # "gateway" is answered at the door
    kind: Kind
    right: Right
    max_bytes: int | None = None  # of one message; None: as many as gateway.max_message_bytes
    calls: int = 1  # that it counts as in gateway.calls_per_s: what is written is folded, named and embedded later


_KIB = 1024
_IDS = 64 * _KIB  # ids, names, filters
_TEXT = 256 * _KIB  # a text of 60,000 bytes, with metadata and filters
_ALIASES = 2048 * _KIB  # names of 1 MiB, each with its length
_MANY_IDS = 1024 * _KIB
_PROMPT = 2048 * _KIB  # 1,000,000 bytes of messages, and the engrams in them

_P = "mneme.v1.PerceptionService/"
_E = "mneme.v1.EpisodicService/"
_R = "mneme.v1.ReasoningService/"
_A = "mneme.v1.AdminService/"

METHODS: dict[str, Method] = {
    _P + "Observe": Method("perception", Kind.FOLD, Right.WRITE, _TEXT),
    _P + "EndSession": Method("perception", Kind.UNARY, Right.WRITE, _IDS),
    _E + "Remember": Method("episodic", Kind.UNARY, Right.WRITE, _TEXT, calls=4),
    _E + "Correct": Method("episodic", Kind.UNARY, Right.WRITE, _TEXT, calls=4),
    _E + "Recall": Method("episodic", Kind.UNARY, Right.READ, _TEXT),
    _E + "GetErasureEpoch": Method("episodic", Kind.UNARY, Right.READ, _IDS),
    _E + "Get": Method("episodic", Kind.UNARY, Right.READ, _IDS),
    _E + "List": Method("episodic", Kind.UNARY, Right.READ, _IDS),
    _E + "Timeline": Method("episodic", Kind.UNARY, Right.READ, _IDS),
    _E + "History": Method("episodic", Kind.UNARY, Right.READ, _IDS),
    _E + "Export": Method("episodic", Kind.UNARY, Right.READ, _IDS),
    _E + "Forget": Method("episodic", Kind.UNARY, Right.FORGET, _MANY_IDS),
    _E + "VerifyForgotten": Method("episodic", Kind.UNARY, Right.FORGET, _IDS),
    _E + "Watch": Method("episodic", Kind.PAGES, Right.READ, _IDS),
    _R + "Ask": Method("reasoning", Kind.STREAM, Right.READ, _TEXT),
    _R + "Generate": Method("reasoning", Kind.STREAM, Right.READ, _PROMPT),
    _R + "GetKvStats": Method("reasoning", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "IssueToken": Method("gateway", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "RevokeToken": Method("gateway", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "ListTokens": Method("gateway", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "SetShards": Method("gateway", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "GetShards": Method("gateway", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "CreateNamespace": Method("perception", Kind.UNARY, Right.ADMIN, _ALIASES),
    _A + "UpdateNamespace": Method("perception", Kind.UNARY, Right.ADMIN, _ALIASES),
    _A + "DeleteNamespace": Method("episodic", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "ListNamespaces": Method("episodic", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "GetOperation": Method("episodic", Kind.UNARY, Right.READ, _IDS),
    _A + "Rebuild": Method("episodic", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "ListDeadLetters": Method("perception", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "ReplayDeadLetters": Method("perception", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "PurgeDeadLetters": Method("perception", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "ListAudit": Method("episodic", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "ListUsage": Method("episodic", Kind.UNARY, Right.ADMIN, _IDS),
    _A + "GetStats": Method("episodic", Kind.UNARY, Right.READ, _IDS),
}
