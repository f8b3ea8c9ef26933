"""What the terminal shows: pure functions from messages to text, and two progress displays."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import admin_pb2, episodic_pb2, reasoning_pb2
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from services.common.config import Settings
from services.common.crypto.auth import Caller
from services.common.serving import clocks

_NAME_WIDTH = 24
_OBEYED = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})  # Unicode's categories
_JOINERS = "\u200c\u200d\u00ad"  # of ordinary words
TEXT_WIDTH = 96


@dataclass(slots=True)
class Answer:
    """The parts of an Ask stream, together."""

    items: list[episodic_pb2.RecallItem] = field(default_factory=list)
    extractive: reasoning_pb2.ExtractiveAnswer = field(default_factory=reasoning_pb2.ExtractiveAnswer)
    done: reasoning_pb2.AskDone = field(default_factory=reasoning_pb2.AskDone)
    wording: str = ""

    def add(self, part: reasoning_pb2.AskResponse) -> None:
        match part.WhichOneof("part"):
            case "evidence":
                self.items.extend(part.evidence.items)
            case "extractive":
                self.extractive = part.extractive
            case "wording":
                self.wording += part.wording.text
            case "done":
                self.done = part.done


def collect(parts: Iterable[reasoning_pb2.AskResponse]) -> Answer:
    """Read an Ask stream to its end."""
    answer = Answer()
    for part in parts:
        answer.add(part)
    return answer


def answer(given: Answer) -> str:
    """The extractive answer, its evidence, the wording, and the time of each stage."""
    return f"{quotes(given)}\n{ending(given)}"


def quotes(given: Answer) -> str:
    """The extractive answer and its evidence: what is there before the model is asked."""
    extractive = given.extractive
    lines = []
    if extractive.found:
        lines += [f"  {_speaker(_cited(given, s.engram_id))}{shorten(s.text, 400)}" for s in extractive.sentences]
    else:
        sure, bar = _apart(extractive.confidence, extractive.threshold)
        lines.append(f"  not found (confidence {sure} < {bar})")
    return "\n".join([*lines, *(item(i, number) for number, i in enumerate(given.items, 1))])


def ending(given: Answer) -> str:
    """The wording, if there is one or should be, and the time of each stage."""
    lines = _wording(given) if given.done.HasField("wording") else []
    lines.append(f"  [{stages(given.done.stages)}]")
    return "\n".join(lines)


def _wording(given: Answer) -> list[str]:
    """What the model made of the evidence, labelled as its own, with what it cites and cost."""
    end, model = given.done.wording, given.done.model
    outcome = reasoning_pb2.WordingOutcome.Name(end.outcome).removeprefix("WORDING_OUTCOME_").lower().replace("_", " ")
    if end.outcome == reasoning_pb2.WORDING_OUTCOME_NOT_ASKED:
        return [f"  no wording: --worded lets {model} try one"]
    if not given.wording:
        return [f"  no wording ({outcome}{': ' if end.detail else ''}{end.detail})"]
    cited = ", ".join(f"{_source(given, c.engram_id)} ({c.support:.0%} of its words)" for c in end.citations[:3])
    cited = f"cites {cited}" if cited else "cites nothing: none of its words stand in the evidence"
    used = end.usage
    return [
        f"  {model} words it (it may be wrong): {shorten(given.wording, 400)}",
        f"     {cited}; {used.prompt_tokens} tokens read, {used.cached_tokens} of them from the cache, "
        f"{used.generated_tokens} written",
        *([f"     {end.detail}"] if end.detail else []),
    ]


def _source(given: Answer, engram_id: str) -> str:
    """The cited engram's place in the evidence, and who said it."""
    place = next((f"[{n}]" for n, i in enumerate(given.items, 1) if i.engram.id == engram_id), engram_id[:12])
    return f"{place} {_speaker(_cited(given, engram_id)).removesuffix(': ')}".rstrip()


def _cited(given: Answer, engram_id: str) -> episodic_pb2.Engram:
    """Of the evidence; an empty one where it is not there."""
    return next((i.engram for i in given.items if i.engram.id == engram_id), episodic_pb2.Engram())


def _speaker(engram: episodic_pb2.Engram) -> str:
    return f"{shorten(engram.actor, _NAME_WIDTH)}: " if engram.actor else ""


