"""What every Serve deployment shares."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from mneme.v1.common_pb2 import Observation
from mneme.v1.perception_pb2 import EndSessionRequest, ObserveRequest

from services.common.config import load
from services.common.crypto.auth import Caller, Right, grant_signer
from services.common.crypto.seal import MasterKey
from services.common.serving.methods import Kind, Method
from services.common.serving.serving import FAST_HANDLES, Application, Call, CallContext, Handler


@pytest.mark.parametrize("name", ["gateway", "perception", "episodic", "reasoning", "kvstore"])
def test_every_deployment_takes_no_core_for_itself_and_the_switches_where_they_are_wanted(name: str) -> None:
    build = importlib.import_module(f"services.{name}.app").build
    for wanted, environment in (("false", None), ("true", {"env_vars": FAST_HANDLES})):
        settings = load(environ={"MNEME__COMMON__FAST_HANDLES": wanted, "MNEME__GATEWAY__REPLICAS": "2"})
        deployment = build(settings)._bound_deployment
        assert deployment.ray_actor_options["num_cpus"] == 0
        assert deployment.ray_actor_options.get("runtime_env") == environment
        config = deployment._deployment_config
        assert (config.health_check_period_s, config.graceful_shutdown_wait_loop_s) == (1, 0.1)
        assert config.max_queued_requests > 0
        assert deployment._replica_config.max_replicas_per_node == (1 if name == "gateway" else None)


def test_who_starts_routes_or_only_quotes_imports_no_model_and_no_store() -> None:
    """The gateway, `mneme up`, which builds every deployment, and reasoning without a model."""
    program = (
        "import sys\n"
        "import services.gateway.app, services.kvstore.app, services.perception.app, services.episodic.app\n"
        "import services.reasoning.app, services.reasoning.servicer\n"
        "bad = {'torch', 'pymilvus', 'spacy', 'transformers'} & set(sys.modules)\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_gateways_that_share_a_port_may_share_a_node() -> None:
    build = importlib.import_module("services.gateway.app").build
    settings = load(environ={"MNEME__GATEWAY__REPLICAS": "2", "MNEME__GATEWAY__REUSE_PORT": "true"})
    deployment = build(settings)._bound_deployment
    assert deployment._replica_config.max_replicas_per_node is None
    assert deployment.num_replicas == 2


def test_fields_that_this_release_does_not_know_are_dropped_at_every_depth() -> None:
    unknown = b"\xfa\x07\xa0\x8d\x06" + b"x" * 100_000  # number 127
    nested = ObserveRequest(observation=Observation.FromString(b"\x0a\x01a" + unknown))
    seen: list[int] = []

    async def observe(state: bytes, requests: Sequence[ObserveRequest], call: Call) -> bytes:
        seen.extend(request.ByteSize() for request in requests)
        return b""

    async def end(request: EndSessionRequest, call: Call) -> EndSessionRequest:
        seen.append(request.ByteSize())
        return request

    grants = grant_signer(MasterKey(bytes(32)))
    caller = Caller("ann", ("",), frozenset(Right), "t", time.time() + 60)
    context = CallContext(grants.sign(caller), 10.0, {})
    methods = {"a": Method("app", Kind.FOLD, Right.WRITE), "b": Method("app", Kind.UNARY, Right.WRITE)}
    handlers = {"a": Handler(ObserveRequest, observe), "b": Handler(EndSessionRequest, end)}
    application = Application("app", grants, handlers, methods)
    asyncio.run(application.fold("a", b"", [nested.SerializeToString()], context))
    returned = asyncio.run(application.unary("b", b"\x0a\x01a" + unknown, context))
    assert seen == [ObserveRequest(observation=Observation(id="a")).ByteSize(), 3]
    assert returned == b"\x0a\x01a"
