"""What commands share of the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.serving import wire_json
from services.common.serving.errors import MnemeError


@contextmanager
def interruptible(says: str) -> Iterator[None]:
    """Ctrl-C in the block ends the command with what it means for the service."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nmneme: interrupted; {says}", err=True)
        sys.exit(130)


def read_time(text: str, option: str) -> tuple[Timestamp, int | None]:
    """A time, and how many minutes east of UTC it says that it is. BadParameter."""
    try:
        return wire_json.timestamp(text, option)
    except MnemeError as error:
        raise click.BadParameter(f"{error.message} {error.remedy}") from error


def given_time(context: click.Context, parameter: click.Parameter, text: str | None) -> Timestamp | None:
    """An option's time, which has an offset."""
    return None if text is None else read_time(text, parameter.opts[0])[0]
