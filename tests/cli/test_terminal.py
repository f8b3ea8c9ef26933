"""`mneme` at the terminal, where no service of ours is needed: what it says when something is wrong or interrupted."""

import datetime
import importlib.metadata
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from mneme.v1 import admin_pb2, episodic_pb2, perception_pb2

from services.cli import render, up
from services.cli.main import _fail, main
from services.cli.up.watch import MOST_LINES, Terminal
from services.common.config import load
from services.common.crypto.auth import token_signer
from services.common.crypto.seal import MasterKey
from services.common.serving.errors import MnemeError
from tests.tls import self_signed

PLAIN = {k: v for k, v in os.environ.items() if not k.startswith("MNEME_")}
UNREACHABLE = "127.0.0.1:1"


def mneme(*arguments: str | bytes, env: dict[str, str] | None = None, code: int = 0) -> str:
    environ = {"MNEME_TOKEN": None, "MNEME_TOKEN_FILE": None, "MNEME_ADDRESS": None, **(env or {})}
    ran = CliRunner().invoke(main, [os.fsdecode(each) for each in arguments], env=environ)
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    assert ran.exit_code == code, ran.output
    return ran.output


@pytest.mark.parametrize("token", [b"\xff\xfe\x00", b"two\nlines\n", "schlüssel".encode(), b"\n"])
def test_a_token_that_is_none_is_named_with_its_file(tmp_path: Path, token: bytes) -> None:
    file = tmp_path / "bin.tok"
    file.write_bytes(token)
    said = mneme("--address", UNREACHABLE, "--token-file", str(file), "stats", "-n", "a/b", code=2)
    assert f"no token: {file}" in said
    assert "mneme up" in said


def test_a_token_of_the_environment_that_is_none_is_named() -> None:
    said = mneme("--address", UNREACHABLE, "stats", "-n", "a/b", env={"MNEME_TOKEN": "two\nlines"}, code=2)
    assert "no token: MNEME_TOKEN" in said


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("recall", "-n", "acme/ann", b"\xff\xfe"), "QUERY"),
        (("recall", "-n", b"acme/\xff", "x"), "--namespace"),
        (("recall", "-n", "acme/ann", "--also", b"\xff", "x"), "--also"),
        (("namespace", "create", b"\xff"), "NAME"),
    ],
)
def test_an_argument_that_is_no_utf_8_is_named(arguments: tuple[str | bytes, ...], names: str) -> None:
    said = mneme("--address", UNREACHABLE, *arguments, env={"MNEME_TOKEN": "x"}, code=2)
    assert names in said
    assert "UTF-8" in said


def test_where_no_service_answers_the_remedy_is_said() -> None:
    said = mneme("--address", UNREACHABLE, "stats", "-n", "a/b", env={"MNEME_TOKEN": "x"}, code=1)
    assert "SERVICE_UNAVAILABLE" in said
    assert "mneme up" in said
    assert "--address" in said


# --- interrupted ---


@dataclass
class Peer:
    """A server that says a rebuild runs, for ever, and takes a stream of observations without an end."""

    asked: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)

    def rebuild(self, request: object, context: object) -> admin_pb2.RebuildResponse:
        return admin_pb2.RebuildResponse(operation=self._running())

    def get_operation(self, request: object, context: object) -> admin_pb2.GetOperationResponse:
        self.asked.set()
        return admin_pb2.GetOperationResponse(operation=self._running())

    def get_stats(self, request: object, context: object) -> admin_pb2.GetStatsResponse:
        return admin_pb2.GetStatsResponse(namespace="a/b", state_hash="ab")

    def observe(self, requests: Iterator[object], context: object) -> perception_pb2.ObserveResponse:
        next(requests)
        self.asked.set()
        self.stop.wait(30)
        return perception_pb2.ObserveResponse()

    @staticmethod
    def _running() -> admin_pb2.Operation:
        return admin_pb2.Operation(
            id="rebuild-7", kind="rebuild", state=admin_pb2.OPERATION_STATE_RUNNING, done=3, total=9
        )


