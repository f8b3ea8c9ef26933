"""`mneme forget` when an erasure takes longer than its call: behind the door stands what a real one seldom does.

What a real service does with it is in tests/e2e/test_cli.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from click.testing import CliRunner, Result
from mneme.v1 import episodic_pb2
from mneme.v1.episodic_service_pb2_grpc import EpisodicServiceServicer, add_EpisodicServiceServicer_to_server

from services.cli import render
from services.cli.commands import forget
from services.cli.main import main
from services.common.serving.errors import MnemeError

LATE = MnemeError("DEADLINE", "It was not done in time.", remedy="Ask again with the same id: it gives the receipt.")
DONE = episodic_pb2.ForgetResponse(
    targets=[episodic_pb2.ForgetTarget(engram_id="e1")], receipt=episodic_pb2.ErasureReceipt(id="r1", base_erased=1)
)


class Door(EpisodicServiceServicer):
    """Lists ``listed``; erases as the next of ``outcomes`` says (None: it never answers); keeps what it was asked."""

    def __init__(self) -> None:
        self.listed: list[str] = []
        self.known_ids: set[str] = set()
        self.outcomes: list[episodic_pb2.ForgetResponse | MnemeError | None] = []
        self.asked: list[episodic_pb2.ForgetRequest] = []
        self.address = ""

    def Forget(self, request: episodic_pb2.ForgetRequest, context: grpc.ServicerContext) -> episodic_pb2.ForgetResponse:
        ids = request.selector.ids.ids
        named = [episodic_pb2.NamedById(id=id, engram_ids=[id] if id in self.known_ids else []) for id in ids]
        if request.dry_run:
            targets = [episodic_pb2.ForgetTarget(engram_id=id) for id in (*self.listed, *(self.known_ids & {*ids}))]
            return episodic_pb2.ForgetResponse(targets=targets, named=named)
        self.asked.append(request)
        if named:
            return episodic_pb2.ForgetResponse(receipt=DONE.receipt, named=named)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, episodic_pb2.ForgetResponse):
            return outcome
        if outcome is not None:
            context.set_trailing_metadata(outcome.trailers)
            context.abort(outcome.status, outcome.message)
        while context.is_active():
            time.sleep(0.01)
        raise AssertionError("nobody is there any more")

    def forget(self, *arguments: str, by: Sequence[str] = ("--person", "Ruth")) -> Result:
        command = ["--address", self.address, "forget", "-n", "acme/ann", *by, *arguments]
        return CliRunner(env={"MNEME_TOKEN": "t"}).invoke(main, command)


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    server = grpc.server(ThreadPoolExecutor(2))
    add_EpisodicServiceServicer_to_server(door, server)
    door.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield door
    server.stop(1).wait()


def key_of(said: str) -> str:
    [line] = [line for line in said.splitlines() if line.startswith("key ")]
    return line.removeprefix("key ")


def test_the_key_is_said_and_gives_the_receipt_after_a_deadline(door: Door) -> None:
    door.listed, door.outcomes = ["e1"], [LATE, DONE]
    late = door.forget("--yes")
    key = key_of(late.output)
    assert late.exit_code == 1
    assert f"repeat the command with --key {key} for the receipt" in late.output
    door.listed = []  # it was applied meanwhile
    again = door.forget("--yes", "--key", key)
    assert again.exit_code == 0, again.output
    assert "receipt r1" in again.output
    assert [request.id for request in door.asked] == [key, key]
    assert door.asked[0].selector == door.asked[1].selector


def test_a_door_that_never_answers_leaves_the_key_and_no_traceback(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "_ERASURE_S", 0.5)
    door.listed, door.outcomes = ["e1"], [None]
    late = door.forget("--yes", "--key", "my key")
    assert late.exit_code == 1
    assert isinstance(late.exception, SystemExit)
    assert "mneme: DEADLINE" in late.output
    assert "--key 'my key'" in late.output


def test_a_refusal_is_told_as_it_is(door: Door) -> None:
    door.listed = ["e1"]
    door.outcomes = [MnemeError("ID_REUSED", "Another selector.", field="id", remedy="Use a new id.")]
    said = door.forget("--yes", "--key", "k")
    assert said.exit_code == 1
    assert "mneme: ID_REUSED (--key): Another selector. Use a new id." in said.output


def test_nothing_is_asked_for_without_a_key_where_nothing_is_listed(door: Door) -> None:
    said = door.forget("--yes")
    assert (said.exit_code, door.asked) == (0, [])
    assert "nothing to erase" in said.output
    assert door.forget("--dry-run", "--key", "k").exit_code == 0
    assert door.asked == []


@pytest.mark.parametrize("how", ["--dry-run", "--yes"])
def test_what_each_id_names_is_said_and_one_that_names_nothing_exits_1(door: Door, how: str) -> None:
    door.known_ids = {"m7", "m8"}
    whole = door.forget(how, by=["--id", "m7", "--id", "m8"])
    assert (whole.exit_code, len(door.asked)) == (0, how == "--yes"), whole.output
    assert "id m7: 1 told" in whole.output
    partly = door.forget(how, by=["--id", "m7", "--id", "nosuch"])
    assert (partly.exit_code, len(door.asked)) == (1, 2 * (how == "--yes"))
    assert "id m7: 1 told" in partly.output
    assert "id nosuch: nothing that is remembered" in partly.output
    assert "mneme: NOT_FOUND (--id): 1 of 2 name nothing that is remembered: nosuch." in partly.output
    assert ("receipt r1" in partly.output) == (how == "--yes"), "what was found is erased"
    none = door.forget(how, by=["--id", "nosuch"])
    assert (none.exit_code, len(door.asked)) == (1, 2 * (how == "--yes"))


def test_a_used_key_does_not_pass_for_the_erasure_of_what_came_since(door: Door) -> None:
    door.listed, door.outcomes = ["e1", "e2"], [DONE]
    said = door.forget("--yes", "--key", "k")
    assert said.exit_code == 1
    assert "receipt r1" in said.output
    assert "1 of those listed are not in its receipt" in said.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--session", "s", "--alias", "Bob"), "--alias goes with --person"),
        (("--from", "2026-05-05T00:00:00"), "offset"),
        (("--to", "yesterday"), "--to"),
    ],
)
def test_what_would_be_left_out_of_account_is_refused(door: Door, arguments: tuple[str, ...], said: str) -> None:
    command = ["--address", door.address, "forget", "-n", "acme/ann", *arguments]
    result = CliRunner(env={"MNEME_TOKEN": "t"}).invoke(main, command)
    assert result.exit_code == 2
    assert said in result.output


def test_a_range_is_that_of_the_clock_whose_offset_is_given(door: Door) -> None:
    door.listed, door.outcomes = ["e1"], [DONE]
    command = ["--address", door.address, "forget", "-n", "acme/ann", "--from", "2026-05-05T00:00:00+02:00", "--yes"]
    assert CliRunner(env={"MNEME_TOKEN": "t"}).invoke(main, command).exit_code == 0
    [asked] = door.asked
    assert asked.selector.event_time.start.ToJsonString() == "2026-05-04T22:00:00Z"


def test_a_dry_run_shows_apart_what_goes_for_what_it_says_it_is_derived_from() -> None:
    named = episodic_pb2.ForgetTarget(engram_id="e2", text="It rained.")
    quoted = episodic_pb2.ForgetTarget(engram_id="e1", text="You said: It rained.", reason="It says so.")
    shown = render.dry_run(episodic_pb2.ForgetResponse(targets=[quoted, named], targets_told=2)).splitlines()
    assert "2 told (1 of them because they say that they are derived from one that goes)" in shown[0]
    assert [line.split()[-1] for line in shown[1:]] == ["rained.", "rained.", "so."]
    assert "You said" in shown[2]
    longer = episodic_pb2.ForgetResponse(targets=[named], targets_told=5_001, targets_derived=2)
    assert [line.strip() for line in render.dry_run(longer).splitlines()][::2] == [
        "would go: 5001 told, 2 derived from them",
        "and 5002 more",
    ]
    receipt = render.receipt(episodic_pb2.ErasureReceipt(id="r", base_erased=2, declared_erased=1))
    assert "1 of them said that they were derived from one that was selected" in receipt
