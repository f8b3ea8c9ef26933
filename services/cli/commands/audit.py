"""`mneme audit` and `mneme usage`: who did what, and how much each namespace was told."""

from __future__ import annotations

from collections.abc import Callable

import click
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import admin_pb2, common_pb2

from services.cli import render
from services.cli.client import Client
from services.cli.terminal import given_time

_PAGE = 1_000
_ACTIONS = {render.action(name): name for name, number in admin_pb2.AuditAction.items() if number}
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.option(
    "-n", "--namespace", default="", help="Done in it. Default: to the service itself; needs every namespace."
)
@click.option("--principal", default="", help="By this one alone.")
@click.option("--action", "actions", multiple=True, type=click.Choice(list(_ACTIONS)), help="May be repeated.")
@click.option("--since", metavar="TIME", callback=given_time, help="From then on: 2026-01-31T10:00:00Z.")
@click.option("--until", metavar="TIME", callback=given_time, help="Before that.")
@_json
@click.pass_obj
def audit(
    get_client: Callable[[], Client],
    namespace: str,
    principal: str,
    actions: tuple[str, ...],
    since: Timestamp | None,
    until: Timestamp | None,
    as_json: bool,
) -> None:
    """List who did what, the newest first: when, what, by whom, to which id, where it lies in the ledger.

    No text is in it, and of what was erased that it was. Without a namespace it is what was done to tokens, shards,
    dead letters, and rebuilds.
    """
    client = get_client()
    request = admin_pb2.ListAuditRequest(
        namespace=namespace,
        principal=principal,
        actions=[_ACTIONS[action] for action in actions],
        time=common_pb2.TimeRange(start=since, end=until),
        page_size=_PAGE,
    )
    for page in client.pages(client.admin.ListAudit, request):
        for each in page.entries:
            click.echo(_as_json(each) if as_json else render.audit(each))


@click.option("-n", "--namespace", "prefix", default="", help='Of this, and all below: "acme". Default: all.')
@_json
@click.pass_obj
def usage(get_client: Callable[[], Client], prefix: str, as_json: bool) -> None:
    """List how much each namespace was told: texts, those of them that are erased, bytes of the ledger, and when last.

    Engrams by kind are in `mneme stats`.
    """
    client = get_client()
    request = admin_pb2.ListUsageRequest(prefix=prefix, page_size=_PAGE)
    for page in client.pages(client.admin.ListUsage, request):
        for each in page.namespaces:
            click.echo(_as_json(each) if as_json else render.usage(each))


def _as_json(given: Message) -> str:
    return MessageToJson(
        given,
        preserving_proto_field_name=True,
        indent=None,
        ensure_ascii=False,
        always_print_fields_with_no_presence=isinstance(given, admin_pb2.NamespaceUsage),
    )
