"""First contact with a Kafka cluster: does anybody listen, do they speak as we do, do they let us in.

kafka-python tries until its time is over and then says that it waited; why it was refused goes to its own log. An
operator needs the reason at once, with the setting.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from services.common.log.base import LogError
from services.common.log.kafka.security import SETTING, KafkaSecurity

_REFUSALS = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.InvalidReceiveError,
)


def away(server: str, security: KafkaSecurity, timeout_s: float) -> str | None:
    """Why nobody can be spoken to at ``host:port`` now; None where somebody can.

    LogError, naming the setting, for a certificate that is not trusted. Consumers that find nobody leave a thread
    behind; this does not.
    """
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), timeout_s) as plain:
            return _no_tls(plain, host, security.tls()) if security.has_tls else None
    except ssl.SSLCertVerificationError as error:
        raise LogError(
            f"Kafka at {server} shows a certificate that is not trusted ({error.verify_message}). "
            f"Name the one that signed it in {SETTING}.ssl_cafile."
        ) from error
    except OSError:
        return "nobody listens there"


def _no_tls(plain: socket.socket, host: str, context: ssl.SSLContext) -> str | None:
    try:
        context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:  # a broker that starts or stops ends it so, too: it may speak TLS a moment later
        return (
            f"it does not speak TLS with us ({error}); where it stays so, correct {SETTING}.security_protocol, or name "
            f"the certificate that it asks for in {SETTING}.ssl_certfile"
        )
    return None


def admin_client(servers: Sequence[str], settings: dict[str, Any]) -> KafkaAdminClient:
    """An admin client, connected. LogError, naming the settings, where the cluster refuses us; Kafka's own errors."""
    try:
        return KafkaAdminClient(**settings, kafka_client=_client)
    except kafka_errors.InvalidReceiveError as error:
        raise LogError(
            f"Kafka at {', '.join(servers)} speaks another protocol (TLS?). Correct {SETTING}.security_protocol."
        ) from error
    except _REFUSALS as error:
        raise LogError(
            f"Kafka at {', '.join(servers)} does not let us in ({type(error).__name__}). Correct "
            f"{SETTING}.sasl_mechanism, {SETTING}.sasl_username or the file of {SETTING}.sasl_password_file."
        ) from error


class _Manager(KafkaConnectionManager):  # type: ignore[misc]  # untyped
    """Gives up where it was refused, instead of trying until its time is over."""

    _refusal: BaseException | None = None

    def get_connection(self, *args: Any, **options: Any) -> Any:
        if self._refusal is not None:
            raise self._refusal
        connection = super().get_connection(*args, **options)
        connection.init_future.add_errback(self._note)
        return connection

    def _note(self, error: BaseException) -> None:
        if isinstance(error, _REFUSALS):
            self._refusal = error


def _deliver_what_came_with_the_end(transport: Any) -> None:
    """kafka-python (3.0.12) drops what it reads together with the end of a connection: a broker's reason for refusing
    us, which it sends and closes in one breath. The end is read again, the data is not."""
    receive = transport._sock_recv

    def data_first(self: Any) -> tuple[bytes, Any]:
        data, ended = receive(self)
        return data, None if data else ended

    transport._sock_recv = data_first


for _transport in (KafkaTCPTransport, KafkaSSLTransport):
    _deliver_what_came_with_the_end(_transport)


def _client(**settings: Any) -> KafkaNetClient:
    net = NetworkSelector(**settings)
    return KafkaNetClient(net=net, manager=_Manager(net, **settings))
