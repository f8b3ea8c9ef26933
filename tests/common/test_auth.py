"""Tokens and grants: who may what, and what forging one costs."""

import base64
import json
import re
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import jwt
import pytest

from services.common.crypto.auth import Caller, Right, Signer, covers, grant_signer, token_signer
from services.common.crypto.seal import MasterKey
from services.common.serving.errors import MnemeError

SIGNER = Signer(b"k" * 32, "mneme")


@pytest.mark.parametrize(
    ("prefix", "namespace", "covered"),
    [
        ("", "anything/at/all", True),
        ("acme", "acme", True),
        ("acme", "acme/ann", True),
        ("acme/", "acme/ann", True),
        ("acme", "acmeco", False),
        ("acme/ann", "acme", False),
        ("acme/ann", "acme/anna", False),
    ],
)
def test_a_prefix_covers_whole_parts_only(prefix: str, namespace: str, covered: bool) -> None:
    assert covers(prefix, namespace) is covered


def test_a_token_says_who_and_what() -> None:
    token, issued = SIGNER.issue("ann", ("acme/ann",), frozenset({Right.READ}), 60)
    caller = SIGNER.check(token)
    assert (caller.principal, caller.prefixes, caller.rights) == ("ann", ("acme/ann",), frozenset({Right.READ}))
    assert re.fullmatch("[0-9a-f]{16}", issued.token_id)
    assert issued.expires_at == pytest.approx(time.time() + 60, abs=5)
    assert caller == replace(issued, expires_at=int(issued.expires_at))


def test_no_token_lives_longer_than_a_revocation() -> None:
    _, longest = SIGNER.issue("ann", ("",), frozenset({Right.READ}), 31_536_000)
    assert longest.expires_at == pytest.approx(time.time() + 31_536_000, abs=5)
    with pytest.raises(ValueError, match="31536000"):
        SIGNER.issue("ann", ("",), frozenset({Right.READ}), 31_536_001)


@pytest.mark.parametrize(
    ("prefixes", "rights", "is_operator"),
    [
        (("",), {Right.ADMIN}, True),
        (("acme", ""), {Right.READ, Right.ADMIN}, True),
        (("acme",), {Right.ADMIN}, False),
        (("",), {Right.READ, Right.WRITE, Right.FORGET}, False),
    ],
)
def test_an_operator_may_administer_everything(
    prefixes: tuple[str, ...], rights: set[Right], is_operator: bool
) -> None:
    assert Caller("ann", prefixes, frozenset(rights), "1", 0.0).is_operator is is_operator


def test_prefixes_are_covered_each_by_any_of_ones_own() -> None:
    caller = Caller("ann", ("acme", "beta/x"), frozenset({Right.ADMIN}), "1", 0.0)
    assert caller.covers_all(("acme/ann", "beta/x/y", "acme"))
    assert caller.covers_all(())
    assert not caller.covers_all(("acme", "beta"))
    assert not caller.covers_all(("",))


def test_what_is_derived_is_of_its_purpose_and_key() -> None:
    derived = [Signer(key, "mneme").derive(purpose) for key in (b"k" * 32, b"l" * 32) for purpose in ("a", "b")]
    assert len({*derived}) == 4
    assert {len(each) for each in derived} == {32}
    assert derived[0] == Signer(b"k" * 32, "service").derive("a")
    assert token_signer(MasterKey(b"m" * 32)).derive("a") != grant_signer(MasterKey(b"m" * 32)).derive("a")


def _claims(**changes: object) -> dict[str, object]:
    claims = {"aud": "mneme", "sub": "ann", "ns": [""], "rights": ["read"], "jti": "1", "exp": time.time() + 60}
    return {key: value for key, value in {**claims, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        jwt.encode(_claims(exp=time.time() - 5), b"k" * 32, algorithm="HS256"),
        jwt.encode(_claims(), b"x" * 32, algorithm="HS256"),
        jwt.encode(_claims(aud="service"), b"k" * 32, algorithm="HS256"),
        jwt.encode(_claims(exp=None), b"k" * 32, algorithm="HS256"),
        jwt.encode(_claims(jti=None), b"k" * 32, algorithm="HS256"),
        jwt.encode(_claims(sub=None), b"k" * 32, algorithm="HS256"),
        jwt.encode(_claims(ns=None), b"k" * 32, algorithm="HS256"),
        jwt.encode(_claims(ns=5), b"k" * 32, algorithm="HS256"),
        jwt.encode(_claims(rights=["everything"]), b"k" * 32, algorithm="HS256"),
        jwt.encode(_claims(), None, algorithm="none"),  # type: ignore[arg-type]
    ],
    ids=[
        "empty",
        "nonsense",
        "expired",
        "other key",
        "other audience",
        "no expiry",
        "no id",
        "no principal",
        "no prefixes",
        "prefixes of a number",
        "unknown right",
        "unsigned",
    ],
)
def test_a_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(MnemeError) as caught:
        SIGNER.check(token)
    assert caught.value.reason == "UNAUTHENTICATED"


