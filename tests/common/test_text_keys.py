"""Keys of texts are taken from trees, one record for 256, and each is destroyed for good, by itself, once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mneme.v1.ledger_pb2 import DataKey, Sealed

from services.common.crypto.seal import KeyDestroyed, Keyring, MasterKey, Tampered, TextKey, destroying, record_of
from services.common.crypto.tree import LEAVES
from services.common.crypto.wrapping import _Held
from services.common.ledger import topics
from services.common.log.base import Appended, Fenced, Log, Message, Record, partition_of
from services.common.log.open import open_log
from tests.common.test_tree import derivable

MASTER = MasterKey(b"m" * 32)
ANN, BOB = "acme/ann", "acme/bob"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], Log]]:
    """The same log, opened as another process does."""
    logs: list[Log] = []

    def another() -> Log:
        logs.append(open_log(f"sqlite://{tmp_path}/log.db"))
        return logs[-1]

    another().ensure_topics(topics.specs(2, [topics.INBOX]))
    yield another
    for log in logs:
        log.close()


@pytest.fixture
def log(opened: Callable[[], Log]) -> Log:
    log = opened()
    make(log, ANN)
    make(log, BOB)
    return log


def make(log: Log, namespace: str) -> str:
    key = Keyring(log, MASTER).name_key(namespace)
    log.append([key.message])
    return key.key_id


def told(ring: Keyring, log: Log, text: bytes = b"text", namespace: str = ANN, use: str = "") -> Sealed:
    """As whoever accepts a text does."""
    key = ring.text_key(namespace, use)
    log.append(key.messages)
    return ring.seal(key.key_id, text, namespace=namespace, purpose="p")


def read(ring: Keyring, sealed: Sealed, namespace: str = ANN) -> bytes | None:
    try:
        return ring.open(sealed, namespace=namespace, purpose="p")
    except KeyDestroyed:
        return None


def records(log: Log) -> list[Record]:
    return [record for n in range(log.partitions(topics.KEYS)) for record in log.read(topics.KEYS, n)]


def trees(log: Log) -> dict[str, DataKey]:
    """The newest record of each that is there."""
    newest = {record.key.decode(): record.value for record in records(log)}
    keys = {id: DataKey.FromString(value) for id, value in newest.items() if value is not None}
    return {id: key for id, key in keys.items() if key.nodes}


def tree_of(key: Sealed | TextKey) -> str:
    return key.key_id.partition(".")[0]


def test_256_texts_of_a_namespace_take_one_record_of_some_hundred_bytes_without_its_name(log: Log) -> None:
    ring = Keyring(log, MASTER)
    texts = [told(ring, log, b"text %d" % n) for n in range(LEAVES + 1)]
    made = [record for record in records(log) if record.key.decode() in trees(log)]
    assert len(made) == 2
    assert sum(len(record.key + (record.value or b"")) for record in made) < 2 * 200
    assert ANN.encode() not in b"".join(record.value or b"" for record in made)
    other = Keyring(log, MASTER)
    assert [read(other, text) for text in texts] == [b"text %d" % n for n in range(LEAVES + 1)]
    assert len({text.key_id for text in texts}) == len(texts)
    assert {other.namespace_of(text.key_id) for text in texts} == {ANN}


def test_nobody_takes_keys_of_a_tree_that_another_began(log: Log) -> None:
    rings = [Keyring(log, MASTER) for _ in range(3)]
    texts = [told(ring, log) for _ in range(2) for ring in rings]
    assert len({tree_of(text) for text in texts}) == len(rings), "as little as one that died and was started again"
    assert len({tree_of(told(rings[0], log, use=use)) for use in ("a", "b", "a")}) == 2


def test_the_trees_of_many_namespaces_are_begun_by_one_append(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    ring, append, appended = Keyring(log, MASTER), log.append, list[int]()

    def counted(messages: Sequence[Message]) -> list[Appended]:
        appended.append(len(messages))
        return append(messages)

    monkeypatch.setattr(log, "append", counted)
    ring.prepare([ANN, BOB, "old/clara"])
    keys = [ring.text_key(name) for name in (ANN, BOB, ANN)]
    ring.prepare([BOB, ANN])
    assert appended == [2]
    assert not any(key.messages for key in keys)
    assert {tree_of(key) for key in keys} == set(trees(log))


def test_a_namespace_has_one_name_key_until_it_is_destroyed(log: Log) -> None:
    ring = Keyring(log, MASTER)
    text, [there] = told(ring, log), ring.keys_of(ANN, naming=True)
    again = [each.name_key(ANN) for each in (ring, Keyring(log, MASTER))]
    assert [key.key_id for key in again] == [there, there]
    [record] = [record for record in records(log) if record.key.decode() == there]
    assert {(key.message.key, key.message.value) for key in again} == {(record.key, record.value)}
    log.append([again[0].message])  # as a creation does that is tried again
    assert ring.keys_of(ANN, naming=True) == [there]
    assert [read(each, text) for each in (ring, Keyring(log, MASTER))] == [b"text", b"text"]
    ring.destroy(ANN, [there])
    anew = ring.name_key(ANN)
    assert anew.key_id not in (there, ring.name_key(BOB).key_id)
    log.append([anew.message])
    assert [Keyring(log, MASTER).name_key(name).key_id for name in (ANN, BOB)] == [
        anew.key_id,
        ring.name_key(BOB).key_id,
    ]


def test_threads_take_each_key_once(log: Log) -> None:
    ring = Keyring(log, MASTER)
    with ThreadPoolExecutor(8) as pool:
        keys = [key.key_id for key in pool.map(lambda n: ring.text_key((ANN, BOB)[n % 2]), range(600))]
    assert len(set(keys)) == len(keys)
    assert all(ring.has(key) for key in keys[::50])


def test_invariant_14_a_destroyed_key_of_a_tree_opens_nothing_anywhere_and_the_others_do(log: Log) -> None:
    ring, other = Keyring(log, MASTER), Keyring(log, MASTER)
    texts = [told(ring, log) for _ in range(5)]
    assert [read(other, text) for text in texts] == [b"text"] * 5
    other.destroy(ANN, [texts[1].key_id, texts[3].key_id])
    assert [other.has(text.key_id) for text in texts] == [True, False, True, False, True]
    ring.refresh()
    for each in (ring, other, Keyring(log, MASTER)):
        assert [read(each, text) for text in texts] == [b"text", None, b"text", None, b"text"]
    assert read(ring, told(ring, log)) == b"text", "more keys are taken of what is left"


def test_invariant_14_after_compaction_no_file_holds_what_a_destroyed_key_follows_from(
    log: Log, tmp_path: Path
) -> None:
    ring = Keyring(log, MASTER)
    texts = [told(ring, log) for _ in range(3)]
    before = trees(log)[tree_of(texts[0])].wrapped
    assert before in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    ring.destroy(ANN, [texts[1].key_id])
    log.compact(topics.KEYS)
    assert log.scrub() == 0
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert before not in path.read_bytes(), path.name
    assert read(Keyring(log, MASTER), texts[2]) == b"text"


def test_however_many_keys_of_a_tree_a_transaction_destroys_it_writes_one_record_of_it(log: Log) -> None:
    ring = Keyring(log, MASTER)
    texts = [told(ring, log) for _ in range(LEAVES + 40)]
    single = ring.new_key(ANN)
    log.append([single.message])
    gone, partition = [text.key_id for text in texts[::3]], partition_of(ANN.encode(), 2)
    before = log.end_offset(topics.KEYS, partition)
    with ring.transaction(partition, {*gone, single.key_id}) as tx:
        tx.append(Message(topics.FEED, b"k", b"v"))
    written = list(log.read(topics.KEYS, partition, before))
    assert sorted(record.key.decode() for record in written) == sorted({*trees(log), single.key_id})
    assert [read(ring, text) is None for text in texts] == [text.key_id in gone for text in texts]
    assert [read(Keyring(log, MASTER), text) is None for text in texts] == [text.key_id in gone for text in texts]


def test_a_transaction_that_fails_destroys_nothing(log: Log) -> None:
    ring = Keyring(log, MASTER)
    text, single = told(ring, log), ring.new_key(ANN)
    log.append([single.message])
    before = len(records(log))
    with (
        pytest.raises(ZeroDivisionError),
        ring.transaction(partition_of(ANN.encode(), 2), [text.key_id, single.key_id]),
    ):
        raise ZeroDivisionError
    assert len(records(log)) == before
    assert ring.has(text.key_id)
    assert ring.has(single.key_id)
    assert read(ring, text) == b"text"


def test_a_tree_of_which_no_key_is_left_goes(log: Log) -> None:
    ring = Keyring(log, MASTER)
    texts = [told(ring, log) for _ in range(LEAVES)]
    ring.destroy(ANN, [text.key_id for text in texts])
    assert trees(log) == {}
    assert read(ring, told(ring, log)) == b"text"
    ring.destroy(ANN, [texts[0].key_id])
    assert tree_of(texts[0]) not in trees(log), "destroyed again, it does not come back"


def test_who_has_not_read_what_another_destroyed_brings_nothing_back(opened: Callable[[], Log], log: Log) -> None:
    first, second = opened(), opened()
    one, two = Keyring(first, MASTER), Keyring(second, MASTER)
    texts = [told(one, first) for _ in range(3)]
    assert [read(two, text) for text in texts] == [b"text"] * 3
    one.destroy(ANN, [texts[0].key_id])
    two.destroy(ANN, [texts[1].key_id])
    assert [read(Keyring(log, MASTER), text) for text in texts] == [None, None, b"text"]


def test_invariant_37_who_was_paused_while_another_destroyed_is_fenced(
    opened: Callable[[], Log], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read what there is of a tree, and would write that back less one key, after another destroyed a second."""
    one, two = Keyring(opened(), MASTER), Keyring(opened(), MASTER)
    texts = [told(one, log) for _ in range(3)]
    one.destroy(ANN, [told(one, log).key_id])  # it has the name
    punctures = one._punctures

    def paused(*args: object) -> list[Message]:
        messages = list(punctures(*args))  # type: ignore[arg-type]
        two.destroy(ANN, [texts[0].key_id])
        return messages

    with monkeypatch.context() as patched:
        patched.setattr(one, "_punctures", paused)
        with pytest.raises(Fenced, match="keys-"):
            one.destroy(ANN, [texts[1].key_id])
    assert [read(Keyring(log, MASTER), text) for text in texts] == [None, b"text", b"text"]
    one.destroy(ANN, [texts[1].key_id])  # it takes the name back, and reads again
    assert [read(Keyring(log, MASTER), text) for text in texts] == [None, None, b"text"]


