"""Work that nobody waits for gives way to calls that somebody does."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 10


def give_way() -> None:
    """The calling thread gets a tenth of a core's share while others of the machine want it, all of it otherwise.

    Indexing and segmenting are model passes of 20 ms an observation: at equal rights a recall on a busy machine waits
    behind them. Linux only (priorities are of threads there); elsewhere nothing happens.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
