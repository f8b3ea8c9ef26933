"""One Ray Serve instance with every application of Mneme, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.cli.up import ray_session
from services.cli.up.applications import applications, build, run_applications
from services.cli.up.errors import StartError
from services.cli.up.folder import claim, making_folders, prepare, record_operator_token
from services.cli.up.log import ensure_topics
from services.cli.up.ports import require_arena, require_free, taken
from services.cli.up.ray import set_environment, start_ray, start_serve
from services.cli.up.scaling import Scaling
from services.cli.up.shards import ServeCluster, assign_all
from services.cli.up.stop import end_block_on_signals, ending, watching
from services.common.config import CommonConfig, Settings
from services.common.ledger.assignment import Assignments
from services.common.log.base import LogError
from services.common.log.open import open_log
from services.gateway.config import GatewayConfig
from services.kvstore.config import KvstoreConfig

if TYPE_CHECKING:
    from services.cli.up.watch import Watch

_KNOWN_PERIODS = 3  # of looking at the log; then every gateway knows what it says


def start(settings: Settings, progress: Callable[[str], None], say: Callable[[str], None] | None = None) -> None:
    """Start Ray and the applications; return when all of them run. StartError.

    ``progress`` is told each step; ``say``, by default the same, what the processes have to say from then on.
    """
    kvstore = settings.section("kvstore", KvstoreConfig)  # a wrong setting is said also where no store is started
    configured = settings.shards
    gateway = settings.section("gateway", GatewayConfig)
    if gateway.replicas > 1 and not gateway.reuse_port:
        raise StartError(
            f"gateway.replicas: {gateway.replicas} gateways on this machine would share one port. "
            "Set gateway.reuse_port to true, or gateway.replicas to 1."
        )
    claim(settings.common.data_dir)
    require_free(gateway.host, gateway.port, "gateway.port")
    require_free(gateway.host, gateway.metrics_port, "gateway.metrics_port")
    if settings.keeps_kv:
        require_arena(kvstore, settings.common.data_dir)
    progress("preparing the log and the keys")
    ensure_topics(settings, progress)
    prepare(settings)
    record_operator_token(settings)
    set_environment()
    _remove_old_logs(settings.common)
    # Before Ray, which takes seconds: it may refuse.
    assignments = _assignments(settings.common, configured, progress)
    names = applications(settings, assignments.required.applications)
    built = {name: build(name, settings, assignments.written_at) for name in names}
    watch = _watch(settings, gateway, say or progress)
    progress("starting Ray")
    session_dir = start_ray()
    with making_folders():
        ray_session.note(settings.common.data_dir, session_dir)
    end_block_on_signals()  # ray.init put handlers of its own there
    start_serve()
    watch.follow_replicas()
    run_applications(built, progress)
    scaling = Scaling(assignments, ServeCluster(settings), _KNOWN_PERIODS * gateway.revocation_period_s)
    ending.append(scaling.stop)
    scaling.start()


def _assignments(common: CommonConfig, configured: int, progress: Callable[[str], None]) -> Assignments:
    """Of partitions to shards, as they are to be now; their log is closed when the service stops. StartError."""
    try:
        log = open_log(common.log_url, common.kafka)
        ending.append(log.close)
        return assign_all(log, configured, progress)
    except LogError as error:
        raise StartError(f"common.log: {error}") from error


def _watch(settings: Settings, gateway: GatewayConfig, say: Callable[[str], None]) -> Watch:
    """Metrics are served from now on, and lines of all processes shown, until the service is stopped. StartError."""
    from services.cli.up.metrics import MetricsProcess
    from services.cli.up.watch import Watch
    from services.common import telemetry

    try:
        metrics = MetricsProcess(gateway.host, gateway.metrics_port, settings.common.data_dir)
    except OSError as error:
        raise StartError(taken(gateway.host, gateway.metrics_port, "gateway.metrics_port", error)) from error
    telemetry.configure_from("up", settings.common, stderr=False)
    watch = Watch(metrics, say)
    watching.append(watch)
    watch.start()
    return watch


def _remove_old_logs(common: CommonConfig) -> None:
    from services.common import telemetry

    with making_folders():
        ray_session.remove_last(common.data_dir)
        for folder in (common.log_dir, common.trace_dir):
            if folder is not None:
                telemetry.remove_old(folder)
