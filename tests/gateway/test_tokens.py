"""Issuing and revoking: never more than the issuer has, durable, known to every gateway, audited by ids alone."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mneme.v1 import admin_pb2

from services.common import topics
from services.common.auth import MAX_TOKEN_TTL_S, Caller, Right
from services.common.errors import MnemeError
from services.common.log.base import Log, LogUnavailable, Message
from services.common.log.open import open_log
from services.common.serving import CallContext
from services.gateway.revocations import Revocations
from services.gateway.servicer import application
from services.gateway.tokens import Credentials, TokenOffice
from tests.gateway.probe import GRANTS, TOKENS, bearer

READ_WRITE = frozenset({Right.READ, Right.WRITE})


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = open_log(f"sqlite://{tmp_path}/log.db")
    opened.ensure_topics(topics.specs(4, [topics.INBOX]))
    yield opened
    opened.close()


def admin(prefixes: tuple[str, ...] = ("acme",), rights: frozenset[Right] = READ_WRITE, ttl_s: float = 3600) -> Caller:
    return TOKENS.issue("root", prefixes, rights | {Right.ADMIN}, ttl_s)[1]


def office(log: Log) -> TokenOffice:
    return TokenOffice(TOKENS, Revocations(log))


def test_an_issued_token_says_what_was_asked(log: Log) -> None:
    token, _ = office(log).issue(admin(), "bob", ("acme/bob", "acme"), frozenset({Right.READ}), 600)
    caller = TOKENS.check(token)
    assert (caller.principal, caller.prefixes, caller.rights) == ("bob", ("acme/bob", "acme"), frozenset({Right.READ}))
    assert 595 < caller.expires_at - time.time() <= 600


def test_a_token_never_outlives_its_issuer(log: Log) -> None:
    by = admin(ttl_s=900)
    _, issued = office(log).issue(by, "bob", ("acme",), frozenset({Right.READ}), 3600)
    assert issued.expires_at <= by.expires_at + 0.01
    by_grant = GRANTS.check(GRANTS.grant(by))
    _, issued = office(log).issue(by_grant, "bob", ("acme",), frozenset({Right.READ}), 3600)
    assert by.expires_at - 5 < issued.expires_at <= by.expires_at + 0.01


@pytest.mark.parametrize(
    ("prefixes", "rights", "field"),
    [
        (("",), {Right.READ}, "namespace_prefixes[0]"),
        (("acmeco",), {Right.READ}, "namespace_prefixes[0]"),
        (("acme", "other/x"), {Right.READ}, "namespace_prefixes[1]"),
        (("acme",), {Right.READ, Right.FORGET}, ""),
    ],
)
def test_nobody_gives_away_what_they_do_not_have(
    log: Log, prefixes: tuple[str, ...], rights: set[Right], field: str
) -> None:
    with pytest.raises(MnemeError) as refused:
        office(log).issue(admin(), "bob", prefixes, frozenset(rights), 600)
    assert (refused.value.reason, refused.value.field) == ("PERMISSION_DENIED", field)


@pytest.mark.parametrize(
    ("principal", "prefixes", "rights", "ttl_s", "field"),
    [
        ("", ("acme",), {Right.READ}, 600, "principal"),
        ("b" * 201, ("acme",), {Right.READ}, 600, "principal"),
        ("bob", (), {Right.READ}, 600, "namespace_prefixes"),
        ("bob", ("acme",) * 17, {Right.READ}, 600, "namespace_prefixes"),
        ("bob", ("acme", "no namespace"), {Right.READ}, 600, "namespace_prefixes[1]"),
        ("bob", ("acme/",), {Right.READ}, 600, "namespace_prefixes[0]"),
        ("bob", ("acme",), set(), 600, "rights"),
        ("bob", ("acme",), {Right.READ}, 59, "ttl_s"),
        ("bob", ("acme",), {Right.READ}, MAX_TOKEN_TTL_S + 1, "ttl_s"),
    ],
)
def test_a_wrong_request_names_its_field(
    log: Log, principal: str, prefixes: tuple[str, ...], rights: set[Right], ttl_s: float, field: str
) -> None:
    with pytest.raises(MnemeError) as refused:
        office(log).issue(admin(), principal, prefixes, frozenset(rights), ttl_s)
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", field)


def test_the_largest_token_that_can_be_issued_fits_into_a_calls_metadata(log: Log) -> None:
    prefixes = tuple(f"acme/{i:02}{'x' * 193}" for i in range(16))
    token, _ = office(log).issue(admin(), "b" * 200, prefixes, READ_WRITE, 600)
    assert len(token) < 8192, "gRPC refuses more metadata than that"


def test_a_revoked_token_is_refused_here_at_once_and_by_others_after_they_looked(log: Log, tmp_path: Path) -> None:
    token, issued = TOKENS.issue("bob", ("acme",), READ_WRITE, 600)
    here, there = Revocations(log), Revocations(open_log(f"sqlite://{tmp_path}/log.db"))
    credentials = [Credentials(TOKENS, GRANTS, revocations) for revocations in (here, there)]
    for each in credentials:
        assert each.check(bearer(token)).caller.principal == "bob"
    TokenOffice(TOKENS, here).revoke(admin(), issued.token_id)
    with pytest.raises(MnemeError, match="no valid token"):
        credentials[0].check(bearer(token))
    assert credentials[1].check(bearer(token)), "another gateway has not looked yet"
    there.refresh()
    for credential in (token, GRANTS.grant(issued)):
        with pytest.raises(MnemeError, match="no valid token"):
            credentials[1].check(bearer(credential))


def test_a_revocation_survives_a_restart_and_compaction(log: Log) -> None:
    Revocations(log).revoke("0123456789abcdef")
    log.compact(topics.STATE)
    restarted = Revocations(log)
    restarted.refresh()
    assert "0123456789abcdef" in restarted
    assert "fedcba9876543210" not in restarted


def test_a_revocation_is_dropped_when_no_token_can_live_any_more(log: Log) -> None:
    past, future = str(int(time.time()) - 1).encode(), str(int(time.time()) + 60).encode()
    log.append([Message(topics.STATE, b"revoked/old", past), Message(topics.STATE, b"revoked/new", future)])
    log.append([Message(topics.STATE, b"generation/acme", b"not ours")])
    revocations = Revocations(log)
    revocations.refresh()
    assert ("old" in revocations, "new" in revocations) == (False, True)
    newest = {record.key: record.value for record in log.read(topics.STATE, 0)}
    assert newest == {b"revoked/old": None, b"revoked/new": future, b"generation/acme": b"not ours"}


class RevokedMeanwhile(float):
    """The end of a revocation; while it is looked at, another thread revokes a token."""

    def __new__(cls, until: float, revoke: threading.Thread) -> RevokedMeanwhile:
        made = super().__new__(cls, until)
        made.revoke = revoke
        return made

    revoke: threading.Thread

    def __lt__(self, other: float) -> bool:
        self.revoke.start()
        self.revoke.join(0.2)  # it may have to wait until the looking is done
        return super().__lt__(other)


def test_a_token_can_be_revoked_while_old_ones_are_dropped(log: Log) -> None:
    revocations = Revocations(log)
    another = threading.Thread(target=revocations.revoke, args=("fedcba9876543210",))
    revocations._until["0123456789abcdef"] = RevokedMeanwhile(time.time() + 60, another)
    revocations.refresh()
    another.join(5)
    assert "0123456789abcdef" in revocations
    assert "fedcba9876543210" in revocations


def test_a_token_id_that_is_none_is_refused(log: Log) -> None:
    for token_id in ("", "xyz", "0" * 15, "0" * 17, "../../etc", "0123456789ABCDEF"):
        with pytest.raises(MnemeError) as refused:
            office(log).revoke(admin(), token_id)
        assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "token_id")


def test_issuing_and_revoking_leave_a_trace_without_the_token(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    by = admin()
    with caplog.at_level(logging.INFO, "services.gateway"):
        token, issued = office(log).issue(by, "bob", ("acme",), READ_WRITE, 600)
        office(log).revoke(by, issued.token_id)
    acts = [(r.msg, r.token_id, r.by_token_id) for r in caplog.records if hasattr(r, "token_id")]  # type: ignore[attr-defined]
    assert acts == [
        ("token issued", issued.token_id, by.token_id),
        ("token revoked", issued.token_id, by.token_id),
    ]
    assert all(token not in str(vars(record)) for record in caplog.records)


class FullDisk(Revocations):
    """As a log whose disk is full makes it."""

    def revoke(self, token_id: str) -> None:
        raise LogUnavailable("no space left; free some")


def call(app_log: Log, method: str, request: admin_pb2.IssueTokenRequest | admin_pb2.RevokeTokenRequest) -> bytes:
    app = application(TokenOffice(TOKENS, FullDisk(app_log)), GRANTS)
    context = CallContext(GRANTS.grant(admin()), 10.0, {})
    return asyncio.run(app.unary(f"mneme.v1.AdminService/{method}", request.SerializeToString(), context))


def test_the_wire_of_issuing(log: Log) -> None:
    request = admin_pb2.IssueTokenRequest(
        principal="bob", namespace_prefixes=["acme"], rights=[admin_pb2.RIGHT_READ, admin_pb2.RIGHT_WRITE], ttl_s=600
    )
    response = admin_pb2.IssueTokenResponse.FromString(call(log, "IssueToken", request))
    caller = TOKENS.check(response.token)
    assert (caller.token_id, caller.rights) == (response.token_id, READ_WRITE)
    assert response.expires_at.seconds == int(caller.expires_at)
    assert 595 < caller.expires_at - time.time() <= 600, "the life of the token, not of the grant that asks for it"
    request.rights.append(admin_pb2.RIGHT_UNSPECIFIED)
    with pytest.raises(MnemeError) as refused:
        call(log, "IssueToken", request)
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "rights[2]")


def test_a_revocation_that_cannot_be_written_says_so(log: Log) -> None:
    with pytest.raises(MnemeError) as refused:
        call(log, "RevokeToken", admin_pb2.RevokeTokenRequest(token_id="0123456789abcdef"))
    assert refused.value.reason == "LOG_UNAVAILABLE"
