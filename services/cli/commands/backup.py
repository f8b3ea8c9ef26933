"""`mneme backup` and `mneme restore`: on the service's machine, of its data folder; they need no token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from services.cli import backup as backups
from services.cli import render
from services.cli.terminal import interruptible
from services.common.config import CommonConfig, ConfigError, load

_config = click.option("--config", type=click.Path(path_type=Path), help="The service's own YAML file, if any.")


@click.argument("folder", type=click.Path(path_type=Path))
@_config
@click.option("--with-key", is_flag=True, help="Put the master key into it: whoever has the backup reads every text.")
def backup(folder: Path, config: Path | None, with_key: bool) -> None:
    """Write a backup of the service's log into FOLDER, which is new. The service may run meanwhile.

    It holds everything that was acknowledged before it began. The index is not in it: the first start makes it again.
    """
    common = _common(config)
    with interruptible("no backup was made."), render.bytes_done("copied") as progress:
        manifest = _done(lambda: backups.make(common, folder, with_key=with_key, progress=progress))
    click.echo(f"{folder}: {manifest.log_bytes:,} bytes, as of {manifest.made_at}.")
    if not with_key:
        click.echo(
            f"The master key is not in it. Keep a copy of {common.master_key_path} apart from it: without the key "
            "nothing of the backup can be read.",
            err=True,
        )


@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_config
@click.option(
    "--master-key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The backup's master key, where neither the data folder nor the backup holds it.",
)
def restore(folder: Path, config: Path | None, master_key_file: Path | None) -> None:
    """Put the backup in FOLDER into the data folder, which must hold no log. Then start with `mneme up`.

    What was told after the backup is not there. What was erased after it is there again, and so are tokens that were
    revoked after it: erase and revoke them again.
    """
    common = _common(config)
    with interruptible("the data folder has no log yet."), render.bytes_done("copied") as progress:
        manifest = _done(lambda: backups.restore(common, folder, key_file=master_key_file, progress=progress))
    click.echo(
        f"{common.data_dir}: as of {manifest.made_at}. Start it with `mneme up`; the first start makes the index."
    )
    click.echo(
        f"What was erased or revoked after {manifest.made_at} is back: do it again. `mneme audit` of the service that "
        "was lists it.",
        err=True,
    )


def _common(config: Path | None) -> CommonConfig:
    try:
        return load(config).common
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _done(work: Callable[[], backups.Manifest]) -> backups.Manifest:
    try:
        return work()
    except backups.BackupError as error:
        raise click.ClickException(str(error)) from error
