"""Issuing and revoking: never more than the issuer has, durable, known to every gateway, audited by ids alone."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from mneme.v1 import admin_pb2
from mneme.v1.ledger_pb2 import TokenRecord

from services.common.crypto.auth import MAX_TOKEN_TTL_S, Caller, Right, Signer
from services.common.ledger import topics
from services.common.ledger.assignment import Assignments
from services.common.ledger.audit import Wanted, acts
from services.common.log.base import Log, LogUnavailable, Message, Record
from services.common.log.open import open_log
from services.common.serving.errors import MnemeError
from services.common.serving.serving import CallContext
from services.gateway import tokens
from services.gateway.issued import Issued
from services.gateway.revocations import Revocations
from services.gateway.servicer import application
from services.gateway.shards import ShardOffice
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


OPERATOR = TOKENS.issue("operator", ("",), frozenset(Right), 3600)[1]


def office(log: Log) -> TokenOffice:
    return TokenOffice(TOKENS, Revocations(log))


def test_an_issued_token_says_what_was_asked(log: Log) -> None:
    token, _ = office(log).issue(admin(), "bob", ("acme/bob", "acme"), frozenset({Right.READ}), 600)
    caller = TOKENS.check(token)
    assert (caller.principal, caller.prefixes, caller.rights) == (
        "root/bob",
        ("acme/bob", "acme"),
        frozenset({Right.READ}),
    )
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
        ("bob\n00c0ffee00c0ffee  2099-01-01  admin  eve", ("acme",), {Right.READ}, 600, "principal"),
        (" ", ("acme",), {Right.READ}, 600, "principal"),
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
    TokenOffice(TOKENS, here).revoke(OPERATOR, issued.token_id)
    with pytest.raises(MnemeError, match="no valid token"):
        credentials[0].check(bearer(token))
    assert credentials[1].check(bearer(token)), "another gateway has not looked yet"
    there.refresh()
    for credential in (token, GRANTS.grant(issued)):
        with pytest.raises(MnemeError, match="no valid token"):
            credentials[1].check(bearer(credential))


def test_a_revocation_survives_a_restart_and_compaction(log: Log) -> None:
    Revocations(log).revoke("0123456789abcdef", "test")
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
    another = threading.Thread(target=revocations.revoke, args=("fedcba9876543210", "test"))
    revocations._until["0123456789abcdef"] = RevokedMeanwhile(time.time() + 60, another)
    revocations.refresh()
    another.join(5)
    assert "0123456789abcdef" in revocations
    assert "fedcba9876543210" in revocations


def test_a_revocation_that_is_withdrawn_is_none_here_at_once_and_elsewhere_after_a_look(log: Log) -> None:
    here, there, id = Revocations(log), Revocations(log), "0123456789abcdef"
    here.revoke(id, "test")
    there.refresh()
    here.withdraw(id, "test")
    assert (id in here, id in there) == (False, True)
    for each in (here, there):
        each.refresh()
        assert id not in each


def test_a_token_counts_as_revoked_from_its_first_revocation_that_stands(log: Log) -> None:
    revocations, once, twice = Revocations(log), "0123456789abcdef", "fedcba9876543210"
    revocations.revoke(once, "test")
    revocations.withdraw(once, "test")
    first = revocations.revoke(twice, "test")
    again = revocations.revoke(once, "test")
    revocations.revoke(twice, "test")  # a second time, as another gateway does at the same moment
    assert revocations.before(first) == frozenset()
    assert revocations.before(again) == {twice}
    last = revocations.revoke("00c0ffee00c0ffee", "test")
    assert revocations.before(last) == {once, twice}


def test_what_was_revoked_before_is_told_once_all_of_it_can_be_read(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Kafka, where what is in the log may be seen a moment later."""
    Revocations(log).revoke("0123456789abcdef", "test")
    revocations, read, until = Revocations(log), log.read, time.monotonic() + 0.3
    at = revocations.revoke("fedcba9876543210", "test")
    monkeypatch.setattr(log, "read", lambda *asked: iter(()) if time.monotonic() < until else read(*asked))
    assert revocations.before(at) == {"0123456789abcdef"}
    assert time.monotonic() > until


def test_what_has_expired_was_not_revoked_before_anything(log: Log) -> None:
    log.append([Message(topics.STATE, b"revoked/0123456789abcdef", str(int(time.time()) - 1).encode())])
    revocations = Revocations(log)
    assert revocations.before(revocations.revoke("fedcba9876543210", "test")) == frozenset()


