"""One partition of the ledger, wired: who writes what is made of it, and who answers from that."""

from __future__ import annotations

import threading

from services.episodic.erasure.forget import Forgetting
from services.episodic.recall.audit import Audit
from services.episodic.recall.export import Export
from services.episodic.recall.reads import Reads
from services.episodic.write.commands import Commands
from services.episodic.write.components import Components
from services.episodic.write.rebuild import Rebuilder
from services.episodic.write.writer import Host


class Partition:
    """Owned by one process at a time. Made, started and stopped once."""

    def __init__(self, parts: Components, number: int, turn: threading.Lock) -> None:
        """``turn``: see ``Rebuilder``."""
        self.number = number
        self.host = Host(parts, number)
        self.rebuilder = Rebuilder(self.host, turn)
        self.forgetting = Forgetting(self.host)
        self.commands = Commands(self.host)
        self.reads = Reads(self.host)
        self.export = Export(self.host)
        self.audit = Audit(self.host)

    def start(self) -> None:
        """Returns when the index follows the feed. Where it was made by something else than is configured, it answers
        until the one that is made beside it is whole."""
        self.host.start()
        self.rebuilder.recover()
        self.rebuilder.upgrade()

    def stop(self, grace_s: float) -> None:
        """End what runs; what is written is flushed."""
        self.finish(grace_s)
        self.close()

    def finish(self, grace_s: float) -> bool:
        """As ``Host.finish``."""
        self.rebuilder.stop(grace_s)
        return self.host.finish(grace_s) and not self.rebuilder.is_running

    def close(self) -> None:
        self.host.close()
        self.host.parts.index.close()
