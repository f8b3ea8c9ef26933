"""Which files are mutated, and which tests must notice: those of them that reach the planted line are run, the quickest
first, and the first failure ends a run. What needs a cluster, a broker or a process of its own is left out
(so is the log over Kafka, which only a broker can try): a share printed here is a lower bound."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def _in(folder: str, *modules: str) -> str:
    return " ".join(f"tests/{folder}/test_{module}.py" for module in modules)


# Long ones that reach no line of their files that others do not.
_LONG = "at_its_limits or real_kill_9 or dropped_until_it_is_gone or erasure_of_many or beside_a_rebuild"
_FOLD = f"-k 'not ({_LONG})' " + _in(
    "episodic", "said", "commands", "change", "declared", "replay", "host", "erase", "parked", "crash", "delete"
)
_REBUILD = f"-k 'not ({_LONG})' " + _in("episodic", "replay", "crash", "rebuild_erasure", "servicer")
_FORGET = f"-k 'not ({_LONG})' " + _in(
    "episodic",
    *"mentions forget_person forget_marked_up forget_aliases declared".split(),
    *"commands change erase erasing parked delete".split(),
)
_RECALL = _in("episodic", "directory", "recall", "servicer", "context", "local_days", "vectors", "space", "warm")
_LOG = "-k sqlite " + _in("conformance", "log_sqlite", "log")
_ACCEPT = _in("perception", "known", "deleted", "accept", "change", "quota", "inbox", "snapshot")
_SEGMENT = _in("perception", "deleted", "segment")
_HELD = _in("perception", "held", "inbox")
_TOKENS = _in("common", "auth") + " " + _in("gateway", "tokens", "door") + " " + _in("cli", "tokens")
_PLACES = _in("gateway", "limiter", "budget", "share", "shares", "tenants", "door")
_ENGINE = _in("reasoning/engine", "scheduling", "bounds", "chain", "generation", "identity")
_STORE = _in("kvstore", "store", "erasure", "client", "control")

_BY_TESTS: dict[str, tuple[str, ...]] = {
    _FOLD: ("episodic/write/fold", "episodic/write/said", "episodic/write/generation"),
    _REBUILD: ("episodic/write/rebuild",),
    _FORGET: (
        *(f"episodic/write/{part}" for part in ("erase", "erasing", "parked", "deletion")),
        *("episodic/erasure/forget", "episodic/erasure/probe", "episodic/state/mentions"),
    ),
    _RECALL: ("episodic/recall/recall", "episodic/state/directory", "episodic/state/space", "episodic/state/slots"),
    _LOG: tuple(
        f"common/log/sqlite/{n}" for n in ("log", "consumer", "database", "tables", "format", "lock", "groups")
    ),
    _in("common", "tree", "text_keys", "seal") + " " + _in("episodic", "commands"): tuple(
        f"common/crypto/{n}" for n in ("seal", "master", "wrapping", "records", "tree", "open_trees")
    ),
    _TOKENS: ("common/crypto/auth", "gateway/tokens", "gateway/issued", "gateway/revocations"),
    _PLACES: ("gateway/limiter", "gateway/shares", "gateway/budget"),
    _ACCEPT: ("perception/intake/accept", "perception/intake/decision", "perception/ledger_facts"),
    " ".join([_in("common", "facts"), _in("perception", "quota"), _in("episodic", "quota")]): (
        *(f"common/ledger/{part}" for part in ("quota", "usage")),
        "episodic/write/ahead",
    ),
    _SEGMENT: ("perception/sessions/segment", "perception/sessions/open"),
    _HELD: ("perception/intake/held",),
    _STORE: ("kvstore/store",),
    _ENGINE: ("reasoning/engine/chain", "reasoning/engine/scheduler", "reasoning/engine/core"),
}

# File -> arguments of pytest.
TESTS: dict[str, str] = {f"services/{file}.py": tests for tests, files in _BY_TESTS.items() for file in files}