def refused(log: Log, by: Caller, token_id: str) -> tuple[str, str]:
    with pytest.raises(MnemeError) as caught:
        office(log).revoke(by, token_id)
    assert caught.value.remedy
    return caught.value.reason, caught.value.field


def test_an_administrator_revokes_within_their_own_prefixes_only(log: Log) -> None:
    def issued(*prefixes: str) -> str:
        return office(log).issue(OPERATOR, "bob", prefixes, READ_WRITE, 600)[1].token_id

    by = admin(("acme",))
    for others in (issued(""), issued("rival"), issued("acme", "rival"), issued("acmeco"), OPERATOR.token_id):
        assert refused(log, by, others) == ("PERMISSION_DENIED", "token_id")
    for own in (issued("acme"), issued("acme/ann", "acme/bob")):
        office(log).revoke(by, own)
        revocations = Revocations(log)
        revocations.refresh()
        assert own in revocations


def test_a_token_that_is_not_on_record_is_the_operator_s_to_revoke(log: Log) -> None:
    old = TOKENS.issue("bob", ("acme",), READ_WRITE, 600)[1].token_id
    assert refused(log, admin(("acme",)), old) == ("PERMISSION_DENIED", "token_id")
    office(log).revoke(OPERATOR, old)


def test_the_operator_s_own_last_token_is_not_revoked(log: Log) -> None:
    everything = frozenset(Right)
    mine, another = operators(log, 2)
    office(log).issue(mine, "reader", ("",), READ_WRITE, 600)
    tenant = office(log).issue(another, "tenant", ("acme",), everything, 600)[1]
    office(log).revoke(mine, mine.token_id)
    assert refused(log, another, another.token_id) == ("INVALID_FIELD", "token_id"), "the first is revoked"
    office(log).revoke(tenant, tenant.token_id)


def listed(log: Log, by: Caller, **page: object) -> admin_pb2.ListTokensResponse:
    app = application(office(log), ShardOffice(Assignments(log), 1), GRANTS)
    request = admin_pb2.ListTokensRequest(**page).SerializeToString()  # type: ignore[arg-type]
    context = CallContext(GRANTS.grant(by), 10.0, {})
    raw = asyncio.run(app.unary("mneme.v1.AdminService/ListTokens", request, context))
    return admin_pb2.ListTokensResponse.FromString(raw)


def test_tokens_are_listed_in_pages_to_whom_they_are_to_revoke(log: Log) -> None:
    made = [office(log).issue(OPERATOR, f"p{n}", ("acme",), READ_WRITE, 600)[1] for n in range(5)]
    office(log).issue(OPERATOR, "other", ("rival",), READ_WRITE, 600)
    office(log).revoke(OPERATOR, made[2].token_id)
    assert len(listed(log, OPERATOR).tokens) == 6
    pages, token = list[admin_pb2.IssuedToken](), ""
    for _ in range(3):
        page = listed(log, admin(), page_size=2, page_token=token)
        pages.extend(page.tokens)
        token = page.next_page_token
    assert token == ""
    assert [each.token_id for each in pages] == sorted(each.token_id for each in made)
    [revoked] = [each for each in pages if each.revoked]
    assert (revoked.token_id, revoked.principal, list(revoked.namespace_prefixes)) == (made[2].token_id, "p2", ["acme"])
    assert list(revoked.rights) == [admin_pb2.RIGHT_READ, admin_pb2.RIGHT_WRITE]
    assert revoked.expires_at.seconds == int(made[2].expires_at)
    with pytest.raises(MnemeError, match="page_size"):
        listed(log, OPERATOR, page_size=1001)


def chain(log: Log, *principals: str, by: Caller = OPERATOR, prefix: str = "acme") -> list[tuple[str, Caller]]:
    """Tokens that administer one prefix, each issued from the one before, the first from ``by``."""
    made = list[tuple[str, Caller]]()
    for principal in principals:
        made.append(office(log).issue(by, principal, (prefix,), frozenset(Right), 600))
        by = GRANTS.check(GRANTS.grant(TOKENS.check(made[-1][0])))  # as the gateway asks for the next one
    return made


def test_a_principal_s_name_is_bound_to_who_issued_it(log: Log) -> None:
    """So nobody takes the name, or the share, of an operator's principal or of another tenant's."""
    (_, acme), (_, team), (_, ann) = chain(log, "acme", "team", "ann")
    (_, rival), (_, false_ann), (_, false_operator) = chain(log, "rival", "ann", "operator", prefix="rival")
    (_, true_ann), *_ = chain(log, "ann")
    names = [each.principal for each in (acme, team, ann, rival, false_ann, false_operator, true_ann)]
    assert names == ["acme", "acme/team", "acme/team/ann", "rival", "rival/ann", "rival/ann/operator", "ann"]
    tenants = [each.tenant for each in (acme, team, ann, rival, false_ann, false_operator, true_ann)]
    assert tenants == [*["acme"] * 3, *["rival"] * 3, "ann"]
    for prefix in ("", "acme"):
        with pytest.raises(MnemeError) as refused:
            office(log).issue(admin((prefix,)), "acme/ann", ("acme",), READ_WRITE, 600)
        assert refused.value.field == "principal"


