"""Traces, metrics and logs: one small door to OpenTelemetry, Prometheus and logging.

Texts, tokens and keys never go through here: a log record carries its constant message and the fields named in
``LOG_FIELDS``, an exception its type and frames but not its message, and span attributes are names, counts and
ids.

None of it may fail the work that it tells of: numbers are kept in memory, and what cannot be written of lines and
spans is counted and left out (``mneme_records_total``, outcomes ``line_lost`` and ``span_lost``).
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# With these set, every number lies in a mapped file: on a full disk, the next one ends the process with a signal.
for _name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
    os.environ.pop(_name, None)

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram  # noqa: E402

from services.common import watched  # noqa: E402
from services.common.config import CommonConfig  # noqa: E402

LOG_FIELDS = [
    "service",
    "method",
    "namespace",
    "topic",
    "partition",
    "offset",
    "reason",
    "count",
    "seconds",
    "generation",
    "operation",
    "principal",
    "request",
    "copies_with",
    "port",
    "error",
    "trace_id",
    "token_id",
    "by_token_id",
    "application",
    "pid",
]
# Made once: a tracer a span costs more than the span. It follows the provider that ``configure`` sets later.
_TRACER = trace.get_tracer("mneme")
_W3C = TraceContextTextMapPropagator()
TRACE_FILE_BYTES = 32 * 1024 * 1024
LOG_FILE_BYTES = 16 * 1024 * 1024
KEPT_S = 7 * 86_400.0  # what processes that ended left: long enough to look into last week's failure

REGISTRY = CollectorRegistry()
_configured_at = time.monotonic()
_pseudonym_key = secrets.token_bytes(32)  # until ``configure_from`` derives the one that all processes share

STAGE_SECONDS = Histogram(
    "mneme_stage_seconds",
    "Time by service and stage.",
    ["service", "stage"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    registry=REGISTRY,
)
CALLS = Counter("mneme_calls_total", "Calls by method and status.", ["method", "status"], registry=REGISTRY)
RECORDS = Counter("mneme_records_total", "Records by service and outcome.", ["service", "outcome"], registry=REGISTRY)
# Gauges of several processes add up.
LAG = Gauge("mneme_lag_records", "Records not yet consumed.", ["service", "topic"], registry=REGISTRY)
QUEUE = Gauge("mneme_queue_depth", "Waiting in a bounded queue.", ["service", "queue"], registry=REGISTRY)
HELD = Gauge(
    "mneme_held",
    "What is held now, by service and kind: blocks, bytes, pages.",
    ["service", "kind"],
    registry=REGISTRY,
)
LEDGER_BYTES = Gauge(
    "mneme_ledger_bytes", "What one copy of the ledger takes of its brokers' disks.", ["topic"], registry=REGISTRY
)
APPLICATION_UP = Gauge(
    "mneme_application_up", "1 while an application answers the door, else 0.", ["application"], registry=REGISTRY
)
SHARDS_WANTED = Gauge("mneme_shards_wanted", "Shards that episodic is to run in.", registry=REGISTRY)
SHARD_PARTITIONS = Gauge(
    "mneme_shard_partitions", "Partitions of the ledger that a shard holds.", ["application"], registry=REGISTRY
)
REPLICAS_UP = Gauge("mneme_replicas_up", "Replicas that serve.", ["application"], registry=REGISTRY)
RESTARTS = Counter(
    "mneme_replica_restarts_total",
    "Replicas that took the place of one that had ended.",
    ["application"],
    registry=REGISTRY,
)


class _JsonLines(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.msg if isinstance(record.msg, str) else type(record.msg).__name__,
        }
        line.update({k: getattr(record, k) for k in LOG_FIELDS if hasattr(record, k)})
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = f"{span.trace_id:032x}"
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line)


class _LogFile(RotatingFileHandler):
    """The file of a process, in a folder that is made when it is missing."""

    def __init__(self, path: Path, service: str) -> None:
        super().__init__(path, maxBytes=LOG_FILE_BYTES, backupCount=1, delay=True)
        self._service = service

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:
        """Counts the line; the one of ``logging`` prints a stack trace, and the arguments, for each."""
        RECORDS.labels(self._service, "line_lost").inc()


class _FileExporter(SpanExporter):
    """Spans as JSON lines, for one machine; starts over when the file is full."""

    def __init__(self, path: Path, service: str) -> None:
        self._path = path
        self._service = service
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = "".join(json.dumps(_span_line(s)) + "\n" for s in spans)
        try:
            with self._lock:
                self._write(lines)
        except OSError:
            RECORDS.labels(self._service, "span_lost").inc(len(spans))
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def _write(self, lines: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        full = self._path.exists() and self._path.stat().st_size > TRACE_FILE_BYTES
        with self._path.open("w" if full else "a") as f:
            f.write(lines)


def _span_line(span: ReadableSpan) -> dict[str, object]:
    context, parent = span.get_span_context(), span.parent
    return {
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_id": f"{parent.span_id:016x}" if parent else "",
        "name": span.name,
        "service": span.resource.attributes.get("service.name"),
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "attributes": dict(span.attributes or {}),
    }


def configure_from(service: str, common: CommonConfig, *, stderr: bool = True) -> None:
    """``configure`` as the configuration says; every replica calls this first."""
    global _pseudonym_key
    if common.master_key_path.exists():
        from services.common.crypto.seal import MasterKey  # which knows the log, which knows this module

        _pseudonym_key = MasterKey.load(common.master_key_path).derive("pseudonyms")
    configure(
        service,
        stderr=stderr,
        trace_dir=common.trace_dir,
        log_dir=common.log_dir,
        otlp_endpoint=common.otlp_endpoint,
        level=common.log_level,
    )


def configure(
    service: str,
    *,
    trace_dir: Path | None = None,
    log_dir: Path | None = None,
    otlp_endpoint: str = "",
    level: str = "INFO",
    stderr: bool = True,
) -> None:
    """Set up this process: logs as JSON lines on stderr and in a file, traces in a file and to a collector.

    Where a `mneme up` started it, it shows that its lines and numbers, too.
    """
    global _configured_at
    _configured_at = time.monotonic()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if stderr else []
    if log_dir is not None:
        handlers.append(_LogFile(log_dir / f"{service}-{os.getpid()}.jsonl", service))
    if (terminal := watched.line_handler()) is not None:
        handlers.append(terminal)
    watched.show_numbers(service, REGISTRY)
    for handler in handlers:
        handler.setFormatter(_JsonLines(service))
    root = logging.getLogger("services")
    root.handlers[:] = handlers
    root.setLevel(level)
    root.propagate = False
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    if trace_dir is not None:
        exporter = _FileExporter(trace_dir / f"{service}-{os.getpid()}.jsonl", service)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    if otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint)))
    trace.set_tracer_provider(provider)


def since_start_s() -> float:
    """Seconds since this process was configured, which is the first that a replica does."""
    return round(time.monotonic() - _configured_at, 1)


class Sampled:
    """One line for many of a kind: for the first at once, then at most one in ``every_s``, with their number."""

    def __init__(self, log: logging.Logger, message: str, every_s: float = 10.0) -> None:
        self._log = log
        self._message = message
        self._every_s = every_s
        self._count = 0
        self._next_at = 0.0

    def tell(self, **fields: object) -> None:
        self._count += 1
        now = time.monotonic()
        if now >= self._next_at:
            self._log.warning(self._message, extra={**fields, "count": self._count})
            self._count, self._next_at = 0, now + self._every_s


def remove_old(folder: Path) -> None:
    """Remove log or trace files that nobody has written to for ``KEPT_S`` and whose process has ended. OSError."""
    for path in folder.glob("*-*.jsonl*"):
        pid = path.name.partition(".")[0].rpartition("-")[2]
        ended = pid.isdecimal() and not Path(f"/proc/{pid}").exists()
        if ended and path.stat().st_mtime < time.time() - KEPT_S:
            path.unlink()


def flush() -> None:
    """Write out what is buffered; call before a process ends."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.force_flush()


