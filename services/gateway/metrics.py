"""Prometheus metrics of every process of this machine, on one port.

Each process writes its numbers into files under PROMETHEUS_MULTIPROC_DIR (it must be set before
prometheus_client is imported anywhere); a scrape adds them up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from services.gateway.errors import StartError

_FILE = re.compile(r"gauge_live.*_(\d+)\.db")


class _LiveProcesses(MultiProcessCollector):
    """Leaves out gauges of processes that ended. Counters of ended processes stay: they happened."""

    def __init__(self, registry: CollectorRegistry, directory: Path) -> None:
        super().__init__(registry, str(directory))  # type: ignore[no-untyped-call]
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        for pid in {int(m[1]) for f in self._directory.iterdir() if (m := _FILE.fullmatch(f.name))}:
            if not Path(f"/proc/{pid}").exists():
                mark_process_dead(pid, str(self._directory))  # type: ignore[no-untyped-call]
        yield from super().collect()  # type: ignore[no-untyped-call]


class MetricsServer:
    """Serves /metrics from a thread of its own, over plain HTTP."""

    def __init__(self, host: str, port: int) -> None:
        """StartError when the port is taken or PROMETHEUS_MULTIPROC_DIR is not set."""
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not directory:
            raise StartError("PROMETHEUS_MULTIPROC_DIR is not set. Start Mneme with `mneme up`, which sets it.")
        registry = CollectorRegistry()
        _LiveProcesses(registry, Path(directory))
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise StartError(
                f"gateway.metrics_port: {host}:{port} cannot be listened on ({error.strerror}). "
                "Stop what uses it, or set gateway.metrics_port to a free port."
            ) from error
        self.port: int = self._server.server_port

    def require_alive(self) -> None:
        if not self._thread.is_alive():
            raise RuntimeError("the metrics server has ended")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
