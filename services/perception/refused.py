"""Dead letters of the inboxes that can still be read: shown, taken again, or made unreadable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mneme.v1.admin_pb2 import (
    AUDIT_ACTION_DEAD_LETTERS_PURGED,
    AUDIT_ACTION_DEAD_LETTERS_REPLAYED,
    RefusedRecord,
    ReplayedRecord,
)
from mneme.v1.ledger_pb2 import DeadLetter

from services.common.config import Inbox
from services.common.crypto.auth import Caller
from services.common.crypto.seal import KeyDestroyed, Keyring
from services.common.ledger import topics
from services.common.ledger.audit import act
from services.common.ledger.entries import SEAL_DEAD_LETTER
from services.common.log.base import Log, Record
from services.common.serving.errors import MnemeError, invalid
from services.perception.dead_letters import CONTENT_TYPE
from services.perception.intake.accept import Intake
from services.perception.intake.inbox import caller_of, decode

MAX_IDS = 100
_LOOKED_AT = 100_000  # newest letters of each partition: a flood of them is not read whole for each call


_PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Letter:
    """One whose payload can be read, without it; the namespace that its key is of, and its place."""

    body: DeadLetter
    namespace: str
    partition: int
    offset: int

    @property
    def id(self) -> str:
        return self.body.payload.key_id


class RefusedRecords:
    """Thread-safe. ``namespace`` of a call: of which namespace alone; "": of any, and of none."""

    def __init__(self, log: Log, keyring: Keyring, intake: Intake, inboxes: Sequence[Inbox]) -> None:
        self._log = log
        self._keyring = keyring
        self._intake = intake
        self._callers: Mapping[str, Caller] = {inbox.topic: caller_of(inbox) for inbox in inboxes}

    def page(self, namespace: str, size: int, token: str, *, with_payload: bool) -> tuple[list[RefusedRecord], str]:
        """The oldest first; and the token of the next page. INVALID_FIELD; LogError."""
        letters = sorted(self._letters(namespace), key=_age)
        if token:
            behind = next((n for n, each in enumerate(letters, 1) if each.id == token), None)
            if behind is None:
                what = "The record that the page before ended with is gone."
                raise invalid("page_token", what, "List from the first page.")
            letters = letters[behind:]
        records: list[RefusedRecord] = []
        held = 0
        for each in letters[:size]:
            records.append(self._shown(each, namespace, with_payload=with_payload))
            held += len(records[-1].payload)
            if held > _PAGE_BYTES:
                break
        return records, records[-1].id if len(letters) > len(records) else ""

    def replay(self, namespace: str, ids: Sequence[str], by: str) -> list[ReplayedRecord]:
        """Take them, one after the other, as their inbox did; the letter of what is in the ledger then is destroyed.
        ``by``: the principal who asks. NOT_FOUND, of the first that is not there, before any is taken; LogError."""
        found = self._named(namespace, ids)
        self._log.append([act(AUDIT_ACTION_DEAD_LETTERS_REPLAYED, by, count=len(found))])
        return [self._replayed(each) for each in found]

    def purge(self, namespace: str, ids: Sequence[str], by: str) -> int:
        """Destroy the keys of those that are there; how many. ``by``: the principal who asks. LogError."""
        wanted = set(_checked(ids))
        found = [each for each in self._letters(namespace) if each.id in wanted]
        if found:
            self._log.append([act(AUDIT_ACTION_DEAD_LETTERS_PURGED, by, count=len(found))])
        for each in found:
            self._destroy(each)
        return len(found)

    def _letters(self, namespace: str) -> Iterator[_Letter]:
        self._keyring.refresh()
        for partition in range(self._log.partitions(topics.DEAD_LETTER)):
            end = self._log.end_offset(topics.DEAD_LETTER, partition)
            for record in self._log.read(topics.DEAD_LETTER, partition, max(0, end - _LOOKED_AT), end):
                letter = DeadLetter.FromString(record.value or b"")
                if letter.topic == topics.LEDGER:
                    continue  # no inbox's: `mneme stats` shows what became of it
                try:
                    of = self._keyring.namespace_of(letter.payload.key_id)
                except KeyDestroyed:
                    continue
                if namespace in ("", of):
                    letter.payload.ClearField("ciphertext")  # all letters are held at once to be sorted
                    yield _Letter(letter, of, partition, record.offset)

    def _named(self, namespace: str, ids: Sequence[str]) -> list[_Letter]:
        wanted = _checked(ids)
        found = {each.id: each for each in self._letters(namespace) if each.id in wanted}
        for n, id in enumerate(wanted):
            if id not in found:
                raise MnemeError(
                    "NOT_FOUND",
                    f'There is no refused record "{id[:64]}", or it was taken, purged or erased.',
                    field=f"ids[{n}]",
                    remedy="List them again; nothing was taken.",
                )
        return [found[id] for id in wanted]

    def _replayed(self, letter: _Letter) -> ReplayedRecord:
        try:
            caller = self._callers.get(letter.body.topic)
            if caller is None:
                remedy = "Configure the inbox again (common.inboxes), or purge the record."
                raise invalid("topic", f"No inbox is configured for {letter.body.topic}.", remedy)
            observation = decode(self._as_it_came(letter))
            [outcome] = self._intake.observe([observation], caller)
            if isinstance(outcome, MnemeError):
                raise outcome
        except KeyDestroyed:
            return ReplayedRecord(id=letter.id, reason="ERASED", message="The record was erased meanwhile.")
        except MnemeError as error:
            if error.reason == "ERASED":
                self._destroy(letter)
            return ReplayedRecord(
                id=letter.id, reason=error.reason, message=error.message, field=error.field, remedy=error.remedy
            )
        self._destroy(letter)
        return ReplayedRecord(id=letter.id, taken=True)

    def _as_it_came(self, letter: _Letter) -> Record:
        body = letter.body
        headers = {CONTENT_TYPE: body.content_type.encode()} if body.content_type else {}
        return Record(body.topic, body.position.partition, body.position.offset, b"", self._payload(letter), headers, 0)

    def _payload(self, letter: _Letter) -> bytes:
        """KeyDestroyed where it was erased since."""
        for record in self._log.read(topics.DEAD_LETTER, letter.partition, letter.offset, letter.offset + 1):
            sealed = DeadLetter.FromString(record.value or b"").payload
            return self._keyring.open(sealed, namespace=letter.namespace, purpose=SEAL_DEAD_LETTER)
        raise KeyDestroyed(letter.id)  # its retention ended meanwhile

    def _payload_or_none(self, letter: _Letter) -> bytes:
        try:
            return self._payload(letter)
        except KeyDestroyed:
            return b""

    def _destroy(self, letter: _Letter) -> None:
        self._keyring.destroy(letter.namespace, [letter.id])

    def _shown(self, letter: _Letter, asked: str, *, with_payload: bool) -> RefusedRecord:
        body = letter.body
        return RefusedRecord(
            id=letter.id,
            topic=body.topic,
            # Of an inbox that other namespaces share, whose number of records is nobody's but the operator's.
            position=body.position if not asked else None,
            reason=body.reason,
            message=body.message,
            field=body.field,
            remedy=body.remedy,
            at=body.at,
            namespace=letter.namespace,
            payload=self._payload_or_none(letter) if with_payload else b"",
        )


def _age(letter: _Letter) -> tuple[int, str, int, int]:
    body = letter.body
    return body.at.ToNanoseconds(), body.topic, body.position.partition, body.position.offset


def _checked(ids: Sequence[str]) -> list[str]:
    """Each once. INVALID_FIELD."""
    if not 0 < len(ids) <= MAX_IDS:
        raise invalid("ids", f"There are {len(ids)}.", f"Name 1 to {MAX_IDS}, as ListDeadLetters shows them.")
    return list(dict.fromkeys(ids))