def kv_stats(response: reasoning_pb2.GetKvStatsResponse) -> str:
    """The KV store of the node, and its engines."""
    lines = ["kv store       none answers"]
    if response.HasField("store"):
        store = response.store
        counts = ", ".join(f"{count} {name}" for name, count in sorted(store.counts.items()) if count)
        size = f"{store.used_bytes / 2**20:.0f} of {store.capacity_bytes / 2**20:.0f} MiB"
        lines = [f"kv store       {store.blocks} blocks, {size} ({counts or 'nothing yet'}; {store.eviction})"]
    for engine in response.engines:
        c = engine.counts
        lines.append(
            f"{engine.engine:14} {engine.model}, attention {engine.attention}, CPU kernels {engine.cpu_kernels}: "
            f"{c['requests']} requests, "
            f"{engine.running} running, {engine.waiting} waiting; "
            f"{c['cached_tokens']} of {c['prompt_tokens']} prompt tokens from the cache; "
            f"blocks {c['blocks_computed']} computed, {c['blocks_loaded']} loaded, {c['blocks_published']} published; "
            f"pages {engine.pages_used} used, {engine.pages_cached} cached, {engine.pages_free} free"
        )
    return "\n".join(lines)


_SHOWN = ("application", "pid", "reason", "count", "operation", "generation", "error", "port", "exception")


def line(said: Mapping[str, Any]) -> str:
    """A line of a process's log: when, who, what, and of what belongs to it what an operator looks for first."""
    details = [f"{name} {said[name]}" for name in _SHOWN if name in said]
    if "seconds" in said:
        details.append(f"{said['seconds']} s")
    level = "" if said["level"] == "INFO" else f"{said['level'].lower()}: "
    behind = f" ({', '.join(details)})" if details else ""
    return f"{said['at'][11:19]} {said['service']}: {level}{said['message']}{behind}"


def recall(response: episodic_pb2.RecallResponse) -> str:
    near = "nothing good enough; the nearest:\n" if response.items else "nothing found"
    head = "" if response.found else near
    body = "\n".join(item(i, number) for number, i in enumerate(response.items, 1))
    sure, bar = _apart(response.confidence, response.threshold)
    return f"{head}{body}\n  [confidence {sure}, needed {bar}; {stages(response.stages)}]"


def _apart(value: float, bar: float) -> tuple[str, str]:
    """Both with as many digits as tell them apart, two at least."""
    for digits in range(2, 7):
        shown = f"{value:.{digits}f}", f"{bar:.{digits}f}"
        if shown[0] != shown[1]:
            break
    return shown


def item(recalled: episodic_pb2.RecallItem, number: int) -> str:
    """One line of text with its date, and one that says why it was found."""
    engram = recalled.engram
    date = f"{clocks.moment(engram.event_start, engram.utc_offset_minutes):%Y-%m-%d}"
    name = engram.observation_id or engram.id[:12]
    trace = ", ".join(f"{s.stage}{f' #{s.rank}' if s.rank else ''} {s.score:.3f}" for s in recalled.trace)
    why = f"{recalled.why} " if recalled.why else ""
    head = f"  {number}. {date} {printable(name)}  {_speaker(engram)}{shorten(engram.text, TEXT_WIDTH)}"
    return f"{head}\n     score {recalled.score:.4f}: {why}({trace})"


def stages(times: Iterable[episodic_pb2.StageTime]) -> str:
    return ", ".join(f"{t.stage} {t.duration.ToTimedelta().total_seconds() * 1000:.0f} ms" for t in times)


