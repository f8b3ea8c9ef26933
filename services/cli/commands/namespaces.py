"""`mneme namespace`: create, list, show, change and delete."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

import click
import grpc
from google.protobuf.json_format import MessageToJson
from mneme.v1 import admin_pb2

from services.cli import render
from services.cli.client import DEFAULT_TIMEOUT_S, Client
from services.common.serving.errors import MnemeError, from_rpc_error

DELETION_S = 300.0
_TYPES = {"text": admin_pb2.METADATA_TYPE_TEXT, "number": admin_pb2.METADATA_TYPE_NUMBER}
IN_DOUBT = ("DEADLINE", "SERVICE_UNAVAILABLE", "LOG_UNAVAILABLE", "INTERNAL")


def _declared(context: click.Context, option: click.Parameter, given: Sequence[str]) -> list[admin_pb2.MetadataField]:
    """Of "channel:text"."""
    fields = [(name, kind) for name, _, kind in (each.rpartition(":") for each in given)]
    if any(not name or kind not in _TYPES for name, kind in fields):
        raise click.BadParameter("say a name and text or number, as in channel:text.", context, option)
    return [admin_pb2.MetadataField(name=name, type=_TYPES[kind]) for name, kind in fields]


def _limit(context: click.Context, option: click.Parameter, given: str | None) -> int | None:
    """Of a quota; 0 for none."""
    if given is None or given == "none":
        return None if given is None else 0
    if not given.isdecimal() or not 0 < int(given) < 2**64:
        raise click.BadParameter("say a number from 1 on, or none.", context, option)
    return int(given)


def _quota_options(function: Callable[..., None]) -> Callable[..., None]:
    for name, what in (("--max-bytes", "bytes of its texts, as the ledger holds them"), ("--max-texts", "texts")):
        said = f"The most that it may hold of {what}: a number, or none."
        function = click.option(name, metavar="N|none", callback=_limit, help=said)(function)
    return function


def _quota(max_texts: int | None, max_bytes: int | None) -> admin_pb2.Quota | None:
    if max_texts is None and max_bytes is None:
        return None
    return admin_pb2.Quota(max_texts=max_texts, max_bytes=max_bytes)


def repeatable(error: MnemeError, key: str, what: str = "the receipt") -> MnemeError:
    """The same error, with the key where what was commanded may have been all the same."""
    if error.reason not in IN_DOUBT:
        return error
    remedy = f"It may go on all the same: repeat the command with --key {shlex.quote(key)} for {what}."
    return MnemeError(error.reason, error.message, field=error.field, remedy=remedy, metadata=error.metadata)


def add_to(group: click.Group) -> None:
    """Make the commands of a group, of the group's own class."""
    for name, function in (
        ("create", namespace_create),
        ("list", namespace_list),
        ("show", namespace_show),
        ("change", namespace_change),
        ("delete", namespace_delete),
    ):
        group.command(name)(function)


@click.argument("name")
@click.option("--text", "texts", multiple=True, help="Declare a filterable text field of metadata.")
@click.option("--number", "numbers", multiple=True, help="Declare a filterable number field of metadata.")
@click.option("--alias", multiple=True, help='Names of one person: "Ann Lee=Annie,Ms. Lee"; may be repeated.')
@_quota_options
@click.pass_obj
def namespace_create(
    get_client: Callable[[], Client],
    name: str,
    texts: tuple[str, ...],
    numbers: tuple[str, ...],
    alias: tuple[str, ...],
    max_texts: int | None,
    max_bytes: int | None,
) -> None:
    """Create a namespace. Doing it again with the same settings changes nothing."""
    client = get_client()
    client.admin.CreateNamespace(
        admin_pb2.CreateNamespaceRequest(
            namespace=name,
            metadata_fields=_fields(texts, numbers),
            aliases=map(_group, alias),
            quota=_quota(max_texts, max_bytes),
        ),
        metadata=client.metadata,
        timeout=DEFAULT_TIMEOUT_S,
    )
    click.echo(f"{name}: ready.")


def _fields(texts: Sequence[str], numbers: Sequence[str]) -> list[admin_pb2.MetadataField]:
    fields = [(t, admin_pb2.METADATA_TYPE_TEXT) for t in texts] + [(n, admin_pb2.METADATA_TYPE_NUMBER) for n in numbers]
    return [admin_pb2.MetadataField(name=n, type=t) for n, t in fields]


