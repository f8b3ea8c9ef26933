"""`make demo`: Mneme's main job on a real text, with embedded defaults, every step checked.

Starts the service, feeds it *The Diary of a Nobody* through the inbox, asks forty questions, lets two engines share
the keys and values of one long prompt, forgets one person, rebuilds the index from the ledger, and stops. Exits 1 if
any step did not do what it says.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
import yaml
from google.protobuf.json_format import MessageToJson, ParseDict
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2, perception_pb2, reasoning_pb2
from rich.console import Console
from rich.table import Table

from examples import demo_kv, probes
from services.cli import render
from services.cli.client import Client
from services.cli.local import NotServing, environment, serving
from services.common import telemetry
from services.common.config import Settings
from services.common.ledger import topics
from services.common.log.base import Message
from services.common.log.open import open_log
from services.common.serving.errors import from_rpc_error

HERE = Path(__file__).parent / "diary"
NAMESPACE = "demo/diary"
PERSON = "Hardfur Huttle"
INGEST_S = 150.0
EVIDENCE_BAR, REFUSAL_BAR, FALSE_REFUSAL_BAR = 0.80, 0.70, 0.10
BATCH = 64
# This demo's service is gone when it ends; these run on one of the reader's own.
NEXT = """
  . .venv/bin/activate
  export MNEME_TOKEN=$(cat .mneme/token)
  mneme ingest -n demo/diary examples/diary/diary.jsonl
  mneme recall -n demo/diary "Who was the butterman?"
  mneme ask -n demo/diary "Who turned up at the house drunk?"
  mneme forget -n demo/diary --person "Hardfur Huttle" --dry-run
  mneme --help"""

console = Console(highlight=False, soft_wrap=True)


class StepFailed(Exception):
    """A step of the demo did not do what it says."""


class Judged(Protocol):
    """What ``judge`` needs of a question that was asked."""

    @property
    def question(self) -> dict[str, Any]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def answerable(self) -> bool: ...
    @property
    def found(self) -> bool: ...
    @property
    def rank(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and what came back."""

    question: dict[str, Any]
    answer: render.Answer
    seconds: float

    @property
    def answerable(self) -> bool:
        return bool(self.question["evidence"])

    @property
    def found(self) -> bool:
        return self.answer.extractive.found

    @property
    def rank(self) -> int | None:
        """Rank of the first evidence among the first five; None when it is not there."""
        ids = [item.engram.observation_id for item in self.answer.items[:5]]
        return next((n for n, i in enumerate(ids, 1) if i in self.question["evidence"]), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--keep", action="store_true", help="keep the data folder afterwards")
    keep = parser.parse_args().keep
    folder = Path(tempfile.mkdtemp(prefix="mneme-demo-"))
    started = time.monotonic()
    try:
        run(folder)
    except (StepFailed, demo_kv.KvFailed, NotServing, grpc.RpcError) as error:
        console.print(f"\nFAILED: {from_rpc_error(error) if isinstance(error, grpc.RpcError) else error}")
        for log in sorted((folder / "logs").glob("*.jsonl")):
            console.print(f"-- {log.name}\n" + "\n".join(log.read_text().splitlines()[-5:]), markup=False)
        return 1
    finally:
        if keep:
            console.print(f"data kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    console.print(f"\nAll steps did what they say, in {time.monotonic() - started:.0f} s.")
    console.print(
        f"\nWhat to run next: `make up` starts a service of your own. In a second terminal, in this folder:\n{NEXT}"
    )
    return 0


def run(folder: Path) -> None:
    telemetry.configure("demo", trace_dir=folder / "traces")
    step("Starting Mneme: Ray Serve, SQLite ledger, Milvus Lite, KV store, two engines, CPU")
    # Its steps are shown; how to call it is not: it is gone when the demo ends.
    with serving(environment(folder, reasoning__replicas=2), stdout=subprocess.DEVNULL) as local:
        client, settings = local.client, local.settings
        console.print(f"  serving after {local.start_seconds:.1f} s")
        ingest(client, settings)
        missed = judge(ask_all(client))
        show_traces(settings)
        word(client)
        share(client)
        receipt = forget(client, settings)
        rebuild(client, settings, receipt)
        step("Stopping")
    if missed:
        raise StepFailed("the answers miss a bar: " + "; ".join(missed))


def step(title: str) -> None:
    console.print(f"\n[bold]{title}[/bold]")


# --- remember ---------------------------------------------------------------------------------------------------


def ingest(client: Client, settings: Settings) -> None:
    """The diary as dated observations: inbox -> perception -> ledger -> episodic."""
    observations = [json.loads(line) for line in (HERE / "diary.jsonl").read_text().splitlines()]
    sessions = list(dict.fromkeys(o["session"] for o in observations))
    step(f"Remembering The Diary of a Nobody: {len(observations)} paragraphs in {len(sessions)} entries")
    aliases = yaml.safe_load((HERE / "aliases.yaml").read_text())
    client.admin.CreateNamespace(
        admin_pb2.CreateNamespaceRequest(
            namespace=NAMESPACE,
            metadata_fields=[admin_pb2.MetadataField(name="chapter", type=admin_pb2.METADATA_TYPE_NUMBER)],
            aliases=[admin_pb2.AliasGroup(name=name, aliases=others) for name, others in aliases.items()],
        ),
        metadata=client.metadata,
        timeout=30,
    )
    began = time.monotonic()
    _produce(settings, observations)
    console.print(f"  produced into the inbox in {time.monotonic() - began:.1f} s")
    _await_turns(client, len(observations))
    for session in sessions:
        client.perception.EndSession(
            perception_pb2.EndSessionRequest(namespace=NAMESPACE, session=session), metadata=client.metadata, timeout=30
        )
    stats = _await_idle(client, len(sessions))
    seconds = time.monotonic() - began
    console.print(f"  all of it recallable after {seconds:.1f} s ({len(observations) / seconds:.0f} paragraphs/s)")
    console.print(render.stats(stats), markup=False)


def _produce(settings: Settings, observations: list[dict[str, Any]]) -> None:
    """What a product does, with its own producer: JSON records, keyed by session, with trace context."""
    log = open_log(settings.common.log_url, settings.common.kafka)
    try:
        with render.counter("inbox", len(observations)) as count:
            for start in range(0, len(observations), BATCH):
                batch = observations[start : start + BATCH]
                log.append([_inbox_record(o) for o in batch])
                for _ in batch:
                    count()
    finally:
        log.close()


def _inbox_record(observation: dict[str, Any]) -> Message:
    metadata = {k: {"number": v} for k, v in observation["metadata"].items()}
    message = ParseDict({**observation, "namespace": NAMESPACE, "metadata": metadata}, common_pb2.Observation())
    value = MessageToJson(message, indent=None).encode()
    with telemetry.span("demo.produce"):  # a trace of its own for each observation
        return Message(topics.INBOX, observation["session"].encode(), value, headers=telemetry.to_headers())


def _stats(client: Client) -> admin_pb2.GetStatsResponse:
    stats: admin_pb2.GetStatsResponse = client.admin.GetStats(
        admin_pb2.GetStatsRequest(namespace=NAMESPACE), metadata=client.metadata, timeout=60
    )
    return stats


def _await_turns(client: Client, expected: int) -> None:
    deadline, shown = time.monotonic() + INGEST_S, 0
    with render.counter("recallable", expected) as count:
        while time.monotonic() < deadline:
            turns = _stats(client).engrams_by_kind["turn"]
            for _ in range(turns - shown):
                count()
            shown = turns
            if turns >= expected:
                return
            time.sleep(0.5)
    raise StepFailed(f"{shown} of {expected} paragraphs recallable after {INGEST_S:.0f} s")


def _await_idle(client: Client, episodes: int) -> admin_pb2.GetStatsResponse:
    deadline = time.monotonic() + INGEST_S
    while time.monotonic() < deadline:
        stats = _stats(client)
        if stats.lag == 0 and stats.engrams_by_kind["episode"] >= episodes:
            return stats
        time.sleep(0.2)
    raise StepFailed(f"the ledger was not applied in {INGEST_S:.0f} s: {render.stats(_stats(client))}")


# --- ask --------------------------------------------------------------------------------------------------------


def ask_all(client: Client) -> list[Asked]:
    questions = yaml.safe_load((HERE / "questions.yaml").read_text())
    step(f"Asking {len(questions)} questions, written from the text alone")
    return [_ask(client, question) for question in questions]


def _ask(client: Client, question: dict[str, Any]) -> Asked:
    began = time.monotonic()
    with telemetry.span("demo.ask") as span:
        answer = render.collect(
            client.reasoning.Ask(
                reasoning_pb2.AskRequest(namespace=NAMESPACE, question=question["question"], extractive_only=True),
                metadata=(*client.metadata, *telemetry.carrier().items()),
                timeout=30,
            )
        )
        span.set_attribute("question", question["id"])
    asked = Asked(question, answer, time.monotonic() - began)
    expected = question.get("expect") or "not in the diary"
    console.print(f"\n{question['id']} [{question['type']}] {question['question']}", markup=False)
    console.print(render.answer(answer), markup=False)
    console.print(f"  expected: {expected}; {_verdict(asked)}", markup=False)
    return asked


def _verdict(asked: Asked) -> str:
    if not asked.answerable:
        return 'rightly "not found"' if not asked.found else "WRONG: claims to have found it"
    evidence = f"evidence is number {asked.rank}" if asked.rank else "MISSED: evidence not in the first five"
    return evidence if asked.found else f'WRONG: "not found"; {evidence}'


def judge(asked: Sequence[Judged]) -> list[str]:
    """Show the table; the bars that were missed, which fail the demo once its other steps have run."""
    table = Table(title="The forty questions")
    for column in ("type", "questions", "evidence in first 5", "evidence first", "not found", "median ms"):
        table.add_column(column, justify="left" if column == "type" else "right")
    for kind in dict.fromkeys(a.question["type"] for a in asked):
        rows = [a for a in asked if a.question["type"] == kind]
        table.add_row(kind, *_row(rows))
    table.add_row("answerable", *_row([a for a in asked if a.answerable]), style="bold")
    console.print()
    console.print(table)
    answerable = [a for a in asked if a.answerable]
    unanswerable = [a for a in asked if not a.answerable]
    hit = sum(a.rank is not None for a in answerable) / len(answerable)
    refused = sum(not a.found for a in unanswerable) / len(unanswerable)
    refused_wrongly = sum(not a.found for a in answerable) / len(answerable)
    bars = {
        f"evidence in the first five {hit:.0%}, bar {EVIDENCE_BAR:.0%}": hit >= EVIDENCE_BAR,
        f"unanswerable refused {refused:.0%}, bar {REFUSAL_BAR:.0%}": refused >= REFUSAL_BAR,
        f"answerable refused {refused_wrongly:.0%}, bar at most {FALSE_REFUSAL_BAR:.0%}": (
            refused_wrongly <= FALSE_REFUSAL_BAR
        ),
    }
    for text, met in bars.items():
        console.print(f"  {'met   ' if met else 'MISSED'} {text}")
    return [text for text, met in bars.items() if not met]


def _row(rows: Sequence[Judged]) -> list[str]:
    answerable = [a for a in rows if a.answerable]
    milliseconds = sorted(a.seconds * 1000 for a in rows)[len(rows) // 2]
    return [
        str(len(rows)),
        f"{sum(a.rank is not None for a in answerable)}/{len(answerable)}" if answerable else "-",
        f"{sum(a.rank == 1 for a in answerable)}/{len(answerable)}" if answerable else "-",
        f"{sum(not a.found for a in rows)}/{len(rows)}",
        f"{milliseconds:.0f}",
    ]


def show_traces(settings: Settings) -> None:
    """One trace from produce to recallable, one from question to answer."""
    step("Two traces")
    telemetry.flush()
    time.sleep(1.5)  # the services write their spans every half second
    for root, must_reach in (("demo.produce", "episodic"), ("demo.ask", "episodic")):
        trace = probes.trace(settings, root, must_reach)
        if trace is None:
            raise StepFailed(f"no trace leads from {root} to {must_reach}")
        console.print(trace, markup=False)


# --- models and blocks ---


def word(client: Client) -> None:
    """The first question again, with the model's wording."""
    question = "Who turned up at the house drunk and was rude about City clerks?"
    step("Letting the model word an answer, beside its evidence")
    request = reasoning_pb2.AskRequest(
        namespace=NAMESPACE, question=question, wording=reasoning_pb2.WordingOptions(max_tokens=40)
    )
    answer = render.collect(client.reasoning.Ask(request, metadata=client.metadata, timeout=60))
    console.print(render.answer(answer), markup=False)
    # A model this small invents: what its notes do not bear out is withheld, and then the demo shows that.
    if answer.done.wording.outcome not in (
        reasoning_pb2.WORDING_OUTCOME_WORDED,
        reasoning_pb2.WORDING_OUTCOME_WITHHELD,
    ):
        raise StepFailed("the model worded nothing, and nothing that it worded was withheld")


def share(client: Client) -> None:
    step("Sharing keys and values: one long prompt, two engines")
    demo_kv.run(client, NAMESPACE, console)
    stats = client.reasoning.GetKvStats(reasoning_pb2.GetKvStatsRequest(), metadata=client.metadata, timeout=30)
    console.print(render.kv_stats(stats), markup=False)


# --- forget and rebuild -----------------------------------------------------------------------------------------


def forget(client: Client, settings: Settings) -> episodic_pb2.ErasureReceipt:
    step(f"Forgetting {PERSON}: a dry run first")
    request = episodic_pb2.ForgetRequest(
        namespace=NAMESPACE,
        selector=episodic_pb2.ForgetSelector(person=episodic_pb2.Person(name=PERSON)),
        dry_run=True,
    )
    listed = client.episodic.Forget(request, metadata=client.metadata, timeout=60)
    console.print(render.dry_run(listed), markup=False)
    names = list(listed.names)
    before = probes.readable(client, settings, NAMESPACE, names)
    console.print(f"  readable before: {_counts(before)}")
    if not all(before[store] for store in ("recall", "index", "feed", "ledger")):
        raise StepFailed("the probes find nothing to forget")
    request.dry_run, request.id = False, "demo-forget"
    receipt: episodic_pb2.ErasureReceipt = client.episodic.Forget(
        request, metadata=client.metadata, timeout=120
    ).receipt
    console.print(render.receipt(receipt), markup=False)
    if not any(s.store == "kvstore" and s.done and not s.detail.startswith("0 ") for s in receipt.stores):
        raise StepFailed("the KV store dropped nothing of what was computed from the forgotten")
    _require_forgotten(client, settings, names, receipt.id)
    return receipt


def _require_forgotten(client: Client, settings: Settings, names: list[str], receipt_id: str) -> None:
    after = probes.readable(client, settings, NAMESPACE, names)
    console.print(f"  readable after: {_counts(after)}")
    verified = client.episodic.VerifyForgotten(
        episodic_pb2.VerifyForgottenRequest(namespace=NAMESPACE, receipt_id=receipt_id),
        metadata=client.metadata,
        timeout=60,
    )
    console.print(render.probes(verified), markup=False)
    if any(after.values()) or not verified.clean:
        raise StepFailed("something of the forgotten can still be read")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{store} {count}" for store, count in counts.items())


def rebuild(client: Client, settings: Settings, receipt: episodic_pb2.ErasureReceipt) -> None:
    step("Rebuilding the index from the ledger")
    before = _stats(client)
    started = client.admin.Rebuild(admin_pb2.RebuildRequest(), metadata=client.metadata, timeout=30).operation

    def now() -> admin_pb2.Operation:
        request = admin_pb2.GetOperationRequest(id=started.id)
        operation: admin_pb2.Operation = client.admin.GetOperation(
            request, metadata=client.metadata, timeout=30
        ).operation
        return operation

    ended = render.follow(now)
    console.print(f"  {render.operation(ended)}", markup=False)
    after = _stats(client)
    console.print(f"  state hash before {before.state_hash}\n  state hash after  {after.state_hash}", markup=False)
    console.print(f"  generation {before.generation} -> {after.generation}")
    if ended.state != admin_pb2.OPERATION_STATE_DONE or after.generation <= before.generation:
        raise StepFailed("the rebuild did not make a new generation")
    if before.state_hash != after.state_hash or not after.state_hash:
        raise StepFailed("the rebuilt state is another one")
    _require_forgotten(client, settings, _person_names(), receipt.id)


def _person_names() -> list[str]:
    aliases = yaml.safe_load((HERE / "aliases.yaml").read_text())
    return [PERSON, *aliases.get(PERSON, [])]


if __name__ == "__main__":
    sys.exit(main())
