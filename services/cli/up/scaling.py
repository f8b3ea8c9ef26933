"""Brings the shards of episodic to the number that is wanted, and each partition to its shard, while they serve.

Everything that is done is a step from what the log says to what it is to say. A step that was cut off is done again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from services.cli.up.errors import StartError
from services.common import telemetry
from services.common.ledger.assignment import LEAVING, TAKING, Assignment, Assignments, Owner
from services.common.log.base import LogError
from services.common.serving.shards import application_of, dealt

_log = logging.getLogger(__name__)
_PERIOD_S = 1.0
_LONGEST_S = 10.0  # until a step that failed is tried again


class Cluster(Protocol):
    """Where the shards' applications run."""

    def running(self) -> Collection[str]:
        """Applications of shards that were started and not stopped."""
        ...

    def start(self, applications: Sequence[str], since: int) -> None:
        """Returns once they run. ``since``: of the assignment; see ``hold``. StartError."""
        ...

    def hold(self, application: str, since: int) -> Collection[int]:
        """Have it hold what the assignment at the offset ``since``, or a later one, says; what it holds then."""
        ...

    def stop(self, application: str) -> None:
        """End one that holds no partition."""
        ...


class Delayed(Exception):
    """A step is not done yet."""


class Scaling:
    """Of one process. ``step`` by itself, or in a thread from ``start`` to ``stop``."""

    def __init__(self, assignments: Assignments, cluster: Cluster, known_s: float) -> None:
        """``known_s``: after so long every gateway knows an assignment; a shard that it takes all from ends then."""
        self._assignments = assignments
        self._cluster = cluster
        self._known_s = known_s
        self._moved_at = time.monotonic()
        self._shown = set[str]()
        self._settled: object = None  # the record and the number for which nothing is left to do
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scaling", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """A step under way may go on; the next start does it again."""
        self._ended.set()
        self._thread.join(timeout_s)

    def step(self) -> bool:
        """Do what comes next; False where nothing does. LogError, StartError, Delayed, what else the cluster raises."""
        self._assignments.refresh()
        now, wanted = self._assignments.required, self._assignments.wanted
        assert wanted is not None, "recorded at the start"
        if (state := (self._assignments.written_at, wanted.count)) == self._settled:
            return False
        self._show(now, wanted.count)
        for partition in now.moving:
            self._go_on(now, partition)
            return True
        shards = dealt(len(now.owners), wanted.count, now.shards)
        running, needed = set(self._cluster.running()), {application_of(shard) for shard in range(wanted.count)}
        if missing := sorted(needed - running):
            _log.info("more shards of episodic start", extra={"application": ", ".join(missing)})
            self._cluster.start(missing, self._assignments.written_at)
            return True
        for partition, (shard, before) in enumerate(zip(shards, now.shards, strict=True)):
            if shard != before:
                self._assign(now.with_owner(partition, Owner(shard, LEAVING, before)))
                return True
        for application in sorted(running - needed):
            if time.monotonic() - self._moved_at < self._known_s:
                return False
            _log.info("a shard of episodic ends: it has no partition", extra={"application": application})
            self._cluster.stop(application)
            return True
        if now.problem:
            self._assign(now)
            return True
        self._settled = state
        return False

    def _go_on(self, now: Assignment, partition: int) -> None:
        """Bring a partition that is on its way a phase further."""
        owner = now.owners[partition]
        leaving = owner.phase == LEAVING
        application = application_of(owner.before if leaving else owner.shard)
        running = application in self._cluster.running()
        held = self._cluster.hold(application, self._assignments.written_at) if running else ()
        if (partition in held) == leaving:
            raise Delayed(f"{application}: partition {partition} is {'still' if leaving else 'not yet'} held there")
        self._assign(now.with_owner(partition, replace(owner, phase=TAKING) if leaving else Owner(owner.shard)))
        if not leaving:
            _log.info("a partition has moved", extra={"partition": partition, "application": application})

    def _assign(self, assignment: Assignment) -> None:
        self._assignments.assign(replace(assignment, problem=""))
        self._moved_at = time.monotonic()

    def _show(self, now: Assignment, wanted: int) -> None:
        telemetry.SHARDS_WANTED.set(wanted)
        applications = {application_of(shard): len(now.held_by(shard)) for shard in set(now.shards)}
        for gone in self._shown - applications.keys():
            telemetry.SHARD_PARTITIONS.remove(gone)
        for application, count in applications.items():
            telemetry.SHARD_PARTITIONS.labels(application).set(count)
        self._shown = set(applications)

    def _run(self) -> None:
        wait_s = _PERIOD_S
        while not self._ended.wait(wait_s):
            try:
                while not self._ended.is_set() and self.step():
                    wait_s = _PERIOD_S
            except Exception as error:  # noqa: BLE001  # whatever Ray raises of what dies, starts or goes away
                wait_s = min(_LONGEST_S, 2 * wait_s)
                if not self._ended.is_set():
                    self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Where operators look: in the logs, and in what `mneme scale` shows."""
        says = str(error) if isinstance(error, StartError | Delayed | LogError) else type(error).__name__
        _log.warning("the next step of the shards failed; trying again", extra={"error": says})
        now = self._assignments.now
        if now is not None and now.problem != says:
            with suppress(LogError):
                self._assignments.assign(replace(now, problem=says))
