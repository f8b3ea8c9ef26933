"""`mneme namespace`: create, list, show and delete."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Iterator

import click
import grpc
from mneme.v1 import admin_pb2

from services.cli import render
from services.cli.client import DEFAULT_TIMEOUT_S, Client
from services.common.errors import MnemeError, from_rpc_error

DELETION_S = 300.0
IN_DOUBT = ("DEADLINE", "SERVICE_UNAVAILABLE", "LOG_UNAVAILABLE", "INTERNAL")


def repeatable(error: MnemeError, key: str) -> MnemeError:
    """The same error, with the key where the erasure may have been commanded all the same."""
    if error.reason not in IN_DOUBT:
        return error
    remedy = f"It may go on all the same: repeat the command with --key {shlex.quote(key)} for the receipt."
    return MnemeError(error.reason, error.message, field=error.field, remedy=remedy, metadata=error.metadata)


def add_to(group: click.Group) -> None:
    """Make the commands of a group, of the group's own class."""
    for name, function in (
        ("create", namespace_create),
        ("list", namespace_list),
        ("show", namespace_show),
        ("delete", namespace_delete),
    ):
        group.command(name)(function)


@click.argument("name")
@click.option("--text", "texts", multiple=True, help="Declare a filterable text field of metadata.")
@click.option("--number", "numbers", multiple=True, help="Declare a filterable number field of metadata.")
@click.option("--alias", multiple=True, help='Names of one person: "Ann Lee=Annie,Ms. Lee"; may be repeated.')
@click.pass_obj
def namespace_create(
    get_client: Callable[[], Client],
    name: str,
    texts: tuple[str, ...],
    numbers: tuple[str, ...],
    alias: tuple[str, ...],
) -> None:
    """Create a namespace. Doing it again with the same settings changes nothing."""
    client = get_client()
    groups = [a.partition("=") for a in alias]
    fields = [(t, admin_pb2.METADATA_TYPE_TEXT) for t in texts] + [(n, admin_pb2.METADATA_TYPE_NUMBER) for n in numbers]
    client.admin.CreateNamespace(
        admin_pb2.CreateNamespaceRequest(
            namespace=name,
            metadata_fields=[admin_pb2.MetadataField(name=n, type=t) for n, t in fields],
            aliases=[admin_pb2.AliasGroup(name=g[0], aliases=g[2].split(",")) for g in groups],
        ),
        metadata=client.metadata,
        timeout=DEFAULT_TIMEOUT_S,
    )
    click.echo(f"{name}: ready.")


@click.pass_obj
def namespace_list(get_client: Callable[[], Client]) -> None:
    """List the namespaces that the token covers."""
    for each in _all(get_client()):
        click.echo(each.name)


@click.argument("name")
@click.pass_obj
def namespace_show(get_client: Callable[[], Client], name: str) -> None:
    """Show a namespace: its metadata fields, its alias groups, its erasure epoch."""
    found = next((each for each in _all(get_client()) if each.name == name), None)
    if found is None:
        remedy = "`mneme namespace list` shows those that the token covers."
        raise MnemeError("UNKNOWN_NAMESPACE", f'There is no namespace "{name}".', field="NAME", remedy=remedy)
    click.echo(render.namespace(found))


def _all(client: Client) -> Iterator[admin_pb2.Namespace]:
    token = ""
    while True:
        page = client.admin.ListNamespaces(
            admin_pb2.ListNamespacesRequest(page_token=token), metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S
        )
        yield from page.namespaces
        token = page.next_page_token
        if not token:
            return


@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say how much would go; change nothing.")
@click.option("--key", help="Idempotency key of a deletion: repeat one that was cut off, for its receipt.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def namespace_delete(get_client: Callable[[], Client], name: str, dry_run: bool, key: str | None, yes: bool) -> None:
    """Erase a namespace for good with all that is in it, everywhere. Needs the right admin over it.

    It may be created anew, empty. Cut off in between, the deletion goes on: repeat the command with --key.
    """
    client = get_client()
    request = admin_pb2.DeleteNamespaceRequest(namespace=name, dry_run=True)
    if key is None:
        listed = client.admin.DeleteNamespace(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
        click.echo(f"would go: {name} with {listed.engrams} engrams")
        if dry_run:
            return
        if not yes and click.prompt("Type the namespace's name to erase it for good", default="") != name:
            raise click.Abort
    request = admin_pb2.DeleteNamespaceRequest(namespace=name, id=key or f"cli-{secrets.token_hex(8)}")
    click.echo(f"key {request.id}")
    try:
        done = client.admin.DeleteNamespace(request, metadata=client.metadata, timeout=DELETION_S)
    except grpc.RpcError as error:
        raise repeatable(from_rpc_error(error), request.id) from error
    click.echo(render.receipt(done.receipt))
