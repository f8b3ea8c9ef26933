"""What commands share of the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def interruptible(says: str) -> Iterator[None]:
    """Ctrl-C in the block ends the command with what it means for the service."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nmneme: interrupted; {says}", err=True)
        sys.exit(130)