def printable(text: str) -> str:
    """Without what a terminal obeys instead of showing: others' words may hold control and formatting characters."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_obeyed(c) else c for c in text)


def _is_obeyed(character: str) -> bool:
    return unicodedata.category(character) in _OBEYED and character not in _JOINERS


def shorten(text: str, width: int) -> str:
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= width else flat[: width - 1].rstrip() + "…"


def dry_run(response: episodic_pb2.ForgetResponse) -> str:
    names = f" (names: {', '.join(response.names)})" if response.names else ""
    groups = f", names in {response.alias_groups} alias groups" if response.alias_groups else ""
    declared = sum(bool(t.reason) for t in response.targets)
    too = f" ({declared} of them because they say that they are derived from one that goes)" if declared else ""
    told, derived = response.targets_told, response.targets_derived
    lines = [f"would go: {told} told{too}, {derived} derived from them{groups}{names}"]
    for target in sorted(response.targets, key=lambda target: bool(target.reason)):
        date = f"{clocks.moment(target.event_start, target.utc_offset_minutes):%Y-%m-%d}"
        kind = episodic_pb2.EngramKind.Name(target.kind).removeprefix("ENGRAM_KIND_").lower()
        lines.append(f"  {date} {kind:8} {shorten(target.text, TEXT_WIDTH)}")
        if target.reason:
            lines.append(f"    {target.reason}")
    if left := told + derived - len(response.targets):
        lines.append(f"  and {left} more")
    if response.doubtful:
        lines.append(f"doubtful, and left unless --include-doubtful: {response.doubtful_total}")
    for match in response.doubtful:
        lines.append(f'  "{match.written}": {match.reason}')
        lines.append(f"    {match.engram_id[:12]} {shorten(match.text, TEXT_WIDTH)}")
    for named in response.named:
        what = f"{len(named.engram_ids)} told" if named.engram_ids else "nothing that is remembered"
        lines.append(f"id {printable(named.id)}: {what}")
    return "\n".join(lines)


def receipt(given: episodic_pb2.ErasureReceipt) -> str:
    at = f"position {given.position.partition}:{given.position.offset}"
    lines = [
        f"receipt {given.id} ({at}, {given.at.ToJsonString()}, erasure epoch {given.erasure_epoch})",
        f"  {given.base_erased} told erased, {given.keys_destroyed} keys destroyed, "
        f"{given.derived_retired} derived retired, {given.derived_rebuilt} rebuilt without them",
    ]
    if given.declared_erased:
        lines.append(f"  {given.declared_erased} of them said that they were derived from one that was selected")
    if given.alias_groups:
        lines.append(f"  {given.alias_groups} alias groups held a name: dropped, or left without it")
    if given.doubtful_left:
        lines.append(f"  {given.doubtful_left} left that may name the person: `mneme forget --dry-run` lists them")
    for store in given.stores:
        bound = f"until {store.by.ToJsonString()}" if store.HasField("by") else "pending"
        state = "done" if store.done else bound
        lines.append(f"  {store.store:8} {state}: {store.detail}")
    return "\n".join(lines)


def namespace(given: admin_pb2.Namespace) -> str:
    fields = ", ".join(map(_field, given.metadata_fields))
    lines = [f"namespace      {given.name}", f"metadata       {fields or 'no declared field'}"]
    lines += [f"alias group    {_group(group)}" for group in given.aliases]
    limits = ", ".join(f"{limit} {what}" for what, limit in _limits(given.quota).items())
    return "\n".join([*lines, f"quota          {limits or 'none'}", f"erasure epoch  {given.erasure_epoch}"])


def _limits(quota: admin_pb2.Quota) -> dict[str, int]:
    """Those that there are, by what they are of."""
    return {what: limit for what, limit in (("texts", quota.max_texts), ("bytes", quota.max_bytes)) if limit}


def refusal(given: admin_pb2.RefusedRecord | admin_pb2.ReplayedRecord) -> str:
    """Why, and the remedy, which a message that was kept holds already."""
    remedy = "" if given.remedy in given.message else f" {given.remedy}"
    return f"{given.reason}: {given.message}{remedy}"


def refused(given: admin_pb2.RefusedRecord) -> str:
    """A record that an inbox could not take."""
    of = f" of {given.namespace}" if given.namespace else ""
    place = f" {given.position.partition}/{given.position.offset}" if given.HasField("position") else ""
    lines = [
        f"{given.id}  {given.at.ToJsonString()}  {given.topic}{place}{of}",
        f"  {refusal(given)}",
    ]
    if given.payload:
        lines.append(f"  {shorten(given.payload.decode(errors='replace'), 400)}")
    return "\n".join(lines)


def namespace_change(there: admin_pb2.Namespace, request: admin_pb2.UpdateNamespaceRequest) -> str:
    """What a change adds (+) and takes away (-)."""
    declared = {field.name for field in there.metadata_fields}
    lines = [f"+ metadata     {_field(field)}" for field in request.metadata_fields if field.name not in declared]
    if request.HasField("aliases"):
        old, new = list(map(_group, there.aliases)), list(map(_group, request.aliases.groups))
        lines += [f"- alias group  {group}" for group in old if group not in new]
        lines += [f"+ alias group  {group}" for group in new if group not in old]
    lines += _quota_change(there.quota, request.quota)
    return "\n".join([f"namespace      {there.name}", *(lines or ["nothing would change"])])


def _quota_change(there: admin_pb2.Quota, given: admin_pb2.Quota) -> list[str]:
    lines = []
    for name, what in (("max_texts", "texts"), ("max_bytes", "bytes")):
        before, after = getattr(there, name), getattr(given, name)
        if given.HasField(name) and before != after:
            lines += [f"{sign} quota        {limit} {what}" for sign, limit in (("-", before), ("+", after)) if limit]
    return lines


def _field(given: admin_pb2.MetadataField) -> str:
    kinds = {admin_pb2.METADATA_TYPE_TEXT: "text", admin_pb2.METADATA_TYPE_NUMBER: "number"}
    return f"{given.name} ({kinds.get(given.type, 'unknown')})"


def _group(given: admin_pb2.AliasGroup) -> str:
    return f"{given.name}: {', '.join(given.aliases)}"


def probes(response: episodic_pb2.VerifyForgottenResponse) -> str:
    lines = [
        f"  {p.store:8} looked at {p.looked_at:6}, readable {p.readable}  {p.detail}".rstrip() for p in response.probes
    ]
    return "\n".join([*lines, *_verdict(response)])


def _verdict(response: episodic_pb2.VerifyForgottenResponse) -> Iterator[str]:
    """What the probes come to: "clean" where nothing is left to look at."""
    possible = response.possible_mentions
    readable = any(p.readable for p in response.probes if p.store != "mentions")
    likely = sum(p.readable for p in response.probes if p.store == "mentions")
    if readable:
        yield "NOT clean: some of it can still be read"
    elif likely:
        yield f"NOT clean: nothing erased can be read, but {likely} left seem to name the person"
    elif possible:
        yield "nothing erased can be read, and nothing left seems to name the person"
    else:
        yield "clean: nothing readable is left"
    if possible:
        yield f"to look at, for they may name the person: {len(possible)} ({some(possible)})"
        yield "  `mneme forget --id ID --dry-run` shows one; without --dry-run it is erased"


def some(ids: Sequence[str], most: int = 10) -> str:
    """The first of them, and how many more."""
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return printable(", ".join(ids[:most])) + more


def stats(response: admin_pb2.GetStatsResponse) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(response.engrams_by_kind.items()))
    applied = " ".join(f"{p.partition}:{p.offset}" for p in response.applied)
    return "\n".join(
        [
            f"namespace      {response.namespace}",
            f"engrams        {kinds or 'none'}",
            f"state hash     {response.state_hash or 'busy: it is computed when the lag is 0'}",
            f"generation     {response.generation}",
            f"erasure epoch  {response.erasure_epoch}",
            f"ledger         applied {applied}, lag {response.lag}",
            *(
                f"not folded     {u.position.partition}:{u.position.offset} {u.reason}: {u.message} It is kept."
                for u in response.unfolded
            ),
        ]
    )


def action(name: str) -> str:
    """An AuditAction's name as it is shown, and asked for."""
    return name.removeprefix("AUDIT_ACTION_").lower().replace("_", "-")


