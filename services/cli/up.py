"""`mneme up`: one Ray Serve instance with every application of Mneme, on this machine."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import logging
import os
import re
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli import operator_token, ray_session
from services.common import ports, topics
from services.common.auth import Caller
from services.common.config import CommonConfig, Settings
from services.common.log.base import Log, LogError, LogUnavailable
from services.common.log.open import open_log
from services.common.models import ModelError
from services.common.seal import ExposedKey, MalformedKey, MasterKey
from services.common.serving import SERVE_LOGGING

if TYPE_CHECKING:
    from services.cli.watch import Watch
    from services.gateway.config import GatewayConfig
    from services.kvstore.config import KvstoreConfig

APPLICATIONS = ("kvstore", "perception", "episodic", "reasoning", "gateway")
START_TIMEOUT_S = 120.0
LOG_WAIT_S, LOG_RETRY_S = 300.0, 2.0

# What Ray and Serve write about themselves, some lines for each call that is cancelled among it. Each process has some
# files, in /tmp/ray/session_*/logs.
RAY_LOGS = {
    "RAY_ROTATION_MAX_BYTES": str(8 * 1024 * 1024),  # else 512 MiB a file
    "RAY_ROTATION_BACKUP_COUNT": "1",
}
_ENVIRONMENT = {
    **RAY_LOGS,
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the machine
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # ports of Ray itself on the loopback only
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # SIGTERM is ours: a clean stop, not a stack trace
    # Serve binds a port of each replica to every address, whatever one sets, and unpickles what comes there.
    "RAY_AUTH_MODE": "token",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # leave CUDA_VISIBLE_DEVICES as it is
    # A replica that fails its checks is frozen, or broken: to ask it to end, and to wait for that, helps nobody.
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    # One that does not end itself at Ray's word is killed after so long, else 5000: until then it holds its port, and
    # whoever streams to it waits.
    "RAY_kill_worker_timeout_milliseconds": "1000",
    "RAY_worker_niceness": "0",  # 15 otherwise: replicas answer calls, what gives way is threads of theirs
    "HF_HUB_OFFLINE": "1",  # models come from packages
    "TRANSFORMERS_OFFLINE": "1",
    "OMP_WAIT_POLICY": "passive",  # idle torch threads must not spin: cores are few
    "TOKENIZERS_PARALLELISM": "false",
}


_watching: list[Watch] = []  # one, while a service of this process is up


class StartError(Exception):
    """The service cannot start. The message says why and what to do."""


def claim(data_dir: Path) -> None:
    """Make the folder, and hold it until this process ends: two services on it would harm each other. StartError."""
    with _making_folders():
        data_dir.mkdir(parents=True, exist_ok=True)
        # Never closed: the kernel does that, however the process ends. No child inherits it, so that what outlives
        # a kill for a moment does not hold the folder.
        lock = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(lock, 20).decode()
            raise StartError(
                f"common.data_dir: another `mneme up` (process {holder}) uses {data_dir.absolute()}. "
                "Stop it, or name another folder."
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())


def prepare(settings: Settings) -> None:
    """Folders, the master key and the operator's token."""
    common = settings.common
    with _making_folders():
        common.data_dir.mkdir(parents=True, exist_ok=True)
    with _writing_token():
        operator_token.write(common.token_path, _master_key(common.master_key_path))


def record_operator_token(settings: Settings) -> None:
    """Once there are topics. StartError."""
    common = settings.common
    try:
        with _writing_token():
            operator_token.record(common, _master_key(common.master_key_path))
    except LogError as error:
        raise StartError(f"common.log: {error}") from error


@contextmanager
def _writing_token() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError(
            f"common.data_dir: the token cannot be written ({error}). "
            "Make room there, or name a folder that this user can write."
        ) from error


@contextmanager
def _making_folders() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError(f"common.data_dir: {error}. Name a folder that this user can write.") from error


def _master_key(path: Path) -> MasterKey:
    try:
        return MasterKey.load_or_create(path)
    except MalformedKey as error:
        raise StartError(
            f"common.master_key_file: {error}. Put back a copy of the key: without it, nothing in the log can be read. "
            "Where nothing was kept yet, delete the file, and a key is made."
        ) from error
    except ExposedKey as error:
        raise StartError(f"common.master_key_file: {error}") from error
    except OSError as error:
        raise StartError(
            f"common.master_key_file: {path} cannot be read or made ({error.strerror}). "
            "Make room there, or name a file in a folder that this user can write."
        ) from error