def _handlers(peer: Peer) -> tuple[grpc.GenericRpcHandler, ...]:
    unary, fold = grpc.unary_unary_rpc_method_handler, grpc.stream_unary_rpc_method_handler
    admin = {
        name: unary(function, request.FromString, response.SerializeToString)
        for name, function, request, response in (
            ("Rebuild", peer.rebuild, admin_pb2.RebuildRequest, admin_pb2.RebuildResponse),
            ("GetOperation", peer.get_operation, admin_pb2.GetOperationRequest, admin_pb2.GetOperationResponse),
            ("GetStats", peer.get_stats, admin_pb2.GetStatsRequest, admin_pb2.GetStatsResponse),
        )
    }
    request, response = perception_pb2.ObserveRequest, perception_pb2.ObserveResponse
    observe = {"Observe": fold(peer.observe, request.FromString, response.SerializeToString)}
    return (
        grpc.method_handlers_generic_handler("mneme.v1.AdminService", admin),
        grpc.method_handlers_generic_handler("mneme.v1.PerceptionService", observe),
    )


@contextmanager
def peering(credentials: grpc.ServerCredentials | None = None) -> Iterator[tuple[Peer, str]]:
    peer, server = Peer(), grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(_handlers(peer))
    at = "127.0.0.1:0"
    port = server.add_secure_port(at, credentials) if credentials else server.add_insecure_port(at)
    server.start()
    try:
        yield peer, f"127.0.0.1:{port}"
    finally:
        peer.stop.set()
        server.stop(0).wait(10)


