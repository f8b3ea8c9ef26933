"""`mneme dead-letters`: what the inboxes could not take, shown, taken again, or made unreadable."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
from google.protobuf.json_format import MessageToJson
from mneme.v1 import admin_pb2

from services.cli import render
from services.cli.client import DEFAULT_TIMEOUT_S, Client

_AT_ONCE = 100  # ids of one call
_REPLAY_S = 300.0  # for names are found in a hundred texts

_namespace = click.option("-n", "--namespace", default="", help="Of a namespace alone. Default: all; needs every one.")
_ids = click.argument("ids", nargs=-1)
_all_of_them = click.option("--all", "every", is_flag=True, help="All that `list` shows, in place of IDS.")


@_namespace
@click.option("--payload", is_flag=True, help="Show what the product sent, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_letters(get_client: Callable[[], Client], namespace: str, payload: bool, as_json: bool) -> None:
    """List records that could not be taken, with the reason, the oldest first.

    Those that were taken since, purged or erased are not shown.
    """
    for each in _listed(get_client(), namespace, with_payload=payload):
        if as_json:
            click.echo(MessageToJson(each, preserving_proto_field_name=True, indent=None, ensure_ascii=False))
        else:
            click.echo(render.refused(each))


@_namespace
@_ids
@_all_of_them
@click.pass_obj
def replay(get_client: Callable[[], Client], namespace: str, ids: tuple[str, ...], every: bool) -> None:
    """Take records again, as their inbox did, once the cause is mended. Exits 1 where some are refused again."""
    client = get_client()
    taken = refused = 0
    for part in _parts(client, namespace, ids, every=every):
        answer = client.admin.ReplayDeadLetters(
            admin_pb2.ReplayDeadLettersRequest(namespace=namespace, ids=part),
            metadata=client.metadata,
            timeout=_REPLAY_S,
        )
        for each in answer.records:
            taken += each.taken
            refused += not each.taken
            if not each.taken:
                click.echo(f"{each.id}  {render.refusal(each)}")
    click.echo(f"{taken} taken, {refused} refused again.")
    if refused:
        raise SystemExit(1)


@_namespace
@_ids
@_all_of_them
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(get_client: Callable[[], Client], namespace: str, ids: tuple[str, ...], every: bool, yes: bool) -> None:
    """Make records unreadable for good: nobody can take them again."""
    client = get_client()
    parts = list(_parts(client, namespace, ids, every=every))
    count = sum(map(len, parts))
    if count and not yes:
        click.confirm(f"Make {count} records unreadable for good?", abort=True)
    purged = 0
    for part in parts:
        request = admin_pb2.PurgeDeadLettersRequest(namespace=namespace, ids=part)
        answer = client.admin.PurgeDeadLetters(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
        purged += answer.purged
    click.echo(f"{purged} purged.")


def _parts(client: Client, namespace: str, ids: tuple[str, ...], *, every: bool) -> Iterator[list[str]]:
    """The ids, as many at a time as a call takes."""
    if every == bool(ids):
        raise click.UsageError("name ids, as `mneme dead-letters list` shows them, or say --all.")
    wanted = [each.id for each in _listed(client, namespace)] if every else list(ids)
    return (wanted[at : at + _AT_ONCE] for at in range(0, len(wanted), _AT_ONCE))


def _listed(client: Client, namespace: str, *, with_payload: bool = False) -> Iterator[admin_pb2.RefusedRecord]:
    request = admin_pb2.ListDeadLettersRequest(namespace=namespace, with_payload=with_payload)
    for page in client.pages(client.admin.ListDeadLetters, request):
        yield from page.records
