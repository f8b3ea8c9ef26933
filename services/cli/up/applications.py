"""Applications on Ray Serve: built, run, and waited for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.cli.up.errors import StartError
from services.common.config import Settings
from services.common.models.packages import ModelError
from services.common.serving.serving import SERVE_LOGGING
from services.common.serving.shards import SHARDED, shard_of

START_TIMEOUT_S = 120.0


def applications(settings: Settings, shards: Sequence[str]) -> list[str]:
    """Their names, in the order in which they are built. ``shards``: those of episodic."""
    kvstore = ["kvstore"] if settings.keeps_kv else []
    return [*kvstore, "perception", *shards, "reasoning", "gateway"]


def build(name: str, settings: Settings, since: int) -> Any:
    """``since``: offset of the assignment of partitions that a shard begins with."""
    from importlib import import_module

    shard = shard_of(name)
    service, own = (name, ()) if shard is None else (SHARDED, (shard, since))
    try:
        return import_module(f"services.{service}.app").build(settings, *own)
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


def overviews() -> dict[str, Any]:
    """By application of this Serve instance, what Serve says of it."""
    # serve.status says the same, and pickles every deployment's configuration for it: half a core while one waits.
    from ray.serve.context import _get_global_client

    return {each.name: each for each in _get_global_client().list_serve_statuses()}


def _await_running(wanted: Sequence[str], progress: Callable[[str], None]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    waiting: dict[str, str] = {}
    while True:
        there = overviews()
        still = {name: state for name in wanted if (state := _state(there.get(name))) != "RUNNING"}
        for name, state in still.items():
            if state == "DEPLOY_FAILED":
                raise StartError(f"{name}: {_last_line(there[name])}")
        if not still:
            return
        if still != waiting:
            # One that served and died meanwhile is no failed start: Serve starts it again.
            again = {"UNHEALTHY": " (started again)"}
            progress("waiting for " + ", ".join(name + again.get(state, "") for name, state in still.items()))
            waiting = still
        if time.monotonic() > deadline:
            raise StartError(f"{', '.join(still)}: not running after {START_TIMEOUT_S:.0f} s; see data_dir/logs.")
        time.sleep(0.2)


def _state(overview: Any) -> str:
    return str(overview.app_status.status.value) if overview else "NOT_STARTED"


def _last_line(overview: Any) -> str:
    messages = [overview.app_status.message, *(d.message for d in overview.deployment_statuses)]
    lines = [line.strip() for message in messages if message for line in message.splitlines() if line.strip()]
    # The last line of a traceback: an error of ours says all in its text.
    return re.sub(r"^services(\.\w+)+: ", "", lines[-1]) if lines else "failed to start; see data_dir/logs."
