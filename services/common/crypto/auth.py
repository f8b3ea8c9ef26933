"""Tokens for callers, grants for services. Both are JWTs (HS256) under keys derived from the master key.

A token names a principal, namespace prefixes, rights and an expiry, and the tokens that it was issued from, each from
the one before; the gateway checks it without asking anybody. A grant says the same of one call, signed by the gateway
for the services and short-lived, so that a service acts for its caller and never by a right of its own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Container
from dataclasses import dataclass, replace
from enum import StrEnum

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.common import telemetry
from services.common.crypto.seal import MasterKey
from services.common.serving.errors import MnemeError

_ALGORITHM = "HS256"
GRANT_TTL_S = 300
MAX_TOKEN_TTL_S = 31_536_000
_REMEMBERED = 4096


class Right(StrEnum):
    READ = "read"
    WRITE = "write"
    FORGET = "forget"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do. ``prefixes`` of "" is every namespace.

    ``principal`` has before it who issued the token, unless that was an operator: "acme/ann" is whom acme calls Ann.
    """

    principal: str
    prefixes: tuple[str, ...]
    rights: frozenset[Right]
    token_id: str
    expires_at: float
    by_token_until: float | None = None  # of a grant: when the token expires that it was made from
    lineage: tuple[str, ...] = ()  # ids of the tokens that it was issued from, the first one first
    issued_under: str = ""  # of whom an operator issued a token for, who issued this one, or whose issued did

    @property
    def tenant(self) -> str:
        """Whose share of the service the caller's work takes: an operator issued a token for them."""
        return self.issued_under or self.principal

    def is_one_of(self, token_ids: Container[str]) -> bool:
        """Whether the token, or one that it was issued from, is among ``token_ids``."""
        return any(id in token_ids for id in (self.token_id, *self.lineage))

    @property
    def is_operator(self) -> bool:
        """Whether they may administer everything."""
        return "" in self.prefixes and Right.ADMIN in self.rights

    def covers_all(self, prefixes: tuple[str, ...]) -> bool:
        """Whether each of ``prefixes`` lies within one of the caller's own."""
        return all(any(covers(own, prefix) for own in self.prefixes) for prefix in prefixes)

    @property
    def token_expires_at(self) -> float:
        """When the caller's token expires; a grant for one call of theirs does so sooner."""
        return self.expires_at if self.by_token_until is None else self.by_token_until

    def require_right(self, right: Right) -> None:
        if right not in self.rights:
            raise MnemeError(
                "PERMISSION_DENIED",
                f"The token has no right to {right}.",
                remedy="Ask for a token with that right.",
                metadata={"right": str(right)},
            )

    def require_every_namespace(self, what: str, *, field: str = "", remedy: str = "") -> None:
        """Raise PERMISSION_DENIED, saying ``what`` is of every namespace, unless a prefix covers them all."""
        if "" not in self.prefixes:
            raise MnemeError(
                "PERMISSION_DENIED",
                what,
                field=field,
                remedy=remedy or 'Use a token whose prefix is "".',
                metadata={"right": str(Right.ADMIN), "namespace": ""},
            )

    def require_namespace(self, namespace: str, field: str = "namespace") -> None:
        """Raise PERMISSION_DENIED unless a prefix covers ``namespace``: equal, or up to a "/".

        The call's span learns of which namespace it is, by its pseudonym.
        """
        if field == "namespace":
            telemetry.mark(namespace=telemetry.pseudonym(namespace))
        if not any(covers(prefix, namespace) for prefix in self.prefixes):
            raise MnemeError(
                "PERMISSION_DENIED",
                "The token has no right over this namespace.",
                field=field,
                remedy="Use a namespace under one of the token's prefixes, or ask for another token.",
                metadata={"namespace": namespace},
            )


