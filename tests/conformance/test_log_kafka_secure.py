"""The log on a Kafka cluster that asks who we are, over TLS: every client gets in, and a refusal names its setting."""

from __future__ import annotations

import pickle
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion
from pydantic import ValidationError

from services.common import config
from services.common.log.base import Cleanup, Log, LogError, Message, TopicPartition, TopicSpec
from services.common.log.kafka.log import KafkaLog
from services.common.log.kafka.security import KafkaSecurity
from services.common.log.open import open_log
from tests.kafka import PASSWORD, USER, Broker, unique
from tests.tls import self_signed


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    return file


def security(broker: Broker, password: Path, **more: str) -> KafkaSecurity:
    known = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": USER}
    files = {"sasl_password_file": str(password), "ssl_cafile": str(broker.certificate)}
    return KafkaSecurity.model_validate({**known, **files, **more})


@pytest.fixture
def scram_user(kafka_broker: Broker) -> str:
    name = unique("scram").replace(".", "-")
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker.address)
    made = UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, PASSWORD)
    admin.alter_user_scram_credentials([made])
    admin.close()
    return name


def all_that_a_service_does(log: Log) -> None:
    topic, group = unique("secure"), unique("group")
    log.ensure_topics([TopicSpec(topic, 1, Cleanup.EXPIRE, retention_s=3_600)])
    log.append([Message(topic, b"k", b"one")])
    consumer = log.subscribe(group, [topic])
    until = time.monotonic() + 30
    while not (records := consumer.poll()):
        assert time.monotonic() < until
    with log.transaction(consumer, name=unique("name")) as tx:
        tx.append(Message(topic, b"k", b"two"))
        tx.commit({TopicPartition(topic, 0): records[-1].offset + 1})
    consumer.close()
    assert [r.value for r in log.read(topic, 0)] == [b"one", b"two"]
    log.trim(topic, 0, 1)
    assert [r.value for r in log.read(topic, 0)] == [b"two"]


def test_every_client_of_the_log_gets_in(kafka_broker: Broker, password: Path, scram_user: str) -> None:
    url = f"kafka://{kafka_broker.secure_address}"
    for known in (
        security(kafka_broker, password),
        security(kafka_broker, password, sasl_mechanism="SCRAM-SHA-512", sasl_username=scram_user),
    ):
        with closing(open_log(url, pickle.loads(pickle.dumps(known)))) as log:
            all_that_a_service_does(log)


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"sasl_username": "stranger"}, "common.kafka.sasl_username"),
        ({"sasl_mechanism": "SCRAM-SHA-512"}, "common.kafka.sasl_password_file"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "common.kafka.sasl_mechanism"),
        ({"ssl_cafile": "another"}, "common.kafka.ssl_cafile"),
        ({"ssl_cafile": ""}, "common.kafka.ssl_cafile"),
        ({"password": "wrong"}, "common.kafka.sasl_password_file"),
        ({"security_protocol": "SASL_PLAINTEXT", "ssl_cafile": ""}, "common.kafka.security_protocol"),
    ],
)
def test_a_refusal_names_its_setting_and_no_secret(
    kafka_broker: Broker, password: Path, tmp_path: Path, changed: dict[str, str], names: str
) -> None:
    address = kafka_broker.secure_address
    if changed.pop("password", ""):
        password.write_text("not-it")
    if changed.get("ssl_cafile"):
        changed = {"ssl_cafile": str(self_signed(tmp_path)[0])}
    began = time.monotonic()
    with pytest.raises(LogError, match=names) as refused:
        KafkaLog([address], security=security(kafka_broker, password, **changed))
    assert time.monotonic() - began < 5.0, "the first refusal tells"
    assert PASSWORD not in str(refused.value)
    assert "not-it" not in str(refused.value)


def test_tls_where_the_broker_speaks_none_is_said(kafka_broker: Broker) -> None:
    with pytest.raises(LogError, match="common.kafka.security_protocol"):
        KafkaLog([kafka_broker.address], security=KafkaSecurity(security_protocol="SSL"), connect_timeout_s=2.0)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "u"}, "sasl_password_file"),
        ({"sasl_username": "u"}, "sasl_username"),
        ({"ssl_cafile": "ca.pem"}, "ssl_cafile"),
        ({"security_protocol": "SSL", "ssl_certfile": "c.pem"}, "ssl_keyfile"),
        ({"security_protocol": "TLS"}, "security_protocol"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, str], names: str) -> None:
    with pytest.raises(ValidationError, match=names):
        KafkaSecurity.model_validate(given)
    environ = {f"MNEME__COMMON__KAFKA__{name.upper()}": value for name, value in given.items()}
    with pytest.raises(config.ConfigError, match=rf"common\.kafka.*{names}"):
        config.load(environ=environ)


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_password_file_that_holds_none_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    given: dict[str, Any] = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "u"}
    with pytest.raises(LogError, match="common.kafka.sasl_password_file"):
        KafkaSecurity(**given, sasl_password_file=str(file)).client()
