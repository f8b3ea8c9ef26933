"""Work that nobody waits for gives way to calls that somebody does."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

NICENESS = 10
_OF_ALL = 5


def all_give_way() -> None:
    """As ``give_way``, a third of a core's share, for every thread of the process and all that they start."""
    if sys.platform == "linux":
        for thread in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.setpriority(os.PRIO_PROCESS, int(thread), _OF_ALL)


def give_way() -> None:
    """The calling thread gets a tenth of a core's share while others of the machine want it, all of it otherwise.

    Indexing and segmenting are model passes of 20 ms an observation: at equal rights a recall on a busy machine waits
    behind them. Linux only (priorities are of threads there); elsewhere nothing happens.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
