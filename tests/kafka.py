"""A real broker for tests: ``kafka_broker``, one per session, started by ``infra/kafka/up``.

Import the fixture into a conftest.py to use it there; however many do, they get the same broker. Topics of one test
must not meet those of another: name them with ``unique``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ports import neighbours
from tests.tls import self_signed

_INFRA = Path(__file__).parent.parent / "infra" / "kafka"
_EX_UNAVAILABLE = 69
USER, PASSWORD = "mneme", "a-password-of-tests"


@dataclass(frozen=True)
class Broker:
    folder: Path
    port: int  # plaintext; the one after the next speaks TLS to whom it knows

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def secure_address(self) -> str:
        """Of a listener that asks for SASL over TLS. Skips the test where the broker runs in a container."""
        self._pid()
        return f"127.0.0.1:{self.port + 2}"

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def url(self) -> str:
        return f"kafka://{self.address}"

    def start(self) -> None:
        """Start it, on what it wrote before. Skips the test where the machine cannot run a broker.

        From its jars where there is Java, also beside a Docker engine: some tests reach for its process and files.
        """
        done = self._infra("up", "--properties", str(self._secured()))
        if done.returncode == _EX_UNAVAILABLE:
            done = self._infra("up")
        if done.returncode == _EX_UNAVAILABLE:
            pytest.skip(f"no Kafka here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        done = self._infra("down")
        assert done.returncode == 0, done.stderr

    def freeze(self) -> None:
        """Let it stop answering, with its connections open."""
        os.kill(self._pid(), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._pid(), signal.SIGCONT)

    def remove(self) -> None:
        self._infra("down", "--purge")

    def _secured(self) -> Path:
        """Settings of the second listener, in a file."""
        made = self.folder / "secure.properties"
        if not made.exists():
            certificate, key = self_signed(self.folder)
            store = self.folder / "store.pem"
            store.write_text(key.read_text() + certificate.read_text())
            plain, controller, secure = (f"127.0.0.1:{self.port + n}" for n in range(3))
            login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
            made.write_text(
                f"listeners=PLAINTEXT://{plain},CONTROLLER://{controller},SASL_SSL://{secure}\n"
                f"advertised.listeners=PLAINTEXT://{plain},SASL_SSL://{secure}\n"
                "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL\n"
                f"ssl.keystore.type=PEM\nssl.keystore.location={store}\n"
                "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n"
                f'listener.name.sasl_ssl.plain.sasl.jaas.config={login} user_{USER}="{PASSWORD}";\n'
                "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config="
                "org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
            )
        return made

    def _pid(self) -> int:
        file = self.folder / "broker.pid"
        if not file.exists():
            pytest.skip("the broker runs in a container, for want of java and mvn: its process cannot be frozen")
        return int(file.read_text())

    def _infra(self, command: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_INFRA / command, "--ephemeral", self.folder, "--port", str(self.port), *more],
            capture_output=True,
            text=True,
            timeout=300,
        )


_brokers: list[Broker] = []  # the one of this session: pytest makes a fixture anew for every conftest that has it


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if not _brokers:
        broker = Broker(tmp_path_factory.mktemp("kafka"), neighbours(3))
        broker.start()
        _brokers.append(broker)
    yield _brokers[0]
    _brokers[0].remove()


def unique(name: str) -> str:
    return f"{name}.{uuid.uuid4().hex[:10]}"
