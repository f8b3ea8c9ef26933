"""Sealed text can be read with its key, by nobody without it, and never again once the key is destroyed."""

import os
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from mneme.v1.ledger_pb2 import DataKey, Sealed

from services.common.crypto.seal import (
    ExposedKey,
    KeyDestroyed,
    Keyring,
    MalformedKey,
    MasterKey,
    Tampered,
    destroying,
)
from services.common.ledger import topics
from services.common.log.base import Log, Message, partition_of
from services.common.log.open import open_log

MASTER = MasterKey(b"m" * 32)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = open_log(f"sqlite://{tmp_path}/log.db")
    log.ensure_topics(topics.specs(4, [topics.INBOX]))
    yield log
    log.close()


def test_another_process_opens_what_was_sealed(log: Log) -> None:
    ring = Keyring(log, MASTER)
    key = ring.new_key("acme/ann")
    log.append([key.message])
    sealed = ring.seal(key.key_id, b"text", namespace="acme/ann", purpose="p")
    assert b"text" not in sealed.SerializeToString()
    assert Keyring(log, MASTER).open(sealed, namespace="acme/ann", purpose="p") == b"text"


def test_invariant_14_a_destroyed_key_opens_nothing_anywhere(log: Log) -> None:
    ring, other = Keyring(log, MASTER), Keyring(log, MASTER)
    key = ring.new_key("acme/ann")
    log.append([key.message])
    sealed = ring.seal(key.key_id, b"text", namespace="acme/ann", purpose="p")
    assert other.open(sealed, namespace="acme/ann", purpose="p") == b"text"
    ring.destroy("acme/ann", [key.key_id])
    assert not other.has(key.key_id)
    for each in (ring, other, Keyring(log, MASTER)):
        with pytest.raises(KeyDestroyed):
            each.open(sealed, namespace="acme/ann", purpose="p")


def test_invariant_14_after_compaction_the_wrapped_key_is_gone_from_the_disk(log: Log, tmp_path: Path) -> None:
    ring = Keyring(log, MASTER)
    key = ring.new_key("acme/ann")
    log.append([key.message])
    assert key.message.value is not None
    wrapped = key.message.value[-44:]
    ring.destroy("acme/ann", [key.key_id])
    log.compact(topics.KEYS)
    assert log.scrub() == 0
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert wrapped not in path.read_bytes(), path.name


@pytest.mark.parametrize("what", ["ciphertext", "nonce", "namespace", "purpose", "master"])
def test_what_was_changed_does_not_open(log: Log, what: str) -> None:
    ring = Keyring(log, MASTER)
    key = ring.new_key("acme/ann")
    log.append([key.message])
    sealed = ring.seal(key.key_id, b"text", namespace="acme/ann", purpose="p")
    namespace, purpose = "acme/ann", "p"
    if what == "ciphertext":
        sealed.ciphertext = bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:]
    elif what == "nonce":
        sealed.nonce = bytes(12)
    elif what == "namespace":
        namespace = "acme/bob"
    elif what == "purpose":
        purpose = "q"
    else:
        ring = Keyring(log, MasterKey(b"x" * 32))
    with pytest.raises(Tampered):
        ring.open(sealed, namespace=namespace, purpose=purpose)


def test_keyed_hashes_differ_by_namespace_purpose_and_master(log: Log) -> None:
    ring = Keyring(log, MASTER)
    macs = {
        ring.mac("acme/ann", "id", "1"),
        ring.mac("acme/bob", "id", "1"),
        ring.mac("acme/ann", "content", "1"),
        ring.mac("acme/ann", "id", "2"),
        Keyring(log, MasterKey(b"x" * 32)).mac("acme/ann", "id", "1"),
    }
    assert len(macs) == 5
    assert ring.mac("acme/ann", "id", "1") == Keyring(log, MASTER).mac("acme/ann", "id", "1")


def test_the_master_key_file_is_private_and_stable(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "master.key"
    with pytest.raises(FileNotFoundError):
        MasterKey.load(path)
    assert not path.parent.exists()
    first = MasterKey.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert MasterKey.load_or_create(path).derive("x") == first.derive("x") != first.derive("y")
    path.chmod(0o640)
    with pytest.raises(ExposedKey, match="chmod 600"):
        MasterKey.load_or_create(path)


@contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_half_master_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    with full_disk(), pytest.raises(OSError, match="File too large"):
        MasterKey.load_or_create(path)
    assert list(tmp_path.iterdir()) == []
    assert MasterKey.load_or_create(path).derive("x") == MasterKey.load_or_create(path).derive("x")
    assert list(tmp_path.iterdir()) == [path]


def test_all_who_start_at_once_have_the_same_master_key(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def start(_: int) -> bytes:
        together.wait(5)
        return MasterKey.load_or_create(tmp_path / "master.key").derive("x")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"x" * 64, b"\xff" * 64])
