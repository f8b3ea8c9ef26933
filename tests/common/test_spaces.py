"""What is known of a namespace is found by its name, and by what it is called once that is gone."""

from __future__ import annotations

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ids import pseudonym_in, unnamed
from services.common.ledger.spaces import ByNamespace
from services.common.log.base import Log


def test_a_name_and_its_pseudonym_are_one_namespace(ledger: Log) -> None:
    keyring = Keyring(ledger, MasterKey(bytes(32)))
    nameless = unnamed(keyring.pseudonym("acme/anna"))
    assert pseudonym_in(nameless) == keyring.pseudonym("acme/anna") == keyring.pseudonym(nameless)
    assert pseudonym_in("acme/anna") is None
    held: ByNamespace[int] = ByNamespace(keyring)
    held[nameless] = 1
    held["acme/other"] = 2
    assert (held["acme/anna"], held.get("acme/bob"), len(held)) == (1, None, 2)
    assert set(held) == {nameless, "acme/other"}
    held["acme/anna"] = 3
    assert (held[nameless], len(held)) == (3, 2)
    assert held.pop("acme/anna") == 3
    assert nameless not in held