def test_threads_that_destroy_at_once_destroy_all(log: Log) -> None:
    ring = Keyring(log, MASTER)
    texts = [told(ring, log) for _ in range(60)]
    together = threading.Barrier(6)

    def destroy(n: int) -> None:
        together.wait(10)
        for text in texts[n::6][:-1]:
            ring.destroy(ANN, [text.key_id])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(destroy, range(6)))
    assert [read(Keyring(log, MASTER), text) for text in texts] == [None] * 54 + [b"text"] * 6


def test_no_message_by_itself_destroys_a_key_of_a_tree(log: Log) -> None:
    ring = Keyring(log, MASTER)
    text = told(ring, log)
    with pytest.raises(ValueError, match="a key of a tree"):
        destroying(ANN, [text.key_id])
    assert read(ring, text) == b"text"


def test_all_texts_of_a_namespace_go_with_one_key(log: Log) -> None:
    ring = Keyring(log, MASTER)
    texts, other = [told(ring, log, use=use) for use in ("a", "b")], told(ring, log, namespace=BOB)
    single = ring.new_key(ANN)  # of alias groups, say: a record of its own
    log.append([single.message])
    assert set(ring.keys_of(ANN, naming=False)) == {*map(tree_of, texts), single.key_id}
    [name_key] = ring.keys_of(ANN, naming=True)
    ring.destroy(ANN, [name_key])
    for each in (ring, Keyring(log, MASTER)):
        assert [read(each, text) for text in texts] == [None] * 2
        assert [each.has(text.key_id) for text in texts] == [False, False]
        assert each.has(single.key_id)
        assert read(each, other, BOB) == b"text"
    ring.destroy(ANN, [texts[0].key_id])
    assert tree_of(texts[0]) not in trees(log), "what nobody can read any more goes whole"