def test_a_file_that_holds_no_master_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(MalformedKey, match="master.key: .*64 hex digits"):
        MasterKey.load_or_create(path)
    assert path.read_bytes() == content


def test_a_key_that_comes_late_is_waited_for_as_long_as_asked(log: Log) -> None:
    """Kafka may show an entry before its key, though one transaction wrote both: that is no erasure."""
    ring, reader = Keyring(log, MASTER), Keyring(log, MASTER)
    key = ring.new_key("acme/ann")
    sealed = ring.seal(key.key_id, b"text", namespace="acme/ann", purpose="p")
    with pytest.raises(KeyDestroyed):
        reader.open(sealed, namespace="acme/ann", purpose="p", within_s=0.05)
    late = threading.Timer(0.2, log.append, [[key.message]])
    late.start()
    assert reader.open(sealed, namespace="acme/ann", purpose="p", within_s=5.0) == b"text"
    late.join()


def test_hashes_of_different_parts_never_meet(log: Log) -> None:
    """The lengths of namespace and purpose are part of what is hashed: no cut between them can be moved."""
    ring = Keyring(log, MASTER)
    told = [("a", "id", "idX"), ("aid", "id", "X"), ("a", "idid", "X"), ("aidid", "", "X"), ("", "aidid", "X")]
    assert len({ring.mac(*parts) for parts in told}) == len(told)
    assert len(ring.mac("a", "id", "x")) == 16
    assert ring.mac("a", "id", "x") == ring.mac("a", "id", b"x")


def test_a_text_opens_in_its_namespace_and_for_its_purpose_alone(log: Log) -> None:
    ring = Keyring(log, MASTER)
    key = ring.new_key("a/b")
    log.append([key.message])
    sealed = ring.seal(key.key_id, b"text", namespace="a/b", purpose="pq")
    for namespace, purpose in (("a/bp", "q"), ("a/b", "p"), ("a", "pq"), ("pq", "a/b")):
        with pytest.raises(Tampered):
            ring.open(sealed, namespace=namespace, purpose=purpose)


def test_the_keys_topic_is_read_on_from_where_it_was_read_to(log: Log) -> None:
    class Counting:
        """The log, and from where the keys were read."""

        def __init__(self) -> None:
            self.starts: list[int] = []

        def partitions(self, topic: str) -> int:
            return log.partitions(topic)

        def read(self, topic: str, partition: int, start: int) -> Iterator[object]:
            self.starts.append(start)
            return iter(log.read(topic, partition, start))

    writer = Keyring(log, MASTER)
    keys = [writer.new_key("acme/ann") for _ in range(3)]
    log.append([key.message for key in keys])
    counting = Counting()
    ring = Keyring(counting, MASTER)  # type: ignore[arg-type]  # the two calls that it makes
    assert ring.has(keys[0].key_id)
    assert set(counting.starts) == {0}
    counting.starts.clear()
    assert ring.has(keys[2].key_id)
    assert sorted(counting.starts)[-1] == 3
    writer.destroy("acme/ann", [keys[1].key_id])
    assert not ring.has(keys[1].key_id)


def test_a_key_that_comes_late_is_waited_for_so_long_and_no_longer(log: Log) -> None:
    writer, reader = Keyring(log, MASTER), Keyring(log, MASTER)
    key = writer.new_key("acme/ann")
    sealed = writer.seal(key.key_id, b"text", namespace="acme/ann", purpose="p")
    with pytest.raises(KeyDestroyed):
        reader.open(sealed, namespace="acme/ann", purpose="p", within_s=0.05)
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(reader.open, sealed, namespace="acme/ann", purpose="p", within_s=20.0)
        log.append([key.message])
        assert opened.result(20) == b"text"


# Made once, of a key that nobody uses: what lies in a log from before must stay readable, and be known again.
OLD_KEY = bytes.fromhex(
    "0a18353365386133343832303530663239356630343064656631120861636d652f616e6e1a3c57d466779335764cbb213ae067de2dcc"
    "b1da76cd87d3d62bdac8217ebee1d4d1fd84a84a905696e834192a588943134a24069604fe0f37a024776eae"
)
OLD_TEXT = bytes.fromhex(
    "0a18353365386133343832303530663239356630343064656631120c36f98b14515eac62394182781a140dc0658501c6160bafc3faa270"
    "a427c3381e180e"
)


