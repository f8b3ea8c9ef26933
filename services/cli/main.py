"""`mneme`: start the service, and use it from a terminal."""

from __future__ import annotations

import json
import secrets
import sys
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click
import grpc
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2, perception_pb2, reasoning_pb2

from services.cli import namespaces, render
from services.cli.client import DEFAULT_TIMEOUT_S, Client, NoToken, connect, find_token
from services.common.errors import MnemeError, from_rpc_error

F = TypeVar("F", bound=Callable[..., Any])


class _Command(click.Command):
    """Refuses words that are no UTF-8: no message can carry them."""

    def invoke(self, context: click.Context) -> Any:
        for parameter in self.params:
            value = context.params.get(parameter.name or "")
            for word in value if isinstance(value, tuple) else [value]:
                if isinstance(word, str) and not _is_text(word):
                    raise click.BadParameter("it is not UTF-8.", context, parameter)
        return super().invoke(context)


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
        except grpc.RpcError as error:
            _fail(from_rpc_error(error))
        except MnemeError as error:
            _fail(error)


def _fail(error: MnemeError) -> None:
    where = f" ({error.field})" if error.field else ""
    remedy = error.remedy or (_NOBODY_ANSWERS if error.reason == "SERVICE_UNAVAILABLE" else "")
    click.echo(f"mneme: {error.reason}{where}: {error.message} {remedy}".rstrip(), err=True)
    sys.exit(1)


_NOBODY_ANSWERS = "Start the service (`mneme up`), or check --address, and --ca-file where it has a certificate."


