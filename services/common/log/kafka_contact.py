"""First contact with a Kafka cluster: does anybody listen, do they speak as we do, do they let us in.

kafka-python tries until its time is over and then says that it waited; why it was refused goes to its own log. An
operator needs the reason at once, with the setting.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from services.common.log.base import LogError
from services.common.log.security import SETTING, KafkaSecurity

_REFUSALS = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.InvalidReceiveError,
)


def is_listening(server: str, security: KafkaSecurity, timeout_s: float) -> bool:
    """Whether somebody listens at ``host:port``. LogError, naming the setting, where TLS with them fails.

    Consumers that find nobody leave a thread behind; this does not.
    """
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout_s) as plain:
        if security.has_tls:
            _speak_tls(plain, host, server, security)
        return True
    return False


def _speak_tls(plain: socket.socket, host: str, server: str, security: KafkaSecurity) -> None:
    context = security.tls()
    try:
        context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        raise LogError(
            f"Kafka at {server} shows a certificate that is not trusted ({error.verify_message}). "
            f"Name the one that signed it in {SETTING}.ssl_cafile."
        ) from error
    except TimeoutError:
        raise  # it is there, and silent: as good as away
    except OSError as error:
        raise LogError(
            f"Kafka at {server} does not speak TLS with us ({error}). Correct {SETTING}.security_protocol, or the port "
            f"in common.log; where it asks for a certificate of ours, name it in {SETTING}.ssl_certfile."
        ) from error


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


def _client(**settings: Any) -> KafkaNetClient:
    net = NetworkSelector(**settings)
    return KafkaNetClient(net=net, manager=_Manager(net, **settings))
