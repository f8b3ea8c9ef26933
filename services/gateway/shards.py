"""In how many shards episodic runs: asked for here, done by `mneme up`."""

from __future__ import annotations

import logging

from mneme.v1 import admin_pb2

from services.common.crypto.auth import Caller, Right
from services.common.ledger.assignment import Assignment, Assignments
from services.common.serving.errors import invalid
from services.common.serving.shards import application_of, fitting

_log = logging.getLogger(__name__)


class ShardOffice:
    """Records how many are wanted, and tells how far that is done. Blocking methods."""

    def __init__(self, assignments: Assignments, configured: int) -> None:
        """``configured``: ``episodic.shards``."""
        self._assignments = assignments
        self._configured = configured

    def want(self, by: Caller, count: int) -> admin_pb2.Shards:
        """PERMISSION_DENIED, INVALID_FIELD; LogError, and then nothing was recorded."""
        _require_operator(by)
        may_be = fitting(len(self._now().owners))
        if count not in may_be:
            raise invalid(
                "shards",
                f"{count} shards cannot share the ledger's {may_be[-1]} partitions evenly.",
                f"Ask for one of {', '.join(map(str, may_be))}.",
            )
        self._assignments.want(count, self._configured, by.principal)
        _log.info("shards are asked for", extra={"count": count, "by_token_id": by.token_id})
        return self.told(by)

    def told(self, by: Caller) -> admin_pb2.Shards:
        """PERMISSION_DENIED; LogError."""
        _require_operator(by)
        now, wanted = self._now(), self._assignments.wanted
        count = wanted.count if wanted is not None else self._configured
        held = {shard: now.held_by(shard) for shard in sorted(set(now.shards))}
        return admin_pb2.Shards(
            wanted=count,
            shards=[admin_pb2.Shard(application=application_of(s), partitions=p) for s, p in held.items()],
            moving=now.moving,
            done=now.is_dealt_to(count),
            problem=now.problem,
        )

    def _now(self) -> Assignment:
        self._assignments.refresh()
        return self._assignments.required


def _require_operator(by: Caller) -> None:
    by.require_right(Right.ADMIN)
    by.require_every_namespace("Shards are of every namespace.")