@contextmanager
def _interruptible(says: str) -> Iterator[None]:
    """Ctrl-C in the block ends the command with what it means for the service."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nmneme: interrupted; {says}", err=True)
        sys.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--address", envvar="MNEME_ADDRESS", default="127.0.0.1:7420", show_default=True, help="Where the gateway listens."
)
@click.option(
    "--token-file",
    envvar="MNEME_TOKEN_FILE",
    default=".mneme/token",
    show_default=True,
    type=click.Path(path_type=Path),
    help="File with the token; MNEME_TOKEN holds it directly.",
)
@click.option("--ca-file", type=click.Path(path_type=Path, exists=True), help="CA certificate: speak TLS.")
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
            service.start(settings, lambda step: click.echo(f"  {step} ...", err=True))
            called = render.how_to_call(settings, service.operator(settings))
            click.echo(f"Mneme is up.\n{called}\n\nCtrl-C stops it.")
            service.wait_for_signal()
        click.echo("stopped.")
    except (ConfigError, service.StartError) as error:
        click.echo(f"mneme: cannot start: {error}", err=True)
        sys.exit(2)


@main.command()
@namespace_option
@click.argument("file", type=click.File("rb"))
@click.option("--create/--no-create", default=True, show_default=True, help="Create the namespace if it is missing.")
@click.pass_obj
def ingest(get_client: Callable[[], Client], namespace: str, file: Any, create: bool) -> None:
    """Remember observations from FILE (JSON lines in UTF-8; "-" is standard input).

    Each line is one observation: {"id": ..., "session": ..., "text": ..., "observed_at": "2026-01-31T10:00:00Z"} and,
    optionally, "actor", "metadata", "source", "external_id". Safe to repeat: an id is taken once, and what was erased
    stays so (its lines are skipped; of standard input, only where that is a file).
    """
    client = get_client()
    if create and _is_missing(client, namespace):
        request = admin_pb2.CreateNamespaceRequest(namespace=namespace)
        client.admin.CreateNamespace(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
    lines = _Lines(file, namespace)
    with _interruptible("what was acknowledged is kept. Run it again: an id is taken once."):
        taken = _send(client, lines)
    click.echo(f"{taken['accepted']} accepted, {taken['duplicates']} known already; durable in the ledger.")
    if taken["erased"]:
        click.echo(f"{taken['erased']} skipped: erased before, and refused for good.")
    if lines.error is not None:
        raise lines.error


def _send(client: Client, lines: _Lines) -> Counter[str]:
    """Send what is left of the file; a line that was erased ends a stream, and the next one begins behind it."""
    taken: Counter[str] = Counter()
    with render.counter("sent") as count:
        while True:
            try:
                response = client.observe(lines.observations(count))
            except grpc.RpcError as error:
                refused = lines.located(from_rpc_error(error))
                if refused.reason != "ERASED" or not lines.go_on_behind(refused):
                    raise refused from error
                said = refused.metadata
                taken.update(accepted=int(said["accepted"]), duplicates=int(said["duplicates"]), erased=1)
            else:
                taken.update(accepted=response.accepted, duplicates=response.duplicates)
                return taken


def _is_missing(client: Client, namespace: str) -> bool:
    """Whether it surely is. A token that may not read cannot tell; then what is done next says it."""
    try:
        client.admin.GetStats(
            admin_pb2.GetStatsRequest(namespace=namespace), metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S
        )
    except grpc.RpcError as error:
        reason = from_rpc_error(error).reason
        if reason not in ("UNKNOWN_NAMESPACE", "PERMISSION_DENIED"):
            raise
        return reason == "UNKNOWN_NAMESPACE"
    return False


_KEPT = "What came before it is kept."


class _Lines:
    """Observations of a file of JSON lines, up to the first line that is none; ``error`` then says which."""

    def __init__(self, file: BinaryIO, namespace: str) -> None:
        self._file = file
        self._namespace = namespace
        self._can_go_back = file.seekable()
        self._reading = threading.Lock()  # gRPC may still ask for a line when the stream has ended
        self._stream = 0
        self._next = (1, file.tell() if self._can_go_back else 0)  # line and place
        self._sent: list[array[int]] = []  # of this stream's observations: lines, and the places behind them
        self._shown = 0  # the last line that was counted
        self.error: MnemeError | None = None

    def observations(self, count: Callable[[], None]) -> Iterator[common_pb2.Observation]:
        """A stream of what is left; the one before ends."""
        with self._reading:
            self._stream += 1
            self._sent = [array("Q"), array("Q")]
            if self._can_go_back:
                self._file.seek(self._next[1])
            return self._read(self._stream, count)

    def _read(self, stream: int, count: Callable[[], None]) -> Iterator[common_pb2.Observation]:
        while True:
            with self._reading:
                observation = self._take() if stream == self._stream else None
                is_new = self._next[0] > self._shown
                self._shown = max(self._shown, self._next[0])
            if observation is None:
                return
            yield observation
            if is_new:
                count()

    def _take(self) -> common_pb2.Observation | None:
        """The next observation; None at the end, or where a line is none."""
        while line := self._file.readline():
            number, place = self._next
            self._next = (number + 1, place + len(line))
            if line.strip():
                try:
                    observation = self._parse(line)
                except (ValueError, ParseError, AttributeError, TypeError) as error:
                    self.error = _not_an_observation(self._file.name, number, error)
                    return None  # not raised: gRPC would lose it, and what came before is kept
                self._sent[0].append(number)
                self._sent[1].append(self._next[1])
                return observation
        return None

    def go_on_behind(self, refused: MnemeError) -> bool:
        """Have the next stream begin behind the observation that was refused; False where that is not known."""
        index = self._index(refused)
        if index is None or not self._can_go_back:
            return False
        with self._reading:
            self._stream += 1
            self._next = (self._sent[0][index] + 1, self._sent[1][index])
            self.error = None
        return True

    def _index(self, refused: MnemeError) -> int | None:
        index = refused.metadata.get("index", "")
        return int(index) if index.isdecimal() and int(index) < len(self._sent[0]) else None

    def located(self, refused: MnemeError) -> MnemeError:
        """The same error, with the line where the service says which observation it refused."""
        index = self._index(refused)
        if index is None:
            return refused
        message = f"line {self._sent[0][index]}: {refused.message}"
        remedy = f"{refused.remedy} {_KEPT}"
        return MnemeError(refused.reason, message, field=refused.field, remedy=remedy, metadata=refused.metadata)

    def _parse(self, line: bytes) -> common_pb2.Observation:
        fields = json.loads(line.decode())
        fields["metadata"] = {k: _metadata(v) for k, v in fields.get("metadata", {}).items()}
        return ParseDict({**fields, "namespace": self._namespace}, common_pb2.Observation())


def _not_an_observation(name: str, number: int, error: Exception) -> MnemeError:
    return MnemeError(
        "INVALID_FIELD",
        f"line {number} is not an observation: {error}.",
        field=name,
        remedy=f"See `mneme ingest --help` for the format. {_KEPT}",
    )


def _metadata(value: object) -> dict[str, object]:
    return {"number": value} if isinstance(value, int | float) else {"text": str(value)}


_COUNT = click.IntRange(0, 1_000_000)  # a message carries it; the service says what it takes


@main.command()
@namespace_option
@click.argument("query")
@click.option("-k", "--limit", default=5, type=_COUNT, show_default=True, help="Items to return.")
@click.option("--budget", default=0, type=_COUNT, help="Tokens of text at most; 0 is no budget.")
@click.option("--also", "scopes", multiple=True, help="Another namespace to read; may be repeated.")
@click.option("--fresh", is_flag=True, help="Wait for everything acknowledged before.")
@click.pass_obj
def recall(
    get_client: Callable[[], Client],
    namespace: str,
    query: str,
    limit: int,
    budget: int,
    scopes: tuple[str, ...],
    fresh: bool,
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
        ),
        metadata=client.metadata,
        timeout=DEFAULT_TIMEOUT_S,
    )
    click.echo(render.recall(response))


@main.command()
@namespace_option
@click.argument("question")
@click.option("--extractive-only", is_flag=True, help="Quotes alone: do not let the model word an answer from them.")
@click.pass_obj
def ask(get_client: Callable[[], Client], namespace: str, question: str, extractive_only: bool) -> None:
    """Answer a question from memory: quotes with their evidence, then a model's wording if there is a model."""
    client = get_client()
    parts = client.reasoning.Ask(
        reasoning_pb2.AskRequest(namespace=namespace, question=question, extractive_only=extractive_only),
        metadata=client.metadata,
        timeout=DEFAULT_TIMEOUT_S,
    )
    given = render.Answer()
    for part in parts:
        given.add(part)
        if part.HasField("extractive"):
            click.echo(render.quotes(given))
    click.echo(render.ending(given))


