"""Reads the time a question asks about: dates, and times given by another event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from services.episodic.plugins.base import Plugin


@dataclass(frozen=True)
class TimePlan(Plugin):
    name: ClassVar[str] = "time_plan"
