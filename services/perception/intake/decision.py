"""What becomes of observations: valid ones, and the messages that accept them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mneme.v1.common_pb2 import Observation
from mneme.v1.ledger_pb2 import PerceivedObservation

from services.common.crypto.seal import TextKey
from services.common.ledger.settings import Place
from services.common.log.base import Appended, Message
from services.common.serving.errors import MnemeError


@dataclass(frozen=True, slots=True)
class Accepted:
    """Where an observation is in the ledger, and whether it was there already."""

    place: Place
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Examined:
    """A valid observation and what it speaks of; not compared with the ledger yet."""

    observation: Observation
    id_mac: bytes
    content_mac: bytes
    content_macs: frozenset[bytes]  # of what counts as the same content: with the offset of its time, and without
    perceived: PerceivedObservation
    principal: str
    trace: Mapping[str, str]  # the span it was examined in: its ledger entry continues it


@dataclass(slots=True)
class Decision:
    """Messages to append in one transaction, and what became of each observation once they are."""

    messages: list[Message] = field(default_factory=list)
    key_ids: list[str] = field(default_factory=list)  # of the new keys
    # Per observation: a refusal, a place found, or the index of its ledger message (new or duplicate of a new one).
    _fates: list[MnemeError | Place | tuple[int, bool]] = field(default_factory=list)

    def refuse(self, error: MnemeError) -> None:
        self._fates.append(error)

    def found(self, place: Place) -> None:
        self._fates.append(place)

    def repeated(self, message: int) -> None:
        """It repeats an observation that this decision accepts."""
        self._fates.append((message, True))

    def accept(self, key: TextKey, entry: Message) -> int:
        """The key first: whoever sees the entry finds its key. Returns the entry's index."""
        self.key_ids.append(key.key_id)
        self.messages += [*key.messages, entry]
        self._fates.append((len(self.messages) - 1, False))
        return len(self.messages) - 1

    def whose(self, message: int) -> int:
        """Which of the observations the entry at this index is of."""
        return self._fates.index((message, False))

    @property
    def refusals(self) -> list[MnemeError | None]:
        return [fate if isinstance(fate, MnemeError) else None for fate in self._fates]

    def outcomes(self, appended: Sequence[Appended]) -> list[Accepted | MnemeError]:
        """What became of each, given where ``messages`` went."""
        out: list[Accepted | MnemeError] = []
        for fate in self._fates:
            if isinstance(fate, MnemeError):
                out.append(fate)
            elif isinstance(fate, Place):
                out.append(Accepted(fate, duplicate=True))
            else:
                message, duplicate = fate
                at = appended[message]
                out.append(Accepted(Place(at.partition, at.offset), duplicate))
        return out


def outcome_name(outcome: Accepted | MnemeError) -> str:
    """For the metric of records."""
    if isinstance(outcome, MnemeError):
        return "refused"
    return "duplicate" if outcome.duplicate else "accepted"
