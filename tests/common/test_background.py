"""Background threads give way; the process that they run in does not."""

from __future__ import annotations

import os
import subprocess
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


@pytest.mark.skipif(sys.platform != "linux", reason="priorities are of threads on Linux only")
def test_a_process_gives_way_with_the_threads_that_it_has_and_those_that_it_starts() -> None:
    said = subprocess.run([sys.executable, "-c", _ALL_GIVE_WAY], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.split() == ["5", "5", "5"]


_ALL_GIVE_WAY = """
import os, threading
from services.common.serving.background import all_give_way

def priority(): print(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

go_on = threading.Event()
there = threading.Thread(target=lambda: (go_on.wait(), priority()))
there.start()
all_give_way()
go_on.set()
there.join()
started = threading.Thread(target=priority)
started.start()
started.join()
priority()
"""