def _second(given: Timestamp) -> str:
    return f"{clocks.moment(given):%Y-%m-%dT%H:%M:%SZ}"


def audit(given: admin_pb2.AuditEntry) -> str:
    """Who did what, on a line."""
    place = f"({given.position.partition}:{given.position.offset})" if given.HasField("position") else ""
    details = [
        given.subject,
        f"{given.count} told by {given.selected_by}" if given.selected_by else str(given.count or ""),
        f"for {given.issued_to}" if given.issued_to else "",
        place,
    ]
    known = given.action in admin_pb2.AuditAction.values()  # a later service may tell of others
    what = action(admin_pb2.AuditAction.Name(given.action)) if known else f"action-{given.action}"
    line = f"{_second(given.at)}  {what:<20}  {given.principal}  {' '.join(filter(None, details))}"
    return printable(line.rstrip())


def usage(given: admin_pb2.NamespaceUsage) -> str:
    last = _second(given.last_told_at) if given.HasField("last_told_at") else "never"
    counts = f"{given.told} told, {given.erased} of them erased, {given.ledger_bytes} bytes in the ledger"
    held = {"texts": given.told - given.erased, "bytes": given.ledger_bytes - given.erased_bytes}
    of_quota = [f"{held[what]} of {limit} {what}" for what, limit in _limits(given.quota).items()]
    quota = f", quota {' and '.join(of_quota)}" if of_quota else ""
    return f"{given.namespace}  {counts}, last {last}{quota}"


