"""Our topics: names and what must hold of each (architecture, "Ledger, feed, index")."""

from __future__ import annotations

from services.common.log.base import Cleanup, TopicSpec

INBOX = "mneme.observations.v1"
LEDGER = "mneme.ledger.v1"
KEYS = "mneme.keys.v1"
FEED = "mneme.engrams.v1"
PERCEPTION = "mneme.perception.v1"
DEAD_LETTER = "mneme.dead-letter.v1"
# What was done to the service itself, and by whom.
AUDIT = "mneme.audit.v1"
# Small state of operators: revoked tokens, the generation in use, receipts, operations. Keyed by "what/id".
STATE = "mneme.state.v1"

_DAY = 86_400


def audit(retention_s: int) -> TopicSpec:
    return TopicSpec(AUDIT, 1, Cleanup.EXPIRE, retention_s)


def specs(
    partitions: int,
    inboxes: list[str],
    inbox_retention_s: int = _DAY,
    dead_letter_retention_s: int = 7 * _DAY,
    audit_retention_s: int = 400 * _DAY,
) -> list[TopicSpec]:
    """Specs of every topic. The ledger's partition count is fixed for the life of a ledger."""
    return [
        *(TopicSpec(name, partitions, Cleanup.EXPIRE, inbox_retention_s) for name in inboxes),
        TopicSpec(LEDGER, partitions, Cleanup.KEEP),
        TopicSpec(KEYS, partitions, Cleanup.COMPACT),
        TopicSpec(FEED, partitions, Cleanup.COMPACT),
        TopicSpec(PERCEPTION, partitions, Cleanup.COMPACT),
        TopicSpec(DEAD_LETTER, partitions, Cleanup.EXPIRE, dead_letter_retention_s),
        audit(audit_retention_s),
        TopicSpec(STATE, 1, Cleanup.COMPACT),
    ]
