"""The segmentation plug-ins: one visible list. ``config.segmentation`` names one."""

from __future__ import annotations

from collections.abc import Callable

from services.perception.config import PerceptionConfig
from services.perception.sessions.segmentation.base import Segmentation
from services.perception.sessions.segmentation.fixed import FixedSize
from services.perception.sessions.segmentation.surprise import Surprise


def build(config: PerceptionConfig) -> Segmentation:
    """The configured plug-in with its parameters."""
    plugins: dict[str, Callable[[PerceptionConfig], Segmentation]] = {"fixed": _fixed, "surprise": _surprise}
    return plugins[config.segmentation](config)


def _fixed(config: PerceptionConfig) -> Segmentation:
    return FixedSize(units=config.fixed_units)


def _surprise(config: PerceptionConfig) -> Segmentation:
    return Surprise(
        gamma=config.surprise_gamma,
        window=config.surprise_window,
        context=config.surprise_context,
        min_units=config.surprise_min_units,
        gap_s=config.surprise_gap_s,
        gap_sigma=config.surprise_gap_sigma,
    )
