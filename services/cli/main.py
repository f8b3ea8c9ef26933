"""`mneme`: start the service, and use it from a terminal."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2, perception_pb2, reasoning_pb2

from services.cli import render
from services.cli.client import DEFAULT_TIMEOUT_S, Client, NoToken, connect, find_token
from services.cli.commands import audit, backup, dead_letters, export, forget, ingest, namespaces, scale, tokens
from services.cli.fields import as_typed
from services.cli.terminal import given_time, interruptible, read_time
from services.common.serving.errors import MnemeError, from_rpc_error

F = TypeVar("F", bound=Callable[..., Any])


class _Command(click.Command):
    """Refuses words that are no UTF-8: no message can carry them."""

    def invoke(self, context: click.Context) -> Any:
        for parameter in self.params:
            value = context.params.get(parameter.name or "")
            for word in value if isinstance(value, tuple) else [value]:
                if isinstance(word, str) and not _is_text(word):
                    raise click.BadParameter("it is not UTF-8.", context, parameter)
        try:
            return super().invoke(context)
        except grpc.RpcError as error:
            raise as_typed(from_rpc_error(error), context) from error
        except MnemeError as error:
            raise as_typed(error, context) from error


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:  # bytes of the command line that Python could not decode
        return False
    return True


class _Group(click.Group):
    """Shows every failure as one clear line, and exits 1."""

    command_class = _Command
    group_class = type  # its groups are of this class too

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except MnemeError as error:
            _fail(error)


def _fail(error: MnemeError) -> None:
    where = f" ({error.field})" if error.field else ""
    trace_id = error.metadata.get("trace_id") if error.reason in _OPERATORS else None
    trace = f" (trace id {trace_id})" if trace_id else ""
    click.echo(f"mneme: {error.reason}{where}: {error.message} {error.remedy}".rstrip() + trace, err=True)
    sys.exit(1)


# Failures that an operator looks into, by the trace id.
_OPERATORS = ("INTERNAL", "LOG_UNAVAILABLE", "SERVICE_UNAVAILABLE")
# A host and a port, an IPv6 address in brackets, or a target of another scheme of gRPC's.
_ADDRESS = re.compile(r"(?:dns|unix|unix-abstract|vsock|xds|ipv4|ipv6):.+|(?:\[[^\]]+\]|[^:/\s]+):(\d{1,5})")


def _address(context: click.Context, option: click.Parameter, address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    if match is None or (match.group(1) and not 0 < int(match.group(1)) < 65_536):
        raise click.BadParameter("say a host and a port, as in 127.0.0.1:7420.", context, option)
    return address


def _certificate(context: click.Context, option: click.Parameter, file: Path | None) -> Path | None:
    if file is not None and b"-----BEGIN CERTIFICATE-----" not in file.read_bytes():
        raise click.BadParameter(f"{file} holds no certificate in PEM.", context, option)
    return file


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--address",
    envvar="MNEME_ADDRESS",
    default="127.0.0.1:7420",
    show_default=True,
    show_envvar=True,
    callback=_address,
    help="Where the gateway listens: HOST:PORT.",
)
@click.option(
    "--token-file",
    envvar="MNEME_TOKEN_FILE",
    default=".mneme/token",
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="File with the token; MNEME_TOKEN holds it directly.",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    callback=_certificate,
    help="CA certificate: speak TLS.",
)
@click.version_option(package_name="mneme", message="mneme %(version)s")
@click.pass_context
def main(context: click.Context, address: str, token_file: Path, ca_file: Path | None) -> None:
    """Memory for fleets of language models.

    \b
    mneme up                                    start it here (Ctrl-C stops it)
    mneme namespace create acme/ann             a place for one user's memories
    mneme ingest -n acme/ann talk.jsonl         remember a conversation
    mneme recall -n acme/ann "the dentist"      find what was said
    mneme ask -n acme/ann "When is the dentist?"
    mneme forget -n acme/ann --person Bob --dry-run
    """
    context.obj = lambda: _client(address, token_file, ca_file)


def _client(address: str, token_file: Path, ca_file: Path | None) -> Client:
    try:
        return connect(address, find_token(token_file), ca_file)
    except NoToken as error:
        raise click.UsageError(
            f"no token: {error}. Run `mneme up` in this folder first, or name --token-file, or set MNEME_TOKEN."
        ) from error


namespace_option = click.option("-n", "--namespace", required=True, help='Whose memory, as "tenant/user".')


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file over the shipped defaults.")
def up(config: Path | None) -> None:
    """Start the service on this machine and leave it running. Its steps go to standard error.

    Settings: services/*/defaults.yaml explains each; --config FILE or MNEME__SECTION__FIELD changes them.
    """
    from services.cli import up as service
    from services.common.config import ConfigError, load

    try:
        with service.stopping():
            settings = load(config)
            say = partial(click.echo, err=True)
            service.start(settings, lambda step: say(f"  {step} ..."), lambda line: say(f"  {line}"))
            called = render.how_to_call(settings, service.operator(settings))
            click.echo(f"Mneme is up.\n{called}\n\nCtrl-C stops it.")
            service.wait_for_signal()
        click.echo("stopped.")
    except (ConfigError, service.StartError) as error:
        click.echo(f"mneme: cannot start: {error}", err=True)
        sys.exit(2)


main.command()(ingest.ingest)
main.command()(export.export)


def _asked_at(context: click.Context, parameter: click.Parameter, text: str | None) -> dict[str, Any]:
    """Fields of a request: when it is asked, and how far east of UTC that clock is."""
    if text is None:
        return {}
    at, offset = read_time(text, parameter.opts[0])
    return {"asked_at": at, "asked_utc_offset_minutes": offset}


_asked_at_option = click.option(
    "--asked-at",
    "asked",
    metavar="TIME",
    callback=_asked_at,
    help='The time, with its offset, that "yesterday" is relative to: 2026-01-31T10:00:00+01:00. Default: now, UTC.',
)
_COUNT = click.IntRange(0, 1_000_000)  # a message carries it; the service says what it takes


@main.command()
@namespace_option
@click.argument("query")
@click.option("-k", "--limit", default=5, type=click.IntRange(1, 100), show_default=True, help="Items to return.")
@click.option("--budget", default=0, type=_COUNT, help="Tokens of text at most; 0 is no budget.")
@click.option("--also", "scopes", multiple=True, help="Another namespace to read; may be repeated.")
@click.option("--fresh", is_flag=True, help="Wait for everything acknowledged before.")
@click.option(
    "--as-of",
    "known",
    metavar="TIME",
    callback=given_time,
    help="Only what was said by then: 2026-01-31T10:00:00Z.",
)
@_asked_at_option
@click.pass_obj
def recall(
    get_client: Callable[[], Client],
    namespace: str,
    query: str,
    limit: int,
    budget: int,
    scopes: tuple[str, ...],
    fresh: bool,
    known: Timestamp | None,
    asked: dict[str, Any],
) -> None:
    """Find memories: what was said, when, and why it was found."""
    client = get_client()
    response = client.episodic.Recall(
        episodic_pb2.RecallRequest(
            namespace=namespace,
            scopes=scopes,
            query=query,
            limit=limit,
            token_budget=budget,
            freshness=common_pb2.Freshness(strong=True) if fresh else None,
            as_of_known=known,
            **asked,
        ),
        metadata=client.metadata,
        timeout=DEFAULT_TIMEOUT_S,
    )
    click.echo(render.recall(response))


@main.command()
@namespace_option
@click.argument("question")
@click.option("--worded", is_flag=True, help="Let the model word an answer from the quotes, too.")
@click.option("--extractive-only", is_flag=True, help="Quotes alone, even where the service words every answer.")
@_asked_at_option
@click.pass_obj
def ask(
    get_client: Callable[[], Client],
    namespace: str,
    question: str,
    worded: bool,
    extractive_only: bool,
    asked: dict[str, Any],
) -> None:
    """Answer a question from memory: quotes with their evidence, then, where it is asked for, a model's wording.

    A service with a model of its own (reasoning.wording) words every answer, unless --extractive-only.
    """
    if worded and extractive_only:
        raise click.UsageError("--worded asks for a wording, --extractive-only for none. Give one of them.")
    client = get_client()
    options = reasoning_pb2.WordingOptions() if worded else None
    parts = client.reasoning.Ask(
        reasoning_pb2.AskRequest(
            namespace=namespace, question=question, wording=options, extractive_only=extractive_only, **asked
        ),
        metadata=client.metadata,
        timeout=DEFAULT_TIMEOUT_S,
    )
    given = render.Answer()
    for part in parts:
        given.add(part)
        if part.HasField("extractive"):
            click.echo(render.quotes(given))
    click.echo(render.ending(given))


main.command()(namespace_option(forget.forget))
main.command("verify-forgotten")(namespace_option(forget.verify_forgotten))


@main.command()
@namespace_option
@click.pass_obj
def stats(get_client: Callable[[], Client], namespace: str) -> None:
    """What a namespace holds: engrams by kind, state hash, lag, generation; then the KV store and its engines, and the
    shards of episodic.

    These serve every namespace, so the token needs the right admin for them.
    """
    client = get_client()
    response = client.admin.GetStats(
        admin_pb2.GetStatsRequest(namespace=namespace), metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S
    )
    click.echo(render.stats(response))
    kv = reasoning_pb2.GetKvStatsRequest()
    click.echo(
        _unless_denied(
            lambda: render.kv_stats(
                client.reasoning.GetKvStats(kv, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
            ),
            "kv store       not shown: its counts are of every namespace",
        )
    )
    click.echo(
        _unless_denied(
            lambda: render.shards(scale.told(client)), "shards         not shown: they are of every namespace"
        )
    )


def _unless_denied(show: Callable[[], str], otherwise: str) -> str:
    try:
        return show()
    except grpc.RpcError as error:
        if from_rpc_error(error).reason != "PERMISSION_DENIED":
            raise
        return otherwise


main.command()(audit.audit)
main.command()(audit.usage)
main.command()(scale.scale)
main.command()(backup.backup)
main.command()(backup.restore)


@main.command()
@click.option("--watch", metavar="ID", help="Start none; show the one with this id.")
@click.option("--key", help="Idempotency key of a rebuild: repeat one that began in part, and the rest begins.")
@click.pass_obj
def rebuild(get_client: Callable[[], Client], watch: str | None, key: str | None) -> None:
    """Make the index again from the ledger, beside the one in use, and swap."""
    client = get_client()
    if watch is None:
        request = admin_pb2.RebuildRequest(id=key or f"cli-{secrets.token_hex(8)}")
        try:
            begun = client.admin.Rebuild(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
        except grpc.RpcError as error:
            raise namespaces.repeatable(from_rpc_error(error), request.id, "the rest of it") from error
        watch = begun.operation.id
    with interruptible(f"the rebuild goes on in the service. To look: `mneme rebuild --watch {watch}`"):
        operation = render.follow(lambda: _operation(client, watch))
    click.echo(render.operation(operation))
    sys.exit(0 if operation.state == admin_pb2.OPERATION_STATE_DONE else 1)


def _operation(client: Client, operation_id: str) -> admin_pb2.Operation:
    response = client.admin.GetOperation(
        admin_pb2.GetOperationRequest(id=operation_id), metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S
    )
    operation: admin_pb2.Operation = response.operation
    return operation


@main.command("end-session")
@namespace_option
@click.argument("session")
@click.pass_obj
def end_session(get_client: Callable[[], Client], namespace: str, session: str) -> None:
    """Close the open episode of a session."""
    client = get_client()
    client.perception.EndSession(
        perception_pb2.EndSessionRequest(namespace=namespace, session=session),
        metadata=client.metadata,
        timeout=DEFAULT_TIMEOUT_S,
    )
    click.echo(f"{session}: ended.")


@main.group()
def namespace() -> None:
    """Create, list, show, change and delete namespaces."""


namespaces.add_to(namespace)


@main.group()
def token() -> None:
    """Issue, list and revoke tokens."""


token.command("issue")(tokens.issue)
token.command("list")(tokens.list_tokens)
token.command("revoke")(tokens.revoke)


@main.group("dead-letters")
def letters() -> None:
    """List, replay and purge what the inboxes could not take."""


letters.command("list")(dead_letters.list_letters)
letters.command("replay")(dead_letters.replay)
letters.command("purge")(dead_letters.purge)


if __name__ == "__main__":
    main()
