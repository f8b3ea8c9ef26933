"""What every Serve deployment shares."""

from __future__ import annotations

import importlib

import pytest

from services.common.config import load
from services.common.serving import FAST_HANDLES


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