@main.command()
@namespace_option
@click.option("--person", help="Everything that names this person or an alias.")
@click.option("--alias", multiple=True, help="Another name of --person; may be repeated.")
@click.option("--include-doubtful", is_flag=True, help="With --person: what only may name them too (see --dry-run).")
@click.option("--session", help="One session.")
@click.option("--source", help="Everything from one source.")
@click.option("--id", "ids", multiple=True, help="One observation or engram; may be repeated.")
@click.option("--from", "start", type=click.DateTime(), help="Everything from this time on (UTC) ...")
@click.option("--to", "end", type=click.DateTime(), help="... and before this one.")
@click.option("--dry-run", is_flag=True, help="List what would go; change nothing.")
@click.option("--key", help="Idempotency key of an erasure: repeat one that was cut off, for its receipt.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(
    get_client: Callable[[], Client], /, namespace: str, dry_run: bool, key: str | None, yes: bool, **by: Any
) -> None:
    """Erase for good, everywhere. Try --dry-run first.

    Prints its key before it erases, then a receipt; `mneme verify-forgotten` checks that later. Cut off in between, it
    goes on all the same: repeat the command with --key for the receipt. A key stands for one erasure: again with the
    same selector it erases nothing more, with another it is refused.
    """
    client = get_client()
    selector = _selector(**by)
    request = episodic_pb2.ForgetRequest(namespace=namespace, selector=selector, dry_run=True)
    listed = client.episodic.Forget(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S)
    click.echo(render.dry_run(listed))
    if dry_run or not (listed.targets or listed.alias_groups or key):
        return
    if (listed.targets or listed.alias_groups) and not yes:
        names = f" and the names in {listed.alias_groups} alias groups" if listed.alias_groups else ""
        click.confirm(f"Erase these {len(listed.targets)}{names} for good?", abort=True)
    request.dry_run = False
    request.id = key or f"cli-{secrets.token_hex(8)}"
    click.echo(f"key {request.id}")
    try:
        done = client.episodic.Forget(request, metadata=client.metadata, timeout=_ERASURE_S)
    except grpc.RpcError as error:
        raise namespaces.repeatable(from_rpc_error(error), request.id) from error
    click.echo(render.receipt(done.receipt))
    if key:
        _require_erased(listed, done)


_ERASURE_S = 120.0


def _require_erased(listed: episodic_pb2.ForgetResponse, done: episodic_pb2.ForgetResponse) -> None:
    """ID_REUSED when the receipt is of an earlier erasure, and something was told since."""
    left = {t.engram_id for t in listed.targets if not t.derived} - {t.engram_id for t in done.targets}
    if left:
        message = f"The key is that of an earlier erasure, and {len(left)} of those listed are not in its receipt."
        raise MnemeError("ID_REUSED", message, field="--key", remedy="Forget them without --key.")