def test_a_changed_claim_breaks_the_signature() -> None:
    token, _ = SIGNER.issue("ann", ("acme/ann",), frozenset({Right.READ}), 60)
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["ns"] = [""]
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    with pytest.raises(MnemeError):
        SIGNER.check(f"{head}.{forged}.{signature}")


def test_a_grant_is_short_lived_and_no_token() -> None:
    master = MasterKey(b"m" * 32)
    caller = Caller("ann", ("acme",), frozenset({Right.READ}), "1", time.time() + 1_000_000)
    grant = grant_signer(master).grant(caller)
    said = grant_signer(master).check(grant)
    assert said.expires_at == pytest.approx(time.time() + 300, abs=5)
    assert said == replace(caller, expires_at=said.expires_at, by_token_until=int(caller.expires_at))
    assert said.token_expires_at == int(caller.expires_at), "what the caller issues may live as long as the token"
    assert grant_signer(master).check(grant_signer(master).grant(said)).token_expires_at == said.token_expires_at
    with pytest.raises(MnemeError):
        token_signer(master).check(grant)


class Clock:
    """The time that tokens are checked at."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def time(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("services.common.crypto.auth.time", made)
    return made


def test_a_token_that_was_found_good_expires_all_the_same(clock: Clock) -> None:
    token, _ = SIGNER.issue("ann", ("acme",), frozenset({Right.READ}), 60)
    for ahead_s in (0.0, 59.0):
        clock.ahead_s = ahead_s
        assert SIGNER.check(token).principal == "ann"
    clock.ahead_s = 61
    for _ in range(2):
        with pytest.raises(MnemeError, match="no valid token"):
            SIGNER.check(token)


def test_of_the_last_4096_tokens_no_signature_is_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = Signer(b"k" * 32, "mneme")
    tokens = [signer.issue("ann", ("acme",), frozenset({Right.READ}), 60)[0] for _ in range(4_097)]
    decode, looked = jwt.decode, Counter[str]()

    def counted(token: str, *args: Any, **options: Any) -> Any:
        looked[token] += 1
        return decode(token, *args, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    for token in (*tokens[:4_096], tokens[0]):
        signer.check(token)
    assert {*looked.values()} == {1}
    for token in (tokens[-1], tokens[0]):
        signer.check(token)
    assert looked[tokens[0]] == 2


def test_a_grant_ends_with_its_token_however_short_that_lives(clock: Clock) -> None:
    grants = grant_signer(MasterKey(b"m" * 32))
    caller = Caller("ann", ("acme",), frozenset({Right.READ}), "1", time.time() + 20)
    grant = grants.grant(caller)
    clock.ahead_s = 18
    again = grants.grant(grants.check(grant))  # as a service passes it on
    clock.ahead_s = 21
    for each in (grant, again):
        with pytest.raises(MnemeError, match="no valid token"):
            grants.check(each)


def test_missing_rights_and_namespaces_are_named() -> None:
    caller = Caller("ann", ("acme/ann",), frozenset({Right.READ}), "1", time.time() + 60)
    caller.require_right(Right.READ)
    caller.require_namespace("acme/ann/notes")
    with pytest.raises(MnemeError) as right:
        caller.require_right(Right.FORGET)
    assert right.value.metadata == {"right": "forget"}
    with pytest.raises(MnemeError) as namespace:
        caller.require_namespace("acme/bob", "scopes[1]")
    assert (namespace.value.reason, namespace.value.field) == ("PERMISSION_DENIED", "scopes[1]")
    assert namespace.value.metadata == {"namespace": "acme/bob"}
    with pytest.raises(MnemeError) as default:
        caller.require_namespace("acme/bob")
    assert default.value.field == "namespace"


def test_what_is_of_every_namespace_is_refused_with_a_remedy_and_its_field() -> None:
    rights = frozenset({Right.ADMIN})
    Caller("root", ("acme", ""), rights, "1", time.time() + 60).require_every_namespace("It is of all.")
    caller = Caller("ann", ("acme",), rights, "1", time.time() + 60)
    with pytest.raises(MnemeError) as plain:
        caller.require_every_namespace("It is of all.")
    assert (plain.value.reason, plain.value.message, plain.value.field) == ("PERMISSION_DENIED", "It is of all.", "")
    assert plain.value.remedy == 'Use a token whose prefix is "".'
    assert plain.value.metadata == {"right": "admin", "namespace": ""}
    with pytest.raises(MnemeError) as told:
        caller.require_every_namespace("It is of all.", field="namespace", remedy="Name one.")
    assert (told.value.field, told.value.remedy) == ("namespace", "Name one.")
