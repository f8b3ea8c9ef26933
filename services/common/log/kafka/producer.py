"""Transactions with bounded waits. All that leans on kafka-python's private parts is here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from services.common.log.base import Appended, Fenced, LogUnavailable, TopicPartition
from services.common.log.kafka.wire import Placed, kafka_offsets, left

_ABORT_S = 0.5  # beyond the caller's timeout; an abort that is not done by then is left to the broker


class TransactionalProducer:
    """One transactional id, one transaction at a time.

    kafka-python's own calls wait for the broker without bound (``commit_transaction``, ``abort_transaction``,
    ``send_offsets_to_transaction``), so this goes to the manager behind them, which hands out results to wait for.
    After a failure that leaves the outcome open, the client is thrown away: the next one with the same id makes the
    broker finish or abort what the old one began.
    """

    def __init__(self, transactional_id: str, settings: dict[str, Any], *, is_shared_name: bool) -> None:
        self._settings = {**settings, "transactional_id": transactional_id}
        self._is_shared_name = is_shared_name
        self._lock = threading.Lock()
        self._client: KafkaProducer | None = None
        self._closed = False

    def start(self, deadline: float) -> None:
        """Take the transactional id, which fences whoever had it."""
        with self._held(deadline):
            self._started(deadline)

    def run(
        self, placed: Sequence[Placed], offsets: Mapping[TopicPartition, int], membership: Any, deadline: float
    ) -> list[Appended]:
        """Append and commit offsets in one transaction."""
        with self._held(deadline):
            client = self._started(deadline)
            with self._aborting(client):
                sent = self._send(client, placed, deadline)
                if offsets:
                    manager = client._transaction_manager
                    self._await(
                        client, manager.send_offsets_to_transaction(kafka_offsets(offsets), membership), deadline
                    )
                appended = self._await_sent(client, placed, sent, deadline)
            self._commit(client, deadline)
            return appended

    def append_and_abort(self, placed: Sequence[Placed], deadline: float) -> None:
        """Append what nobody will read."""
        with self._held(deadline):
            client = self._started(deadline)
            with self._aborting(client):
                self._await_sent(client, placed, self._send(client, placed, deadline), deadline)
            self._abort(client)

    def close(self) -> None:
        """Once the transaction under way has ended. Another one is Fenced."""
        with self._lock:
            client, self._client = self._client, None
            self._closed = True
        if client is not None:
            client.close(timeout=2)

    @contextmanager
    def _held(self, deadline: float) -> Iterator[None]:
        if not self._lock.acquire(timeout=left(deadline)):
            raise kafka_errors.KafkaTimeoutError("another transaction of the same name is still running")
        try:
            yield
        finally:
            self._lock.release()

    def _started(self, deadline: float) -> KafkaProducer:
        if self._closed:
            raise Fenced(f"{self._settings['transactional_id']} was let go meanwhile. Start from the committed offset.")
        if self._client is None:
            client = KafkaProducer(**{**self._settings, "bootstrap_timeout_ms": left(deadline) * 1000})
            client.config["max_block_ms"] = left(deadline) * 1000
            try:
                client.init_transactions()
            except BaseException:
                _discard(client)
                raise
            self._client = client
        return self._client

    def _send(self, client: KafkaProducer, placed: Sequence[Placed], deadline: float) -> list[Any]:
        client.begin_transaction()
        sent = []
        for place in placed:
            message = place.message
            client.config["max_block_ms"] = left(deadline) * 1000
            headers = list(message.headers.items())
            sent.append(client.send(message.topic, message.value, message.key, headers, place.partition))
        return sent

    def _await_sent(
        self, client: KafkaProducer, placed: Sequence[Placed], sent: list[Any], deadline: float
    ) -> list[Appended]:
        client.flush(timeout=left(deadline))
        return [
            Appended(place.message.topic, place.partition, future.get(timeout=left(deadline)).offset)
            for place, future in zip(placed, sent, strict=True)
        ]

    def _commit(self, client: KafkaProducer, deadline: float) -> None:
        try:
            done = self._wait(client, client._transaction_manager.begin_commit(), deadline)
        except kafka_errors.KafkaError as error:
            cause = client._transaction_manager.last_error or error
            self._throw_away()
            raise self._as_port_error(cause) from error
        if not done:
            self._throw_away()
            raise LogUnavailable(
                "Kafka fell silent during a commit: all of the call took effect, or nothing. Read, then try again.",
                in_doubt=True,
            )

    @contextmanager
    def _aborting(self, client: KafkaProducer) -> Iterator[None]:
        """Abort when the block fails, and raise what made it fail: the client often reports only that it did."""
        try:
            yield
        except BaseException as error:
            cause = client._transaction_manager.last_error
            self._abort(client)
            if isinstance(error, kafka_errors.KafkaError) and cause is not None:
                raise self._as_port_error(cause) from error
            raise

    def _as_port_error(self, cause: BaseException) -> BaseException:
        if not isinstance(cause, kafka_errors.ProducerFencedError):
            return cause  # the client's own
        if self._is_shared_name:
            return Fenced(f"another holder took {self._settings['transactional_id']}. Start from the committed offset.")
        # Nobody else knows this id, so it was the broker: the transaction took too long, or the id was idle for days.
        timed_out: BaseException = kafka_errors.KafkaTimeoutError("the broker ended it (transaction_timeout_s)")
        return timed_out

    def _abort(self, client: KafkaProducer) -> None:
        try:
            done = self._wait(client, client._transaction_manager.begin_abort(), time.monotonic() + _ABORT_S)
        except kafka_errors.KafkaError:
            done = False
        if not done:
            self._throw_away()

    def _await(self, client: KafkaProducer, result: Any, deadline: float) -> None:
        if not self._wait(client, result, deadline):
            raise kafka_errors.KafkaTimeoutError("the broker did not answer in time (timeout_s)")

    def _wait(self, client: KafkaProducer, result: Any, deadline: float) -> bool:
        client._sender.wakeup()
        return bool(result.wait(timeout_ms=left(deadline) * 1000))

    def _throw_away(self) -> None:
        if self._client is not None:
            _discard(self._client)
            self._client = None


def _discard(client: KafkaProducer) -> None:
    """End a client at once. Its thread may be waiting for the broker, so not on ours."""
    client._sender.force_close()
    threading.Thread(target=client.close, kwargs={"timeout": 60}, name="kafka-discard", daemon=True).start()