def operation(given: admin_pb2.Operation) -> str:
    state = admin_pb2.OperationState.Name(given.state).removeprefix("OPERATION_STATE_").lower()
    result = ", ".join(f"{k} {v}" for k, v in sorted(given.result.items()))
    return f"{given.kind} {state}: {result}"


def follow(get: Callable[[], admin_pb2.Operation], poll_s: float = 0.2) -> admin_pb2.Operation:
    """Show the progress of an operation until it ends."""
    with _progress() as progress:
        task = progress.add_task("rebuild", total=None)
        while True:
            now = get()
            progress.update(task, description=now.kind, completed=now.done, total=now.total or None)
            if now.state != admin_pb2.OPERATION_STATE_RUNNING:
                return now
            time.sleep(poll_s)


def shards(given: admin_pb2.Shards) -> str:
    """The shards of episodic, and what each holds."""
    lines = [f"shards         {given.wanted} wanted" + ("" if given.done else ", not all of it done")]
    for shard in given.shards:
        lines.append(f"{shard.application:14} partitions {', '.join(map(str, shard.partitions)) or 'none yet'}")
    if given.moving:
        lines.append(f"moving         partitions {', '.join(map(str, given.moving))}")
    if given.problem:
        lines.append(f"delayed        {given.problem} It is tried again.")
    return "\n".join(lines)


def follow_shards(get: Callable[[], admin_pb2.Shards], poll_s: float = 0.2) -> None:
    """Show how partitions move until all are where they are to be."""
    with Console(stderr=True).status("") as status:
        while not (now := get()).done:
            status.update(shards(now))
            time.sleep(poll_s)


@contextmanager
def counter(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """A progress bar; call the yielded function once per item."""
    with _progress() as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def bytes_done(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar of bytes; call the yielded function with how many are done, and how many there are."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None, visible=False)
        yield lambda done, all_: progress.update(task, completed=done, total=all_, visible=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner while the block runs; nothing where nobody looks."""
    with Console(stderr=True).status(what):
        yield


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def how_to_call(settings: Settings, operator: Caller) -> str:
    """Where the service listens, and three ways to call it with the operator's token."""
    gateway = settings.layers["gateway"]
    address = f"{gateway['host']}:{gateway['port']}"
    token = settings.common.token_path
    certificate = gateway.get("tls_cert_file")
    where = "" if address == "127.0.0.1:7420" else f"--address {address} "
    trust = f"--ca-file {certificate} " if certificate else ""
    grpcurl = f"grpcurl {f'-cacert {certificate}' if certificate else '-plaintext'}"
    until = time.strftime("%Y-%m-%d", time.gmtime(operator.expires_at))
    return f"""\
  gRPC      {address} ({"TLS" if certificate else "plaintext: set gateway.tls_cert_file for more than this machine"})
  metrics   http://{gateway["host"]}:{gateway["metrics_port"]}/metrics
  token     {token} (id {operator.token_id}, until {until})

  mneme {where}{trust}--token-file {token} ask -n NAMESPACE "..."
  {grpcurl} -H "authorization: Bearer $(cat {token})" {address} list
  {grpcurl} -H "authorization: Bearer $(cat {token})" \\
    -d '{{"namespace": "NAMESPACE", "query": "..."}}' {address} mneme.v1.EpisodicService/Recall"""