def test_texts_of_a_namespace_made_anew_are_under_its_new_name_key_whoever_takes_them(
    opened: Callable[[], Log], log: Log
) -> None:
    """One that took keys before the deletion, and has read nothing of the keys topic since."""
    ring, writer = Keyring(log, MASTER), Keyring(opened(), MASTER)
    told(ring, log)
    writer.destroy(ANN, writer.keys_of(ANN))
    make(log, ANN)
    ring.was_deleted(ANN)  # as whoever folds the ledger hears
    assert read(Keyring(log, MASTER), told(ring, log)) == b"text"
    single = ring.new_key(ANN)
    log.append([single.message])
    assert Keyring(log, MASTER).has(single.key_id)


def test_a_namespace_without_a_name_key_has_a_record_a_text(log: Log) -> None:
    ring = Keyring(log, MASTER)
    texts = [told(ring, log, namespace="old/clara") for _ in range(2)]
    assert len(trees(log)) == 0
    assert sorted(ring.keys_of("old/clara")) == sorted(text.key_id for text in texts)
    ring.destroy("old/clara", [texts[0].key_id])
    assert [read(Keyring(log, MASTER), text, "old/clara") for text in texts] == [None, b"text"]


def test_keys_of_what_ends_are_listed_once_it_has_ended_until_they_are_destroyed(log: Log) -> None:
    ring = Keyring(log, MASTER)
    soon, late, never = (ring.new_key(ANN, until) for until in (100.0, 200.0, 0.0))
    log.append([key.message for key in (soon, late, never)])
    other = Keyring(log, MASTER)
    assert other.of_no_more_use(100.0) == {}
    assert other.of_no_more_use(150.0) == {ANN: [soon.key_id]}
    assert {name: sorted(ids) for name, ids in other.of_no_more_use(1e9).items()} == {
        ANN: sorted([soon.key_id, late.key_id])
    }
    log.append(destroying(ANN, [soon.key_id]))
    assert other.of_no_more_use(150.0) == {}


