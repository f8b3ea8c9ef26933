"""What nodes show each other: short-lived tokens under a key of their own, derived from the master key.

Whoever can derive it is one of our nodes; a caller's token or grant is never enough to put a block.
"""

from __future__ import annotations

import time

from services.common.auth import Right, Signer
from services.common.seal import MasterKey

_TTL_S = 300.0


def node_signer(master: MasterKey) -> Signer:
    return Signer(master.derive("kvstore-node"), "kvstore-node")


class NodeCredential:
    """Metadata for calls of one node, signed anew when half of its time is over."""

    def __init__(self, master: MasterKey, name: str) -> None:
        self._signer = node_signer(master)
        self._name = name
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._fresh_until = 0.0

    def metadata(self) -> tuple[tuple[str, str], ...]:
        if time.monotonic() >= self._fresh_until:
            rights = frozenset({Right.READ, Right.WRITE, Right.FORGET})
            token, _ = self._signer.issue(self._name, ("",), rights, _TTL_S)
            self._metadata = (("authorization", f"Bearer {token}"),)
            self._fresh_until = time.monotonic() + _TTL_S / 2
        return self._metadata
