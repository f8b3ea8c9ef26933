"""`mneme scale`: in how many processes episodic runs."""

from __future__ import annotations

from collections.abc import Callable

import click
from mneme.v1 import admin_pb2

from services.cli import render
from services.cli.client import DEFAULT_TIMEOUT_S, Client
from services.cli.terminal import interruptible


@click.option("--shards", type=click.IntRange(min=1), help="How many there are to be; without it, they are shown.")
@click.pass_obj
def scale(get_client: Callable[[], Client], shards: int | None) -> None:
    """Change in how many processes episodic runs, while it serves: each partition of the ledger moves by itself.

    The number has to divide that of the partitions. It counts at the next start too, unless episodic.shards is changed.
    """
    client = get_client()
    if shards is not None:
        request = admin_pb2.SetShardsRequest(shards=shards)
        client.admin.SetShards(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
        with interruptible("it goes on in the service. To look: `mneme scale`"):
            render.follow_shards(lambda: told(client))
    click.echo(render.shards(told(client)))


def told(client: Client) -> admin_pb2.Shards:
    request = admin_pb2.GetShardsRequest()
    shards: admin_pb2.Shards = client.admin.GetShards(
        request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S
    ).shards
    return shards
