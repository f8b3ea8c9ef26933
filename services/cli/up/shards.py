"""The shards of episodic on this Serve instance: what they begin with, and how they are started, asked and ended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from services.cli.up.applications import build, overviews, run_applications
from services.cli.up.errors import StartError
from services.cli.up.scaling import Delayed
from services.common.config import Settings
from services.common.ledger import topics
from services.common.ledger.assignment import Assignment, Assignments
from services.common.ledger.audit import STARTER
from services.common.log.base import Log
from services.common.serving.errors import MnemeError
from services.common.serving.shards import dealt, shard_of

_HOLD_S = 120.0  # until what is asked of a shard is asked again


def assign_all(log: Log, configured: int, progress: Callable[[str], None]) -> Assignments:
    """Before any shard runs: in how many episodic is to run, and which partitions each has, written down. LogError.

    ``configured``: ``episodic.shards``. The later word counts: what `mneme scale` asked for last, unless that setting
    was changed since.
    """
    assignments = Assignments(log)
    assignments.refresh()
    now, wanted = assignments.now, assignments.wanted
    if wanted is None or wanted.configured != configured:
        assignments.want(configured, configured, STARTER)
        count = configured
    elif (count := wanted.count) != configured:
        progress(f"episodic runs in {count} shards, as `mneme scale` asked, not in {configured} (episodic.shards)")
    shards = dealt(log.partitions(topics.LEDGER), count, now.shards if now is not None else ())
    if now is None or now != Assignment.of(shards):
        assignments.assign(Assignment.of(shards))
    return assignments


class ServeCluster:
    """A ``Cluster`` of the Serve instance of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def running(self) -> Collection[str]:
        there = {name: overview.app_status.status for name, overview in overviews().items()}
        return [name for name, status in there.items() if shard_of(name) is not None and status != "DELETING"]

    def start(self, applications: Sequence[str], since: int) -> None:
        try:
            run_applications({name: build(name, self._settings, since) for name in applications}, lambda step: None)
        except StartError:
            for application in applications:
                self.stop(application)  # Serve would go on starting it
            raise

    def hold(self, application: str, since: int) -> Collection[int]:
        from ray import serve
        from ray.exceptions import RayTaskError

        try:
            held: list[int] = serve.get_app_handle(application).hold.remote(since).result(timeout_s=_HOLD_S)
        except RayTaskError as error:
            if isinstance(error.cause, MnemeError):
                raise Delayed(f"{application}: {error.cause.message}") from error
            raise
        return held

    def stop(self, application: str) -> None:
        from ray import serve

        serve.delete(application)