def ensure_topics(settings: Settings, progress: Callable[[str], None]) -> None:
    """Make or check every topic. A broker that is away is waited for; StartError when it stays so.

    StartError, too, when the master key is missing and the log has data: a new key could read nothing of it.
    """
    common = settings.common
    specs = topics.specs(
        common.partitions,
        [inbox.topic for inbox in common.inboxes],
        common.inbox_retention_s,
        common.dead_letter_retention_s,
    )
    deadline = time.monotonic() + LOG_WAIT_S
    while True:
        try:
            with contextlib.closing(open_log(common.log_url, common.kafka)) as log:
                log.ensure_topics(specs)
                if not common.master_key_path.exists() and _has_data(log):
                    raise StartError(
                        f"common.master_key_file: {common.master_key_path} is missing, but the log has data. "
                        "Put the copy back: without it, nothing in the log can be read."
                    )
            return
        except LogUnavailable as error:
            if time.monotonic() > deadline:
                raise StartError(f"common.log: {error}") from error
            progress(f"common.log: {error} Trying again")
            time.sleep(LOG_RETRY_S)
        except LogError as error:
            raise StartError(f"common.log: {error}") from error


def _has_data(log: Log) -> bool:
    kept = (topics.LEDGER, topics.KEYS)
    return any(log.end_offset(topic, partition) for topic in kept for partition in range(log.partitions(topic)))


def operator(settings: Settings) -> Caller:
    """What the operator's token says."""
    common = settings.common
    return operator_token.read(common.token_path, _master_key(common.master_key_path))


def require_free(host: str, port: int, setting: str) -> None:
    """StartError when something goes on listening on the port, or ``host``, of the gateway, is not this machine."""
    error = ports.refusal(host, port)
    if isinstance(error, socket.gaierror) or (error and error.errno == errno.EADDRNOTAVAIL):
        raise StartError(
            f"gateway.host: {host} cannot be listened on ({error.strerror}). "
            "Set gateway.host to an address of this machine."
        ) from error
    if error:
        raise StartError(_taken(host, port, setting, error)) from error


def _taken(host: str, port: int, setting: str, error: OSError) -> str:
    return (
        f"{setting}: {host}:{port} cannot be listened on ({error.strerror}). "
        f"Stop what uses it (another `mneme up`?), or set {setting} to a free port."
    )


def start(settings: Settings, progress: Callable[[str], None], say: Callable[[str], None] | None = None) -> None:
    """Start Ray and the applications; return when all of them run. StartError.

    ``progress`` is told each step; ``say``, by default the same, what the processes have to say from then on.
    """
    from services.gateway.config import GatewayConfig
    from services.kvstore.config import KvstoreConfig

    kvstore = settings.section("kvstore", KvstoreConfig)  # a wrong setting is said also where no store is started
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
        _require_arena(kvstore, settings.common.data_dir)
    progress("preparing the log and the keys")
    ensure_topics(settings, progress)
    prepare(settings)
    record_operator_token(settings)
    os.environ.update(
        _ENVIRONMENT,
        RAY_AUTH_TOKEN=secrets.token_hex(32),  # of this start alone; Ray's own lies in the home, for others to read
    )
    _remove_old_logs(settings.common)
    applications = [name for name in APPLICATIONS if name != "kvstore" or settings.keeps_kv]
    built = {name: _build(name, settings) for name in applications}  # before Ray, which takes seconds: it may refuse
    watch = _watch(settings, gateway, say or progress)
    progress("starting Ray")
    import ray
    from ray import serve

    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        context = ray.init(
            "local", include_dashboard=False, log_to_driver=False, logging_level="ERROR", configure_logging=True
        )
    except Exception as error:  # the very class that Ray raises when a process of its own is late
        raise StartError(f"Ray did not start: {error} Its logs are in /tmp/ray/session_latest/logs.") from error
    with _making_folders():
        ray_session.note(settings.common.data_dir, Path(context.address_info["session_dir"]))
    _end_block_on_signals()  # ray.init put handlers of its own there
    serve.start(proxy_location="Disabled", logging_config=SERVE_LOGGING)
    watch.follow_replicas()
    run_applications(built, progress)


