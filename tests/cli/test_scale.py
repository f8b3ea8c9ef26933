"""`mneme scale`, through a gateway, to the number that the log says and back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.cli.main import main
from services.common.ledger.assignment import Assignments
from services.common.log.base import Log
from services.common.serving.methods import METHODS
from services.gateway.backend import LocalBackend
from services.gateway.revocations import Revocations
from services.gateway.server import GatewayServer
from services.gateway.servicer import application
from services.gateway.shards import ShardOffice
from services.gateway.tokens import Credentials, TokenOffice
from tests.cli.test_scaling import Machine, log, scaling  # noqa: F401  # a fixture
from tests.gateway.probe import GRANTS, TOKENS, config, token

OURS = {method: spec for method, spec in METHODS.items() if spec.app == "gateway"}


@pytest.fixture
def mneme(log: Log, tmp_path: Path) -> Iterator[list[str]]:  # noqa: F811
    """Arguments of a call by the operator, of a gateway beside which shards come and go."""
    machine = Machine(log)
    given = scaling(log, machine)
    given.start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> GatewayServer:
        revocations = Revocations(log)
        app = application(TokenOffice(TOKENS, revocations), ShardOffice(Assignments(log), 1), GRANTS)
        backends = {"gateway": LocalBackend({"gateway": app})}
        server = GatewayServer(config(), Credentials(TOKENS, GRANTS, revocations), backends, OURS)
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    (tmp_path / "token").write_text(token())
    yield ["--address", f"127.0.0.1:{server.port}", "--token-file", str(tmp_path / "token")]
    given.stop()
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def run(mneme: list[str], *arguments: str) -> Result:
    return CliRunner().invoke(main, [*mneme, "scale", *arguments])


def test_it_returns_when_there_are_as_many_and_shows_what_each_holds(mneme: list[str]) -> None:
    assert run(mneme).stdout.splitlines() == [
        "shards         1 wanted",
        "episodic       partitions 0, 1, 2, 3",
    ]
    assert run(mneme, "--shards", "2").stdout.splitlines() == [
        "shards         2 wanted",
        "episodic       partitions 0, 1",
        "episodic-1     partitions 2, 3",
    ]
    assert run(mneme, "--shards", "1").stdout.splitlines()[1:] == ["episodic       partitions 0, 1, 2, 3"]


def test_a_number_that_does_not_divide_names_the_option_and_those_that_do(mneme: list[str]) -> None:
    refused = run(mneme, "--shards", "3")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "mneme: INVALID_FIELD (--shards): 3 shards cannot share the ledger's 4 partitions evenly. "
        "Ask for one of 1, 2, 4.\n"
    )
    assert run(mneme, "--shards", "0").exit_code == 2
