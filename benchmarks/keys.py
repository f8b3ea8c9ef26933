"""What the keys of texts take, with trees and with a record for each text: ``python -m benchmarks.keys``.

Both forms in one run, on logs of their own: records and bytes in the keys topic, processor time of reading them at a
start, memory of who has read them, and processor time of sealing and of opening a text.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from mneme.v1.ledger_pb2 import Sealed

from benchmarks.memory import resident_bytes
from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import topics
from services.common.log.base import Log, Message
from services.common.log.open import open_log

_MASTER = MasterKey(bytes(range(32)))
_PARTITIONS = 8
_AT_ONCE = 1_000  # of a transaction
_SAMPLE = 2_000  # texts that are sealed and opened
_TEXT = bytes(300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--namespaces", type=int, default=1_000)
    parser.add_argument("--read", help="a log that is read, and nothing else")
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return
    print(f"{arguments.texts} texts in {arguments.namespaces} namespaces")
    names = [f"bench/{n}" for n in range(arguments.namespaces)]
    for form, make in {"a record a text": one_each, "trees": of_trees}.items():
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite://{folder}/log.db"
            with closing(open_log(url)) as log:
                log.ensure_topics(topics.specs(_PARTITIONS, []))
                key_ids = make(log, names, arguments.texts)
                records = [r for n in range(_PARTITIONS) for r in log.read(topics.KEYS, n)]
            size = sum(len(r.key) + len(r.value or b"") for r in records)
            print(
                f"{form}: {len(records)} records, {size / 1e6:.2f} MB, file {Path(url[9:]).stat().st_size / 1e6:.1f} MB"
            )
            with closing(open_log(url)) as log:
                seal_and_open(log, names, key_ids)
            subprocess.run([sys.executable, "-m", "benchmarks.keys", "--read", url], check=True)


def one_each(log: Log, names: Sequence[str], texts: int) -> list[str]:
    """As an earlier version did."""
    keyring = Keyring(log, _MASTER)
    return append(log, names, texts, lambda name: ((key := keyring.new_key(name)).key_id, [key.message]), keyring)


def of_trees(log: Log, names: Sequence[str], texts: int) -> list[str]:
    keyring = Keyring(log, _MASTER)
    return append(log, names, texts, lambda name: ((key := keyring.text_key(name)).key_id, key.messages), keyring)


def append(
    log: Log, names: Sequence[str], texts: int, new: Callable[[str], tuple[str, Sequence[Message]]], keyring: Keyring
) -> list[str]:
    """Ids of the keys; the one at n is of the namespace n modulo their count."""
    log.append([keyring.name_key(name).message for name in names])
    key_ids: list[str] = []
    while len(key_ids) < texts:
        messages: list[Message] = []
        for n in range(len(key_ids), min(len(key_ids) + _AT_ONCE, texts)):
            key_id, more = new(names[n % len(names)])
            key_ids.append(key_id)
            messages += more
        log.append(messages)
    return key_ids


def seal_and_open(log: Log, names: Sequence[str], key_ids: Sequence[str]) -> None:
    keyring = Keyring(log, _MASTER)
    keyring.refresh()
    near = random.Random(0).sample(range(len(key_ids)), min(_SAMPLE, len(key_ids)))
    begun = time.process_time()
    sealed: list[tuple[Sealed, str]] = []
    for n in near:
        name = names[n % len(names)]
        sealed.append((keyring.seal(key_ids[n], _TEXT, namespace=name, purpose="p"), name))
    sealing = time.process_time() - begun
    begun = time.process_time()
    for one, name in sealed:
        keyring.open(one, namespace=name, purpose="p")
    opening = time.process_time() - begun
    print(f"  sealing {sealing / len(near) * 1e6:.1f} us a text, opening {opening / len(near) * 1e6:.1f}")


def read(url: str) -> None:
    """In a process of its own, whose memory is this."""
    with closing(open_log(url)) as log:
        before = resident_bytes()
        begun = time.process_time()
        keyring = Keyring(log, _MASTER)
        keyring.refresh()
        took = time.process_time() - begun
        print(
            f"  read at a start in {took:.2f} s of processor, and held in {(resident_bytes() - before) / 2**20:.0f} MiB"
        )


if __name__ == "__main__":
    main()
