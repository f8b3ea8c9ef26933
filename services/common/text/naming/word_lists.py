"""The files of words beside this one: an entry a line; what begins with "#" says what they are."""

from __future__ import annotations

from importlib import resources


def entries(file: str) -> list[str]:
    """The lines of one of them, in order."""
    lines = resources.files(__package__).joinpath(file).read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]