def covers(prefix: str, namespace: str) -> bool:
    """Whether a prefix covers a namespace, or another prefix. "acme" covers "acme" and "acme/x", not "acmeco" or ""."""
    return prefix == "" or namespace == prefix or namespace.startswith(prefix.rstrip("/") + "/")


class Signer:
    """Issues and checks JWTs for one audience."""

    def __init__(self, key: bytes, audience: str) -> None:
        self._key = key
        self._audience = audience
        self._checked: dict[str, Caller] = {}

    def issue(
        self,
        principal: str,
        prefixes: tuple[str, ...],
        rights: frozenset[Right],
        ttl_s: float,
        by: Caller | None = None,
    ) -> tuple[str, Caller]:
        """A new token with a random id, and what it says; revocations rely on the bound of ``ttl_s``.

        ``by``: whose token it is issued from; None where the key itself is at hand.
        """
        if ttl_s > MAX_TOKEN_TTL_S:
            raise ValueError(f"a token lives at most {MAX_TOKEN_TTL_S} seconds")
        caller = Caller(principal, prefixes, rights, secrets.token_hex(8), time.time() + ttl_s)
        if by is not None:
            caller = replace(caller, lineage=(*by.lineage, by.token_id))
        if by is not None and not by.is_operator:
            caller = replace(caller, principal=f"{by.principal}/{principal}", issued_under=by.tenant)
        return self.sign(caller), caller

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose beside signing (HKDF-SHA256)."""
        return HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(self._key)

    def sign(self, caller: Caller) -> str:
        claims = {
            "aud": self._audience,
            "sub": caller.principal,
            "ns": list(caller.prefixes),
            "rights": sorted(caller.rights),
            "jti": caller.token_id,
            "exp": int(caller.expires_at),
        }
        if caller.by_token_until is not None:
            claims["token_exp"] = int(caller.by_token_until)
        if caller.lineage:
            claims["from"] = list(caller.lineage)
        if caller.issued_under:
            claims["under"] = caller.issued_under
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def check(self, token: str) -> Caller:
        """Who a token speaks for. UNAUTHENTICATED, without saying why in detail, when it is not ours or too old.

        A signature once found good is remembered (of the last 4,096); the expiry is looked at each time.
        """
        caller = self._checked.get(token)
        if caller is None:
            caller = self._checked[token] = self._decode(token)
            if len(self._checked) > _REMEMBERED:
                self._checked.pop(next(iter(self._checked)), None)
        if caller.expires_at <= time.time():
            raise unauthenticated()
        return caller

    def _decode(self, token: str) -> Caller:
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                options={"require": ["aud", "sub", "exp", "jti"]},
            )
            return Caller(
                principal=claims["sub"],
                prefixes=tuple(claims["ns"]),
                rights=frozenset(Right(r) for r in claims["rights"]),
                token_id=claims["jti"],
                expires_at=float(claims["exp"]),
                by_token_until=float(claims["token_exp"]) if "token_exp" in claims else None,
                lineage=tuple(claims.get("from", ())),
                issued_under=claims.get("under", ""),
            )
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError) as error:
            raise unauthenticated() from error

    def grant(self, caller: Caller) -> str:
        """A short-lived copy of what ``caller`` may do, for a service that acts for them."""
        until = min(caller.expires_at, time.time() + GRANT_TTL_S)
        return self.sign(replace(caller, expires_at=until, by_token_until=caller.token_expires_at))


def token_signer(master: MasterKey) -> Signer:
    """Signs what callers bring."""
    return Signer(master.derive("token"), "mneme")


def grant_signer(master: MasterKey) -> Signer:
    """Signs what the gateway tells services about a caller."""
    return Signer(master.derive("grant"), "service")


def unauthenticated() -> MnemeError:
    return MnemeError(
        "UNAUTHENTICATED",
        "The call has no valid token.",
        field="authorization",
        remedy='Send the metadata "authorization: Bearer TOKEN" with a token that is neither expired nor revoked.',
    )