def test_an_operator_s_tokens_are_no_share_of_theirs(log: Log) -> None:
    another = office(log).issue(OPERATOR, "second", ("",), frozenset(Right), 600)[1]
    ann = office(log).issue(another, "ann", ("acme",), READ_WRITE, 600)[1]
    assert (another.principal, ann.principal, ann.tenant) == ("second", "ann", "ann")


def test_a_token_of_an_earlier_release_stays_good_and_issues(log: Log) -> None:
    claims = {"aud": "mneme", "sub": "old", "ns": ["acme"], "rights": ["admin", "read"], "jti": "0" * 16}
    old = TOKENS.check(jwt.encode({**claims, "exp": int(time.time()) + 600}, TOKENS._key, algorithm="HS256"))
    assert (old.principal, old.tenant, old.lineage) == ("old", "old", ())
    ann = office(log).issue(old, "ann", ("acme",), frozenset({Right.READ}), 60)[1]
    assert (ann.principal, ann.tenant, ann.lineage) == ("old/ann", "old", (old.token_id,))


def good(revocations: Revocations, token: str) -> bool:
    try:
        Credentials(TOKENS, GRANTS, revocations).check(bearer(token))
    except MnemeError:
        return False
    return True


def test_with_a_token_goes_what_was_issued_from_it_and_from_those(log: Log) -> None:
    made = chain(log, "acme", "team", "ann")
    beside = chain(log, "other", by=made[0][1])
    there = Revocations(log)
    credentials = Credentials(TOKENS, GRANTS, there)
    grant = GRANTS.grant(credentials.check(bearer(made[2][0])).caller)
    office(log).revoke(OPERATOR, made[1][1].token_id)
    there.refresh()
    assert [good(there, token) for token, _ in (*made, *beside)] == [True, False, False, True]
    assert not good(there, grant), "what acts for its caller now"
    assert {each.principal for each in listed(log, OPERATOR).tokens if each.revoked} == {"acme/team", "acme/team/ann"}
    late = office(log).issue(made[2][1], "late", ("acme",), READ_WRITE, 60)[0]  # the gateway has not looked yet
    assert not good(there, late)


def test_so_many_tokens_are_issued_one_from_the_other(log: Log) -> None:
    *_, (_, last) = chain(log, *"abcdefgh", by=admin(rights=frozenset(Right)))
    assert len(last.lineage) == tokens.MAX_LINEAGE
    with pytest.raises(MnemeError) as refused:
        office(log).issue(last, "i", ("acme",), READ_WRITE, 60)
    assert refused.value.reason == "PERMISSION_DENIED"


@pytest.mark.parametrize(("letter", "never"), [("b", True), ("é", False), ("\U0001f40b", False)])
def test_a_token_that_does_not_fit_into_a_call_s_metadata_is_not_issued(log: Log, letter: str, never: bool) -> None:
    by, refused = admin(), list[tuple[str, str]]()
    prefixes = tuple(f"acme/{i:02}{'x' * 193}" for i in range(16))
    for _ in range(tokens.MAX_LINEAGE):
        try:
            token, by = office(log).issue(by, letter * 200, prefixes, READ_WRITE | {Right.ADMIN}, 600)
        except MnemeError as error:
            refused.append((error.reason, error.field))
            break
        assert len(token) <= 7_680
    assert refused == ([] if never else [("INVALID_FIELD", "namespace_prefixes")])


def operators(log: Log, count: int) -> list[Caller]:
    """As many as the master key makes."""
    made = [TOKENS.issue(f"operator {n}", ("",), frozenset(Right), 600)[1] for n in range(count)]
    for each in made:
        Issued(log, TOKENS).add(each, "test")
    return made


def test_the_last_operator_s_own_token_stays_whatever_is_revoked(log: Log) -> None:
    [mine] = operators(log, 1)
    below = office(log).issue(mine, "below", ("",), frozenset(Right), 600)[1]
    assert refused(log, mine, mine.token_id) == ("INVALID_FIELD", "token_id"), "the other goes with it"
    assert refused(log, below, mine.token_id) == ("INVALID_FIELD", "token_id")
    office(log).revoke(mine, below.token_id)
    [other] = operators(log, 1)
    office(log).revoke(other, mine.token_id)
    assert refused(log, other, other.token_id) == ("INVALID_FIELD", "token_id")
    office(log).revoke(other, mine.token_id)  # again: nothing is lost by it


