"""The whole path over a real broker, as a product would use it; and a broker that comes late, goes and comes back."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer

from services.cli.local import environment, is_serving, serving
from services.common import topics
from tests.e2e import talk
from tests.kafka import Broker, kafka_broker  # noqa: F401  # a fixture

NAMESPACE = "e2e/kafka"


@pytest.fixture(scope="module")
def master_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all services on the broker: another one could not open what the first one sealed."""
    return tmp_path_factory.mktemp("key") / "master.key"


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


def test_a_kafka_producer_writes_and_grpc_recalls(
    kafka_broker: Broker,  # noqa: F811
    master_key: Path,
    tmp_path: Path,
) -> None:
    environ = environment(
        tmp_path, common__log=kafka_broker.url, common__master_key_file=master_key, **talk.QUOTES_ONLY
    )
    with serving(environ) as local:
        talk.create(local.client, NAMESPACE)
        _send(kafka_broker, b"not an observation at all", *_as_json("k"), *_as_json("k"))
        stats = talk.await_idle(local.client, NAMESPACE, 6)
        assert stats.engrams_by_kind["turn"] == 6
        found = talk.recall(local.client, NAMESPACE, "Where is the blue umbrella?")
        assert found.found
        assert found.items[0].engram.observation_id == "k2"
        kafka_broker.stop()
        with pytest.raises(Exception, match=r"LOG_UNAVAILABLE|StatusCode|log"):
            local.client.observe(talk.observations(NAMESPACE, tag="away"), timeout_s=15)
        assert talk.recall(local.client, NAMESPACE, "umbrella", freshness=None).items
        kafka_broker.start()
        talk.observe_until_accepted(local.client, NAMESPACE, "back")
        # What failed was not acknowledged: all of it came to be (the broker decided after the caller left) or nothing.
        assert talk.await_idle(local.client, NAMESPACE, 12, timeout_s=90).engrams_by_kind["turn"] in (12, 18)


def test_a_broker_that_is_away_at_the_start_is_named_and_waited_for(
    kafka_broker: Broker,  # noqa: F811
    master_key: Path,
    tmp_path: Path,
) -> None:
    kafka_broker.stop()
    environ = environment(
        tmp_path, common__log=kafka_broker.url, common__master_key_file=master_key, **talk.QUOTES_ONLY
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", "up"],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        time.sleep(6)
        assert process.poll() is None, "gave up instead of waiting"
        kafka_broker.start()
        deadline = time.monotonic() + 90
        address = f"127.0.0.1:{environ['MNEME__GATEWAY__PORT']}"
        while not is_serving(address) and time.monotonic() < deadline:
            time.sleep(0.3)
        serves = is_serving(address)
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=60)
    assert serves, output
    assert process.returncode == 0
    assert kafka_broker.address in output
    assert "common.log" in output
