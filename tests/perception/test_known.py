"""The fold of the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from mneme.v1.admin_pb2 import AliasGroup

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.ledger.settings import Place
from services.common.log.base import Appended, Message
from services.perception.ledger_facts import LedgerFacts
from tests.perception.world import ANYBODY, World, observation


def test_a_restarted_fold_knows_what_the_running_one_knows(world: World) -> None:
    world.create("acme/other")
    accepted = world.observe(*[observation(n, session=f"s{n % 3}") for n in range(9)])
    world.intake.end_session("acme/user", "s1", ANYBODY)
    world.erase("o4", "o5")
    world.known.catch_up()

    restarted = LedgerFacts(world.log, Keyring(world.log, MasterKey(bytes(range(32)))))
    restarted.catch_up()
    for known in (world.known, restarted):
        for n, one in enumerate(accepted):
            first = known.first("acme/user", world.id_mac(f"o{n}"))
            assert first is not None
            assert first.place == one.place
            assert (known.erased("acme/user", world.id_mac(f"o{n}")) is not None) == (n in (4, 5))
        for n in range(3):
            session = known.session("acme/user", world.keyring.mac("acme/user", ledger.MAC_SESSION, f"s{n}"))
            assert session is not None
            assert session.ended == (n == 1)
        assert known.erasures == 1
        assert known.namespace("acme/other") is not None
        assert known.namespace("acme/none") is None


def test_a_record_that_is_no_entry_stops_nobody(world: World) -> None:
    world.observe(observation(0))
    world.log.append([Message(topics.LEDGER, b"acme/user", b"\xff not an entry")])
    world.observe(observation(1))
    restarted = LedgerFacts(world.log, Keyring(world.log, MasterKey(bytes(range(32)))))
    restarted.catch_up()
    assert restarted.first("acme/user", world.id_mac("o1")) is not None
    world.drain(world.segmenter())


def test_it_follows_what_other_processes_append(world: World, make_world: Callable[[], World]) -> None:
    other = make_world()
    [accepted] = other.observe(observation(0))
    assert world.known.first("acme/user", world.id_mac("o0")) is None
    world.known.catch_up()
    first = world.known.first("acme/user", world.id_mac("o0"))
    assert first is not None
    assert first.place == accepted.place


def test_the_first_entry_of_an_id_counts(world: World, make_world: Callable[[], World]) -> None:
    other = make_world()
    other.known.catch_up = lambda partitions=None: None  # type: ignore[method-assign]
    [first] = world.observe(observation(0))
    other.observe(observation(0, "With another text."))
    world.known.catch_up()
    known = world.known.first("acme/user", world.id_mac("o0"))
    assert known is not None
    assert known.place == first.place == Place(first.place.partition, first.place.offset)


def test_aliases_whose_key_was_destroyed_are_no_aliases(world: World) -> None:
    [entry] = [e for e in world.entries() if e.HasField("namespace_created")]
    world.keyring.destroy("acme/user", [entry.namespace_created.aliases.key_id])
    restarted = LedgerFacts(world.log, Keyring(world.log, MasterKey(bytes(range(32)))))
    settings = restarted.namespace("acme/user")
    assert settings is not None
    assert list(settings.settings.aliases) == []


def test_erased_names_are_no_aliases_here_and_after_a_restart(world: World) -> None:
    carrie = AliasGroup(name="Carrie Pooter", aliases=["my wife"])
    world.create("acme/home", aliases=[AliasGroup(name="Murray Posh", aliases=["Mr. Posh"]), carrie])
    world.create("acme/other", aliases=[carrie])
    world.erase_names([carrie], "acme/home")
    world.known.catch_up()

    restarted = LedgerFacts(world.log, Keyring(world.log, MasterKey(bytes(range(32)))))
    begun = time.monotonic()
    restarted.catch_up()
    assert time.monotonic() - begun < 1.0  # no key that an erasure destroyed is waited for
    for known in (world.known, restarted):
        home, other = known.namespace("acme/home"), known.namespace("acme/other")
        assert home is not None
        assert other is not None
        assert list(home.settings.aliases) == [carrie]
        assert home.aliases.canonical("Mr. Posh") == "Mr. Posh"
        assert home.aliases.canonical("my wife") == "Carrie Pooter"
        assert list(other.settings.aliases) == [carrie]


def test_who_decides_keeps_every_other_writer_of_the_process_out_until_it_has_appended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[bool] = []
    second = threading.Thread(target=lambda: outcomes.append(world.observe(observation(0))[0].duplicate))
    append = world.log.append

    def held(messages: Sequence[Message], **options: Any) -> list[Appended]:
        if not second.ident:
            second.start()
            second.join(0.5)  # without the lock it is done by then
        return append(messages, **options)

    monkeypatch.setattr(world.log, "append", held)
    [first] = world.observe(observation(0))
    second.join(30)
    assert (first.duplicate, outcomes) == (False, [True])
