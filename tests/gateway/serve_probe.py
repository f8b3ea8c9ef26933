"""The probe as a Serve application, and one Ray Serve instance with the real gateway in front of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import grpc
import yaml

from services.cli import up
from services.cli.local import free_ports
from services.cli.up.metrics import MetricsProcess
from services.common import telemetry, watched
from services.common.config import CommonConfig, Settings
from services.common.serving.methods import METHODS as REAL_METHODS
from services.common.serving.methods import Method
from services.common.serving.serving import HEALTH_TIMEOUT_S, SERVE_LOGGING
from tests.gateway.probe import METHODS, Probe

# The probe's methods and the gateway's own.
TABLE: dict[str, Method] = {**METHODS, **{m: s for m, s in REAL_METHODS.items() if s.app == "gateway"}}

ROTATE_BYTES = 100_000
QUIET = {
    **{setting: "1" if "COUNT" in setting else str(ROTATE_BYTES) for setting in up.RAY_LOGS},
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
}


class ServedProbe(Probe):
    """The probe in a replica: tells what a test in the same process would look at."""

    def __init__(self) -> None:
        super().__init__()
        telemetry.configure("probe")
        telemetry.QUEUE.labels("probe", "probe").set(3)

    async def pid(self) -> int:
        return os.getpid()

    async def count_of(self, what: str) -> int:
        return self.calls[what]


def _defaults(section: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(
        resources.files(f"services.{section}").joinpath("defaults.yaml").read_text()
    )
    return loaded


def settings(data_dir: Path, **changes: object) -> Settings:
    """Settings of a gateway on free ports that keeps its things in ``data_dir``, prepared as `mneme up` does."""
    common = CommonConfig.model_validate({**_defaults("common"), "data_dir": data_dir})
    ports = dict(zip(("port", "metrics_port"), free_ports(2), strict=True))
    gateway = {**_defaults("gateway"), **ports, **changes}
    chosen = Settings(common, {"gateway": gateway, "episodic": _defaults("episodic")})
    up.prepare(chosen)
    up.ensure_topics(chosen, print)
    return chosen


PROBE_CALLS = 200  # an open stream holds one


def probe_application(env: Mapping[str, str] | None = None) -> Any:
    from ray import serve

    actor_options: dict[str, Any] = {"num_cpus": 0}
    if env:
        actor_options["runtime_env"] = {"env_vars": dict(env)}
    deployment = serve.deployment(ServedProbe).options(
        name="Probe",
        max_ongoing_requests=PROBE_CALLS,
        max_queued_requests=PROBE_CALLS,
        ray_actor_options=actor_options,
        health_check_period_s=1,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=2,
    )
    return deployment.bind()


@contextmanager
def metrics_served(chosen: Settings) -> Iterator[None]:
    """As `mneme up` does, for all that starts within."""
    process = MetricsProcess("127.0.0.1", int(chosen.layers["gateway"]["metrics_port"]), chosen.common.data_dir)
    try:
        process.keep_running()
        yield
    finally:
        process.stop()
        del os.environ[watched.NAME]


@contextmanager
def serve_instance() -> Iterator[Any]:
    """A quiet Ray Serve instance of this machine, without a proxy."""
    os.environ.update(QUIET)
    import ray
    from ray import serve

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        serve.start(proxy_location="Disabled", logging_config=SERVE_LOGGING)
        yield serve
    finally:
        serve.shutdown()
        ray.shutdown()


def ray_logs() -> Path:
    """Where the running Ray writes the logs of its processes and of Serve's replicas."""
    import ray

    return Path(ray._private.worker.global_worker.node.get_logs_dir_path())


def channel(port: int) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{port}")
