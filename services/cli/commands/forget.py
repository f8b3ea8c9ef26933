"""`mneme forget` and `mneme verify-forgotten`: erase by a selector, after a dry run; look whether anything is left."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from typing import Any

import click
import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import common_pb2, episodic_pb2

from services.cli import render
from services.cli.client import DEFAULT_TIMEOUT_S, Client
from services.cli.commands.namespaces import repeatable
from services.cli.terminal import given_time
from services.common.serving.errors import MnemeError, from_rpc_error

_ERASURE_S = 120.0


@click.option("--person", help="Everything that names this person or an alias, and everything they said.")
@click.option("--alias", multiple=True, help="Another name of --person; may be repeated.")
@click.option("--include-doubtful", is_flag=True, help="With --person: what only may name them too (see --dry-run).")
@click.option("--session", help="One session.")
@click.option("--source", help="Everything from one source.")
@click.option("--id", "ids", multiple=True, help="One observation or engram; may be repeated.")
@click.option(
    "--from", "start", metavar="TIME", callback=given_time, help="Everything from 2026-01-31T10:00:00+01:00 on ..."
)
@click.option("--to", "end", metavar="TIME", callback=given_time, help="... and before this time. Both with offset.")
@click.option("--dry-run", is_flag=True, help="List what would go; change nothing.")
@click.option("--key", help="Idempotency key of an erasure: repeat one that was cut off, for its receipt.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(
    get_client: Callable[[], Client], /, namespace: str, dry_run: bool, key: str | None, yes: bool, **by: Any
) -> None:
    """Erase for good, everywhere. Try --dry-run first.

    Prints its key before it erases, then a receipt; `mneme verify-forgotten` checks that later. Cut off in between, it
    goes on all the same: repeat the command with --key for the receipt. A key stands for one erasure: again with the
    same selector it erases nothing more, with another it is refused. Of several ids, those that name something are
    erased; exits 1 when one names nothing.
    """
    client = get_client()
    selector = _selector(**by)
    request = episodic_pb2.ForgetRequest(namespace=namespace, selector=selector, dry_run=True)
    listed = client.episodic.Forget(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
    click.echo(render.dry_run(listed))
    if dry_run:
        _require_named(listed)
        return
    if not (listed.targets or listed.alias_groups or key):
        click.echo("nothing to erase.")
        _require_named(listed)
        return
    if (listed.targets or listed.alias_groups) and not yes:
        names = f" and the names in {listed.alias_groups} alias groups" if listed.alias_groups else ""
        click.confirm(f"Erase these {listed.targets_told + listed.targets_derived}{names} for good?", abort=True)
    request.dry_run = False
    request.id = key or f"cli-{secrets.token_hex(8)}"
    click.echo(f"key {request.id}")
    try:
        done = client.episodic.Forget(request, metadata=client.metadata, timeout=_ERASURE_S)
    except grpc.RpcError as error:
        raise repeatable(from_rpc_error(error), request.id) from error
    click.echo(render.receipt(done.receipt))
    if key:
        _require_erased(listed, done)
    _require_named(done)


def _require_named(response: episodic_pb2.ForgetResponse) -> None:
    """NOT_FOUND where an id names nothing."""
    missing = [named.id for named in response.named if not named.engram_ids]
    if missing:
        message = f"{len(missing)} of {len(response.named)} name nothing that is remembered: {render.some(missing)}."
        raise MnemeError("NOT_FOUND", message, field="--id", remedy="Check them; what was erased before has no id.")


def _require_erased(listed: episodic_pb2.ForgetResponse, done: episodic_pb2.ForgetResponse) -> None:
    """ID_REUSED when the receipt is of an earlier erasure, and something was told since."""
    left = {t.engram_id for t in listed.targets if not t.derived} - {t.engram_id for t in done.targets}
    if left:
        message = f"The key is that of an earlier erasure, and {len(left)} of those listed are not in its receipt."
        raise MnemeError("ID_REUSED", message, field="--key", remedy="Forget them without --key.")


def _selector(
    person: str | None,
    alias: tuple[str, ...],
    include_doubtful: bool,
    session: str | None,
    source: str | None,
    ids: tuple[str, ...],
    start: Timestamp | None,
    end: Timestamp | None,
) -> episodic_pb2.ForgetSelector:
    chosen = [person is not None, session is not None, source is not None, bool(ids), bool(start or end)]
    if sum(chosen) != 1:
        raise click.UsageError("name exactly one of --person, --session, --source, --id, --from/--to")
    if (include_doubtful or alias) and person is None:
        raise click.UsageError(f"{'--include-doubtful' if include_doubtful else '--alias'} goes with --person")
    if person is not None:
        named = episodic_pb2.Person(name=person, aliases=alias, include_doubtful=include_doubtful)
        return episodic_pb2.ForgetSelector(person=named)
    if session is not None:
        return episodic_pb2.ForgetSelector(session=session)
    if source is not None:
        return episodic_pb2.ForgetSelector(source=source)
    if ids:
        return episodic_pb2.ForgetSelector(ids=episodic_pb2.Ids(ids=ids))
    return episodic_pb2.ForgetSelector(event_time=common_pb2.TimeRange(start=start, end=end))


@click.argument("receipt")
@click.pass_obj
def verify_forgotten(get_client: Callable[[], Client], namespace: str, receipt: str) -> None:
    """Look in every store for anything readable of an erasure, or of a namespace's deletion. Exits 1 if there is."""
    client = get_client()
    response = client.episodic.VerifyForgotten(
        episodic_pb2.VerifyForgottenRequest(namespace=namespace, receipt_id=receipt),
        metadata=client.metadata,
        timeout=_ERASURE_S,
    )
    click.echo(render.probes(response))
    sys.exit(0 if response.clean else 1)
