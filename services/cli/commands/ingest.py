"""`mneme ingest`: a file of observations to the service, and the wait until all of it can be recalled."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2

from services.cli import render
from services.cli.client import DEFAULT_TIMEOUT_S, Client
from services.cli.commands.lines import Lines, Reader, Statement, of_option, refused_in
from services.cli.terminal import interruptible
from services.common.serving.errors import RETRY_AFTER, MnemeError, from_rpc_error

_RECALLABLE_S = 600.0  # waited for at most
_TAKEN_S, _LONGEST_PAUSE_S = 300.0, 10.0  # of a statement that the service has no room for yet


@click.option("-n", "--namespace", help='Whose memory, as "tenant/user". Needed unless every line names its own.')
@click.argument("file", type=click.File("rb"))
@click.option("--create/--no-create", default=True, show_default=True, help="Create a namespace that is missing.")
@click.option(
    "--namespaces-from-lines", is_flag=True, help="A line that names a namespace goes there, not into that of -n."
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until all of it can be recalled.")
@click.pass_obj
def ingest(
    get_client: Callable[[], Client],
    namespace: str | None,
    file: Any,
    create: bool,
    namespaces_from_lines: bool,
    wait: bool,
) -> None:
    """Remember observations from FILE (JSON lines in UTF-8; "-" is standard input).

    Each line is one observation: {"id": ..., "session": ..., "text": ..., "observed_at": "2026-01-31T10:00:00Z"} and,
    optionally, "actor", "metadata", "source", "external_id", "namespace". A value of "metadata" is a text or a number,
    plain or as {"text": ...}, {"number": ...}; null is left out. A line that names another namespace than -n is
    refused, unless --namespaces-from-lines is given: then each is created, or checked, when its first line is met.
    What `mneme export` writes beside observations is taken too: settings, statements and corrections.

    Safe to repeat: an id is taken once, and what was erased stays so (its lines are skipped; of standard input, only
    where that is a file). It ends at the first line that is refused, and names it; what came before is kept.
    """
    if not namespace and not namespaces_from_lines:
        raise click.UsageError("name the namespace with -n, or let every line name its own: --namespaces-from-lines")
    client = get_client()

    def ensure(name: str) -> None:
        _ensure(client, name, create=create)

    reader = Reader(namespace, each_its_own=namespaces_from_lines, ensure=ensure)
    lines = Lines(file, reader)
    with interruptible("what was acknowledged is kept. Run it again: an id is taken once."):
        taken, reached = _send(client, lines, None if namespaces_from_lines else namespace, create=create)
    click.echo(f"{taken['accepted']} accepted, {taken['duplicates']} known already; durable in the ledger.")
    if taken["erased"]:
        click.echo(f"{taken['erased']} skipped: erased before, and refused for good.")
    if lines.error is not None:
        raise lines.error
    if wait and reached:
        with interruptible("all of it is acknowledged and kept; the service goes on making it recallable."):
            _await_recallable(client, reader.newest, reached)


def _ensure(client: Client, namespace: str, *, create: bool) -> None:
    """Create a namespace that surely is missing. A token that may not read cannot tell; then what is sent tells it."""
    try:
        with _errors():
            client.admin.GetStats(
                admin_pb2.GetStatsRequest(namespace=namespace, counts_only=True),
                metadata=client.metadata,
                timeout=DEFAULT_TIMEOUT_S,
            )
    except MnemeError as error:
        if error.reason == "UNKNOWN_NAMESPACE" and create:
            with _errors():
                client.admin.CreateNamespace(
                    admin_pb2.CreateNamespaceRequest(namespace=namespace),
                    metadata=client.metadata,
                    timeout=DEFAULT_TIMEOUT_S,
                )
        elif error.reason != "PERMISSION_DENIED":
            raise


@contextmanager
def _errors() -> Iterator[None]:
    """As ours: they may be raised where gRPC reads a stream, which would lose them."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


