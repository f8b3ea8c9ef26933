"""The operator's token: one for all starts, until it nears its end or is revoked; always on record."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from services.cli.up import operator_token
from services.common.config import CommonConfig, load
from services.common.crypto.auth import Right, token_signer
from services.common.crypto.seal import MasterKey
from services.common.ledger.audit import Wanted, acts
from services.common.log.base import Log
from services.common.log.sqlite import SqliteLog
from services.gateway.issued import Issued
from services.gateway.revocations import Revocations

MASTER = MasterKey(bytes(range(32)))
TOKENS = token_signer(MASTER)


def on_record(log: Log) -> list[str]:
    issued = Issued(log, TOKENS)
    issued.refresh()
    return [each.token_id for each in issued.all()]


@pytest.fixture
def common(ledger: SqliteLog, tmp_path: Path) -> CommonConfig:
    """Of a service whose log is ``ledger``."""
    return load(environ={"MNEME__COMMON__DATA_DIR": str(tmp_path)}).common


def start(common: CommonConfig) -> str:
    operator_token.write(common.token_path, MASTER)
    operator_token.record(common, MASTER)
    return operator_token.read(common.token_path, MASTER).token_id


def test_every_start_has_the_same_one_on_record_once(common: CommonConfig, ledger: SqliteLog) -> None:
    path = common.token_path
    first = start(common)
    assert path.stat().st_mode & 0o077 == 0
    assert [start(common) for _ in range(2)] == [first, first]
    assert on_record(ledger) == [first]


def test_a_start_that_puts_one_on_record_says_so(common: CommonConfig, ledger: SqliteLog) -> None:
    first = start(common)
    start(common)
    done = acts(ledger, Wanted(), 10, "").entries
    assert [(each.principal, each.subject, each.issued_to) for each in done] == [("mneme up", first, "operator")]


def test_one_from_before_there_were_records_is_put_on_record(common: CommonConfig, ledger: SqliteLog) -> None:
    operator_token.write(common.token_path, MASTER)
    assert on_record(ledger) == []
    assert [start(common)] == on_record(ledger)


def test_one_that_was_revoked_is_replaced(common: CommonConfig, ledger: SqliteLog) -> None:
    first = start(common)
    Revocations(ledger).revoke(first, "test")
    second = start(common)
    assert second != first
    assert set(on_record(ledger)) == {first, second}


@pytest.mark.parametrize("kind", ["nears its end", "has no right", "of another key", "no token", "no text"])
def test_one_that_is_no_use_is_replaced(common: CommonConfig, kind: str) -> None:
    path, rights = common.token_path, frozenset(Right)
    texts = {
        "nears its end": TOKENS.issue("operator", ("",), rights, 29 * 86_400)[0].encode(),
        "has no right": TOKENS.issue("operator", ("",), rights - {Right.ADMIN}, 300 * 86_400)[0].encode(),
        "of another key": token_signer(MasterKey(bytes(32))).issue("operator", ("",), rights, 300 * 86_400)[0].encode(),
        "no token": b"nonsense",
        "no text": b"\xff\xfe",
    }
    path.write_bytes(texts[kind])
    start(common)
    assert path.read_bytes() != texts[kind]
    assert operator_token.read(path, MASTER).is_operator


def test_a_file_that_cannot_be_read_is_an_error(common: CommonConfig) -> None:
    (common.token_path).mkdir()
    with pytest.raises(OSError, match="directory"), contextlib.suppress(FileNotFoundError):
        start(common)
