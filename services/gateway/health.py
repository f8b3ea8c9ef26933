"""The standard health service: an application is SERVING while it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from services.common import telemetry
from services.common.serving.errors import MnemeError, invalid
from services.common.serving.methods import Method
from services.gateway.backend import Backend
from services.gateway.config import GatewayConfig

SERVICE = "grpc.health.v1.Health"
OVERALL = ""
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SOON_S = 0.1  # whoever waits for a start waits for this


class Health:
    """Asks the applications in the background; answers from what they said last.

    Names: "" for all together, an application ("episodic"), a service ("mneme.v1.AdminService": all applications
    that its methods need).
    """

    def __init__(self, backends: Mapping[str, Backend], methods: Mapping[str, Method], config: GatewayConfig) -> None:
        self._backends = backends
        self._config = config
        self._needs = _needs(methods)
        self._servicer = health_aio.HealthServicer()

    async def prepare(self) -> None:
        """Nothing is SERVING before it answered."""
        for name in self._needs:
            await self._servicer.set(name, _NOT_SERVING)

    async def watch(self) -> None:
        """Ask all applications, for ever, and those that do not all answer again soon."""
        while True:
            period_s = self._config.health_period_s
            await asyncio.sleep(period_s if await self.refresh() else min(period_s, _SOON_S))

    async def refresh(self) -> bool:
        """Whether all of them answer."""
        apps = list(self._backends)
        answers = dict(zip(apps, await asyncio.gather(*map(self._answers, apps)), strict=True))
        for app, answered in answers.items():
            telemetry.APPLICATION_UP.labels(app).set(answered)
        for name, needed in self._needs.items():
            serving = all(answers[app] for app in needed)
            await self._servicer.set(name, _SERVING if serving else _NOT_SERVING)
        return all(answers.values())

    async def stop(self) -> None:
        """NOT_SERVING from now on, whatever the applications say."""
        await self._servicer.enter_graceful_shutdown()

    async def check(self, request: bytes, context: Any) -> bytes:
        """The one call without a token."""
        response = await self._servicer.Check(_decode(request), context)
        raw: bytes = response.SerializeToString()
        return raw

    async def follow(self, request: bytes, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Health's Watch: writes each change."""
        await self._servicer.Watch(_decode(request), _BytesContext(write))

    async def _answers(self, app: str) -> bool:
        try:
            async with asyncio.timeout(self._config.health_timeout_s):
                await self._backends[app].ping(app)
        except MnemeError as error:
            return error.reason == "OVERLOADED"  # busy is not dead
        except TimeoutError:
            return False
        return True


class _BytesContext:
    """A servicer context that writes messages as bytes."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._write = write

    async def write(self, message: health_pb2.HealthCheckResponse) -> None:
        await self._write(message.SerializeToString())


def _needs(methods: Mapping[str, Method]) -> dict[str, frozenset[str]]:
    needs: dict[str, set[str]] = {OVERALL: set()}
    for method, spec in methods.items():
        for name in (OVERALL, spec.app, method.partition("/")[0]):
            needs.setdefault(name, set()).add(spec.app)
    return {name: frozenset(apps) for name, apps in needs.items()}


def _decode(raw: bytes) -> health_pb2.HealthCheckRequest:
    try:
        return health_pb2.HealthCheckRequest.FromString(raw)
    except DecodeError as error:
        raise invalid("", "This is no HealthCheckRequest.", "See grpc.health.v1.") from error
