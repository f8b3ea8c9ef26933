"""Ray, as a service starts and stops it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import secrets
from pathlib import Path

from services.cli.up.errors import StartError
from services.common.serving.serving import SERVE_LOGGING

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


def set_environment() -> None:
    """Of this process, and so of every one that Ray starts."""
    os.environ.update(
        _ENVIRONMENT,
        RAY_AUTH_TOKEN=secrets.token_hex(32),  # of this start alone; Ray's own lies in the home, for others to read
    )


def start_ray() -> Path:
    """The folder in which Ray keeps what it writes. StartError."""
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        context = ray.init(
            "local", include_dashboard=False, log_to_driver=False, logging_level="ERROR", configure_logging=True
        )
    except Exception as error:  # the very class that Ray raises when a process of its own is late
        raise StartError(f"Ray did not start: {error} Its logs are in /tmp/ray/session_latest/logs.") from error
    return Path(context.address_info["session_dir"])


def start_serve() -> None:
    from ray import serve

    serve.start(proxy_location="Disabled", logging_config=SERVE_LOGGING)


def stop_ray() -> None:
    import ray
    from ray import serve

    if ray.is_initialized():
        # Ray prints there that the controller, which ended itself as asked, is dead.
        with contextlib.redirect_stdout(io.StringIO()):
            serve.shutdown()
            ray.shutdown()