def test_what_was_sealed_before_opens_still_and_is_known_by_its_hash(log: Log) -> None:
    old = Sealed.FromString(OLD_TEXT)
    log.append([Message(topics.KEYS, old.key_id.encode(), OLD_KEY, partition_key=b"acme/ann")])
    ring = Keyring(log, MASTER)
    assert ring.open(old, namespace="acme/ann", purpose="p") == b"text"
    assert ring.mac("acme/ann", "id", "1").hex() == "a729dca02c4a4756cf690b19972610ba"


def test_every_text_and_key_has_a_nonce_of_its_own_as_long_as_gcm_wants(log: Log) -> None:
    ring = Keyring(log, MASTER)
    keys = [ring.new_key("acme/ann") for _ in range(3)]
    sealed = [ring.seal(keys[0].key_id, b"text", namespace="acme/ann", purpose="p") for _ in range(3)]
    assert {len(each.nonce) for each in sealed} == {12}
    assert len({each.nonce for each in sealed}) == len({each.ciphertext for each in sealed}) == 3
    wrapped = [DataKey.FromString(key.message.value or b"").wrapped for key in keys]
    assert {len(each) for each in wrapped} == {12 + 32 + 16}
    assert len({each[:12] for each in wrapped}) == 3
    assert all(len(key.key_id) == 24 and key.message.key == key.key_id.encode() for key in keys)


def test_a_key_that_is_gone_is_not_waited_for_unless_asked(log: Log) -> None:
    ring = Keyring(log, MASTER)
    key = ring.new_key("acme/ann")
    sealed = ring.seal(key.key_id, b"text", namespace="acme/ann", purpose="p")
    ring.destroy("acme/ann", [key.key_id])
    started = time.monotonic()
    with pytest.raises(KeyDestroyed, match=key.key_id):
        ring.open(sealed, namespace="acme/ann", purpose="p")
    assert time.monotonic() - started < 0.9


def test_of_some_partitions_only_their_namespaces_keys_are_held(log: Log) -> None:
    writer = Keyring(log, MASTER)
    keys = {name: writer.new_key(name) for name in (f"acme/{n}" for n in range(20))}
    log.append([key.message for key in keys.values()])
    ring = Keyring(log, MASTER, [1, 3])
    own = {name for name in keys if partition_of(name.encode(), 4) in (1, 3)}
    assert 0 < len(own) < len(keys)
    assert {name for name, key in keys.items() if ring.has(key.key_id)} == own


def test_keys_are_listed_by_namespace_and_destroyed_in_its_partition(log: Log) -> None:
    ring = Keyring(log, MASTER)
    ann, bob = [ring.new_key("acme/ann") for _ in range(3)], ring.new_key("acme/bob")
    log.append([key.message for key in (*ann, bob)])
    assert Keyring(log, MASTER).keys_of("acme/ann") == sorted(key.key_id for key in ann)
    messages = destroying("acme/ann", (key.key_id for key in ann[:2]))
    assert [(m.topic, m.key, m.value, m.partition_key) for m in messages] == [
        (topics.KEYS, key.key_id.encode(), None, b"acme/ann") for key in ann[:2]
    ]
    log.append(messages)
    assert ring.keys_of("acme/ann") == [ann[2].key_id]
    assert Keyring(log, MASTER).keys_of("acme/bob") == [bob.key_id]
    assert all(key.message.partition_key == b"acme/ann" for key in ann)


def test_making_a_key_leaves_no_file_open_and_none_beside_it(tmp_path: Path) -> None:
    MasterKey.load_or_create(tmp_path / "warm" / "master.key")
    before = len(os.listdir("/proc/self/fd"))
    for n in range(5):
        MasterKey.load_or_create(tmp_path / f"{n}" / "master.key")
        assert os.listdir(tmp_path / f"{n}") == ["master.key"]
    assert len(os.listdir("/proc/self/fd")) == before
    assert len((tmp_path / "0" / "master.key").read_text().strip()) == 64


def test_a_master_key_has_32_bytes() -> None:
    for size in (0, 31, 33, 64):
        with pytest.raises(ValueError, match="32 bytes"):
            MasterKey(b"m" * size)
    assert len(MASTER.derive("x")) == 32
