"""`mneme export`: what a namespace was told, as a file that `mneme ingest` takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, BinaryIO

import click
import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from mneme.v1 import admin_pb2, episodic_pb2

from services.cli import render
from services.cli.client import Client
from services.cli.commands.namespaces import found_in
from services.cli.terminal import interruptible
from services.common.serving.errors import from_rpc_error


@click.option("-n", "--namespace", required=True, help='Whose memory, as "tenant/user".')
@click.option(
    "-o",
    "--output",
    "file",
    type=click.File("wb", atomic=True),
    default="-",
    help="The file to write; it is there once it is whole. Default: standard output.",
)
@click.pass_obj
def export(get_client: Callable[[], Client], namespace: str, file: BinaryIO) -> None:
    """Write everything that a namespace was told, and that is not erased, as JSON lines.

    The first line holds its settings, where the token has the right admin. The others are observations, as `mneme
    ingest` takes them, and {"remember": ...}, {"correct": ...}, in the order in which they were told; what was
    corrected stands before its correction. `mneme ingest -n NAMESPACE FILE` tells it all again, under the same ids.
    """
    client = get_client()
    written = unreadable = 0
    settings = _settings(client, namespace)
    if settings is not None:
        file.write(_line({"namespace": settings}))
    with interruptible("nothing was changed."), render.counter("written", None) as count:
        for page in client.pages(client.episodic.Export, episodic_pb2.ExportRequest(namespace=namespace)):
            unreadable += page.unreadable
            for told in page.told:
                file.write(_line(_as_line(told)))
                written += 1
                count()
    click.echo(f"{written} entries of {namespace}{', and its settings' if settings is not None else ''}.", err=True)
    if settings is None:
        click.echo("without its settings: they are shown to a token with the right admin.", err=True)
    if unreadable:
        click.echo(f"{unreadable} acknowledged entries cannot be opened; `mneme stats` lists them.", err=True)


def _settings(client: Client, namespace: str) -> dict[str, Any] | None:
    """None where the token may not see them. UNKNOWN_NAMESPACE."""
    try:
        found = found_in(client, namespace)
    except grpc.RpcError as error:
        refused = from_rpc_error(error)
        if refused.reason != "PERMISSION_DENIED":
            raise refused from error
        return None
    kept = admin_pb2.Namespace(name=found.name, metadata_fields=found.metadata_fields, aliases=found.aliases)
    return _json(kept)


def _as_line(told: episodic_pb2.Told) -> dict[str, Any]:
    what = told.WhichOneof("what")
    if what == "observation":
        return _json(told.observation)
    body = told.remember if what == "remember" else told.correct
    return {what: _json(body), "told_at": told.told_at.ToJsonString()}


def _json(message: Message) -> dict[str, Any]:
    made: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return made


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