def _send(client: Client, lines: Lines, namespace: str | None, *, create: bool) -> tuple[Counter[str], dict[int, int]]:
    """Send what is left of the file; a line that was erased ends a stream, and the next one begins behind it.

    ``namespace``: of all lines, None where each may name its own.

    Returns counts, and the newest position by partition. A line that was refused is the error of ``lines``.
    """
    taken: Counter[str] = Counter()
    reached: dict[int, int] = {}
    with render.counter("sent", lines.count()) as count:
        while not lines.at_end:
            try:
                response = client.observe(lines.observations(count))
            except grpc.RpcError as error:
                refused = from_rpc_error(error)
                is_of_all = namespace is not None and refused.field == "observation.namespace"
                refused = of_option(refused) if is_of_all else lines.located(refused)
                if "accepted" not in refused.metadata:  # nobody says how many were
                    raise refused from error
                taken.update({each: int(refused.metadata[each]) for each in ("accepted", "duplicates")})
                if refused.reason != "ERASED" or not lines.go_on_behind(refused):
                    lines.error = refused
                    break
                taken["erased"] += 1
            else:
                taken.update(accepted=response.accepted, duplicates=response.duplicates)
                _reach(reached, response.positions)
                if (read := lines.statement()) is not None:
                    try:
                        what, position = _state(client, *read, create=create)
                    except MnemeError as refused:
                        lines.error = refused
                        break
                    taken[what] += 1
                    _reach(reached, [position] if position is not None else [])
                    count()
    return taken, reached


def _reach(reached: dict[int, int], positions: Iterable[common_pb2.Position]) -> None:
    for position in positions:
        reached[position.partition] = max(position.offset, reached.get(position.partition, 0))


def _state(client: Client, statement: Statement, line: int, *, create: bool) -> tuple[str, common_pb2.Position | None]:
    """Send it: what became of it, and where it lies. MnemeError, with the line."""
    request = statement.request
    try:
        if isinstance(request, admin_pb2.CreateNamespaceRequest):
            return "settings", _call(client, client.admin.CreateNamespace, request).position if create else None
        if isinstance(request, episodic_pb2.CorrectRequest):
            answer = _call(client, client.episodic.Correct, request)
        else:
            answer = _remember(client, request, statement.told_at)
    except MnemeError as refused:
        if refused.reason == "ERASED":
            return "erased", None
        raise refused_in(line, refused, refused.field) from refused
    return "duplicates" if answer.duplicate else "accepted", answer.position


def _remember(
    client: Client, request: episodic_pb2.RememberRequest, told_at: Timestamp | None
) -> episodic_pb2.RememberResponse:
    """With the time that it is true of, which was that of the call where it names none. Where it was stated first, its
    id stands for what named none."""
    dated = episodic_pb2.RememberRequest()
    dated.CopyFrom(request)
    if told_at is not None and not request.HasField("event_at"):
        dated.event_at.CopyFrom(told_at)
    answer: episodic_pb2.RememberResponse
    try:
        answer = _call(client, client.episodic.Remember, dated)
    except MnemeError as refused:
        if refused.reason != "ID_REUSED" or dated == request:
            raise
        answer = _call(client, client.episodic.Remember, request)
    return answer


def _call(client: Client, method: Callable[..., Any], request: Message) -> Any:
    """Again while the service says how long to wait: a file is sent as fast as it is taken."""
    began = time.monotonic()
    while True:
        try:
            with _errors():
                return method(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
        except MnemeError as error:
            wait_ms = error.metadata.get(RETRY_AFTER, "")
            if error.reason != "OVERLOADED" or not wait_ms.isdecimal() or time.monotonic() - began > _TAKEN_S:
                raise
        time.sleep(min(int(wait_ms) / 1000, _LONGEST_PAUSE_S))


def _await_recallable(client: Client, namespace: str, reached: dict[int, int]) -> None:
    """Until all that was acknowledged can be recalled; say how long that took, or that nobody can tell."""
    began = time.monotonic()
    positions = common_pb2.Positions(
        positions=[common_pb2.Position(partition=p, offset=o) for p, o in sorted(reached.items())]
    )
    request = episodic_pb2.ListRequest(
        namespace=namespace, page_size=1, freshness=common_pb2.Freshness(at_least=positions)
    )
    with render.waiting("becoming recallable"):
        while True:
            try:
                client.episodic.List(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
                break
            except grpc.RpcError as error:
                refused = from_rpc_error(error)
            if refused.reason == "PERMISSION_DENIED":
                click.echo("when it is recallable, a token without the right to read cannot tell.")
                return
            if refused.reason not in ("NOT_FRESH", "DEADLINE") or time.monotonic() - began > _RECALLABLE_S:
                raise refused
    click.echo(f"all of it recallable after {time.monotonic() - began:.1f} s.")
