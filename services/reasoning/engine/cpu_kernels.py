"""Which CPU kernels an engine runs: chosen once, at its start, and said in its statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kernels.native.library import CpuBackend, NativeUnavailable, library
from services.common.models.packages import ModelError
from services.reasoning.engine.settings import CpuKernelsSetting


@dataclass(frozen=True, slots=True)
class CpuKernels:
    backend: CpuBackend
    # For the statistics: the instruction set, or why it is torch.
    which: str


def choose_cpu_kernels(setting: CpuKernelsSetting, device: torch.device, dtype: torch.dtype) -> CpuKernels:
    """ModelError when ``native`` is asked for and cannot run; ``auto`` then takes torch, and says why."""
    if setting == "torch":
        return CpuKernels("torch", "torch")
    reason = ""
    if device.type != "cpu":
        reason = f"The model is on {device}, and native kernels are for a CPU."
    elif dtype not in (torch.float32, torch.bfloat16):
        reason = f"Native kernels compute float32 and bfloat16, not {dtype}."
    else:
        try:
            return CpuKernels("native", library().describe())
        except NativeUnavailable as error:
            reason = str(error)
    if setting == "native":
        raise ModelError(f"cpu_kernels: native cannot run. {reason} Or set cpu_kernels to auto or torch.")
    return CpuKernels("torch", f"torch ({reason})")
