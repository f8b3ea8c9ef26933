"""How long perception takes to know the ledger, with a snapshot and without: ``python -m benchmarks.start``.

It writes a ledger of its own, as perception does but for finding names, and starts on it as another process would. Keys
are counted apart: both starts read the whole keys topic, once to know namespaces by name and once to open a text.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from mneme.v1.ledger_pb2 import LedgerEntry, NamespaceCreated, ObservationAccepted

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import Log, Message
from services.common.log.open import open_log
from services.perception.ledger_facts import LedgerFacts

_MASTER = MasterKey(bytes(range(32)))
_PARTITIONS = 8
_TEXT = bytes(300)
_STARTS = 3
_SINCE = 100  # observations that the snapshot does not know


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--observations", type=int, default=100_000)
    parser.add_argument("--namespaces", type=int, default=1_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url, file = f"sqlite://{folder}/log.db", Path(folder) / "facts.snapshot"
        names = [f"bench/{n}" for n in range(arguments.namespaces)]
        with closing(open_log(url)) as log:
            log.ensure_topics(topics.specs(_PARTITIONS, []))
            keyring = Keyring(log, _MASTER)
            create(log, keyring, names)
            observe(log, keyring, names, range(arguments.observations - _SINCE))
            known = LedgerFacts(log, keyring)
            known.catch_up()
            snapshots = known.kept_in(file)
            begun = time.perf_counter()
            snapshots.write()
            print(f"snapshot: {file.stat().st_size / 1e6:.1f} MB, written in {time.perf_counter() - begun:.2f} s")
            observe(log, keyring, names, range(arguments.observations - _SINCE, arguments.observations))
        starts = [(started(url, file), started(url, file.with_name("none"))) for _ in range(_STARTS)]
    print(f"{arguments.observations} observations in {arguments.namespaces} namespaces, {_SINCE} since the snapshot")
    with_it, without = (best(one) for one in zip(*starts, strict=True))
    for what, (facts_s, keys_s) in {"without": without, "with it": with_it}.items():
        print(f"{what}: {facts_s:.2f} s of processor, and {keys_s:.2f} s for keys; the best of {_STARTS}")
    print(f"ratio: {without[0] / with_it[0]:.1f}, keys counted in {sum(without) / sum(with_it):.1f}")


def started(url: str, file: Path) -> tuple[float, float]:
    """Seconds of this process that a start takes for the facts, and for keys."""
    with closing(open_log(url)) as log:
        keyring = Keyring(log, _MASTER)
        with timed() as keys:
            for partition in range(_PARTITIONS):  # to read one entry by its name takes the keys of its partition
                list(log.read(topics.LEDGER, partition, 0, 1))
            keyring.refresh()
        with timed() as facts:
            known = LedgerFacts(log, keyring)
            known.kept_in(file).restore()
            known.catch_up()
    return facts[0], keys[0]


def best(starts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    facts, keys = zip(*starts, strict=True)
    return min(facts), min(keys)


@contextmanager
def timed() -> Iterator[list[float]]:
    took: list[float] = []
    begun = time.process_time()
    yield took
    took.append(time.process_time() - begun)


def create(log: Log, keyring: Keyring, names: list[str]) -> None:
    for name in names:
        log.append([keyring.name_key(name).message])
        key = keyring.new_key(name)
        aliases = ledger.seal_aliases(keyring, key.key_id, name, [])
        entry = LedgerEntry(namespace=name, namespace_created=NamespaceCreated(aliases=aliases))
        log.append([key.message, ledger.message(entry)])


def observe(log: Log, keyring: Keyring, names: list[str], numbers: range) -> None:
    for start in range(numbers.start, numbers.stop, 1_000):
        messages: list[Message] = []
        for n in range(start, min(start + 1_000, numbers.stop)):
            name = names[n % len(names)]
            key = keyring.text_key(name)
            body = ObservationAccepted(
                id_mac=keyring.mac(name, ledger.MAC_OBSERVATION, str(n)),
                content_mac=keyring.mac(name, ledger.MAC_CONTENT, str(n)),
                session_mac=keyring.mac(name, ledger.MAC_SESSION, str(n // len(names) // 20)),
                sealed=keyring.seal(key.key_id, _TEXT, namespace=name, purpose=ledger.SEAL_OBSERVATION),
            )
            messages += [*key.messages, ledger.message(LedgerEntry(namespace=name, observation_accepted=body))]
        log.append(messages)


if __name__ == "__main__":
    main()