def test_a_key_is_in_the_record_that_is_listed_of_its_namespace(log: Log) -> None:
    ring = Keyring(log, MASTER)
    text, single = told(ring, log), ring.new_key(ANN)
    log.append([single.message])
    assert {record_of(text.key_id), record_of(single.key_id)} == set(ring.keys_of(ANN, naming=False))


def test_nothing_of_a_destroyed_key_is_held_once_that_was_read(log: Log) -> None:
    ring, other = Keyring(log, MASTER), Keyring(log, MASTER)
    text = told(ring, log)
    read(other, text)
    [(_, (_, tree))] = other._unwrapping._trees._held.values()
    assert tree.key(0)
    ring.destroy(ANN, [text.key_id])
    other.refresh()
    assert not other._unwrapping._trees._held


def test_so_much_is_held_unwrapped_and_no_more() -> None:
    held, made = _Held[bytes](2), list[bytes]()

    def make(record: bytes) -> bytes:
        made.append(record)
        return record

    records = {id: id.encode() for id in "abc"}
    for id in "abacab":
        assert held.get(id, records[id], make) is records[id]
    assert made == [b"a", b"b", b"c", b"b"], "the one that was used longest ago goes"
    held.get("b", bytes(2), make)
    assert made[-1] == bytes(2), "of another record than it was made of, it is not the same"