@contextmanager
def span(name: str, parent: Mapping[str, str] | None = None, **attributes: str | int | float) -> Iterator[trace.Span]:
    """A span, child of ``parent`` (a W3C carrier) where one is given, else of the current one."""
    token = otel_context.attach(_W3C.extract(parent)) if parent else None
    try:
        with _TRACER.start_as_current_span(name, attributes=attributes, record_exception=False) as current:
            yield current
    finally:
        if token is not None:
            otel_context.detach(token)


def trace_id(parent: Mapping[str, str] | None = None) -> str:
    """Of the current span; else of ``parent`` (a W3C carrier); else a new one, of a call that left no span. 32 hex."""
    current = trace.get_current_span(_W3C.extract(parent) if parent else None).get_span_context()
    return f"{current.trace_id:032x}" if current.is_valid else secrets.token_hex(16)


def pseudonym(name: str) -> str:
    """What stands in spans for a principal or a namespace: the same for the same name, and tells nothing of it."""
    return _pseudonym(_pseudonym_key, name)


@lru_cache(4096)  # not for its few microseconds: the digest gives up Python's lock, and waits behind whoever computes
def _pseudonym(key: bytes, name: str) -> str:
    return hmac.digest(key, name.encode(), "sha256")[:8].hex()


def mark(**attributes: str) -> None:
    """Give the current span attributes."""
    trace.get_current_span().set_attributes(attributes)


def carrier() -> dict[str, str]:
    """The current trace context, to send along."""
    out: dict[str, str] = {}
    _W3C.inject(out)
    return out


def to_headers() -> dict[str, bytes]:
    """The current trace as log record headers, less ``tracestate``: that is the producer's own words, in clear."""
    return {key: value.encode() for key, value in carrier().items() if key == "traceparent"}


def from_headers(headers: Mapping[str, bytes]) -> dict[str, str]:
    """The trace context that a log record carries."""
    return {k: headers[k].decode("ascii", "replace") for k in ("traceparent", "tracestate") if k in headers}


class Stages:
    """Times of the stages of one piece of work: spans, histogram, and seconds by name."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        with span(f"{self._service}.{stage}"):
            try:
                yield
            finally:
                took = time.perf_counter() - start
                self.seconds[stage] = self.seconds.get(stage, 0.0) + took
                STAGE_SECONDS.labels(self._service, stage).observe(took)


class Totals:
    """Counts that are kept elsewhere and only grow, shown as ``mneme_records_total``. Of one thread."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._shown: dict[str, int] = {}

    def show(self, counts: Mapping[str, int]) -> None:
        """Add what they have grown by since the last time."""
        for outcome, count in counts.items():
            RECORDS.labels(self._service, outcome).inc(count - self._shown.get(outcome, 0))
            self._shown[outcome] = count
