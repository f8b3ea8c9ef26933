"""Owners that die, are stopped, succeed each other or cannot start."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.common.nodes.nodes import keepers
from services.kvstore.client import Flight, KvClient, Origin, Timing
from services.kvstore.errors import StartError
from tests.kvstore.running import BLOCK, IDENTITY, NAMESPACE, Process, Running, client, eventually, keys, payloads

ORIGIN = Origin(NAMESPACE)
HASTY = Timing(call_s=1, put_s=2, retry_s=0.05, heartbeat_s=0.1)
BRIEF = {"owner_timeout_s": 1.0, "hold_ttl_s": 1.0}


def put_until_stored(kv: KvClient, chain: list[bytes], blocks: list[bytes]) -> None:
    eventually(lambda: len(kv.put(chain, blocks, ORIGIN)) == len(chain), 20)


def test_two_stores_on_one_arena_the_second_is_refused(start: Callable[..., Running], store: Running) -> None:
    with store.client() as kv:
        chain = keys(1)
        kv.put(chain, payloads(1), ORIGIN)
        with pytest.raises(StartError, match=r"Another KV store owns .*arena\. Stop it, or give this one its own"):
            Running(store.data_dir, store.config.arena_dir).start()
        assert kv.lookup(chain) == 1


def test_a_full_dev_shm_is_an_error_at_the_start_that_names_the_remedy(tmp_path: Path, memory: Path) -> None:
    too_much = shutil.disk_usage(memory).total * 2
    with pytest.raises(StartError, match=r"kvstore\.arena_bytes: .* has no room for .* Lower kvstore\.arena_bytes"):
        Running(tmp_path, memory, arena_bytes=too_much).start()
    with pytest.raises(StartError, match=r"kvstore\.staging_bytes: .* has no room"):
        Running(tmp_path, memory, staging_bytes=too_much // 4096 * 4096).start()
    assert not list(memory.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"kvstore\.arena_dir"):
        Running(tmp_path, tmp_path / "nowhere").start()


def test_a_taken_port_is_named_and_the_arena_given_back(tmp_path: Path, memory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartError, match=r"kvstore\.port"):
            Running(tmp_path, memory, port=taken.getsockname()[1]).start()
    assert not list(memory.iterdir())
    Running(tmp_path, memory).start().stop()


def test_an_orderly_stop_misses_at_once_and_leaves_nothing(start: Callable[..., Running], memory: Path) -> None:
    store = start()
    with store.client() as kv:
        chain = keys(1)
        kv.put(chain, payloads(1), ORIGIN)
        store.stop_node()
        assert kv.lookup(chain) == 0
        assert kv.put(chain, payloads(1), ORIGIN) == []
        assert kv.begin(chain) == Flight(0, 0, 0)
    assert not list(memory.iterdir())


def test_an_orderly_stop_overwrites_what_others_still_map_while_it_is_a_keeper(store: Running) -> None:
    chain, blocks = keys(3), payloads(3)
    with store.client() as kv, store.client() as waiting, ThreadPoolExecutor(2) as threads:
        kv.put(chain, blocks, ORIGIN)
        (claimed,) = keys(1)
        kv.begin([claimed])
        with store.file("arena").open("rb") as arena, store.file("staging").open("rb") as ring:

            def held() -> tuple[bool, bool]:
                arena.seek(0)
                ring.seek(0)
                in_arena, in_ring = arena.read(), ring.read()
                return any(b in in_arena for b in [*blocks, *chain]), any(b in in_ring for b in blocks)

            assert held() == (True, True)
            wait = threads.submit(waiting.wait, [claimed], 10)  # a call in flight: the stop takes a moment
            time.sleep(0.1)
            stopping = threads.submit(store.stop_node)
            while not stopping.done():
                asked = keepers(store.data_dir)
                assert asked or not any(held()), "whoever erases would ask nobody"
            stopping.result()
            assert held() == (False, False)
        assert keepers(store.data_dir) == []
        assert wait.result() == 0


def test_a_client_of_a_stopped_store_gives_the_memory_back(store: Running, memory: Path) -> None:
    with store.client() as kv:
        assert kv.put(keys(3), payloads(3), ORIGIN)
        assert str(memory) in Path("/proc/self/maps").read_text()
        store.stop_node()
        eventually(lambda: str(memory) not in Path("/proc/self/maps").read_text())


def test_invariant_22_a_killed_owner_s_arena_is_a_miss_and_its_successor_is_found(tmp_path: Path, memory: Path) -> None:
    store = Process(tmp_path, memory, **BRIEF)
    chain, blocks = keys(3), payloads(3)
    with client(tmp_path, timing=HASTY) as kv:
        put_until_stored(kv, chain, blocks)
        assert kv.lookup(chain) == 3
        store.kill()
        eventually(lambda: kv.lookup(chain) == 0)  # no heartbeat
        assert kv.load(chain, [bytearray(BLOCK) for _ in chain]) == 0
        started = time.monotonic()
        assert kv.put(chain, blocks, ORIGIN) == []
        assert kv.begin(chain) == Flight(0, 0, 0)
        assert kv.wait(chain, 10) == 0
        assert time.monotonic() - started < 1, "a dead store costs next to nothing"
        (old,), (ring,) = memory.glob("*.arena"), memory.glob("*.staging")
        with old.open("rb") as still_mapped, ring.open("rb") as mapped_too:
            assert blocks[0] in still_mapped.read()
            assert blocks[0] in mapped_too.read()
            Process(tmp_path, memory, **BRIEF)
            for left in (still_mapped, mapped_too):
                left.seek(0)
                assert blocks[0] not in left.read(), "the successor overwrites what a dead owner left"
        assert kv.lookup(chain) == 0
        put_until_stored(kv, chain, blocks)
        into = [bytearray(BLOCK) for _ in chain]
        assert kv.load(chain, into) == 3
        assert into == blocks


def test_invariant_22_a_successor_of_another_size_is_found_too(tmp_path: Path, memory: Path) -> None:
    store = Process(tmp_path, memory, **BRIEF)
    chain, blocks = keys(1), payloads(1)
    with client(tmp_path, timing=HASTY) as kv:
        put_until_stored(kv, chain, blocks)
        store.kill()
        Process(tmp_path, memory, **BRIEF, arena_bytes=3 << 20)
        eventually(lambda: kv.lookup(chain) == 0)
        put_until_stored(kv, chain, blocks)
        assert kv.stats().capacity_bytes == 3 << 20


def test_invariant_22_a_stopped_owner_is_a_miss_until_it_goes_on(tmp_path: Path, memory: Path) -> None:
    """A stopped owner cannot apply erasures, so nothing of it may be used."""
    store = Process(tmp_path, memory, **BRIEF)
    chain, blocks = keys(1), payloads(1)
    with client(tmp_path, timing=HASTY) as kv:
        put_until_stored(kv, chain, blocks)
        store.signal(signal.SIGSTOP)
        try:
            eventually(lambda: kv.lookup(chain) == 0)
            assert kv.load(chain, [bytearray(BLOCK)]) == 0
        finally:
            store.signal(signal.SIGCONT)
        eventually(lambda: kv.lookup(chain) == 1)


def test_a_store_that_does_not_answer_costs_one_deadline_not_one_a_call(tmp_path: Path, memory: Path) -> None:
    store = Process(tmp_path, memory, owner_timeout_s=60)
    timing = Timing(call_s=0.5, put_s=1, retry_s=5, heartbeat_s=60)
    chain, blocks = keys(1), payloads(1)
    with client(tmp_path, timing=timing) as kv:
        put_until_stored(kv, chain, blocks)
        store.signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            for _ in range(20):
                assert kv.begin(keys(1)) == Flight(0, 0, 0)
            assert kv.put(keys(1), payloads(1), ORIGIN) == []
            assert 0.4 < time.monotonic() - started < 1.5
            assert kv.lookup(chain) == 1, "what is in shared memory still serves"
        finally:
            store.signal(signal.SIGCONT)


def test_killed_in_the_middle_of_gets_and_puts_nothing_fails_and_nothing_is_wrong(tmp_path: Path, memory: Path) -> None:
    """kill -9, three times, while two clients put and get. Every payload is made of its key."""
    store = Process(tmp_path, memory, **BRIEF)
    stop = threading.Event()
    wrong: list[bytes] = []
    failures: list[BaseException] = []
    hits: list[float] = []
    slowest: list[float] = []

    def work() -> None:
        into = bytearray(BLOCK)
        try:
            with client(tmp_path, timing=HASTY) as kv:
                while not stop.is_set():
                    chain = keys(4)
                    started = time.monotonic()
                    kv.begin(chain)
                    kv.put(chain, [key * (BLOCK // 16) for key in chain], ORIGIN)
                    for key in chain:
                        if kv.load([key], [into]) == 1:
                            hits.append(time.monotonic())
                            if into != key * (BLOCK // 16):
                                wrong.append(key)
                    slowest.append(time.monotonic() - started)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = len(hits)
        eventually(lambda before=before: len(hits) > before + 50, 30)  # type: ignore[misc]
        store.kill()
        store = Process(tmp_path, memory, **BRIEF)
    before = len(hits)
    eventually(lambda: len(hits) > before + 50, 30)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not failures
    assert not wrong
    assert max(slowest) < HASTY.put_s + 2 * HASTY.call_s + 2


HOLDER = """
import sys, time
from pathlib import Path
from tests.kvstore.running import client
kv = client(Path(sys.argv[1])).start()
chain = [bytes.fromhex(h) for h in sys.argv[2:]]
assert kv.begin(chain).claimed == len(chain)
assert kv.lease([chain[0]])
print("holding", flush=True)
time.sleep(60)
"""


def test_a_client_killed_while_it_holds_claims_and_leases_holds_nobody_up(start: Callable[..., Running]) -> None:
    store = start(hold_ttl_s=1.0)
    chain = keys(2)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.data_dir), *(key.hex() for key in chain)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with store.client() as kv, holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holding\n"
        assert kv.begin(chain) == Flight(0, 0, 2)
        assert kv.stats().leases == 1
        time.sleep(1.5)
        assert kv.begin(chain) == Flight(0, 0, 2), "it lives and beats"
        holder.kill()
        started = time.monotonic()
        assert kv.wait(chain, 20) == 0
        assert time.monotonic() - started < 5
        assert kv.begin(chain) == Flight(0, 2, 0)
        eventually(lambda: kv.stats().leases == 0)


def test_a_client_that_comes_before_the_store_finds_it(tmp_path: Path, memory: Path) -> None:
    chain, blocks = keys(1), payloads(1)
    with client(tmp_path, IDENTITY) as kv:
        assert kv.lookup(chain) == 0
        assert kv.put(chain, blocks, ORIGIN) == []
        store = Running(tmp_path, memory).start()
        put_until_stored(kv, chain, blocks)
        assert kv.lookup(chain) == 1
        store.stop()