def test_a_deletion_is_read_up_to_once(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    ring, looked, read_on = Keyring(log, MASTER), list[str](), log.read

    def counted(topic: str, *more: int) -> Iterator[Record]:
        looked.append(topic)
        return read_on(topic, *more)

    told(ring, log)
    ring.was_deleted(ANN)
    monkeypatch.setattr(log, "read", counted)
    ring.text_key(ANN)
    assert looked == [topics.KEYS]
    ring.text_key(ANN)
    assert looked == [topics.KEYS]


@pytest.mark.parametrize("id", ["{}.256", "{}.-1", "{}.x", "{}.", "{}.0.0", "ffffffffffffffffffffffff.0"])
def test_what_is_no_key_s_id_is_no_key(log: Log, id: str) -> None:
    ring = Keyring(log, MASTER)
    text = told(ring, log)
    text.key_id = id.format(tree_of(text))
    assert read(ring, text) is None


@pytest.mark.parametrize("what", ["master", "nodes", "tree", "name key", "seeds"])
def test_a_tree_that_was_changed_opens_nothing(log: Log, what: str) -> None:
    ring = Keyring(log, MASTER)
    text = told(ring, log)
    ring.destroy(ANN, [told(ring, log).key_id])
    record = trees(log)[tree_of(text)]
    if what == "nodes":
        record.nodes[0], record.nodes[1] = record.nodes[1], record.nodes[0]
    elif what == "tree":
        text.key_id = "0" * 24 + ".0"
        record.key_id = "0" * 24
    elif what == "name key":
        [record.name_key_id] = ring.keys_of(BOB, naming=True)
    elif what == "seeds":
        record.wrapped = record.wrapped[:-1] + bytes([record.wrapped[-1] ^ 1])
    partition = partition_of(ANN.encode(), 2)
    log.append([Message(topics.KEYS, record.key_id.encode(), record.SerializeToString(), partition=partition)])
    with pytest.raises(Tampered):
        read(Keyring(log, MasterKey(b"x" * 32) if what == "master" else MASTER), text)


steps = st.lists(
    st.tuples(st.sampled_from(["take", "take", "destroy", "reload", "fail"]), st.integers(0, 2), st.integers(0, 10**6)),
    max_size=60,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_whatever_is_taken_destroyed_and_read_again_the_destroyed_cannot_be_computed(
    tmp_path_factory: pytest.TempPathFactory, done: list[tuple[str, int, int]]
) -> None:
    with closing(open_log(f"sqlite://{tmp_path_factory.mktemp('log')}/log.db")) as log:
        log.ensure_topics(topics.specs(1, [topics.INBOX]))
        make(log, ANN)
        rings = [Keyring(log, MASTER) for _ in range(3)]
        texts: dict[str, Sealed] = {}
        keys: dict[str, bytes] = {}
        gone: set[str] = set()
        for what, n, seed in done:
            if what == "reload":
                rings[n] = Keyring(log, MASTER)
            elif what == "take":
                for _ in range(seed % 40):
                    sealed = told(rings[n], log)
                    texts[sealed.key_id] = sealed
                    keys[sealed.key_id] = rings[n]._unwrapping.key(sealed.key_id)
            elif what == "destroy":
                gone.update(picked := sorted(texts)[seed % 7 :: seed % 5 + 1])
                rings[n].destroy(ANN, picked)
            else:
                with suppress(ZeroDivisionError), rings[n].transaction(0, sorted(texts)[seed % 7 :: 2]):
                    raise ZeroDivisionError
        assert len(set(keys.values())) == len(keys), "no key was taken twice"
        ring = Keyring(log, MASTER)
        ring.refresh()
        known = set().union(*(derivable(ring._unwrapping.tree(id)) for id in trees(log)))
        for id, sealed in texts.items():
            assert (keys[id] in known) is (id not in gone)
            assert read(ring, sealed) == (None if id in gone else b"text")
