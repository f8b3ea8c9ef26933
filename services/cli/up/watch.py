"""What `mneme up` sees of what it started: replicas that die and come back, and the lines that all processes write.

Serve replaces what died, and says so to nobody. So who runs it reads in the terminal, and in ``data_dir/logs``, what
ended, why, and for how long it was away.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from services.cli import render
from services.cli.up.applications import overviews
from services.cli.up.metrics import MetricsProcess
from services.common import telemetry, watched

_log = logging.getLogger(__name__)

PERIOD_S = 1.0
# Lines in the terminal: so many in so many seconds. The rest is counted, and stands in the files.
MOST_LINES, LINES_S = 40, 10.0
_REPLICA = "SERVE_REPLICA::"
# Of Ray's death causes (ActorDiedErrorContext in its common.proto); what else there is says itself.
_REASONS = {
    "WORKER_DIED": "its process was killed, or crashed",
    "OUT_OF_MEMORY": "its process was killed for want of memory",
    "RAY_KILL": "Serve ended it: it did not answer, or said that it is not well",
    "NODE_DIED": "its machine is gone",
}


@dataclass(frozen=True, slots=True)
class Replica:
    """An actor of Serve's, as Ray's own table has it."""

    id: str
    application: str
    pid: int
    alive: bool
    started: float  # seconds since 1970
    reason: str = ""  # of its death


@dataclass(slots=True)
class _Application:
    seen: dict[str, Replica] = field(default_factory=dict)  # alive when we last looked
    settled: set[str] = field(default_factory=set)  # of those, what served when all was well
    away_since: float | None = None
    deaths: int = 0  # since all was well


class Replicas:
    """Compares what runs with what ran, and writes a line for each change."""

    def __init__(self) -> None:
        self._applications: defaultdict[str, _Application] = defaultdict(_Application)
        self._dead: set[str] = set()

    def look(self, replicas: list[Replica], running: Mapping[str, bool]) -> None:
        """``running``: by application, whether Serve has all of its replicas serve."""
        now = time.time()
        self._leave([name for name in self._applications if name not in running])
        self._dead |= {each.id for each in replicas if not each.alive and each.application not in running}
        for name, is_well in running.items():
            application = self._applications[name]
            mine = [replica for replica in replicas if replica.application == name]
            for replica in mine:
                if not replica.alive and replica.id not in self._dead:
                    self._dead.add(replica.id)
                    self._died(application, replica, now)
            application.seen = {replica.id: replica for replica in mine if replica.alive}
            if is_well and application.seen:
                self._is_well(application, name, now)
            serving = application.settled & set(application.seen)
            telemetry.REPLICAS_UP.labels(name).set(len(serving))

    def _leave(self, names: Sequence[str]) -> None:
        """Of applications that were ended: that is no death."""
        for name in names:
            del self._applications[name]
            telemetry.REPLICAS_UP.remove(name)

    def _died(self, application: _Application, replica: Replica, now: float) -> None:
        extra = {
            "application": replica.application,
            "pid": replica.pid,
            "reason": replica.reason,
            "seconds": round(now - replica.started, 1),
        }
        _log.warning("a replica has ended", extra=extra)
        application.away_since = application.away_since or now
        application.deaths += 1

    def _is_well(self, application: _Application, name: str, now: float) -> None:
        application.settled = set(application.seen)
        telemetry.RESTARTS.labels(name).inc(application.deaths)  # also shows the zero
        if application.away_since is not None:
            pids = ", ".join(str(replica.pid) for replica in application.seen.values())
            seconds = round(now - application.away_since, 1)
            extra = {"application": name, "pid": pids, "seconds": seconds}
            _log.warning("the application serves again", extra=extra)
        application.away_since, application.deaths = None, 0


def replicas() -> list[Replica]:
    """Of the Serve instance of this process, alive and dead."""
    from ray._private import state  # the public listing asks the dashboard, which does not run

    found = []
    for actor in state.actors().values():
        if actor["Name"].startswith(_REPLICA) and actor["State"] in ("ALIVE", "DEAD"):
            application = actor["Name"].removeprefix(_REPLICA).partition("#")[0]
            alive = actor["State"] == "ALIVE"
            reason = "" if alive else _reason(actor["DeathCause"])
            started = actor["StartTime"] / 1000
            found.append(Replica(actor["ActorID"], application, actor["Pid"], alive, started, reason))
    return found


def well() -> dict[str, bool]:
    """By application of this Serve instance, but for those that are to end: whether all of its replicas serve."""
    found = {name: overview.app_status.status for name, overview in overviews().items()}
    return {name: status == "RUNNING" for name, status in found.items() if status != "DELETING"}


def _reason(cause: Any) -> str:
    context = cause.actor_died_error_context
    name: str = context.DESCRIPTOR.fields_by_name["reason"].enum_type.values_by_number[context.reason].name
    if cause.WhichOneof("context") == "oom_context":
        name = "OUT_OF_MEMORY"
    return _REASONS.get(name, name.lower().replace("_", " "))


class Terminal:
    """The lines of all processes, short, and only so many at once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._until = 0.0
        self._shown = 0
        self._left_out = 0

    def show(self, line: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now >= self._until:
            self.show_left_out()
            self._until, self._shown = now + LINES_S, 0
        if self._shown < MOST_LINES:
            self._shown += 1
            self._say(render.line(line))
        else:
            self._left_out += 1

    def show_left_out(self) -> None:
        """How many were not shown since the last time, where there were any."""
        if self._left_out:
            self._say(f"and {self._left_out} more lines; all are in data_dir/logs")
        self._left_out = 0


class Watch:
    """Shows lines, keeps the metrics server running and, once told to, follows replicas; in threads of its own."""

    def __init__(self, metrics: MetricsProcess, say: Callable[[str], None]) -> None:
        metrics.lines.settimeout(PERIOD_S)
        self._metrics = metrics
        self._terminal = Terminal(say)
        self._replicas: Replicas | None = None
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._show_lines, name="lines", daemon=True),
            threading.Thread(target=self._look_for_ever, name="watch", daemon=True),
        ]
        self._looking = threading.Lock()

    def start(self) -> None:
        self._metrics.keep_running()
        for thread in self._threads:
            thread.start()

    def follow_replicas(self) -> None:
        """From now on: Serve has started, and no replica has died yet."""
        self._replicas = Replicas()

    def leave_replicas(self) -> None:
        """They are about to be stopped; that is no death."""
        with self._looking:
            self._replicas = None

    def stop(self) -> None:
        self._ended.set()
        with suppress(OSError):  # its queue is full, and it wakes all the same
            self._metrics.lines.sendto(b"", socket.MSG_DONTWAIT, self._metrics.lines.getsockname())
        for thread in self._threads:
            thread.join()
        self._metrics.stop()

    def _show_lines(self) -> None:
        while not self._ended.is_set():
            try:
                line = watched.receive_line(self._metrics.lines)
            except TimeoutError:
                continue
            if line:
                self._terminal.show(json.loads(line))

    def _look_for_ever(self) -> None:
        is_blind = False
        while not self._ended.wait(PERIOD_S):
            try:
                self._metrics.keep_running()
                self._look()
                is_blind = False
            except Exception:  # noqa: BLE001  # whatever Ray raises while it is busy or goes away
                if not is_blind:
                    _log.exception("what runs cannot be seen; looking again")
                is_blind = True

    def _look(self) -> None:
        with self._looking:
            if self._replicas is not None:
                self._replicas.look(replicas(), well())
