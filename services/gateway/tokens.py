"""Who calls: from the bearer token of a call to a Caller and the grant that services act by; issuing and revoking."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass

from services.common.crypto.auth import GRANT_TTL_S, MAX_TOKEN_TTL_S, Caller, Right, Signer, unauthenticated
from services.common.ids import is_namespace, is_one_line
from services.common.serving.errors import MnemeError, invalid
from services.gateway.issued import Issued
from services.gateway.revocations import Revocations

_log = logging.getLogger(__name__)

MIN_TTL_S = 60
MAX_PRINCIPAL = 200
MAX_PREFIXES = 16
MAX_LINEAGE = 8  # tokens issued one from the other: each call looks whether one of them was revoked
MAX_TOKEN_CHARS = 7_680  # it must fit into a call's metadata, of which gRPC takes 8,192
_KNOWN_TOKENS = 4096
_TOKEN_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(slots=True)
class Credential:
    """A checked token, or a grant that a service acts by for a caller."""

    caller: Caller
    is_grant: bool
    grant: str = ""
    grant_until: float = 0.0


class Credentials:
    """Checks bearer tokens without asking anybody. Of one event loop."""

    def __init__(self, tokens: Signer, grants: Signer, revoked: Container[str]) -> None:
        self._tokens = tokens
        self._grants = grants
        self._revoked = revoked
        self._known: dict[str, Credential] = {}

    def check(self, metadata: Iterable[tuple[str, str | bytes]]) -> Credential:
        """The credential of a call. UNAUTHENTICATED when it is missing, forged, expired or revoked."""
        token = _bearer(metadata)
        credential = self._known.get(token) or self._learn(token)
        if credential.caller.expires_at <= time.time() or credential.caller.is_one_of(self._revoked):
            raise unauthenticated()
        return credential

    def grant(self, credential: Credential, timeout_s: float) -> str:
        """A grant for a call of ``timeout_s``, at most as long as the credential lives. Signed anew when it must be."""
        now, expires_at = time.time(), credential.caller.expires_at
        if credential.grant_until < min(now + timeout_s, expires_at):
            credential.grant = self._grants.grant(credential.caller)
            credential.grant_until = min(expires_at, int(now + GRANT_TTL_S))
        return credential.grant

    def _learn(self, token: str) -> Credential:
        """Check the signature, and remember the credential; expiry and revocation are looked at anew each time."""
        try:
            credential = Credential(self._tokens.check(token), is_grant=False)
        except MnemeError:
            credential = Credential(self._grants.check(token), is_grant=True)
        while len(self._known) >= _KNOWN_TOKENS:
            del self._known[next(iter(self._known))]
        self._known[token] = credential
        return credential


def _bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer":
                return token.strip()
    raise unauthenticated()


class TokenOffice:
    """Issues, lists and revokes tokens. Blocking methods.

    Every act is logged, by ids. A token is shown once and kept nowhere; what it says is on record.
    """

    def __init__(self, tokens: Signer, revocations: Revocations) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._issued = Issued(revocations.log, tokens)

    def issue(
        self, by: Caller, principal: str, prefixes: tuple[str, ...], rights: frozenset[Right], ttl_s: float
    ) -> tuple[str, Caller]:
        """A token with no more than ``by`` has, that does not outlive theirs.

        Its principal stands behind theirs, unless they are an operator: nobody is given another's name.
        INVALID_FIELD, PERMISSION_DENIED; LogError, and then no token was made.
        """
        _check_request(principal, prefixes, rights, ttl_s)
        for right in sorted(rights):
            by.require_right(right)
        for i, prefix in enumerate(prefixes):
            if not by.covers_all((prefix,)):
                raise MnemeError(
                    "PERMISSION_DENIED",
                    "The caller's own token does not cover this prefix.",
                    field=f"namespace_prefixes[{i}]",
                    remedy="Name a prefix within one of your own.",
                )
        if len(by.lineage) >= MAX_LINEAGE:
            raise MnemeError(
                "PERMISSION_DENIED",
                f"The caller's own token is the last of {MAX_LINEAGE} that may be issued one from the other.",
                remedy="Ask whoever issued it for the token.",
            )
        ttl_s = min(ttl_s, by.token_expires_at - time.time())
        token, issued = self._tokens.issue(principal, prefixes, rights, ttl_s, by)
        if len(token) > MAX_TOKEN_CHARS:
            remedy = "Name fewer or shorter ones, or a shorter principal."
            raise invalid("namespace_prefixes", "The token would not fit into a call's metadata.", remedy)
        self._issued.add(issued, by.principal)
        _log.info("token issued", extra={"token_id": issued.token_id, "by_token_id": by.token_id})
        return token, issued

    def revoke(self, by: Caller, token_id: str) -> None:
        """Refuse a token from now on, and all that were issued from it, where its prefixes lie within those of ``by``.

        INVALID_FIELD, also where none would be left that may administer everything; PERMISSION_DENIED; LogError.
        """
        if not _TOKEN_ID.fullmatch(token_id):
            raise invalid(
                "token_id",
                "A token id has 16 hexadecimal digits.",
                "Copy it from where the token was issued or listed.",
            )
        self._refresh()
        issued = self._issued.get(token_id)
        # One that is not on record may be anybody's.
        if not (by.is_operator if issued is None else by.covers_all(issued.prefixes)):
            raise MnemeError(
                "PERMISSION_DENIED",
                "The caller's own token does not cover every prefix of that token, or it is not on record.",
                field="token_id",
                remedy="Ask an administrator of those prefixes, or the operator.",
            )
        if token_id in self._revocations:
            return
        self._require_operator_left(by, token_id, self._revocations)
        at = self._revocations.revoke(token_id, by.principal)
        # Another one may have been revoked at this moment, here or at another gateway: the log's order decides.
        try:
            self._require_operator_left(by, token_id, self._revocations.before(at))
        except MnemeError:
            self._revocations.withdraw(token_id, by.principal)
            raise
        _log.info("token revoked", extra={"token_id": token_id, "by_token_id": by.token_id})

    def listed(self, by: Caller, after: str, most: int) -> tuple[list[tuple[Caller, bool]], str]:
        """The first ``most`` tokens behind the id ``after`` that ``by`` may revoke, each with whether it was revoked.

        And the last of their ids where there are more. LogError.
        """
        self._refresh()
        mine = [each for each in self._issued.all() if each.token_id > after and by.covers_all(each.prefixes)]
        page = [(each, each.is_one_of(self._revocations)) for each in mine[:most]]
        return page, mine[most - 1].token_id if len(mine) > most else ""

    def _refresh(self) -> None:
        """What others issued and revoked, until now."""
        self._issued.refresh()
        self._revocations.refresh()

    def _require_operator_left(self, by: Caller, token_id: str, revoked: Container[str]) -> None:
        """INVALID_FIELD where revoking a token too would take the last that may administer everything."""
        known = (each for each in (by, *self._issued.all()) if each.is_operator and not each.is_one_of(revoked))
        going = [each.is_one_of((token_id,)) for each in known]
        if going and all(going):
            raise invalid(
                "token_id",
                "It, or one that was issued from it, is the last on record that may administer everything.",
                "Make another first, with `mneme token issue --master-key-file` on the service's machine.",
            )


def _check_request(principal: str, prefixes: tuple[str, ...], rights: frozenset[Right], ttl_s: float) -> None:
    if not principal.strip() or len(principal) > MAX_PRINCIPAL or not is_one_line(principal):
        message = f"A principal has 1 to {MAX_PRINCIPAL} characters, on one line."
        raise invalid("principal", message, "Name who the token is for.")
    if "/" in principal:
        raise invalid("principal", 'A principal has no "/": it parts names from who issued them.', "Leave it out.")
    if not 1 <= len(prefixes) <= MAX_PREFIXES:
        raise invalid("namespace_prefixes", f"A token has 1 to {MAX_PREFIXES} prefixes.", 'Use "" for every namespace.')
    for i, prefix in enumerate(prefixes):
        if prefix and not is_namespace(prefix):
            raise invalid(f"namespace_prefixes[{i}]", "This is no namespace.", 'Write it as "tenant" or "tenant/user".')
    if not rights:
        raise invalid("rights", "A token needs a right.", "Name read, write, forget or admin.")
    if not MIN_TTL_S <= ttl_s <= MAX_TOKEN_TTL_S:
        raise invalid("ttl_s", f"A token lives {MIN_TTL_S} to {MAX_TOKEN_TTL_S} seconds.", "Name a time within that.")