def recorded(log: Log) -> list[tuple[str, str, str]]:
    """What was done, by whom and to which token, the first one first."""
    entries = reversed(acts(log, Wanted(), 100, "").entries)
    return [(admin_pb2.AuditAction.Name(each.action), each.principal, each.subject) for each in entries]


def test_who_issued_and_who_revoked_a_token_is_recorded_and_outlives_it(log: Log) -> None:
    by = admin()
    _, issued = office(log).issue(by, "bob", ("acme",), frozenset({Right.READ}), 600)
    for _ in range(2):  # again changes nothing, and is no act
        office(log).revoke(OPERATOR, issued.token_id)
    assert recorded(log) == [
        ("AUDIT_ACTION_TOKEN_ISSUED", "root", issued.token_id),
        ("AUDIT_ACTION_TOKEN_REVOKED", "operator", issued.token_id),
    ]
    [_, first] = acts(log, Wanted(), 100, "").entries
    assert first.issued_to == "root/bob"
    assert abs(first.at.ToNanoseconds() / 1e9 - time.time()) < 60


def test_what_was_refused_is_no_act(log: Log) -> None:
    with pytest.raises(MnemeError):
        office(log).issue(admin(), "bob", ("",), frozenset({Right.READ}), 600)
    with pytest.raises(MnemeError):
        office(log).revoke(admin(), "0123456789abcdef")
    assert recorded(log) == []


