"""Background threads give way; the process that they run in does not."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from services.common.serving.background import NICENESS, give_way


@pytest.mark.skipif(sys.platform != "linux", reason="priorities are of threads on Linux only")
def test_only_the_calling_thread_gives_way() -> None:
    before, inside = os.getpriority(os.PRIO_PROCESS, 0), []

    def work() -> None:
        give_way()
        inside.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert inside == [NICENESS]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before < NICENESS