def _group(line: str) -> admin_pb2.AliasGroup:
    """Of "Ann Lee=Annie,Ms. Lee"."""
    name, equals, aliases = line.partition("=")
    if not equals:  # rather a typing slip than a person without another name
        raise click.BadParameter(f'say "NAME=ALIAS,ALIAS" ("{line}=" for a name alone).', param_hint="--alias")
    return admin_pb2.AliasGroup(name=name.strip(), aliases=[a.strip() for a in aliases.split(",") if a.strip()])


@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with all that `show` shows.")
@click.pass_obj
def namespace_list(get_client: Callable[[], Client], as_json: bool) -> None:
    """List the namespaces that the token covers."""
    for each in _all(get_client()):
        click.echo(_json(each) if as_json else each.name)


@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.pass_obj
def namespace_show(get_client: Callable[[], Client], name: str, as_json: bool) -> None:
    """Show a namespace: its metadata fields, its alias groups, its quota, its erasure epoch."""
    found = found_in(get_client(), name)
    click.echo(_json(found) if as_json else render.namespace(found))


def _json(given: admin_pb2.Namespace) -> str:
    return MessageToJson(given, preserving_proto_field_name=True, indent=None, ensure_ascii=False)


def found_in(client: Client, name: str) -> admin_pb2.Namespace:
    """UNKNOWN_NAMESPACE."""
    found = next((each for each in _all(client) if each.name == name), None)
    if found is None:
        remedy = "`mneme namespace list` shows those that the token covers."
        raise MnemeError("UNKNOWN_NAMESPACE", f'There is no namespace "{name}".', field="NAME", remedy=remedy)
    return found


@click.argument("name")
@click.option("--alias", "aliases", multiple=True, help='A group to have from now on: "Ann Lee=Annie,Ms. Lee".')
@click.option("--aliases-file", type=click.File(encoding="utf-8"), help="Groups, one a line, as for --alias.")
@click.option("--no-aliases", is_flag=True, help="Have no alias group from now on.")
@click.option(
    "--field", "fields", multiple=True, callback=_declared, help="Declare a further field: NAME:text, NAME:number."
)
@_quota_options
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.option("--key", help="Idempotency key: repeat a change that was cut off.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def namespace_change(
    get_client: Callable[[], Client],
    name: str,
    aliases: tuple[str, ...],
    aliases_file: TextIO | None,
    no_aliases: bool,
    fields: list[admin_pb2.MetadataField],
    max_texts: int | None,
    max_bytes: int | None,
    dry_run: bool,
    key: str | None,
    yes: bool,
) -> None:
    """Give a namespace other alias groups, in place of all it has, further metadata fields, or another quota.

    Needs the right admin over it. What was told before stays as it was read. Fields stay as they are declared. Beyond
    its quota new texts are refused; `mneme usage` shows how much it holds.
    """
    lines = [*aliases, *_lines(aliases_file)]
    if no_aliases and lines:
        raise click.UsageError("--no-aliases leaves none: give it, or groups.")
    quota = _quota(max_texts, max_bytes)
    if not (no_aliases or lines or fields or quota):
        what = "--alias, --aliases-file, --no-aliases, --field, --max-texts or --max-bytes"
        raise click.UsageError(f"nothing to change: give {what}.")
    client = get_client()
    request = admin_pb2.UpdateNamespaceRequest(namespace=name, metadata_fields=fields, quota=quota)
    if lines or no_aliases:
        request.aliases.CopyFrom(admin_pb2.AliasGroups(groups=map(_group, lines)))
    click.echo(render.namespace_change(found_in(client, name), request))
    if dry_run:
        return
    if not yes:
        click.confirm("Change it?", abort=True)
    request.id = key or f"cli-{secrets.token_hex(8)}"
    click.echo(f"key {request.id}")
    try:
        client.admin.UpdateNamespace(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
    except grpc.RpcError as error:
        raise repeatable(from_rpc_error(error), request.id, "what became of it") from error
    click.echo(f"{name}: changed.")


def _lines(file: TextIO | None) -> list[str]:
    """Of an option's file, those that hold something."""
    try:
        return [line for line in file or () if line.strip()]
    except UnicodeDecodeError as error:
        raise click.BadParameter("it is not UTF-8.", param_hint="--aliases-file") from error


def _all(client: Client) -> Iterator[admin_pb2.Namespace]:
    for page in client.pages(client.admin.ListNamespaces, admin_pb2.ListNamespacesRequest()):
        yield from page.namespaces


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
