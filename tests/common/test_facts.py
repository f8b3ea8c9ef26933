"""The fold of the ledger's facts: the same whoever folds, however often, and whatever was known ahead."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import nullcontext

import pytest
from mneme.v1.admin_pb2 import MetadataField, Quota
from mneme.v1.ledger_pb2 import (
    EpisodeClosed,
    Erased,
    LedgerEntry,
    NamespaceChanged,
    NamespaceCreated,
    NamespaceDeleted,
    ObservationAccepted,
    Sealed,
    SessionEnded,
)

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ids import unnamed
from services.common.ledger import quota
from services.common.ledger.facts import Facts, Learned, NamespaceFacts, fold
from services.common.ledger.quota import NOTHING, Amount
from services.common.ledger.settings import FirstSeen, Place
from services.common.ledger.stored_facts import restore, stored
from services.common.ledger.usage import Usage
from services.common.log.base import Log
from services.common.serving.errors import MnemeError

HOME = "acme/anna"


@pytest.fixture
def keyring(ledger: Log) -> Keyring:
    return Keyring(ledger, MasterKey(bytes(32)))


def made(keyring: Keyring, *, observations: bool = True) -> Facts:
    return Facts(keyring, observations=observations)


def told(facts: Facts, *entries: LedgerEntry, at: int) -> list[Learned]:
    """Fold entries at the offsets from ``at`` on."""
    return [fold(facts, entry, Place(0, at + n)) for n, entry in enumerate(entries)]


def created(*fields: str, aliases: str = "", pseudonym: bytes = b"p", namespace: str = HOME) -> LedgerEntry:
    body = NamespaceCreated(metadata_fields=[MetadataField(name=f) for f in fields], aliases=sealed(aliases))
    return LedgerEntry(namespace=namespace, pseudonym=pseudonym, namespace_created=body)


def changed(id: str, *fields: str, aliases: str | None = None, content: str = "") -> LedgerEntry:
    body = NamespaceChanged(id_mac=id.encode(), content_mac=content.encode())
    body.metadata_fields.extend(MetadataField(name=f) for f in fields)
    if aliases is not None:
        body.aliases.CopyFrom(sealed(aliases))
    return LedgerEntry(namespace=HOME, namespace_changed=body)


def accepted(id: str, content: str = "", session: str = "s", namespace: str = HOME) -> LedgerEntry:
    body = ObservationAccepted(id_mac=id.encode(), content_mac=content.encode(), session_mac=session.encode())
    return LedgerEntry(namespace=namespace, observation_accepted=body)


def ended(session: str = "s") -> LedgerEntry:
    return LedgerEntry(namespace=HOME, session_ended=SessionEnded(session_mac=session.encode()))


def closed() -> LedgerEntry:
    return LedgerEntry(namespace=HOME, episode_closed=EpisodeClosed())


def erased(*ids: str, keys: Iterable[str] = (), left: str = "", epoch: int = 1, **before: str) -> LedgerEntry:
    body = Erased(receipt_id=f"r{epoch}", selector_mac=b"m", erasure_epoch=epoch, key_ids=keys, engram_ids=ids)
    body.id_macs.extend(id.encode() for id in ids)
    if left:
        body.aliases.CopyFrom(sealed(left))
    for key, groups in before.items():
        body.aliases_before[key].CopyFrom(sealed(groups))
    return LedgerEntry(namespace=HOME, erased=body)


def deleted(epoch: int = 1, namespace: str = HOME) -> LedgerEntry:
    body = NamespaceDeleted(receipt_id=f"d{epoch}", erasure_epoch=epoch, name_key_id="name")
    return LedgerEntry(namespace=namespace, namespace_deleted=body)


def sealed(key: str) -> Sealed:
    """As many bytes as its key has letters."""
    return Sealed(key_id=key, ciphertext=bytes(len(key)))


def alias_keys(of: NamespaceFacts) -> list[str]:
    assert of.settings is not None
    return [period.sealed.key_id for period in of.settings.periods]


def test_the_first_of_an_id_counts_and_the_newest_of_a_session(keyring: Keyring) -> None:
    facts = made(keyring)
    told(facts, created(), accepted("a", "x"), accepted("a", "y"), ended(), accepted("b", session="t"), at=0)
    of = facts[HOME]
    assert of.observations == {b"a": FirstSeen(b"x", Place(0, 1)), b"b": FirstSeen(b"", Place(0, 4))}
    assert {k: (s.place.offset, s.ended) for k, s in of.sessions.items()} == {b"s": (3, True), b"t": (4, False)}
    told(facts, accepted("c"), at=5)
    assert not of.sessions[b"s"].ended


def test_who_needs_no_ids_holds_none(keyring: Keyring) -> None:
    facts = made(keyring, observations=False)
    told(facts, created(), accepted("a"), ended(), erased("a"), at=0)
    of = facts[HOME]
    assert (of.observations, of.sessions) == ({}, {})
    assert of.erasures.macs == {b"a": Place(0, 3)}


def test_an_id_of_one_namespace_says_nothing_of_another(keyring: Keyring) -> None:
    facts = made(keyring)
    told(facts, created(), created(namespace="acme/bob"), accepted("a"), erased("a"), at=0)
    assert not facts["acme/bob"].observations
    assert not facts["acme/bob"].erasures.macs


def test_what_an_entry_told_is_said_once(keyring: Keyring) -> None:
    facts = made(keyring)
    entries = [created(), changed("c"), changed("c"), erased("a"), deleted()]
    once = [Learned.SETTINGS, Learned.SETTINGS, Learned.NOTHING, Learned.ERASURE, Learned.DELETION]
    assert told(facts, *entries, at=0) == once
    assert told(facts, *entries, at=0) == 5 * [Learned.NOTHING]


def test_the_first_declaration_of_a_field_and_the_first_change_of_an_id_count(keyring: Keyring) -> None:
    facts = made(keyring)
    told(facts, created("room"), created("other"), changed("c", "room", "floor"), changed("c", "wall"), at=0)
    settings = facts[HOME].settings
    assert settings is not None
    assert (settings.place.offset, list(settings.fields), settings.late) == (0, ["room", "floor"], {"floor"})
    assert settings.changes == {b"c": FirstSeen(b"", Place(0, 2))}


def test_what_was_told_before_the_creation_does_not_count_when_it_is_read_again(keyring: Keyring) -> None:
    facts = made(keyring)
    told(facts, deleted(), changed("c", "early"), accepted("a"), created("room", aliases="k"), at=0)
    assert told(facts, changed("c", "early"), accepted("a"), at=1) == 2 * [Learned.NOTHING]
    settings = facts[HOME].settings
    assert settings is not None
    assert (list(settings.fields), settings.changes, settings.now.needed) == (["room"], {}, False)


def test_alias_groups_stay_for_what_was_told_with_them_and_no_longer(keyring: Keyring) -> None:
    facts = made(keyring)
    told(facts, created(aliases="k"), changed("1", aliases="kk"), closed(), changed("2", aliases="kkk"), at=0)
    settings = facts[HOME].settings
    assert settings is not None
    assert (alias_keys(facts[HOME]), settings.needless) == (["kk", "kkk"], {"k"})
    assert [settings.period_at(n).sealed.key_id for n in range(5)] == ["kk", "kk", "kk", "kkk", "kkk"]
    assert settings.bytes_needed == 2
    told(facts, accepted("a"), at=4)
    assert settings.bytes_needed == 5


def test_an_erasure_leaves_of_alias_groups_what_it_says(keyring: Keyring) -> None:
    facts = made(keyring)
    told(facts, created(aliases="k"), accepted("a"), changed("1", aliases="kk"), at=0)
    assert told(facts, erased(keys=["other"]), at=3) == [Learned.ERASURE]
    both = Learned.ERASURE | Learned.SETTINGS
    assert told(facts, erased(keys=["k", "kk"], left="left", epoch=2, k="older"), at=4) == [both]
    assert alias_keys(facts[HOME]) == ["older", "left"]
    settings = facts[HOME].settings
    assert settings is not None
    assert settings.now.erased_from
    told(facts, changed("2", aliases="new"), at=5)
    assert not settings.now.erased_from


def test_where_the_ledger_holds_what_was_told_comes_back_from_a_snapshot(keyring: Keyring) -> None:
    facts, again = made(keyring, observations=False), made(keyring, observations=False)
    boundary = EpisodeClosed(session_mac=b"s", id_macs=[b"first", b"second"])
    told(facts, created(), accepted("first"), LedgerEntry(namespace=HOME, episode_closed=boundary), at=0)
    restore(again, stored(facts, 0, 3))
    told(again, accepted("third"), at=3)
    places = again[HOME].places
    assert (places.told(9), places.boundaries(b"s", b"second"), places.boundaries(b"s", b"third")) == (
        [1, 2, 3],
        [2],
        [],
    )


def test_a_deleted_namespace_made_anew_begins_empty_and_counts_its_epochs_on(keyring: Keyring) -> None:
    facts = made(keyring)
    told(facts, created("room", aliases="k"), accepted("a"), accepted("b"), erased("a", epoch=4), deleted(5), at=0)
    of = facts[HOME]
    assert of.is_gone
    assert of.is_deleted_since(3)
    assert not of.is_deleted_since(4)
    assert (of.observations, of.sessions, of.erasures.macs, of.erasures.ids) == ({}, {}, {}, set())
    told(facts, created(), accepted("a", "new"), at=5)
    assert not of.is_gone
    assert of.observations == {b"a": FirstSeen(b"new", Place(0, 6))}
    assert (of.epoch_before(4), of.epoch_before(6), of.in_clear) == (4, 5, False)


def test_a_namespace_is_one_whether_it_reads_by_its_name_or_not(keyring: Keyring) -> None:
    nameless = unnamed(keyring.pseudonym(HOME))
    facts = made(keyring)
    told(facts, created(namespace=nameless), accepted("a", namespace=nameless), deleted(namespace=nameless), at=0)
    assert facts[HOME].is_gone
    told(facts, created(), at=3)
    assert list(facts) == [HOME]


def test_a_name_that_the_ledger_holds_is_told_so_for_good(keyring: Keyring) -> None:
    facts = made(keyring)
    told(facts, created(pseudonym=b""), deleted(), created(), at=0)
    assert facts[HOME].in_clear


@pytest.mark.parametrize("seed", range(20))
def test_again_is_once_and_what_is_known_ahead_changes_nothing(keyring: Keyring, seed: int) -> None:
    draw = random.Random(seed)
    entries = [created("f", aliases="k0")]
    for n in range(1, 40):
        some = [
            accepted(draw.choice("abc")),
            closed(),
            changed(draw.choice("123"), draw.choice("fg"), aliases=f"k{n}"),
            erased(draw.choice("abc"), keys=[f"k{draw.randrange(n)}"], left=f"k{n}", epoch=n),
        ]
        anew = [deleted(n), created(draw.choice("hi"), aliases=f"k{n}")]
        entries += anew if n % 13 == 0 else [draw.choice(some)]
    in_order, ahead = made(keyring, observations=False), made(keyring, observations=False)
    told(in_order, *entries, at=0)
    for n, entry in enumerate(entries):
        told(ahead, entry, at=n)
        told(ahead, *entries[: draw.randrange(n + 1)], at=0)
        if n + 1 < len(entries) and entries[n + 1].HasField("erased"):
            told(ahead, entries[n + 1], at=n + 1)
    one, other = in_order[HOME], ahead[HOME]
    assert (one.erasures, one.deleted, one.epochs) == (other.erasures, other.deleted, other.epochs)
    assert alias_keys(one) == alias_keys(other)
    assert one.settings is not None
    assert other.settings is not None
    assert (one.settings.fields, one.settings.changes) == (other.settings.fields, other.settings.changes)
    assert one.settings.needless <= other.settings.needless, "an erasure that is known took more of them"


def limited(id: str, **limits: int) -> LedgerEntry:
    return LedgerEntry(namespace=HOME, namespace_changed=NamespaceChanged(id_mac=id.encode(), quota=Quota(**limits)))


def text(id: str, size: int) -> LedgerEntry:
    entry = accepted(id)
    entry.observation_accepted.sealed.ciphertext = bytes(size)
    entry.ingested_at.seconds = 5
    return entry


def sized(epoch: int = 1, **sizes: int) -> LedgerEntry:
    entry = erased(*sizes, epoch=epoch)
    entry.erased.engram_bytes.extend(sizes.values())
    return entry


@pytest.mark.parametrize("observations", [True, False])
def test_a_namespace_holds_what_it_was_told_less_what_is_erased(keyring: Keyring, observations: bool) -> None:
    facts, again = made(keyring, observations=observations), made(keyring, observations=observations)
    told(facts, created(), text("a", 10), text("b", 20), closed(), text("c", 30), at=0)
    assert facts[HOME].held == Amount(3, 60)
    told(facts, text("b", 20), at=2)
    told(facts, sized(b=20), sized(b=20, c=30, epoch=2), sized(b=20), at=5)
    assert facts[HOME].held == Amount(1, 10), "what is erased twice goes once"
    told(facts, erased("a", epoch=3), at=8)
    assert facts[HOME].held == Amount(0, 10), "an erasure of an earlier version says nothing of bytes"
    restore(again, stored(facts, 0, 9))
    assert again[HOME].usage == facts[HOME].usage == Usage(3, 60, 50, newest_us=5_000_000, next=5)
    told(again, text("d", 5), at=9)
    assert again[HOME].held == Amount(1, 15)
    told(again, deleted(4), at=10)
    assert again[HOME].held == NOTHING == Amount(0, 0)
    told(again, created(), text("a", 7), at=11)
    assert again[HOME].held == Amount(1, 7)


def test_sizes_of_texts_are_found_by_their_places(keyring: Keyring) -> None:
    facts, again = made(keyring, observations=False), made(keyring, observations=False)
    told(facts, created(), text("a", 10), closed(), text("b", 20), at=0)
    restore(again, stored(facts, 0, 4))
    for each in (facts, again):
        assert each[HOME].places.sizes([3, 1, 0, 2, 9]) == [20, 10, 0, 0, 0]


def test_a_limit_of_the_quota_stays_until_it_is_given_again_and_0_takes_it_away(keyring: Keyring) -> None:
    facts, again = made(keyring), made(keyring)
    first = created()
    first.namespace_created.quota.max_texts = 3
    told(facts, first, limited("1", max_bytes=9), limited("1", max_bytes=1), at=0)
    settings = facts[HOME].settings
    assert settings is not None
    assert settings.quota == Quota(max_texts=3, max_bytes=9)
    told(facts, limited("2", max_texts=0), changed("3", "room"), at=3)
    restore(again, stored(facts, 0, 5))
    for each in (facts, again):
        settings = each[HOME].settings
        assert settings is not None
        assert settings.quota == Quota(max_bytes=9)


@pytest.mark.parametrize(
    ("limits", "held", "size", "field"),
    [
        ({}, Amount(9, 9), 9, ""),
        ({"max_texts": 3}, Amount(2, 9), 9, ""),
        ({"max_texts": 3}, Amount(3, 9), 9, "quota.max_texts"),
        ({"max_texts": 3}, Amount(5, 9), 9, "quota.max_texts"),
        ({"max_bytes": 18}, Amount(9, 9), 9, ""),
        ({"max_bytes": 17}, Amount(9, 9), 9, "quota.max_bytes"),
        ({"max_texts": 99, "max_bytes": 17}, Amount(9, 9), 9, "quota.max_bytes"),
    ],
)
def test_a_text_beyond_the_quota_is_refused_by_the_limit(
    limits: dict[str, int], held: Amount, size: int, field: str
) -> None:
    with pytest.raises(MnemeError) if field else nullcontext() as caught:
        quota.require_room(HOME, Quota(**limits), held, Amount(1, size))
    if caught is None:
        return
    error, limit = caught.value, field.removeprefix("quota.")
    assert (error.reason, error.field, error.metadata["namespace"]) == ("QUOTA_EXCEEDED", field, HOME)
    assert error.metadata["limit"] == str(limits[limit])
    assert f"--{limit.replace('_', '-')}" in error.remedy
    assert HOME not in str(error), "a dead letter keeps the words"
