"""`mneme token issue --master-key-file`: whoever has the key needs no token, and no running service."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from mneme.v1.admin_pb2 import AUDIT_ACTION_TOKEN_ISSUED

from services.cli.main import main
from services.common.crypto.auth import Right, token_signer
from services.common.crypto.seal import MasterKey
from services.common.ledger import topics
from services.common.ledger.audit import Wanted, acts
from services.common.log.sqlite import SqliteLog
from services.gateway.issued import Issued

ASKED = ("token", "issue", "--principal", "ann", "--prefix", "", "--right", "admin", "--right", "read", "--days", "2")


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The key of a service whose data folder is ``tmp_path``."""
    monkeypatch.setenv("MNEME__COMMON__DATA_DIR", str(tmp_path))
    MasterKey.load_or_create(tmp_path / "master.key")
    return tmp_path / "master.key"


def test_a_token_is_made_of_the_key_and_put_on_record(key: Path, ledger: SqliteLog) -> None:
    done = CliRunner().invoke(main, [*ASKED, "--master-key-file", str(key)])
    assert done.exit_code == 0, done.output
    token, said = done.stdout.strip(), done.stderr
    tokens = token_signer(MasterKey.load(key))
    caller = tokens.check(token)
    assert (caller.principal, caller.prefixes) == ("ann", ("",))
    assert caller.rights == {Right.ADMIN, Right.READ}
    assert said.startswith(f"id {caller.token_id}, until ")
    issued = Issued(ledger, tokens)
    issued.refresh()
    assert [each.token_id for each in issued.all()] == [caller.token_id]


def test_it_is_recorded_also_in_the_log_of_a_release_that_recorded_nothing(key: Path, tmp_path: Path) -> None:
    with contextlib.closing(SqliteLog(tmp_path / "log.db")) as log:
        log.ensure_topics([spec for spec in topics.specs(4, []) if spec.name != topics.AUDIT])
        done = CliRunner().invoke(main, [*ASKED, "--master-key-file", str(key)])
        assert done.exit_code == 0, done.output
        [issued] = acts(log, Wanted(), 10, "").entries
    assert issued.action == AUDIT_ACTION_TOKEN_ISSUED
    assert (issued.principal, issued.issued_to) == ("operator", "ann")
    assert f"id {issued.subject}, " in done.stderr


def test_where_there_is_no_log_none_is_begun(key: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*ASKED, "--master-key-file", str(key)])
    assert done.exit_code == 2
    assert "there is no log in" in done.stderr
    assert "MNEME__COMMON__DATA_DIR" in done.stderr
    assert not (tmp_path / "log.db").exists()


@pytest.mark.parametrize(("text", "mode", "says"), [("nonsense", 0o600, "no master key"), ("00" * 32, 0o644, "chmod")])
def test_a_file_that_is_no_key_or_open_to_others_is_refused(
    key: Path, ledger: SqliteLog, text: str, mode: int, says: str
) -> None:
    key.write_text(text)
    key.chmod(mode)
    done = CliRunner().invoke(main, [*ASKED, "--master-key-file", str(key)])
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""
