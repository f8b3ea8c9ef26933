"""A bad value for every option: what is refused is named as it was typed, with a remedy that can be typed as well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from mneme.v1 import admin_pb2

from services.cli.local import Local
from services.cli.main import main
from tests.e2e import talk

NAMESPACE = "e2e/refusals"
LONG = "x" * 1_100
LARGE = "word " * 15_000
HERE = ("-n", NAMESPACE)
ISSUE = ("token", "issue", "--principal", "x", "--prefix", "a", "--right", "read")
LINE = {"id": "t1", "session": "s", "text": "Hi", "observed_at": "2026-01-31T10:00:00Z"}
FILES = {
    "good.jsonl": json.dumps(LINE).encode(),
    "unnamed.jsonl": json.dumps({**LINE, "session": ""}).encode(),
    "own.jsonl": json.dumps({**LINE, "namespace": "Bad Name"}).encode(),
    "odd.jsonl": json.dumps({**LINE, "metadata": {"page": "seven"}}).encode(),
    "latin.txt": b"Ann=\xff\n",
    "text.pem": b"hello\n",
    "other.tok": b"abc.def.ghi\n",
}
PAGE = admin_pb2.MetadataField(name="page", type=admin_pb2.METADATA_TYPE_NUMBER)
# What no terminal takes: names of the wire and of the API.
FOREIGN = ("selector", "scopes", "CreateNamespace", "ListNamespaces", "UpdateNamespace", "IssueToken", 'metadata "auth')


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        # --- namespace
        (("recall", "-n", "Bad Name", "x"), "INVALID_FIELD (-n/--namespace): "),
        (("recall", "-n", "no/such", "x"), "UNKNOWN_NAMESPACE (-n/--namespace): "),
        (("recall", *HERE, "x", "--also", NAMESPACE, "--also", "no/such"), "UNKNOWN_NAMESPACE (--also no/such): "),
        (("recall", *HERE, "x", "--also", "B B"), "INVALID_FIELD (--also B B): "),
        (("ask", "-n", "Bad Name", "x"), "INVALID_FIELD (-n/--namespace): "),
        (("ask", "-n", "no/such", "x"), "UNKNOWN_NAMESPACE (-n/--namespace): "),
        (("forget", "-n", "no/such", "--session", "s", "--dry-run"), "UNKNOWN_NAMESPACE (-n/--namespace): "),
        (("verify-forgotten", "-n", "Bad Name", "r"), "INVALID_FIELD (-n/--namespace): "),
        (("stats", "-n", "Bad Name"), "INVALID_FIELD (-n/--namespace): "),
        (("end-session", "-n", "no/such", "s"), "UNKNOWN_NAMESPACE (-n/--namespace): "),
        (("namespace", "create", "Bad Name"), "INVALID_FIELD (NAME): "),
        (("namespace", "create", NAMESPACE, "--text", "new"), "NAMESPACE_EXISTS (NAME): "),
        (("namespace", "show", "no/such"), "UNKNOWN_NAMESPACE (NAME): "),
        (("namespace", "change", "no/such", "--no-aliases"), "UNKNOWN_NAMESPACE (NAME): "),
        (("namespace", "delete", "Bad Name", "--dry-run"), "INVALID_FIELD (NAME): "),
        (("ingest", "-n", "Bad Name", "good.jsonl"), "INVALID_FIELD (-n/--namespace): This is not a namespace."),
        (("ingest", "-n", "", "good.jsonl"), "name the namespace with -n"),
        (("ingest", "-n", "no/such", "--no-create", "good.jsonl"), "UNKNOWN_NAMESPACE (-n/--namespace): There is no"),
        (("ingest", "-n", "Bad Name", "--namespaces-from-lines", "good.jsonl"), "INVALID_FIELD (-n/--namespace): "),
        (("ingest", "--namespaces-from-lines", "own.jsonl"), "INVALID_FIELD (namespace): line 1 "),
        # --- texts, and lines of files
        (("recall", *HERE, ""), "TEXT_SIZE (QUERY): "),
        (("recall", *HERE, LARGE), "TEXT_SIZE (QUERY): "),
        (("ask", *HERE, ""), "TEXT_SIZE (QUESTION): "),
        (("ask", *HERE, LARGE), "TEXT_SIZE (QUESTION): "),
        (("ask", *HERE, "x", "--worded", "--extractive-only"), "--worded asks for a wording, --extractive-only"),
        (("end-session", *HERE, ""), "INVALID_FIELD (SESSION): "),
        (("ingest", *HERE, "unnamed.jsonl"), "INVALID_FIELD (session): line 1: "),
        (("ingest", *HERE, "odd.jsonl"), "UNDECLARED_METADATA (metadata.page): line 1: "),
        (("ingest", *HERE, "missing"), "'FILE'"),
        # --- numbers
        (("recall", *HERE, "x", "-k", "0"), "'-k' / '--limit'"),
        (("recall", *HERE, "x", "--budget", "-1"), "'--budget'"),
        ((*ISSUE, "--days", "0"), "'--days'"),
        ((*ISSUE, "--days", "nan"), "'--days'"),
        ((*ISSUE, "--days", "0.0000001"), "INVALID_FIELD (--days): "),
        # --- times
        (("recall", *HERE, "x", "--as-of", "yesterday"), "'--as-of'"),
        (("recall", *HERE, "x", "--as-of", "9999-12-31T00:00:00Z"), "INVALID_FIELD (--as-of): "),
        (("recall", *HERE, "x", "--asked-at", "2026-01-01T00:00:00"), "'--asked-at'"),
        (("ask", *HERE, "x", "--asked-at", "0001-01-01T00:00:00Z"), "INVALID_FIELD (--asked-at): "),
        (("forget", *HERE, "--from", "1"), "'--from'"),
        (("forget", *HERE, "--to", "2026-01-01T00:00:00+99:00"), "'--to'"),
        (
            ("forget", *HERE, "--from", "2026-02-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z", "--dry-run"),
            "TIME_RANGE (--from, --to): ",
        ),
        # --- ids and names
        (("forget", *HERE), "name exactly one of --person, --session, --source, --id, --from/--to"),
        (("forget", *HERE, "--person", "", "--dry-run"), "INVALID_FIELD (--person): "),
        (("forget", *HERE, "--person", LONG, "--dry-run"), "INVALID_FIELD (--person): "),
        (("forget", *HERE, "--person", "x", "--alias", "y", "--alias", LONG, "--dry-run"), "(--alias xxx"),
        (("forget", *HERE, "--session", "", "--dry-run"), "INVALID_FIELD (--session): "),
        (("forget", *HERE, "--source", LONG, "--dry-run"), "INVALID_FIELD (--source): "),
        (("forget", *HERE, "--id", "a", "--id", LONG, "--dry-run"), "INVALID_FIELD (--id xxx"),
        (("forget", *HERE, "--id", "a", "--id", "", "--dry-run"), "INVALID_FIELD (--id): "),
        (("forget", *HERE, "--id", "nosuch", "--yes"), "NOT_FOUND (--id): "),
        (("forget", *HERE, "--session", "talk", "--yes", "--key", LONG), "INVALID_FIELD (--key): "),
        (("verify-forgotten", *HERE, "nosuch"), "NOT_FOUND (RECEIPT): "),
        (("rebuild", "--watch", "nosuch"), "NOT_FOUND (--watch): "),
        (("namespace", "delete", NAMESPACE, "--key", LONG), "INVALID_FIELD (--key): "),
        (("namespace", "change", NAMESPACE, "--no-aliases", "--key", LONG, "--yes"), "INVALID_FIELD (--key): "),
        # --- settings of a namespace
        (("namespace", "create", "e2e/new", "--text", "ok", "--number", "2nd"), "INVALID_FIELD (--number 2nd): "),
        (("namespace", "create", "e2e/new", "--alias", "Ann=Annie", "--alias", "Bob=!!"), "(--alias Bob=!!): "),
        (("namespace", "change", NAMESPACE, "--yes"), "--alias, --aliases-file, --no-aliases, --field, --max-texts or"),
        (("namespace", "change", NAMESPACE, "--max-texts", "0"), "'--max-texts'"),
        (("namespace", "create", "e2e/unmade", "--max-bytes", "many"), "'--max-bytes'"),
        (("namespace", "change", NAMESPACE, "--field", "x:date"), "'--field'"),
        (("namespace", "change", NAMESPACE, "--alias", "Ann=!!", "--yes"), "INVALID_FIELD (--alias Ann=!!): "),
        (("namespace", "change", NAMESPACE, "--aliases-file", "latin.txt", "--yes"), "--aliases-file"),
        (("namespace", "change", NAMESPACE, "--aliases-file", "missing"), "'--aliases-file'"),
        # --- tokens, addresses and files
        (("token", "issue", "--principal", "", "--prefix", "a", "--right", "read"), "INVALID_FIELD (--principal): "),
        ((*ISSUE, "--prefix", "B B"), "INVALID_FIELD (--prefix B B): "),
        ((*ISSUE, "--right", "fly"), "'--right'"),
        ((*ISSUE, "--config", "missing"), "--config goes with --master-key-file"),
        ((*ISSUE, "--master-key-file", "missing"), "'--master-key-file'"),
        (("token", "revoke", "nosuch"), "INVALID_FIELD (TOKEN_ID): "),
        (("--token-file", "missing", "stats", *HERE), "no token: missing cannot be read"),
        (("--token-file", "other.tok", "stats", *HERE), "UNAUTHENTICATED (--token-file): "),
        (("--address", "", "stats", *HERE), "'--address'"),
        (("--address", "nonsense", "stats", *HERE), "'--address'"),
        (("--address", "http://127.0.0.1:7420", "stats", *HERE), "'--address'"),
        (("--address", "127.0.0.1:99999", "stats", *HERE), "'--address'"),
        (("--address", "127.0.0.1:1", "stats", *HERE), "or check --address"),
        (("--ca-file", "text.pem", "stats", *HERE), "'--ca-file'"),
        (("--ca-file", ".", "stats", *HERE), "'--ca-file'"),
        (("up", "--config", "missing"), "--config missing: cannot be read"),
        (("up", "--config", "text.pem"), "--config text.pem: must hold sections"),
    ],
)
def test_a_bad_value_is_refused_as_it_was_typed(
    local: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: tuple[str, ...], says: str
) -> None:
    talk.create(local.client, NAMESPACE, metadata_fields=[PAGE])
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MNEME_TOKEN", raising=False)
    before = ["--address", local.address, "--token-file", str(local.settings.common.token_path.absolute())]
    ran = CliRunner().invoke(main, [*before, *typed])
    assert isinstance(ran.exception, SystemExit), ran.exception
    assert ran.exit_code in (1, 2), ran.output
    last = ran.output.strip().splitlines()[-1]
    assert says in last
    assert not [word for word in FOREIGN if word in last], last
    assert last.endswith(".") or ran.exit_code == 2, "a remedy"


def test_a_token_of_the_environment_is_named_so(local: Local) -> None:
    ran = CliRunner(env={"MNEME_TOKEN": "abc.def.ghi"}).invoke(main, ["--address", local.address, "stats", *HERE])
    assert "UNAUTHENTICATED (MNEME_TOKEN): " in ran.output
