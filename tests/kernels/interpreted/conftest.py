"""Runs in Triton's interpreter, which test_interpreter.py starts, or on a GPU (MNEME_TEST_DEVICE=cuda, no mutants)."""

from __future__ import annotations

import os

from tests.kernels.problems import DEVICE

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" or DEVICE == "cuda" else ["test_*.py"]