def _selector(
    person: str | None,
    alias: tuple[str, ...],
    include_doubtful: bool,
    session: str | None,
    source: str | None,
    ids: tuple[str, ...],
    start: Any,
    end: Any,
) -> episodic_pb2.ForgetSelector:
    chosen = [bool(person), bool(session), bool(source), bool(ids), bool(start or end)]
    if sum(chosen) != 1:
        raise click.UsageError("name exactly one of --person, --session, --source, --id, --from/--to")
    if include_doubtful and not person:
        raise click.UsageError("--include-doubtful goes with --person")
    if person:
        named = episodic_pb2.Person(name=person, aliases=alias, include_doubtful=include_doubtful)
        return episodic_pb2.ForgetSelector(person=named)
    if session:
        return episodic_pb2.ForgetSelector(session=session)
    if source:
        return episodic_pb2.ForgetSelector(source=source)
    if ids:
        return episodic_pb2.ForgetSelector(ids=episodic_pb2.Ids(ids=ids))
    return episodic_pb2.ForgetSelector(event_time=common_pb2.TimeRange(start=_timestamp(start), end=_timestamp(end)))


def _timestamp(value: Any) -> Timestamp | None:
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp


@main.command("verify-forgotten")
@namespace_option
@click.argument("receipt")
@click.pass_obj
def verify_forgotten(get_client: Callable[[], Client], namespace: str, receipt: str) -> None:
    """Look in every store for anything readable of an erasure. Exits 1 if there is."""
    client = get_client()
    response = client.episodic.VerifyForgotten(
        episodic_pb2.VerifyForgottenRequest(namespace=namespace, receipt_id=receipt),
        metadata=client.metadata,
        timeout=120,
    )
    click.echo(render.probes(response))
    sys.exit(0 if response.clean else 1)


@main.command()
@namespace_option
@click.pass_obj
def stats(get_client: Callable[[], Client], namespace: str) -> None:
    """What a namespace holds: engrams by kind, state hash, lag, generation; then the KV store and its engines.

    These serve every namespace, so the token needs the right admin for them.
    """
    client = get_client()
    response = client.admin.GetStats(
        admin_pb2.GetStatsRequest(namespace=namespace), metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S
    )
    click.echo(render.stats(response))
    try:
        kv = client.reasoning.GetKvStats(
            reasoning_pb2.GetKvStatsRequest(), metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S
        )
    except grpc.RpcError as error:
        if from_rpc_error(error).reason != "PERMISSION_DENIED":
            raise
        click.echo("kv store       not shown: the token has no right to admin")
    else:
        click.echo(render.kv_stats(kv))


@main.command()
@click.option("--watch", metavar="ID", help="Start none; show the one with this id.")
@click.pass_obj
def rebuild(get_client: Callable[[], Client], watch: str | None) -> None:
    """Make the index again from the ledger, beside the one in use, and swap."""
    client = get_client()
    if watch is None:
        request = admin_pb2.RebuildRequest()
        watch = client.admin.Rebuild(request, metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S).operation.id
    with _interruptible(f"the rebuild goes on in the service. To look: `mneme rebuild --watch {watch}`"):
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


@main.group()
def namespace() -> None:
    """Create, list, show and delete namespaces."""


namespaces.add_to(namespace)


@main.group()
def token() -> None:
    """Issue and revoke tokens."""


def _days(context: click.Context, parameter: click.Parameter, days: float) -> float:
    from services.common.auth import MAX_TOKEN_TTL_S

    most = MAX_TOKEN_TTL_S / 86_400
    if not 0 < days <= most:  # false for NaN too, which click.FloatRange lets through
        raise click.BadParameter(f"a token lives more than 0 and at most {most:.0f} days.")
    return days


@token.command("issue")
@click.option("--principal", required=True, help="Who it speaks for.")
@click.option("--prefix", "prefixes", multiple=True, required=True, help="Namespace prefix; may be repeated.")
@click.option(
    "--right", "rights", multiple=True, required=True, type=click.Choice(["read", "write", "forget", "admin"])
)
@click.option("--days", default=30.0, show_default=True, callback=_days, help="Until it expires.")
@click.pass_obj
def token_issue(
    get_client: Callable[[], Client], principal: str, prefixes: tuple[str, ...], rights: tuple[str, ...], days: float
) -> None:
    """Print a new token, once. It is kept nowhere; its id (on stderr) revokes it."""
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


@token.command("revoke")
@click.argument("token_id")
@click.pass_obj
def token_revoke(get_client: Callable[[], Client], token_id: str) -> None:
    """Make a token worthless at once."""
    client = get_client()
    client.admin.RevokeToken(
        admin_pb2.RevokeTokenRequest(token_id=token_id), metadata=client.metadata, timeout=DEFAULT_TIMEOUT_S
    )
    click.echo(f"{token_id}: revoked.")


if __name__ == "__main__":
    main()
