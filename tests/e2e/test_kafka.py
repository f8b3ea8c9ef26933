"""The whole path over a real broker, as a product would use it; and a broker that comes late, goes and comes back."""

import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from kafka import KafkaProducer

from services.cli.local import Local, environment, serving
from services.common.ledger import topics
from services.common.serving.errors import from_rpc_error
from services.episodic.write import writer
from tests.e2e import talk
from tests.e2e.test_cli import mneme
from tests.e2e.test_shards import SPACES
from tests.kafka import Broker, kafka_broker  # noqa: F401  # a fixture
from tests.waiting import until

NAMESPACE = "e2e/kafka"
LATE_S = 6.0


def _send(broker: Broker, *values: bytes) -> None:
    """An ordinary producer: no partitioner, no transaction, no header of ours."""
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all")
    for value in values:
        producer.send(topics.INBOX, key=b"any", value=value)
    producer.flush(timeout=20)
    producer.close()


def _as_json(tag: str) -> list[bytes]:
    return [
        json.dumps(
            {
                "id": f"{tag}{number}",
                "namespace": NAMESPACE,
                "session": "talk",
                "text": text,
                "actor": actor,
                "observedAt": f"2026-03-02T18:0{number}:00Z",
            }
        ).encode()
        for number, (actor, text) in enumerate(talk.LINES)
    ]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output") / "up.txt"


@pytest.fixture(scope="module")
def local(kafka_broker: Broker, tmp_path_factory: pytest.TempPathFactory, output: Path) -> Iterator[Local]:  # noqa: F811
    """A service that was started while its broker was away."""
    folder = tmp_path_factory.mktemp("kafka")
    kafka_broker.stop()
    coming = threading.Timer(LATE_S, kafka_broker.start)
    coming.start()
    with (
        output.open("w") as file,
        serving(environment(folder, common__log=kafka_broker.url, **talk.QUOTES_ONLY), stderr=file) as running,
    ):
        coming.join()
        yield running


def test_a_broker_that_is_away_at_the_start_is_named_and_waited_for(
    local: Local,
    output: Path,
) -> None:
    assert local.start_seconds > LATE_S
    (waited, *_) = [line for line in output.read_text().splitlines() if "common.log" in line]
    assert local.settings.common.log.removeprefix("kafka://") in waited


def test_a_kafka_producer_writes_and_grpc_recalls(local: Local, kafka_broker: Broker) -> None:  # noqa: F811
    talk.create(local.client, NAMESPACE)
    _send(kafka_broker, b"not an observation at all", *_as_json("k"), *_as_json("k"))
    stats = talk.await_idle(local.client, NAMESPACE, 6)
    assert stats.engrams_by_kind["turn"] == 6
    found = talk.recall(local.client, NAMESPACE, "Where is the blue umbrella?")
    assert found.found
    assert found.items[0].engram.observation_id == "k2"


def test_nobody_loses_a_partition_that_nothing_moves(local: Local, output: Path) -> None:
    """For longer than the session of a member whose heartbeats do not arrive."""
    for space in SPACES:
        talk.create(local.client, space)
    for number in range(12):
        for space in SPACES:
            local.client.observe(talk.observations(space, tag=f"{number}-")[:1])
        time.sleep(1.0)
    for space in SPACES:
        talk.await_idle(local.client, space, 12)
    assert writer.LOST not in output.read_text()


def test_what_the_inbox_could_not_take_is_shown_kept_and_purged(local: Local) -> None:
    assert "INVALID_FIELD: value: It is not JSON" in mneme(local, "dead-letters", "list")
    assert "not an observation at all" in mneme(local, "dead-letters", "list", "--payload")
    assert "0 taken, 1 refused again." in mneme(local, "dead-letters", "replay", "--all", code=1)
    assert "1 purged." in mneme(local, "dead-letters", "purge", "--all", "--yes")
    assert mneme(local, "dead-letters", "list") == ""


def test_a_record_waits_for_a_namespace_that_is_created_a_moment_later(
    local: Local,
    kafka_broker: Broker,  # noqa: F811
) -> None:
    namespace = "e2e/kafka-late"
    (first, *_) = _as_json("late")
    _send(kafka_broker, first.replace(NAMESPACE.encode(), namespace.encode()), *_as_json("k")[:1])
    time.sleep(1.0)  # it was read by then, whatever became of it
    talk.create(local.client, namespace)
    assert talk.await_idle(local.client, namespace, 1).engrams_by_kind["turn"] == 1


def test_metrics_say_what_the_ledger_takes_of_the_broker_s_disk(local: Local) -> None:
    gateway = local.settings.layers["gateway"]

    def is_told() -> bool:
        page = f"http://{gateway['host']}:{gateway['metrics_port']}/metrics"
        with urllib.request.urlopen(page, timeout=10) as response:
            shown = response.read().decode()
        return re.search(rf'\nmneme_ledger_bytes{{topic="{topics.LEDGER}"}} [1-9]', shown) is not None

    until(is_told, within_s=30)


def test_a_broker_that_goes_and_comes_back_loses_nothing(local: Local, kafka_broker: Broker) -> None:  # noqa: F811
    kafka_broker.stop()
    with pytest.raises(grpc.RpcError) as failed:
        local.client.observe(talk.observations(NAMESPACE, tag="away"), timeout_s=40)
    assert from_rpc_error(failed.value).reason == "LOG_UNAVAILABLE"
    assert talk.recall(local.client, NAMESPACE, "umbrella", freshness=None).items
    kafka_broker.start()
    talk.observe_until_accepted(local.client, NAMESPACE, "back")
    # What failed was not acknowledged: all of it came to be (the broker decided after the caller left) or nothing.
    assert talk.await_idle(local.client, NAMESPACE, 12, timeout_s=90).engrams_by_kind["turn"] in (12, 18)
