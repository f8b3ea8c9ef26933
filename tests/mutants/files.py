"""Which files are mutated, and which tests must notice: those that are about the file first, as the first failure ends
a run. What needs a cluster, a broker or a process of its own is left out, so a share printed here is a lower bound."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]

_FOLD = (
    "tests/episodic/test_replay.py tests/episodic/test_host.py tests/episodic/test_commands.py"
    " tests/episodic/test_erase.py tests/episodic/plugins tests/conformance/test_plugins.py"
    " tests/episodic/test_crash.py"
)
_FORGET = (
    "tests/episodic/test_erase.py tests/episodic/test_forget_aliases.py tests/episodic/test_commands.py"
    " tests/episodic/test_servicer.py tests/episodic/test_blocks.py"
)
_RECALL = "tests/episodic/test_servicer.py tests/episodic/test_context.py tests/episodic/test_confidence.py"
_LOG = "tests/conformance/test_log_sqlite.py tests/conformance/test_log.py"
_ENGINE = "tests/reasoning/engine/test_{}.py tests/reasoning/engine/test_bounds.py tests/reasoning/engine"
_STORE = (
    "tests/kvstore/test_store.py tests/kvstore/test_parts.py tests/kvstore/test_control.py tests/kvstore/test_client.py"
    " tests/kvstore/test_erasure.py tests/kvstore/test_owner.py tests/kvstore/test_corruption.py"
)

# File -> arguments of pytest.
TESTS: dict[str, str] = {
    "services/episodic/fold.py": _FOLD,
    "services/episodic/erase.py": _FORGET,
    "services/episodic/forget.py": _FORGET,
    "services/episodic/generation.py": _FOLD,
    "services/episodic/rebuild.py": "tests/episodic/test_commands.py tests/episodic/test_crash.py " + _FOLD,
    "services/episodic/recall.py": _RECALL,
    "services/episodic/directory.py": f"{_FORGET} {_RECALL} tests/episodic/test_host.py",
    "services/common/log/sqlite.py": f"{_LOG} -k sqlite",
    "services/common/seal.py": "tests/common/test_seal.py tests/episodic/test_erase.py",
    "services/common/auth.py": "tests/common/test_auth.py tests/gateway/test_tokens.py tests/gateway/test_door.py",
    "services/perception/accept.py": "tests/perception/test_accept.py tests/perception/test_inbox.py",
    "services/perception/known.py": "tests/perception/test_known.py tests/perception/test_accept.py",
    "services/perception/segment.py": "tests/perception/test_segment.py tests/perception/test_inbox.py",
    "services/kvstore/store.py": _STORE,
    "services/reasoning/engine/chain.py": _ENGINE.format("chain"),
    "services/reasoning/engine/scheduler.py": _ENGINE.format("scheduling"),
    "services/reasoning/engine/core.py": _ENGINE.format("generation"),
    "services/gateway/limiter.py": "tests/gateway/test_door.py tests/gateway/test_server.py",
    "services/gateway/tokens.py": "tests/gateway/test_tokens.py tests/gateway/test_door.py",
}
