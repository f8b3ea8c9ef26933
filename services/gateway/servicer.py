"""What the gateway answers itself: IssueToken, RevokeToken and ListTokens, SetShards and GetShards."""

from __future__ import annotations

import asyncio

from mneme.v1 import admin_pb2

from services.common.crypto.auth import Signer
from services.common.log.away import unavailable
from services.common.log.base import LogError
from services.common.serving.pages import page_size
from services.common.serving.serving import Application, Call, Handler
from services.gateway import converters
from services.gateway.shards import ShardOffice
from services.gateway.tokens import TokenOffice

_SERVICE = "mneme.v1.AdminService/"


class TokenServicer:
    """The token methods of AdminService."""

    def __init__(self, office: TokenOffice) -> None:
        self._office = office

    async def issue_token(self, request: admin_pb2.IssueTokenRequest, call: Call) -> admin_pb2.IssueTokenResponse:
        wanted = (request.principal, tuple(request.namespace_prefixes), converters.rights(request), request.ttl_s)
        try:
            token, caller = await asyncio.to_thread(self._office.issue, call.caller, *wanted)
        except LogError as error:
            raise unavailable(error, "The log takes no writes now; no token was made.", "Try again.") from error
        return converters.issued(token, caller)

    async def revoke_token(self, request: admin_pb2.RevokeTokenRequest, call: Call) -> admin_pb2.RevokeTokenResponse:
        try:
            await asyncio.to_thread(self._office.revoke, call.caller, request.token_id)
        except LogError as error:
            raise unavailable(
                error, "The log takes no writes now; the token may still be good.", "Try again."
            ) from error
        return admin_pb2.RevokeTokenResponse()

    async def list_tokens(self, request: admin_pb2.ListTokensRequest, call: Call) -> admin_pb2.ListTokensResponse:
        most = page_size(request.page_size)
        try:
            page, next_page = await asyncio.to_thread(self._office.listed, call.caller, request.page_token, most)
        except LogError as error:
            raise unavailable(error, "The log does not answer.", "Try again.") from error
        return converters.listed(page, next_page)


class ShardServicer:
    """The shard methods of AdminService."""

    def __init__(self, office: ShardOffice) -> None:
        self._office = office

    async def set_shards(self, request: admin_pb2.SetShardsRequest, call: Call) -> admin_pb2.SetShardsResponse:
        try:
            shards = await asyncio.to_thread(self._office.want, call.caller, request.shards)
        except LogError as error:
            raise unavailable(error, "The log takes no writes now; nothing was changed.", "Try again.") from error
        return admin_pb2.SetShardsResponse(shards=shards)

    async def get_shards(self, request: admin_pb2.GetShardsRequest, call: Call) -> admin_pb2.GetShardsResponse:
        try:
            shards = await asyncio.to_thread(self._office.told, call.caller)
        except LogError as error:
            raise unavailable(error, "The log does not answer.", "Try again.") from error
        return admin_pb2.GetShardsResponse(shards=shards)


def application(office: TokenOffice, shards: ShardOffice, grants: Signer) -> Application:
    """The application "gateway" of the method table."""
    servicer, sharding = TokenServicer(office), ShardServicer(shards)
    handlers = {
        _SERVICE + "SetShards": Handler(admin_pb2.SetShardsRequest, sharding.set_shards),
        _SERVICE + "GetShards": Handler(admin_pb2.GetShardsRequest, sharding.get_shards),
        _SERVICE + "IssueToken": Handler(admin_pb2.IssueTokenRequest, servicer.issue_token),
        _SERVICE + "RevokeToken": Handler(admin_pb2.RevokeTokenRequest, servicer.revoke_token),
        _SERVICE + "ListTokens": Handler(admin_pb2.ListTokensRequest, servicer.list_tokens),
    }
    return Application("gateway", grants, handlers)
