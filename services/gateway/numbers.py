"""The numbers of every process of this machine, added up.

A process keeps its numbers in its own memory and tells them when asked (``services.common.watched``). What a process
that ended had counted stays counted, as far as it was last asked; what it held is gone with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from services.common import watched
from services.gateway.machine import Machine

ANSWER_S = 1.0  # a process that takes longer is shown as it was last
APART_S = 0.25  # between two rounds: asking is work of the processes that answer calls
_MOST_PROCESSES = 256
UP = "mneme_application_up"
REPLICAS = "mneme_replicas_up"
DOOR = "gateway"


@dataclass(frozen=True, slots=True)
class Gathered:
    """One round: the exposition, and which applications do not answer."""

    text: bytes
    content_type: str
    silent: tuple[str, ...]


@dataclass(eq=False, slots=True)
class _Process:
    service: str
    pid: int
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: Sequence[Any] = ()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def as_tasks(serve: Serve) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """For asyncio's servers: each connection in a task that ends quietly when the loop does, as their own do not."""
    running: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    return connected


class Totals(Collector):
    """Families of several processes: samples of one name and the same labels add up."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self._values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}

    def add(self, families: Iterable[Any], *, ended: bool = False) -> None:
        """Add a snapshot; of a process that ended, only what it counted."""
        for name, kind, documentation, samples in families:
            if ended and kind == "gauge":
                continue
            self._families.setdefault(name, Metric(name, documentation, kind))
            values = self._values.setdefault(name, {})
            for sample, labels, value in samples:
                key = sample, tuple(labels.items())
                values[key] = values.get(key, 0.0) + value

    def of(self, name: str) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
        return self._values.get(name, {})

    def include(self, other: Totals) -> None:
        for name, family in other._families.items():
            samples = [[sample, dict(labels), value] for (sample, labels), value in other._values[name].items()]
            self.add([(name, family.type, family.documentation, samples)])

    def collect(self) -> Iterable[Metric]:
        for name, family in self._families.items():
            shown = Metric(name, family.documentation, family.type)
            for (sample, labels), value in self._values[name].items():
                shown.add_sample(sample, dict(labels), value)
            yield shown


class Gathering:
    """Asks the processes that have connected; one round at a time, shared by all who wait for one."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._processes: set[_Process] = set()
        self._ended = Totals()
        self._next: asyncio.Task[Gathered] | None = None
        self._one_round = asyncio.Lock()
        self._last_at = 0.0

    async def start(self, listening: socket.socket) -> None:
        await asyncio.start_unix_server(as_tasks(self._follow), sock=listening)

    async def gather(self) -> Gathered:
        """A round that begins after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._round())
        return await asyncio.shield(self._next)

    async def _round(self) -> Gathered:
        async with self._one_round:
            await asyncio.sleep(self._last_at + APART_S - time.monotonic())
            self._next = None  # who comes from now on waits for the next
            told = await self._ask()
            self._last_at = time.monotonic()
            totals = Totals()
            totals.include(self._ended)
            for process in self._processes:
                totals.add(process.numbers)
            services = {process.pid: process.service for process in self._processes}
            totals.add(await asyncio.to_thread(self._machine.families, services))
            return Gathered(_exposition(totals), CONTENT_TYPE_LATEST, _silent(totals, told))

    async def _ask(self) -> set[str]:
        """Have every process tell its numbers; the services of those that did in time."""
        for process in self._processes:
            process.told.clear()
            process.wanted.set()
        if asked := list(self._processes):
            waiting = [asyncio.create_task(process.told.wait()) for process in asked]
            _, late = await asyncio.wait(waiting, timeout=ANSWER_S)
            for each in late:
                each.cancel()
        return {process.service for process in self._processes if process.told.is_set()}

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One process, until it ends."""
        pid, uid = watched.peer(writer.get_extra_info("socket"))
        if uid == os.getuid() and len(self._processes) < _MOST_PROCESSES:
            process = None
            # It has ended. A kill may cut its last answer short.
            with suppress(OSError, asyncio.IncompleteReadError):
                process = _Process((await _frame(reader)).decode(), pid)
                self._processes.add(process)
                await _tell(process, reader, writer)
            if process is not None:
                self._processes.discard(process)
                self._ended.add(process.numbers, ended=True)
                process.told.set()
        writer.transport.abort()


async def _tell(process: _Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await process.wanted.wait()
        process.wanted.clear()
        writer.write(watched.ASK)
        process.numbers = json.loads(await _frame(reader))
        process.told.set()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = watched.LENGTH.unpack(await reader.readexactly(watched.LENGTH.size))
    return await reader.readexactly(length)


def _exposition(totals: Totals) -> bytes:
    registry = CollectorRegistry()
    registry.register(totals)
    return generate_latest(registry)


def _silent(totals: Totals, told: Collection[str]) -> tuple[str, ...]:
    """Applications without a replica or an answer, as the door and `mneme up` see them, and the door itself."""
    silent = {
        dict(labels)["application"]
        for name in (UP, REPLICAS)
        for (_, labels), value in totals.of(name).items()
        if value == 0
    }
    return tuple(sorted(silent if DOOR in told else silent | {DOOR}))
