"""Between AdminService's messages and the gateway's words."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import admin_pb2

from services.common.auth import Caller, Right
from services.common.errors import invalid

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
    expires_at = Timestamp()
    expires_at.FromSeconds(int(caller.expires_at))
    return admin_pb2.IssueTokenResponse(token=token, token_id=caller.token_id, expires_at=expires_at)