def _watch(settings: Settings, gateway: GatewayConfig, say: Callable[[str], None]) -> Watch:
    """Metrics are served from now on, and lines of all processes shown, until the service is stopped. StartError."""
    from services.cli.metrics import MetricsProcess
    from services.cli.watch import Watch
    from services.common import telemetry

    try:
        metrics = MetricsProcess(gateway.host, gateway.metrics_port, settings.common.data_dir)
    except OSError as error:
        raise StartError(_taken(gateway.host, gateway.metrics_port, "gateway.metrics_port", error)) from error
    telemetry.configure_from("up", settings.common, stderr=False)
    watch = Watch(metrics, say)
    _watching.append(watch)
    watch.start()
    return watch


def _remove_old_logs(common: CommonConfig) -> None:
    from services.common import telemetry

    with _making_folders():
        ray_session.remove_last(common.data_dir)
        for folder in (common.log_dir, common.trace_dir):
            if folder is not None:
                telemetry.remove_old(folder)


def _require_arena(config: KvstoreConfig, data_dir: Path) -> None:
    """StartError when the KV store's arena cannot fit on this machine."""
    from services.kvstore.arena import Paths, require_room
    from services.kvstore.errors import StartError as NoRoom

    try:
        require_room(Paths.of(config.arena_dir, data_dir), config.arena_bytes, config.min_block_bytes)
    except OSError as error:
        raise StartError(
            f"kvstore.arena_dir: {config.arena_dir} cannot be used ({error.strerror}). Name a folder in memory."
        ) from error
    except NoRoom as error:
        raise StartError(str(error)) from error


def _build(name: str, settings: Settings) -> Any:
    from importlib import import_module

    try:
        return import_module(f"services.{name}.app").build(settings)
    except ModelError as error:
        raise StartError(str(error)) from error


def run_applications(applications: Mapping[str, Any], progress: Callable[[str], None]) -> None:
    """Start built applications by name, on the Serve instance of this process; return when all run. StartError."""
    from ray import serve

    targets = [
        serve.RunTarget(target=target, name=name, route_prefix=None, logging_config=SERVE_LOGGING)
        for name, target in applications.items()
    ]
    serve.run_many(targets, wait_for_applications_running=False)
    _await_running(list(applications), progress)


def _await_running(wanted: Sequence[str], progress: Callable[[str], None]) -> None:
    # serve.status says the same, and pickles every deployment's configuration for it: half a core while one waits.
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    deadline = time.monotonic() + START_TIMEOUT_S
    waiting: list[str] = []
    while True:
        statuses = {each.name: each for each in client.list_serve_statuses()}
        for name, overview in statuses.items():
            if overview.app_status.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                raise StartError(f"{name}: {_last_line(overview)}")
        still = [n for n in wanted if n not in statuses or statuses[n].app_status.status != "RUNNING"]
        if not still:
            return
        if still != waiting:
            progress("waiting for " + ", ".join(still))
            waiting = still
        if time.monotonic() > deadline:
            raise StartError(f"{', '.join(still)}: not running after {START_TIMEOUT_S:.0f} s; see data_dir/logs.")
        time.sleep(0.2)


def _last_line(overview: Any) -> str:
    messages = [overview.app_status.message, *(d.message for d in overview.deployment_statuses)]
    lines = [line.strip() for message in messages if message for line in message.splitlines() if line.strip()]
    # The last line of a traceback: an error of ours says all in its text.
    return re.sub(r"^services(\.\w+)+: ", "", lines[-1]) if lines else "failed to start; see data_dir/logs."


class _Stop(BaseException):
    """SIGINT or SIGTERM came."""


@contextmanager
def stopping() -> Iterator[None]:
    """Stop the service when the block ends, for whatever reason; SIGINT and SIGTERM end the block."""
    _end_block_on_signals()
    try:
        yield
    except _Stop:
        pass
    finally:
        _shut_down()


def _end_block_on_signals() -> None:
    def stop(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # one stop is under way: a second signal must not cut it short
        raise _Stop

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _shut_down() -> None:
    """Let every replica end what it does, then stop Ray and what watched it."""
    for watch in _watching:
        watch.leave_replicas()
    if "ray" in sys.modules:
        _stop_ray()
    while _watching:
        _watching.pop().stop()


def _stop_ray() -> None:
    import ray
    from ray import serve

    if ray.is_initialized():
        # Ray prints there that the controller, which ended itself as asked, is dead.
        with contextlib.redirect_stdout(io.StringIO()):
            serve.shutdown()
            ray.shutdown()


def wait_for_signal() -> None:
    """Block until SIGINT or SIGTERM ends the block of ``stopping``."""
    threading.Event().wait()