# What starts the tests in the background may have Ctrl-C ignored, and children inherit that.
IN_A_TERMINAL = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from services.cli.main import main
main()
"""


def interrupted(peer: Peer, address: str, *arguments: str, shown: str = "") -> str:
    """What was said up to the end. Ctrl-C is pressed once the peer was asked, and ``shown`` stands in the terminal."""
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, "--address", address, *arguments],
        env={**PLAIN, "MNEME_TOKEN": "x", "TERM": "xterm"},
        stdout=side,
        stderr=side,
    )
    os.close(side)
    with process, open(terminal, "rb", buffering=0) as screen:
        try:
            assert peer.asked.wait(30)
            said = _read(screen, until=shown.encode())
            process.send_signal(signal.SIGINT)
            said += _read(screen)
            process.wait(30)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "Aborted" not in said
    return said


def _read(screen: RawIOBase, until: bytes | None = None) -> str:
    """What a terminal shows, up to these bytes, or until nobody writes to it any more."""
    said = b""
    with suppress(OSError):  # how its end is told
        while until is None or until not in said:
            said += screen.read(4096) or b""
    return said.decode()


def test_ctrl_c_on_a_rebuild_says_that_it_goes_on_and_how_to_look() -> None:
    with peering() as (peer, address):
        assert "`mneme rebuild --watch rebuild-7`" in interrupted(peer, address, "rebuild")
        peer.asked.clear()
        assert "goes on in the service" in interrupted(peer, address, "rebuild", "--watch", "rebuild-7")


def test_ctrl_c_on_ingest_says_what_is_kept(tmp_path: Path) -> None:
    talk = tmp_path / "talk.jsonl"
    talk.write_text('{"id": "1", "session": "s", "text": "x", "observed_at": "2026-03-02T18:00:00Z"}\n' * 3)
    with peering() as (peer, address):
        said = interrupted(peer, address, "ingest", "-n", "a/b", str(talk), shown="/3")
    assert re.search(r"sent .*[0-3]/3", said.partition("interrupted")[0]), "how many of how many"
    assert "is kept" in said
    assert "again" in said


# --- TLS ---


def test_the_line_that_up_prints_reaches_a_service_with_a_certificate(tmp_path: Path) -> None:
    """The line itself, but for its command: one that the double answers."""
    cert, key = self_signed(tmp_path)
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    with peering(credentials) as (_, address):
        environ = {
            "MNEME__COMMON__DATA_DIR": str(tmp_path / "data"),
            "MNEME__GATEWAY__PORT": address.rpartition(":")[2],
            "MNEME__GATEWAY__TLS_CERT_FILE": str(cert),
            "MNEME__GATEWAY__TLS_KEY_FILE": str(key),
        }
        settings = load(environ=environ)
        up.prepare(settings)
        shown = render.how_to_call(settings, up.operator(settings))
        (line,) = [each.strip() for each in shown.splitlines() if each.strip().startswith("mneme ")]
        words = shlex.split(line)
        assert "namespace      a/b" in mneme(*words[1 : words.index("ask")], "stats", "-n", "a/b", code=1)
    assert all("-cacert" in each and "-plaintext" not in each for each in shown.splitlines() if "grpcurl" in each)


def test_up_names_the_operators_token_by_its_id_and_its_end(tmp_path: Path) -> None:
    settings = load(environ={"MNEME__COMMON__DATA_DIR": str(tmp_path / "data")})
    up.prepare(settings)
    shown = render.how_to_call(settings, up.operator(settings))
    token = settings.common.token_path.read_text().strip()
    caller = token_signer(MasterKey.load_or_create(settings.common.master_key_path)).check(token)
    assert f"id {caller.token_id}" in shown
    assert f"{datetime.datetime.fromtimestamp(caller.expires_at, datetime.UTC):%Y-%m-%d}" in shown
    assert token not in shown


# --- what is shown ---


@pytest.mark.parametrize("reason", ["INTERNAL", "SERVICE_UNAVAILABLE", "LOG_UNAVAILABLE", "NOT_FOUND"])
def test_a_failure_that_is_the_operators_is_shown_with_its_trace_id(
    capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    with pytest.raises(SystemExit):
        _fail(MnemeError(reason, "It failed.", remedy="Look.", metadata={"trace_id": "0af7"}))
    assert ("(trace id 0af7)" in capsys.readouterr().err) == (reason != "NOT_FOUND")


def test_a_line_of_a_process_is_short_and_says_when_who_what_why_and_how_long() -> None:
    said: dict[str, object] = {
        "at": "2026-11-29T13:30:29.123Z",
        "level": "WARNING",
        "service": "up",
        "logger": "services.cli.up.watch",
    }
    said |= {"message": "a replica has ended", "application": "episodic", "pid": 7, "reason": "signal 9"}
    shown = "13:30:29 up: warning: a replica has ended (application episodic, pid 7, reason signal 9, 3.1 s)"
    assert render.line({**said, "seconds": 3.1}) == shown


def test_a_flood_of_lines_is_counted_not_shown() -> None:
    shown: list[str] = []
    terminal = Terminal(shown.append)
    for _ in range(MOST_LINES + 7):
        terminal.show({"at": "2026-11-29T13:30:29.123Z", "level": "INFO", "service": "gateway", "message": "said"})
    assert len(shown) == MOST_LINES
    terminal.show_left_out()
    assert shown[-1] == "and 7 more lines; all are in data_dir/logs"


def test_a_count_without_a_known_total_shows_no_none(capsys: pytest.CaptureFixture[str]) -> None:
    with render.counter("sent") as count:
        count()
    said = capsys.readouterr().err
    assert "1/" in said
    assert "None" not in said


def test_stats_of_a_busy_service_say_so() -> None:
    assert "busy" in render.stats(admin_pb2.GetStatsResponse(namespace="a/b", lag=3))
    assert "busy" not in render.stats(admin_pb2.GetStatsResponse(namespace="a/b", state_hash="ab"))


def test_a_recall_of_nothing_announces_nothing() -> None:
    shown = render.recall(episodic_pb2.RecallResponse())
    assert "nearest" not in shown
    assert shown.startswith("nothing found")


def test_a_confidence_is_shown_apart_from_the_bar_that_it_misses() -> None:
    response = episodic_pb2.RecallResponse(confidence=0.28978, threshold=0.293)
    assert "confidence 0.290, needed 0.293" in render.recall(response)
    assert "confidence 0.50, needed 0.29" in render.recall(episodic_pb2.RecallResponse(confidence=0.5, threshold=0.29))


def test_the_version_and_the_environment_are_in_the_help() -> None:
    assert mneme("--version").startswith(f"mneme {importlib.metadata.version('mneme')}")
    said = mneme("--help")
    for variable in ("MNEME_ADDRESS", "MNEME_TOKEN_FILE", "MNEME_TOKEN "):
        assert variable in said


def test_ingest_without_a_namespace_says_how_to_name_one(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_text("{}\n")
    said = mneme("ingest", str(file), env={"MNEME_TOKEN": "x"}, code=2)
    assert "-n" in said
    assert "--namespaces-from-lines" in said


def test_a_status_that_is_not_ours_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> admin_pb2.GetStatsResponse:
        raise ZeroDivisionError

    monkeypatch.setattr(Peer, "get_stats", fail)
    with peering() as (_, address):
        said = mneme("--address", address, "stats", "-n", "a/b", env={"MNEME_TOKEN": "x"}, code=1)
    assert said.startswith("mneme: INTERNAL: UNKNOWN: ")


def test_what_others_said_is_shown_with_who_said_it_and_obeyed_by_no_terminal() -> None:
    said = "\x1b]0;title\x07My \u202enew\x00 code\u2028 is 4417, क्\u200dष."
    engram = episodic_pb2.Engram(text=said, actor="Grace\x1b[2J", observation_id="g1")
    shown = render.recall(episodic_pb2.RecallResponse(items=[episodic_pb2.RecallItem(engram=engram)]))
    assert "Grace\N{REPLACEMENT CHARACTER}[2J: " in shown
    assert "is 4417, क्\u200dष." in shown
    assert not set("\x1b\x07\u202e\x00\u2028") & set(shown)


def test_an_answer_names_who_said_what_it_quotes_and_cites() -> None:
    given = render.Answer()
    for n, (actor, text) in enumerate([("Grace\x1b[2J", "At nine."), ("", "At ten."), ("Will", "At noon.")]):
        engram = episodic_pb2.Engram(id=f"{n}" * 32, actor=actor, text=text)
        given.items.append(episodic_pb2.RecallItem(engram=engram))
        given.extractive.sentences.add(text=text, engram_id=engram.id)
        given.done.wording.citations.add(engram_id=engram.id, support=0.5)
    given.extractive.found, given.wording = True, "At nine, ten and noon."
    given.done.wording.citations[1].engram_id = "f" * 32
    grace = "Grace\N{REPLACEMENT CHARACTER}[2J"
    assert render.quotes(given).splitlines()[:3] == [f"  {grace}: At nine.", "  At ten.", "  Will: At noon."]
    assert f"cites [1] {grace} (50% of its words), ffffffffffff (50%" in render.ending(given)
    assert "[3] Will (50%" in render.ending(given)


@pytest.mark.parametrize(
    ("stores", "possible", "says", "says_not"),
    [
        ({"keys": 0}, [], "clean: nothing readable is left", "may name"),
        ({"keys": 0, "mentions": 0}, ["e1"], "nothing left seems to name the person", "clean"),
        ({"keys": 0, "mentions": 1}, ["e1"], "NOT clean: nothing erased can be read, but 1 left", "still be read"),
        ({"keys": 1, "mentions": 0}, [], "NOT clean: some of it can still be read", "may name"),
    ],
)
def test_what_may_be_left_of_a_person_is_not_called_clean(
    stores: dict[str, int], possible: list[str], says: str, says_not: str
) -> None:
    response = episodic_pb2.VerifyForgottenResponse(
        clean=not any(stores.values()),
        probes=[episodic_pb2.ErasureProbe(store=store, readable=count) for store, count in stores.items()],
        possible_mentions=possible,
    )
    shown = render.probes(response)
    assert says in shown
    assert says_not not in shown
    assert ("(e1)" in shown and "forget --id" in shown) == bool(possible)
