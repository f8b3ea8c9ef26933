"""Looks into every store from outside, with the operator's key: what can still be read of a person?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from mneme.v1 import admin_pb2, episodic_pb2
from mneme.v1.ledger_pb2 import (
    EngramDetail,
    EngramRecord,
    FeedRecord,
    LedgerEntry,
    PerceivedObservation,
    Sealed,
)

from services.cli.client import Client
from services.common.config import Settings
from services.common.crypto.seal import KeyDestroyed, Keyring, MasterKey
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import Log
from services.common.log.open import open_log
from services.episodic.state.store import SEAL_DETAIL


def readable(client: Client, settings: Settings, namespace: str, names: Sequence[str]) -> dict[str, int]:
    """Texts that name one of ``names`` and can be read: by recall, in the index, feed, ledger and inbox.

    The namespace's aliases count too: as it is listed, and as the ledger holds them.
    """
    named = re.compile("|".join(rf"\b{re.escape(n)}\b" for n in names), re.IGNORECASE)
    log = open_log(settings.common.log_url, settings.common.kafka)
    try:
        keys = Keyring(log, MasterKey.load(settings.common.master_key_path))
        texts = {
            "recall": _recalled(client, namespace, names),
            "index": _listed(client, namespace),
            "feed": _feed(log, keys),
            "ledger": _ledger(log, keys),
            "inbox": _inbox(log),
            "namespace": _aliases(client, namespace),
        }
        return {store: sum(bool(named.search(text)) for text in found) for store, found in texts.items()}
    finally:
        log.close()


def _recalled(client: Client, namespace: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        response = client.episodic.Recall(
            episodic_pb2.RecallRequest(namespace=namespace, query=name, limit=50), metadata=client.metadata, timeout=30
        )
        yield from (_everything(item.engram) for item in response.items)


def _listed(client: Client, namespace: str) -> Iterator[str]:
    for page in client.pages(client.episodic.List, episodic_pb2.ListRequest(namespace=namespace, page_size=500)):
        yield from (_everything(engram) for engram in page.engrams)


def _everything(engram: episodic_pb2.Engram) -> str:
    return " ".join([engram.text, engram.actor, *engram.people, *engram.places])


def _records(log: Log, topic: str) -> Iterator[bytes]:
    for partition in range(log.partitions(topic)):
        yield from (record.value for record in log.read(topic, partition) if record.value is not None)


def _feed(log: Log, keys: Keyring) -> Iterator[str]:
    for value in _records(log, topics.FEED):
        record = FeedRecord.FromString(value)
        opened = _opened(keys, record.sealed, record.namespace, ledger.SEAL_ENGRAM)
        if opened is not None:
            yield _everything(EngramRecord.FromString(opened).engram)
        detail = _opened(keys, record.detail, record.namespace, SEAL_DETAIL)
        if detail is not None:
            yield str(EngramDetail.FromString(detail))


def _ledger(log: Log, keys: Keyring) -> Iterator[str]:
    for value in _records(log, topics.LEDGER):
        entry = LedgerEntry.FromString(value)
        if entry.WhichOneof("body") == "observation_accepted":
            sealed = entry.observation_accepted.sealed
            opened = _opened(keys, sealed, entry.namespace, ledger.SEAL_OBSERVATION)
            if opened is not None:
                perceived = PerceivedObservation.FromString(opened)
                yield " ".join([perceived.observation.text, perceived.observation.actor, *perceived.people])

        for aliases in ledger.aliases_in(entry):
            opened = _opened(keys, aliases, entry.namespace, ledger.SEAL_NAMESPACE)
            if opened is not None:
                yield from _groups(admin_pb2.Namespace.FromString(opened))


def _aliases(client: Client, namespace: str) -> Iterator[str]:
    for page in client.pages(client.admin.ListNamespaces, admin_pb2.ListNamespacesRequest()):
        for listed in page.namespaces:
            if listed.name == namespace:
                yield from _groups(listed)


def _groups(namespace: admin_pb2.Namespace) -> Iterator[str]:
    return (" ".join([group.name, *group.aliases]) for group in namespace.aliases)


def _inbox(log: Log) -> Iterator[str]:
    yield from (value.decode("utf-8", "replace") for value in _records(log, topics.INBOX))


def _opened(keys: Keyring, sealed: Sealed, namespace: str, purpose: str) -> bytes | None:
    if not sealed.ciphertext:
        return None
    try:
        return keys.open(sealed, namespace=namespace, purpose=purpose)
    except KeyDestroyed:
        return None


def trace(settings: Settings, root: str, must_reach: str) -> str | None:
    """The newest trace that starts with span ``root`` and reaches service ``must_reach``, as an indented tree."""
    spans: dict[str, list[dict[str, Any]]] = {}
    for path in (settings.common.trace_dir or settings.common.data_dir).glob("*.jsonl"):
        for line in path.read_text().splitlines():
            span = json.loads(line)
            spans.setdefault(span["trace_id"], []).append(span)
    candidates = [
        t for t in spans.values() if any(s["name"] == root for s in t) and any(s["service"] == must_reach for s in t)
    ]
    if not candidates:
        return None
    return _tree(max(candidates, key=lambda t: max(s["start_ns"] for s in t)))


def _tree(spans: list[dict[str, Any]], limit: int = 40) -> str:
    children: dict[str, list[dict[str, Any]]] = {}
    known = {s["span_id"] for s in spans}
    for span in spans:
        children.setdefault(span["parent_id"] if span["parent_id"] in known else "", []).append(span)
    begin = min(s["start_ns"] for s in spans)
    lines: list[str] = [f"  trace {spans[0]['trace_id']}, {len(spans)} spans"]

    def walk(parent: str, depth: int) -> None:
        for span in sorted(children.get(parent, []), key=lambda s: s["start_ns"]):
            at, took = (span["start_ns"] - begin) / 1e6, (span["end_ns"] - span["start_ns"]) / 1e6
            lines.append(f"  {at:9.1f} ms  {took:8.1f} ms  {'  ' * depth}{span['service']}: {span['name']}")
            walk(span["span_id"], depth + 1)

    walk("", 0)
    more = [f"  ... and {len(lines) - limit} more spans"] if len(lines) > limit else []
    return "\n".join(lines[:limit] + more)
