"""`mneme` against a running service: what a person types, and what they read."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner
from mneme.v1.reasoning_pb2 import WORDING_OUTCOME_WORDED, AskDone, WordingEnd

from services.cli import render
from services.cli.local import Local
from services.cli.main import main
from tests.e2e import talk

NAMESPACE = "e2e/cli"


def mneme(local: Local, *arguments: str, stdin: str = "", code: int = 0) -> str:
    """What it prints. In this process, for another takes a second to start: test_readme.py runs it as a reader does."""
    ran = CliRunner(env=_environ(local)).invoke(main, arguments, input=stdin)
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    assert ran.exit_code == code, ran.output
    return ran.output


def _environ(local: Local) -> dict[str, str]:
    token_file = str(local.settings.common.token_path)
    return {**os.environ, "MNEME_ADDRESS": local.address, "MNEME_TOKEN_FILE": token_file}


def _lines() -> str:
    return "\n".join(
        json.dumps(
            {"id": f"c{n}", "session": "talk", "text": text, "actor": actor, "observed_at": f"2026-03-02T18:0{n}:00Z"}
        )
        for n, (actor, text) in enumerate(talk.LINES)
    )


def test_a_memory_from_end_to_end(local: Local) -> None:
    assert "6 accepted, 0 known" in mneme(local, "ingest", "-n", NAMESPACE, "-", stdin=_lines())
    assert "0 accepted, 6 known" in mneme(local, "ingest", "-n", NAMESPACE, "-", stdin=_lines())
    assert "talk: ended" in mneme(local, "end-session", "-n", NAMESPACE, "talk")
    recalled = mneme(local, "recall", "-n", NAMESPACE, "--fresh", "the umbrella")
    assert "2026-03-02 c2" in recalled
    assert "score" in recalled
    quoted = mneme(local, "ask", "-n", NAMESPACE, "--extractive-only", "What did the landlord fix?")
    assert "boiler" in quoted
    assert "words it" not in quoted
    plain = mneme(local, "ask", "-n", NAMESPACE, "What did the landlord fix?")
    assert "no wording: --worded lets SmolLM2" in plain
    worded = mneme(local, "ask", "-n", NAMESPACE, "--worded", "What did the landlord fix?")
    assert worded.index("boiler") < worded.index("words it (it may be wrong)")
    assert "kv store       " in (stats := mneme(local, "stats", "-n", NAMESPACE))
    assert "engine-" in stats
    assert "shards         1 wanted\nepisodic       partitions 0, 1, 2, 3" in stats
    assert "would go" in mneme(local, "forget", "-n", NAMESPACE, "--person", "Petronella", "--dry-run")
    gone = mneme(local, "forget", "-n", NAMESPACE, "--person", "Petronella", "--yes")
    assert gone.index("key ") < gone.index("receipt ")
    receipt = gone.split("receipt ")[1].split()[0]
    repeat = ("forget", "-n", NAMESPACE, "--yes", "--key", gone.split("key ")[1].split()[0])
    again = mneme(local, *repeat, "--person", "Petronella")
    assert "would go: 0 told" in again
    assert f"receipt {receipt} " in again
    assert "ID_REUSED (--key)" in mneme(local, *repeat, "--session", "talk", code=1)
    assert "clean" in mneme(local, "verify-forgotten", "-n", NAMESPACE, receipt)
    audited = mneme(local, "audit", "-n", NAMESPACE).splitlines()
    assert f"erased                operator  {receipt} " in audited[0]
    assert "namespace-created" in audited[-1]
    assert f"{NAMESPACE}  6 told, {6 - (len(audited) - 2)} of them erased, " in mneme(local, "usage", "-n", NAMESPACE)
    assert "Petronella" not in mneme(local, "recall", "-n", NAMESPACE, "--fresh", "Lisbon Sunday aunt")
    before = _state_hash(mneme(local, "stats", "-n", NAMESPACE))
    assert "rebuild done" in mneme(local, "rebuild")
    assert "rebuild-asked         operator  rebuild-cli-" in mneme(local, "audit", "--action", "rebuild-asked")
    assert _state_hash(mneme(local, "stats", "-n", NAMESPACE)) == before
    assert NAMESPACE in mneme(local, "namespace", "list").split()


def _line(id: str, text: str) -> str:
    return json.dumps({"id": id, "session": "s", "text": text, "observed_at": "2026-03-02T18:00:00Z"})


def test_a_namespace_beyond_its_quota_is_refused_by_every_door_until_something_is_forgotten(local: Local) -> None:
    space, held = "e2e/quota", ("usage", "-n", "e2e/quota")
    here = ("ingest", "-n", space, "-")
    mneme(local, "namespace", "create", space, "--max-texts", "2")
    lines = [_line(f"q{n}", f"Parcel {n} came.") for n in range(3)]
    refused = mneme(local, *here, stdin="\n".join(lines), code=1)
    assert "2 accepted" in refused
    assert "QUOTA_EXCEEDED (quota.max_texts): line 3" in refused
    assert "mneme namespace change NAME --max-texts N" in refused
    assert "0 accepted, 2 known" in mneme(local, *here, stdin="\n".join(lines[:2]))
    stated = json.dumps({"remember": {"id": "r1", "text": "The parcels lie in the hall."}})
    assert "QUOTA_EXCEEDED (quota.max_texts)" in mneme(local, *here, stdin=stated, code=1)
    assert "2 told, 0 of them erased" in (full := mneme(local, *held))
    assert full.rstrip().endswith("quota 2 of 2 texts")
    assert "quota          2 texts" in mneme(local, "namespace", "show", space)
    mneme(local, "forget", "-n", space, "--id", "q0", "--yes")
    assert mneme(local, *held).rstrip().endswith("quota 1 of 2 texts")
    assert "1 accepted" in mneme(local, *here, stdin=stated)
    mneme(local, "namespace", "change", space, "--max-texts", "none", "--yes")
    assert "1 accepted, 1 known" in mneme(local, *here, stdin="\n".join(lines[1:]))
    assert "quota" not in mneme(local, *held).removeprefix(space)


def test_what_is_doubtful_of_a_person_is_shown_and_left(local: Local) -> None:
    lines = [_line(f"w{n}", text) for n, text in enumerate(["I saw Mark.", "Mark it."])]
    mneme(local, "ingest", "-n", "e2e/doubt", "-", stdin="\n".join(lines))
    listed = mneme(local, "forget", "-n", "e2e/doubt", "--person", "Mark", "--dry-run")
    assert listed.index("would go: 1 told") < listed.index("doubtful") < listed.index("Mark it.")
    gone = mneme(local, "forget", "-n", "e2e/doubt", "--person", "Mark", "--yes")
    assert "1 left that may name the person" in gone
    verified = mneme(local, "verify-forgotten", "-n", "e2e/doubt", gone.split("receipt ")[1].split()[0])
    assert "nothing left seems to name the person" in verified
    assert "may name the person: 1 (" in verified
    assert "clean" not in verified


def test_a_namespace_is_shown_deleted_and_made_anew(local: Local) -> None:
    name = "e2e/gone"
    mneme(local, "namespace", "create", name, "--text", "room", "--alias", "Ann Lee=Annie")
    line = _line("g0", "The attic is full of hats.")
    mneme(local, "ingest", "-n", name, "-", stdin=line)
    mneme(local, "recall", "-n", name, "--fresh", "hats")
    shown = mneme(local, "namespace", "show", name)
    assert "room (text)" in shown
    assert "Ann Lee: Annie" in shown
    assert f"would go: {name} with 1 engrams" in mneme(local, "namespace", "delete", name, "--dry-run")
    mneme(local, "namespace", "delete", name, stdin="no\n", code=1)
    gone = mneme(local, "namespace", "delete", name, stdin=f"{name}\n")
    receipt = gone.split("receipt ")[1].split()[0]
    again = mneme(local, "namespace", "delete", name, "--key", gone.split("key ")[1].split()[0])
    assert f"receipt {receipt} " in again
    assert name not in mneme(local, "namespace", "list").split()
    assert "UNKNOWN_NAMESPACE" in mneme(local, "recall", "-n", name, "hats", code=1)
    mneme(local, "namespace", "create", name)
    assert "nothing found" in mneme(local, "recall", "-n", name, "--fresh", "hats")
    assert "1 accepted, 0 known" in mneme(local, "ingest", "-n", name, "-", stdin=line)


def test_a_namespace_is_changed_and_says_before_what_would_change(local: Local) -> None:
    name = "e2e/changed"
    mneme(local, "namespace", "create", name, "--alias", "Ann Lee=Annie")
    mneme(local, "ingest", "-n", name, "-", stdin=_line("g0", "Annie hung the hats in the attic."))
    change = ("namespace", "change", name, "--alias", "Ann Smith=Annie", "--field", "room:text")
    shown = mneme(local, *change, "--dry-run")
    assert shown.index("+ metadata     room (text)") < shown.index("- alias group  Ann Lee: Annie")
    assert "+ alias group  Ann Smith: Annie" in shown
    assert json.loads(mneme(local, "namespace", "show", name, "--json"))["aliases"][0]["name"] == "Ann Lee"
    mneme(local, *change, stdin="n\n", code=1)
    assert '"Bob=" for a name alone' in mneme(local, "namespace", "change", name, "--alias", "Bob", "--yes", code=2)
    key = mneme(local, *change, stdin="y\n").split("key ")[1].split()[0]
    assert "hung the hats" in mneme(local, "recall", "-n", name, "--fresh", "hats")
    listed = mneme(local, "namespace", "list", "--json").splitlines()
    [now] = [each for each in map(json.loads, listed) if each["name"] == name]
    assert now["aliases"] == [{"name": "Ann Smith", "aliases": ["Annie"]}]
    assert now["metadata_fields"] == [{"name": "room", "type": "METADATA_TYPE_TEXT"}]
    assert "nothing would change" in mneme(local, *change, "--key", key, "--yes")
    retyped = mneme(local, "namespace", "change", name, "--field", "room:number", "--yes", code=1)
    assert "INVALID_FIELD (--field)" in retyped
    assert "NAME:text" in mneme(local, "namespace", "change", "--help")
    before = _state_hash(mneme(local, "stats", "-n", name))
    assert "rebuild done" in mneme(local, "rebuild")
    assert _state_hash(mneme(local, "stats", "-n", name)) == before


def test_quotes_are_shown_while_the_model_still_words(local: Local) -> None:
    mneme(local, "ingest", "-n", "e2e/cli-ask", "-", stdin=_lines())
    mneme(local, "recall", "-n", "e2e/cli-ask", "--fresh", "the boiler")
    command = [sys.executable, "-m", "services.cli.main", "ask", "-n", "e2e/cli-ask", "--worded"]
    command.append("What did the landlord fix?")
    with subprocess.Popen(command, env=_environ(local), stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        shown = [(time.monotonic(), line) for line in running.stdout]
    assert running.returncode == 0
    worded = next(at for at, line in shown if "words it" in line)
    assert "boiler" in shown[0][1]
    assert worded - shown[0][0] > 0.05  # printed together, they are a millisecond apart


def test_a_wording_that_the_evidence_does_not_support_is_shown_as_such() -> None:
    end = WordingEnd(outcome=WORDING_OUTCOME_WORDED)
    given = render.Answer(wording="Nobody knows.", done=AskDone(model="small", wording=end))
    shown = render.ending(given)
    assert "small words it (it may be wrong): Nobody knows." in shown
    assert "cites nothing: none of its words stand in the evidence; 0 tokens read" in shown
    end.citations.add(engram_id="e1", support=0.5)
    given.done.wording.CopyFrom(end)
    assert "cites e1 (50% of its words); 0 tokens read" in render.ending(given)


def test_a_talk_of_which_something_was_erased_is_ingested_again(local: Local, tmp_path: Path) -> None:
    namespace, file = "e2e/erased", tmp_path / "talk.jsonl"
    file.write_text(_lines())
    mneme(local, "ingest", "-n", namespace, str(file))
    mneme(local, "recall", "-n", namespace, "--fresh", "umbrella")
    mneme(local, "forget", "-n", namespace, "--id", "c1", "--id", "c3", "--id", "c4", "--yes")
    file.write_text(_lines() + "\n" + _lines().splitlines()[0].replace("c0", "c6"))
    again = mneme(local, "ingest", "-n", namespace, str(file))
    assert "1 accepted, 3 known" in again
    assert "3 skipped: erased before" in again
    # Of a pipe, which cannot be read again: that takes a process of its own.
    command = [sys.executable, "-m", "services.cli.main", "ingest", "-n", namespace, "-"]
    piped = subprocess.run(
        command, env=_environ(local), input=_lines(), capture_output=True, text=True, timeout=90, check=False
    )
    assert piped.returncode == 1
    assert "ERASED" in piped.stderr
    assert "line 2: " in piped.stderr
    assert "Traceback" not in piped.stderr


def _state_hash(stats: str) -> str:
    return stats.split("state hash")[1].split()[0]


def test_a_token_is_issued_used_and_revoked(local: Local) -> None:
    mneme(local, "namespace", "create", "e2e/token", "--text", "room")
    rights = ("--right", "read", "--right", "write")
    prefixes = ("--prefix", "e2e/token", "--prefix", "e2e/more")
    issued = mneme(local, "token", "issue", "--principal", "p", *prefixes, *rights)
    token, token_id = issued.split()[0], issued.split("id ")[1].split(",")[0]
    arguments = ("recall", "-n", "e2e/token", "x")
    os.environ["MNEME_TOKEN"] = token
    try:
        assert "nothing found" in mneme(local, *arguments)
        stats = mneme(local, "stats", "-n", "e2e/token")
        assert "kv store       not shown" in stats
        assert "shards         not shown" in stats
        del os.environ["MNEME_TOKEN"]
        (line,) = (each for each in mneme(local, "token", "list").splitlines() if each.startswith(token_id))
        end = issued.split("until ")[1][:10]
        assert line.split() == [token_id, end, "read,write", "e2e/token,e2e/more", "p"]
        assert "no such token on record" not in mneme(local, "token", "revoke", token_id)
        assert "no such token on record" in mneme(local, "token", "revoke", "0" * 16)
        assert f"{token_id}  revoked" in mneme(local, "token", "list")
        os.environ["MNEME_TOKEN"] = token
        assert "UNAUTHENTICATED" in mneme(local, *arguments, code=1)
    finally:
        os.environ.pop("MNEME_TOKEN", None)


def test_a_token_lives_as_long_as_was_asked(local: Local) -> None:
    issued = mneme(local, "token", "issue", "--principal", "p", "--prefix", "e2e", "--right", "read", "--days", "30")
    expires_at = jwt.decode(issued.split()[0], options={"verify_signature": False})["exp"]
    assert 29.9 < (expires_at - time.time()) / 86_400 <= 30
    assert time.strftime("until %Y-%m-%dT%H:%M:%SZ", time.gmtime(expires_at)) in issued


def test_a_token_that_may_only_write_is_enough_to_ingest(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    mneme(local, "namespace", "create", "e2e/writer")
    issued = mneme(local, "token", "issue", "--principal", "p", "--prefix", "e2e", "--right", "write")
    monkeypatch.setenv("MNEME_TOKEN", issued.split()[0])
    assert "6 accepted" in mneme(local, "ingest", "-n", "e2e/writer", "-", stdin=_lines())
    missing = mneme(local, "ingest", "-n", "e2e/missing", "-", stdin=_lines(), code=1)
    assert "UNKNOWN_NAMESPACE" in missing


def test_a_line_that_is_no_utf_8_is_named_and_those_before_it_are_kept(local: Local, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_bytes("\n".join([_lines(), '{"text": "Jürgen"}']).encode("latin-1"))
    said = mneme(local, "ingest", "-n", "e2e/latin", str(file), code=1)
    assert "6 accepted" in said
    assert "line 7 is not an observation: Byte 11 is not UTF-8" in said


def test_a_line_that_is_refused_is_named(local: Local) -> None:
    good, *_ = _lines().splitlines()
    said = mneme(local, "ingest", "-n", "e2e/refused", "-", stdin=f"{good}\n\n{{}}\n{good}\n", code=1)
    assert "INVALID_FIELD" in said
    assert "line 3: " in said
    assert "What came before it is kept" in said
    assert "1 accepted" in said


def test_a_line_that_no_call_takes_is_named(local: Local) -> None:
    good, *_ = _lines().splitlines()
    endless = json.dumps({"id": "long", "session": "s", "text": "x" * 300_000})
    said = mneme(local, "ingest", "-n", "e2e/too-large", "-", stdin=f"{good}\n{endless}\n", code=1)
    assert "INVALID_FIELD (text): line 2: The message is too large" in said
    assert "What came before it is kept" in said


@pytest.mark.parametrize("days", ["nan", "inf", "-1", "0", "1e300"])
def test_days_that_no_token_can_live_are_refused(local: Local, days: str) -> None:
    asked = ("token", "issue", "--principal", "p", "--prefix", "x", "--right", "read", "--days", days)
    assert "--days" in mneme(local, *asked, code=2)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (("recall", "-n", "no/such", "x"), "", 1, "UNKNOWN_NAMESPACE (-n/--namespace)"),
        (("ingest", "-n", NAMESPACE, "-"), "{}\n", 1, "INVALID_FIELD"),
        (("ingest", "-n", NAMESPACE, "-"), "not json\n", 1, "line 1 is not an observation"),
        (("recall", "-n", NAMESPACE, "-k", "-1", "x"), "", 2, "--limit"),
        (("forget", "-n", NAMESPACE, "--dry-run"), "", 2, "name exactly one of"),
        (("--address", "127.0.0.1:1", "stats", "-n", NAMESPACE), "", 1, "SERVICE_UNAVAILABLE"),
        (("--token-file", "nowhere", "stats", "-n", NAMESPACE), "", 2, "Run `mneme up` in this folder first"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    local: Local, arguments: tuple[str, ...], stdin: str, code: int, says: str
) -> None:
    assert says in mneme(local, *arguments, stdin=stdin, code=code)


@pytest.mark.parametrize("command", ["up", "ingest", "recall", "ask", "forget", "stats", "rebuild"])
def test_help_teaches(local: Local, command: str) -> None:
    text = mneme(local, command, "--help")
    assert "Usage:" in text
    assert len(text.splitlines()) > 5
