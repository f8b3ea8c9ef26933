"""Where weights come from. Every source speaks the canonical names: those of Hugging Face's Llama."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError, safe_open
from torch import Tensor

from services.common.models.packages import ModelError
from services.reasoning.models.config import read_json


class WeightSource(Protocol):
    """Named tensors, read one at a time so that a model is never in memory twice."""

    def names(self) -> Iterable[str]:
        """All canonical names, in any order."""
        ...

    def tensor(self, name: str) -> Tensor:
        """One tensor, dequantised, in whatever float dtype it is stored in. KeyError for an unknown name."""
        ...


class SafetensorsDirectory:
    """model.safetensors, or the shards that model.safetensors.index.json names. Runs no code of the model's."""

    def __init__(self, folder: Path) -> None:
        single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
        if single.is_file():
            files = {"model.safetensors"}
        elif index.is_file():
            files = set(read_json(folder, index.name).get("weight_map", {}).values())
        else:
            raise ModelError(
                f"The model directory {folder} has neither model.safetensors nor model.safetensors.index.json. "
                "Download the model again, whole, in safetensors format."
            )
        missing = sorted(name for name in files if not (folder / name).is_file())
        if missing:
            raise ModelError(f"The model directory {folder} lacks {', '.join(missing)}. Download the model again.")
        self._file_of: dict[str, Path] = {}
        for name in sorted(files):
            try:
                with safe_open(folder / name, framework="pt") as opened:
                    self._file_of.update(dict.fromkeys(opened.keys(), folder / name))
            except SafetensorError as error:
                raise ModelError(f"{folder / name} cannot be read ({error}). Download the model again.") from error

    def names(self) -> Iterable[str]:
        return self._file_of.keys()

    def tensor(self, name: str) -> Tensor:
        with safe_open(self._file_of[name], framework="pt") as opened:
            tensor: Tensor = opened.get_tensor(name)
            return tensor
