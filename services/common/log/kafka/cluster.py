"""A Kafka cluster as all clients of one log see it: its address, who we are to it, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import errors as kafka_errors

from services.common.log.base import Fenced, LogError, LogUnavailable, MessageTooLarge
from services.common.log.kafka.contact import away
from services.common.log.kafka.security import KafkaSecurity

_TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
_LOST_MEMBERSHIP = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.FencedInstanceIdError,
)


class Cluster:
    """Shared by the clients of one log."""

    def __init__(
        self, servers: Sequence[str], security: KafkaSecurity, connect_timeout_s: float, client: Mapping[str, Any]
    ) -> None:
        self.servers = list(servers)
        self.client: dict[str, Any] = {  # settings of every client
            **security.client(),
            "bootstrap_servers": self.servers,
            "bootstrap_timeout_ms": int(connect_timeout_s * 1000),
            "request_timeout_ms": 10_000,
            "retry_backoff_ms": 5,  # of 100, which a transaction waits several times
            "reconnect_backoff_max_ms": 1_000,  # of 30 s: be back soon after the broker
            **client,
        }
        self.closed = False
        self._security = security
        self._connect_timeout_s = connect_timeout_s

    def require_answer(self) -> None:
        """LogUnavailable unless somebody listens. LogError where they do not speak as we do."""
        if "proxy_url" in self.client:
            return
        reasons = []
        for server in self.servers:
            reason = away(server, self._security, self._connect_timeout_s)
            if reason is None:
                return
            reasons.append(reason)
        raise self._unavailable("; ".join(dict.fromkeys(reasons)))

    def _unavailable(self, why: object) -> LogUnavailable:
        return LogUnavailable(
            f"Kafka at {', '.join(self.servers)}: {why}. Start the broker (infra/kafka/up on a developer's machine), "
            "or correct the address in common.log; then try again."
        )

    @contextmanager
    def translating(self) -> Iterator[None]:
        """The client's errors as the port's."""
        if self.closed:
            raise LogError(f"Kafka at {', '.join(self.servers)}: this log was closed.")
        try:
            yield
        except _TOO_LARGE as error:
            raise MessageTooLarge(
                f"the broker takes no message that large ({error}). Raise max.message.bytes."
            ) from error
        except _LOST_MEMBERSHIP as error:
            raise Fenced(f"this consumer lost its partitions ({error!r}). Poll again.") from error
        except kafka_errors.RetriableError as error:
            raise self._unavailable(repr(error)) from error
        except kafka_errors.KafkaError as error:
            raise LogError(f"Kafka at {', '.join(self.servers)} refused: {error!r}.") from error
