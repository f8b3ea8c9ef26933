"""What our gateway costs beside Ray Serve's own gRPC proxy: an empty unary call, in the same run.

    python -m benchmarks.gateway [--rounds 21] [--calls 100] [--force]

One client calls the same empty method in three ways, in short runs that alternate: through Serve's proxy; through our
gateway on default handles; through our gateway with `fast_handles`. The gateways do all they do in service: token,
right, deadline, span to a file, metrics. The bars are ratios of p50 to the proxy's, each the median over the rounds.
Exits 1 when a bar is missed, 2 when the machine is busy (timings would mean nothing; --force measures all the same).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any

import grpc
import yaml
from mneme.v1 import admin_pb2, admin_service_pb2_grpc

from benchmarks.busy import busy_share, refuse_when_busy
from services.cli import up
from services.cli.local import free_ports
from services.common.config import CommonConfig, Settings
from services.common.crypto.auth import Right, grant_signer, token_signer
from services.common.crypto.seal import MasterKey
from services.common.serving.methods import Kind, Method
from services.common.serving.serving import SERVE_LOGGING, Application, Call, Handler, actor_options

METHOD = "mneme.v1.AdminService/GetOperation"
BARS = {"default handles": 1.15, "fast handles": 0.65}
MAX_BUSY = 0.25  # share of all cores, before we start anything
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
START_TIMEOUT_S = 60


class Empty(Application):
    """Answers an empty call, to the gateway and to Serve's proxy."""

    def __init__(self, name: str, key: bytes) -> None:
        grants = grant_signer(MasterKey(key))
        super().__init__(name, grants, {METHOD: Handler(admin_pb2.GetOperationRequest, self._answer)}, _table(name))

    async def _answer(self, request: admin_pb2.GetOperationRequest, call: Call) -> admin_pb2.GetOperationResponse:
        return admin_pb2.GetOperationResponse()

    async def GetOperation(self, request: admin_pb2.GetOperationRequest) -> admin_pb2.GetOperationResponse:
        """What Serve's proxy calls."""
        return admin_pb2.GetOperationResponse()


def _table(app: str) -> dict[str, Method]:
    return {METHOD: Method(app, Kind.UNARY, Right.READ)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of an empty call: our gateway beside Ray Serve's gRPC proxy.")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--calls", type=int, default=100, help="calls of each way in a round")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    arguments = parser.parse_args()
    busy = busy_share()
    print(f"{os.cpu_count()} cores, {busy:.0%} busy, load {os.getloadavg()[0]:.2f} before the start")
    if refuse_when_busy(busy, force=arguments.force, most=MAX_BUSY):
        return 2
    with tempfile.TemporaryDirectory() as folder:
        rounds = _measure(Path(folder), arguments.rounds, arguments.calls)
    return _report(rounds)


def _measure(folder: Path, rounds: int, calls: int) -> list[dict[str, list[float]]]:
    """Latencies in ms by way, one dict a round."""
    os.environ.update(QUIET)
    import ray
    from ray import serve

    master = MasterKey.load_or_create(folder / "master.key")
    token, _ = token_signer(master).issue("benchmark", ("",), frozenset(Right), 3600)
    proxy_port, http_port = free_ports(2)
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": http_port},
            grpc_options={
                "port": proxy_port,
                "grpc_servicer_functions": ["mneme.v1.admin_service_pb2_grpc.add_AdminServiceServicer_to_server"],
            },
            logging_config=SERVE_LOGGING,
        )
        ports = _deploy(serve, folder)
        with ExitStack() as open_channels:
            bearer = ("authorization", f"Bearer {token}")
            ways = {
                "serve's proxy": _caller(open_channels, proxy_port, (("application", "plain"),)),
                "default handles": _caller(open_channels, ports["plain"], (bearer,)),
                "fast handles": _caller(open_channels, ports["fast"], (bearer,)),
            }
            return [_round(ways, calls) for _ in range(rounds + 1)][1:]  # the first warms up
    finally:
        serve.shutdown()
        ray.shutdown()


def _deploy(serve: Any, folder: Path) -> dict[str, int]:
    """Both applications and their gateways; the gateways' ports by application."""
    from services.gateway import app as gateway

    key = bytes.fromhex((folder / "master.key").read_text().strip())
    targets, ports = [], {}
    for name in ("plain", "fast"):
        settings = _settings(folder / name, folder / "master.key", fast_handles=name == "fast")
        options = actor_options(settings.common)
        empty = serve.deployment(Empty).options(name=name, max_ongoing_requests=100, ray_actor_options=options)
        ports[name] = int(settings.layers["gateway"]["port"])
        # Serve's proxy wants a route of each application it serves.
        targets.append(
            serve.RunTarget(
                target=empty.bind(name, key), name=name, route_prefix=f"/{name}", logging_config=SERVE_LOGGING
            )
        )
        door = gateway.build(settings, _table(name))
        targets.append(
            serve.RunTarget(target=door, name=f"gateway-{name}", route_prefix=None, logging_config=SERVE_LOGGING)
        )
    serve.run_many(targets, wait_for_applications_running=False)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not all(a.status == "RUNNING" for a in serve.status().applications.values()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the applications do not run after {START_TIMEOUT_S} s: {serve.status()}")
        time.sleep(0.2)
    return ports


def _settings(data_dir: Path, key_file: Path, **changes: object) -> Settings:
    common = CommonConfig.model_validate(
        {**_defaults("common"), "data_dir": data_dir, "master_key_file": str(key_file), **changes}
    )
    ports = dict(zip(("port", "metrics_port"), free_ports(2), strict=True))
    gateway_layer = {**_defaults("gateway"), **ports}
    settings = Settings(common, {"gateway": gateway_layer, "episodic": _defaults("episodic")})
    up.prepare(settings)
    up.ensure_topics(settings, print)
    return settings


def _defaults(section: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(
        resources.files(f"services.{section}").joinpath("defaults.yaml").read_text()
    )
    return loaded


def _caller(open_channels: ExitStack, port: int, metadata: tuple[tuple[str, str], ...]) -> Callable[[], Any]:
    channel = open_channels.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
    stub, request = admin_service_pb2_grpc.AdminServiceStub(channel), admin_pb2.GetOperationRequest()
    return lambda: stub.GetOperation(request, metadata=metadata, timeout=10, wait_for_ready=True)


def _round(ways: dict[str, Callable[[], Any]], calls: int) -> dict[str, list[float]]:
    """``calls`` of each way, one way after another."""
    return {name: [_took_ms(call) for _ in range(calls)] for name, call in ways.items()}


def _took_ms(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def _report(rounds: list[dict[str, list[float]]]) -> int:
    """Print the table; 1 when a bar is missed."""
    print(f"median over {len(rounds)} rounds; load {os.getloadavg()[0]:.2f} at the end")
    print(f"{'way':<16} {'p50 ms':>7} {'p99 ms':>7} {'p50 / proxy':>12} {'bar':>6}")
    missed = False
    for name in rounds[0]:
        p50 = statistics.median(statistics.median(r[name]) for r in rounds)
        p99 = statistics.median(statistics.quantiles(r[name], n=100)[98] for r in rounds)
        ratio = statistics.median(statistics.median(r[name]) / statistics.median(r["serve's proxy"]) for r in rounds)
        bar = BARS.get(name)
        missed |= bar is not None and ratio > bar
        verdict = "" if bar is None else f"{bar:>6.2f} {'met' if ratio <= bar else 'MISSED'}"
        print(f"{name:<16} {p50:>7.2f} {p99:>7.2f} {ratio:>12.2f} {verdict}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
