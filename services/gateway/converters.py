"""Between AdminService's messages and the gateway's words."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import admin_pb2

from services.common.crypto.auth import Caller, Right
from services.common.serving.errors import invalid

_RIGHTS = {
    admin_pb2.RIGHT_READ: Right.READ,
    admin_pb2.RIGHT_WRITE: Right.WRITE,
    admin_pb2.RIGHT_FORGET: Right.FORGET,
    admin_pb2.RIGHT_ADMIN: Right.ADMIN,
}


def rights(request: admin_pb2.IssueTokenRequest) -> frozenset[Right]:
    """INVALID_FIELD when one is unspecified or unknown."""
    for i, right in enumerate(request.rights):
        if right not in _RIGHTS:
            raise invalid(f"rights[{i}]", "There is no such right.", "Name read, write, forget or admin.")
    return frozenset(_RIGHTS[right] for right in request.rights)


def issued(token: str, caller: Caller) -> admin_pb2.IssueTokenResponse:
    return admin_pb2.IssueTokenResponse(
        token=token, token_id=caller.token_id, expires_at=_expires_at(caller), principal=caller.principal
    )


def listed(page: Iterable[tuple[Caller, bool]], next_page: str) -> admin_pb2.ListTokensResponse:
    """``page``: what tokens say, each with whether it was revoked."""
    tokens = [
        admin_pb2.IssuedToken(
            token_id=caller.token_id,
            principal=caller.principal,
            namespace_prefixes=caller.prefixes,
            rights=[number for number, right in _RIGHTS.items() if right in caller.rights],
            expires_at=_expires_at(caller),
            revoked=revoked,
        )
        for caller, revoked in page
    ]
    return admin_pb2.ListTokensResponse(tokens=tokens, next_page_token=next_page)


def _expires_at(caller: Caller) -> Timestamp:
    expires_at = Timestamp()
    expires_at.FromSeconds(int(caller.expires_at))
    return expires_at
