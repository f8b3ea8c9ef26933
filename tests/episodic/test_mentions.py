"""What of a forgotten name can be seen in letters alone."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from mneme.v1.ledger_pb2 import NameHash

from services.common.crypto.seal import Keyring, MasterKey
from services.common.log.sqlite import SqliteLog
from services.episodic.state.mentions import LIKELY, NONE, POSSIBLE, Mentions, mentions_key, name_hashes, short_id

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        ("Ann", "hello ann.", LIKELY),
        ("Ann Lee", "ANN-LEE", LIKELY),
        ("Jo", "J. O", LIKELY),
        ("Jo", "Joab is Jo", LIKELY),  # the best of what it finds
        ("Zoë", "zoe", LIKELY),
        ("Ann", "Annas", POSSIBLE),  # Latin and Greek put hardly anything onto names
        ("Ann", "Hannah", NONE),  # nor before them
        ("Ann", "Bob", NONE),
        ("Ann", "An", NONE),
        ("Ann", "", NONE),
        ("A", "A", NONE),
        ("Νίκος", "ΝΙΚΟΣ", LIKELY),
        ("Νίκο", "Νίκος", POSSIBLE),
        ("Анн", "Анна", LIKELY),
        ("Анн", "Аннам", LIKELY),
        ("Анн", "Аннами", POSSIBLE),
        ("Анн", "Сюзанна", NONE),
        ("דן", "בדן", LIKELY),  # a word before it without a space
        ("דן", "ושבדן", LIKELY),
        ("דן", "ושמבדן", POSSIBLE),
        ("דן", "דןכהנים", POSSIBLE),
        ("김", "김에게", LIKELY),
        ("서연", "서연이에게는요", POSSIBLE),
        ("金", "黄金色", LIKELY),  # written without spaces
        ("ナ", "カナダ", LIKELY),
        ("สมชาย", "พบสมชายวันนี้", LIKELY),
        ("Li", "李Li說", LIKELY),  # another script is another word
        ("さくら", "サクラ", LIKELY),  # in the other kana where words begin and end as it does
        ("さくら", "昨日サクラに会った", LIKELY),
        ("さくら", "サクランボ", POSSIBLE),
        ("さくら", "ヤマザクラ", POSSIBLE),
        ("さくら", "ヤマザクランド", POSSIBLE),
        ("サクラ", "昨日 さくら 会った", LIKELY),
    ],
)
def test_what_letters_say_of_a_name(name: str, text: str, seen: int) -> None:
    assert Mentions(name_hashes([name], KEY), KEY).within(text) == seen


def test_every_name_is_looked_for_however_long() -> None:
    mentions = Mentions(name_hashes(["Ann", "Jo", "Zebedee"], KEY), KEY)
    assert [mentions.within(text) for text in ("ann", "JO", "zebedee", "joan zebedees", "x")] == [
        *(LIKELY, LIKELY, LIKELY, POSSIBLE, NONE)
    ]
    assert Mentions([], KEY).within("Ann") == NONE
    assert Mentions(name_hashes(["Ann"], KEY), b"l" * 32).within("Ann") == NONE


@pytest.mark.parametrize(
    ("name", "letters"),
    [("A" * 32, 32), ("A" * 33, 32), ("Ann " * 11, 30), ("Jo " + "B" * 40, 32), ("语" * 40, 32)],
)
def test_a_long_name_is_looked_for_by_its_first_words(name: str, letters: int) -> None:
    assert [each.letters for each in name_hashes([name], KEY)] == [letters]
    assert Mentions(name_hashes([name], KEY), KEY).within(f"I met {name}!") >= POSSIBLE
    assert Mentions(name_hashes([name], KEY), KEY).within("I met nobody.") == NONE


def test_names_of_the_same_letters_are_one_hash_and_what_has_too_few_is_none() -> None:
    hashes = name_hashes(["Ann", "ANN", "a-n-n", "A", "12", "", "李", "Jo"], KEY)
    assert sorted(each.letters for each in hashes) == [1, 2, 3]
    assert {len(each.mac) for each in hashes} == {16}
    assert [each.mac for each in hashes] == sorted(each.mac for each in hashes)
    assert name_hashes(["Ann"], KEY)[0].mac.hex() == "cd3b8f4e7bf953cdd2e57a5874a11213", "as old entries hold it"


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        ("Ann Lee", "Lee, Ann", LIKELY),
        ("Ann Lee", "Ann Jo Lee", POSSIBLE),
        ("Ann Lee", "A. Lee", POSSIBLE),
        ("Ann Lee", "B. Lee", NONE),
        ("Ann Lee", "Ann of the old house of Lee", NONE),
        ("Ann Lee", "Lee then Ann", NONE),
        ("Oskar Matzerath", "Oskarem Matzerathem", LIKELY),
        ("Oskar Matzerath", "Oskar Matzerathem", POSSIBLE),
        ("Оскар Мацерат", "Оскар Мацерату", LIKELY),
        ("Marek", "Marka", POSSIBLE),
        ("Marek", "marketing and Markdown", NONE),
        ("Julia", "Julię", LIKELY),
        ("Julia", "Julian", POSSIBLE),
        ("Ь Ъ", "Some text", NONE),
        ("a b c d e f g h i j", "b c d", NONE),
    ],
)
def test_what_the_heads_of_its_words_say_of_a_name(name: str, text: str, seen: int) -> None:
    assert Mentions(name_hashes([name], KEY), KEY).within(text) == seen


def test_what_older_ledgers_hold_of_a_name_is_looked_for_as_before() -> None:
    old = [NameHash(mac=each.mac, letters=each.letters) for each in name_hashes(["Ann Lee"], KEY)]
    assert [Mentions(old, KEY).within(text) for text in ("Ann Lee", "Lee, Ann")] == [LIKELY, NONE]


def test_what_older_ledgers_hold_of_a_long_name_is_looked_for_by_all_its_letters() -> None:
    letters = "maximilian" * 5
    old = [NameHash(mac=blake2b(letters.encode(), key=KEY, digest_size=16).digest(), letters=len(letters))]
    assert [Mentions(old, KEY).within(text) for text in (f"I met {letters}.", letters[:-1])] == [LIKELY, NONE]


def test_long_names_that_begin_alike_are_each_looked_for_by_their_words() -> None:
    names = [f"Maximiliana Konstantina {last} Oppenheim" for last in ("Featherstone", "Kowalska")]
    names = [f"{name} {last}" for name, last in zip(names, ("Novakova", "Petrova"), strict=True)]
    found = Mentions(name_hashes(names, KEY), KEY)
    assert [found.within(text) for text in ("Novakova, Maximiliana", "Petrova, Maximiliana")] == [LIKELY, LIKELY]


def test_a_namespace_has_a_key_of_its_own(ledger: SqliteLog) -> None:
    keyring = Keyring(ledger, MasterKey(b"m" * 32))
    keys = {mentions_key(keyring, namespace) for namespace in ("acme/ann", "acme/bob")}
    assert len(keys) == 2
    assert {len(key) for key in keys} == {16}


def test_a_doubtful_engram_is_kept_by_the_head_of_its_id() -> None:
    assert short_id("00112233445566") == b"\x00\x11\x22\x33"
