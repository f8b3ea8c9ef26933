"""Runs in Triton's interpreter only; test_interpreter.py starts it."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]
