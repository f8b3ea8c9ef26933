"""Every method Mneme serves: which application takes it, how it streams, which right it needs.

The gateway routes by this table and the applications serve by it; a method that is not here does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from services.common.auth import Right


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


_P = "mneme.v1.PerceptionService/"
_E = "mneme.v1.EpisodicService/"
_R = "mneme.v1.ReasoningService/"
_A = "mneme.v1.AdminService/"

METHODS: dict[str, Method] = {
    _P + "Observe": Method("perception", Kind.FOLD, Right.WRITE),
    _P + "EndSession": Method("perception", Kind.UNARY, Right.WRITE),
    _E + "Remember": Method("episodic", Kind.UNARY, Right.WRITE),
    _E + "Correct": Method("episodic", Kind.UNARY, Right.WRITE),
    _E + "Recall": Method("episodic", Kind.UNARY, Right.READ),
    _E + "Get": Method("episodic", Kind.UNARY, Right.READ),
    _E + "List": Method("episodic", Kind.UNARY, Right.READ),
    _E + "Timeline": Method("episodic", Kind.UNARY, Right.READ),
    _E + "History": Method("episodic", Kind.UNARY, Right.READ),
    _E + "Forget": Method("episodic", Kind.UNARY, Right.FORGET),
    _E + "VerifyForgotten": Method("episodic", Kind.UNARY, Right.FORGET),
    _E + "Watch": Method("episodic", Kind.PAGES, Right.READ),
    _R + "Ask": Method("reasoning", Kind.STREAM, Right.READ),
    _R + "Generate": Method("reasoning", Kind.STREAM, Right.READ),
    _R + "GetKvStats": Method("reasoning", Kind.UNARY, Right.ADMIN),
    _A + "IssueToken": Method("gateway", Kind.UNARY, Right.ADMIN),
    _A + "RevokeToken": Method("gateway", Kind.UNARY, Right.ADMIN),
    _A + "CreateNamespace": Method("perception", Kind.UNARY, Right.ADMIN),
    _A + "DeleteNamespace": Method("episodic", Kind.UNARY, Right.ADMIN),
    _A + "ListNamespaces": Method("episodic", Kind.UNARY, Right.ADMIN),
    _A + "GetOperation": Method("episodic", Kind.UNARY, Right.READ),
    _A + "Rebuild": Method("episodic", Kind.UNARY, Right.ADMIN),
    _A + "GetStats": Method("episodic", Kind.UNARY, Right.READ),
}
