"""`mneme token`: issue, list and revoke, through the service; or issue with the master key itself, on its machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import click
from mneme.v1 import admin_pb2

from services.cli.client import DEFAULT_TIMEOUT_S, Client
from services.common.config import ConfigError, load
from services.common.crypto.auth import MAX_TOKEN_TTL_S, Caller, Right, token_signer
from services.common.crypto.seal import ExposedKey, MalformedKey, MasterKey
from services.common.ledger import topics
from services.common.log.base import LogError
from services.common.log.open import open_log

_PAGE = 1000


def _days(context: click.Context, parameter: click.Parameter, days: float) -> float:
    most = MAX_TOKEN_TTL_S / 86_400
    if not 0 < days <= most:  # false for NaN too, which click.FloatRange lets through
        raise click.BadParameter(f"a token lives more than 0 and at most {most:.0f} days.")
    return days


@click.option("--principal", required=True, help="Who it speaks for.")
@click.option("--prefix", "prefixes", multiple=True, required=True, help="Namespace prefix; may be repeated.")
@click.option(
    "--right", "rights", multiple=True, required=True, type=click.Choice(["read", "write", "forget", "admin"])
)
@click.option("--days", default=30.0, show_default=True, callback=_days, help="Until it expires.")
@click.option(
    "--master-key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="On the service's machine: sign with its key, which needs no token and no running service.",
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="With --master-key-file: the service's own YAML file, if any."
)
@click.pass_obj
def issue(
    get_client: Callable[[], Client],
    principal: str,
    prefixes: tuple[str, ...],
    rights: tuple[str, ...],
    days: float,
    master_key_file: Path | None,
    config: Path | None,
) -> None:
    """Print a new token, once. It is kept nowhere; its id (on stderr, and in `mneme token list`) revokes it."""
    if config is not None and master_key_file is None:
        raise click.UsageError("--config goes with --master-key-file")
    if master_key_file is not None:
        token, issued = _issue_here(master_key_file, config, principal, prefixes, rights, days)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(issued.expires_at))
        click.echo(token)
        click.echo(f"id {issued.token_id}, until {until}", err=True)
        return
    client = get_client()
    response = client.admin.IssueToken(
        admin_pb2.IssueTokenRequest(
            principal=principal,
            namespace_prefixes=prefixes,
            rights=[f"RIGHT_{r.upper()}" for r in rights],
            ttl_s=int(days * 86_400),
        ),
        metadata=client.metadata,
        timeout=DEFAULT_TIMEOUT_S,
    )
    click.echo(response.token)
    click.echo(f"id {response.token_id}, until {response.expires_at.ToJsonString()}", err=True)


def _issue_here(
    key_file: Path, config: Path | None, principal: str, prefixes: tuple[str, ...], rights: tuple[str, ...], days: float
) -> tuple[str, Caller]:
    """Whoever has the key may everything; the record goes into the log that the configuration names."""
    from services.gateway.revocations import Revocations
    from services.gateway.tokens import TokenOffice

    try:
        common = load(config).common
        if common.log == "sqlite" and not (common.data_dir / "log.db").exists():
            raise click.UsageError(
                f"there is no log in {common.data_dir.absolute()}. Go to the folder where `mneme up` was started, "
                "or name its --config, or set MNEME__COMMON__DATA_DIR."
            )
        tokens = token_signer(MasterKey.load(key_file))
        machine = Caller("operator", ("",), frozenset(Right), "master-key", time.time() + MAX_TOKEN_TTL_S)
        with contextlib.closing(open_log(common.log_url, common.kafka)) as log:
            log.ensure_topics([topics.audit(common.audit_retention_s)])  # which an earlier release did not make
            office = TokenOffice(tokens, Revocations(log))
            return office.issue(machine, principal, prefixes, frozenset(map(Right, rights)), days * 86_400)
    except (ConfigError, ExposedKey, MalformedKey, OSError, LogError) as error:
        raise click.UsageError(str(error)) from error


@click.pass_obj
def list_tokens(get_client: Callable[[], Client]) -> None:
    """List the tokens within the prefixes of one's own: id, end, rights, prefixes, principal."""
    client = get_client()
    for page in client.pages(client.admin.ListTokens, admin_pb2.ListTokensRequest(page_size=_PAGE)):
        for each in page.tokens:
            click.echo(_line(each))


def _line(token: admin_pb2.IssuedToken) -> str:
    end = "revoked   " if token.revoked else f"{token.expires_at.ToJsonString()[:10]}"
    rights = ",".join(admin_pb2.Right.Name(right).removeprefix("RIGHT_").lower() for right in token.rights)
    prefixes = ",".join(prefix or '""' for prefix in token.namespace_prefixes)
    return f"{token.token_id}  {end}  {rights:<23}  {prefixes}  {token.principal}"


@click.argument("token_id")
@click.pass_obj
def revoke(get_client: Callable[[], Client], token_id: str) -> None:
    """Make a token worthless at once."""
    client = get_client()
    pages = client.pages(client.admin.ListTokens, admin_pb2.ListTokensRequest(page_size=_PAGE))
    is_on_record = any(each.token_id == token_id for page in pages for each in page.tokens)
    client.admin.RevokeToken(
        admin_pb2.RevokeTokenRequest(token_id=token_id), metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S
    )
    click.echo(f"{token_id}: revoked.")
    if not is_on_record:
        click.echo(
            "There was no such token on record: has it expired, or is the id another? See mneme token list.", err=True
        )