class Together(Revocations):
    """Revokes when another gateway is about to, too: each has looked, and found the other's token good."""

    def __init__(self, log: Log, together: threading.Barrier) -> None:
        super().__init__(log)
        self._together = together

    def revoke(self, token_id: str, by: str) -> int:
        self._together.wait(5)
        at = super().revoke(token_id, by)
        self._together.wait(5)
        return at


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("other_way", [False, True], ids=["themselves", "each other"])
def test_operators_who_revoke_at_once_leave_one(tmp_path: Path, log: Log, count: int, other_way: bool) -> None:
    made, together = operators(log, count), threading.Barrier(count)
    outcomes = list[str]()

    def revoke(by: Caller, token_id: str) -> None:
        gateway = open_log(f"sqlite://{tmp_path}/log.db")
        try:
            TokenOffice(TOKENS, Together(gateway, together)).revoke(by, token_id)
            outcomes.append("revoked")
        except MnemeError as error:
            outcomes.append(error.reason)
        finally:
            gateway.close()

    victims = [*made[1:], made[0]] if other_way else made
    threads = [
        threading.Thread(target=revoke, args=pair) for pair in zip(made, (v.token_id for v in victims), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["INVALID_FIELD", *["revoked"] * (count - 1)]
    revocations = Revocations(log)
    revocations.refresh()
    assert sum(each.token_id not in revocations for each in made) == 1
    acts = [action.removeprefix("AUDIT_ACTION_TOKEN_") for action, *_ in recorded(log)]
    tried = ["REVOKED"] * count
    assert [each for each in acts if each != "ISSUED"] == [*tried, "REVOCATION_WITHDRAWN"]


def test_the_record_of_a_token_goes_when_it_expires_and_names_nobody_in_clear(log: Log) -> None:
    issued = Issued(log, TOKENS)
    issued.add(Caller("secretive", ("hidden",), READ_WRITE, "0123456789abcdef", time.time() + 0.2), "test")
    [record] = log.read(topics.STATE, 0)
    assert record.key == b"token/0123456789abcdef"
    assert record.value is not None
    assert not [word for word in (b"secretive", b"hidden", b"read") if word in record.value]
    issued.refresh()
    assert issued.get("0123456789abcdef") is not None
    time.sleep(0.3)
    issued.refresh()
    assert issued.get("0123456789abcdef") is None
    assert [each.value for each in log.read(topics.STATE, 0)][-1] is None


def test_what_one_gateway_drops_is_gone_from_the_others(log: Log) -> None:
    issued, revocations, id = Issued(log, TOKENS), Revocations(log), OPERATOR.token_id
    issued.add(OPERATOR, "test")
    revocations.revoke(id, "test")
    for gone in (False, True):
        issued.refresh()
        revocations.refresh()
        assert (issued.get(id) is None, id not in revocations) == (gone, gone)
        log.append([Message(topics.STATE, f"{kind}/{id}".encode(), None) for kind in ("token", "revoked")])


def test_of_the_last_credentials_no_signature_is_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_KNOWN_TOKENS", 2)
    looked: list[str] = []

    class Watched(Signer):
        def check(self, token: str) -> Caller:
            looked.append(token)
            return TOKENS.check(token)

    credentials = Credentials(Watched(b"", ""), GRANTS, set())
    a, b, c = (TOKENS.issue(name, ("acme",), READ_WRITE, 600)[0] for name in "abc")
    for token in (a, b, a, b, c, b, c, a):
        credentials.check(bearer(token))
    assert looked == [a, b, c, a]


def test_a_record_that_an_older_release_wrote_is_read(log: Log) -> None:
    """A nonce of twelve bytes, then what the token says, bound to the record's key."""
    said = TokenRecord(principal="bob", namespace_prefixes=["acme"], rights=["read", "write"], expires_at=4e9)
    key, nonce = b"token/0123456789abcdef", b"n" * 12
    sealed = AESGCM(TOKENS.derive("records")).encrypt(nonce, said.SerializeToString(), key)
    log.append([Message(topics.STATE, key, nonce + sealed)])
    issued = Issued(log, TOKENS)
    issued.refresh()
    assert issued.all() == [Caller("bob", ("acme",), READ_WRITE, "0123456789abcdef", 4e9)]


@pytest.mark.parametrize("follower", [Revocations, lambda log: Issued(log, TOKENS)], ids=["revocations", "issued"])
def test_each_look_reads_what_is_new_and_nothing_twice(
    log: Log, monkeypatch: pytest.MonkeyPatch, follower: Callable[[Log], Revocations | Issued]
) -> None:
    following, read, seen = follower(log), log.read, list[int]()

    def watched(*place: int) -> Iterator[Record]:
        for record in read(*place):  # type: ignore[arg-type]
            seen.append(record.offset)
            yield record

    monkeypatch.setattr(log, "read", watched)
    for n in range(6):
        log.append([Message(topics.STATE, b"generation/%d" % n, b"not ours")])
        if n % 2:
            following.refresh()
    assert seen == [*range(6)]


def test_a_record_of_another_master_key_is_none(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    Issued(log, Signer(b"x" * 32, "mneme")).add(OPERATOR, "test")
    issued = Issued(log, TOKENS)
    with caplog.at_level(logging.WARNING, "services.gateway"):
        issued.refresh()
    assert issued.get(OPERATOR.token_id) is None
    assert "cannot be read" in caplog.text


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

    def revoke(self, token_id: str, by: str) -> int:
        raise LogUnavailable("no space left; free some")


def call(app_log: Log, method: str, request: admin_pb2.IssueTokenRequest | admin_pb2.RevokeTokenRequest) -> bytes:
    app = application(TokenOffice(TOKENS, FullDisk(app_log)), ShardOffice(Assignments(app_log), 1), GRANTS)
    context = CallContext(GRANTS.grant(admin(("",))), 10.0, {})
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


class FullLog:
    """A log whose disk is full."""

    def append(self, messages: object) -> None:
        raise LogUnavailable("no space left; free some")


def test_a_token_that_cannot_be_put_on_record_is_not_made() -> None:
    request = admin_pb2.IssueTokenRequest(
        principal="bob", namespace_prefixes=["acme"], rights=[admin_pb2.RIGHT_READ], ttl_s=600
    )
    with pytest.raises(MnemeError) as refused:
        call(FullLog(), "IssueToken", request)  # type: ignore[arg-type]
    assert refused.value.reason == "LOG_UNAVAILABLE"


def test_a_revocation_that_cannot_be_written_says_so(log: Log) -> None:
    with pytest.raises(MnemeError) as refused:
        call(log, "RevokeToken", admin_pb2.RevokeTokenRequest(token_id="0123456789abcdef"))
    assert refused.value.reason == "LOG_UNAVAILABLE"


def test_a_token_that_was_good_is_refused_once_it_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remembered one too, and not by the application's own check alone: health and reflection have none."""
    credentials = Credentials(TOKENS, GRANTS, set())
    metadata = (("authorization", f"Bearer {TOKENS.issue('ann', ('',), frozenset(Right), 60)[0]}"),)
    known = credentials.check(metadata)
    assert credentials.check(metadata) is known
    later = time.time() + 61
    monkeypatch.setattr("services.gateway.tokens.time.time", lambda: later)
    with pytest.raises(MnemeError) as refused:
        credentials.check(metadata)
    assert refused.value.reason == "UNAUTHENTICATED"
