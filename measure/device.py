"""What tensors are computed on, and in which precision large products are fastest there."""

from __future__ import annotations

import psutil
import torch


def best_device() -> torch.device:
    """Return the GPU that this thread works on where there is one, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def take_gpu(number: int) -> None:
    """Let this thread work on the GPU of that number, counted anew from the first behind the last."""
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a GPU, or on this machine."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    return psutil.virtual_memory().available


def fast_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies it faster: on GPUs, and on CPUs with matrix tiles (AMX)."""
    tiles = device.type == "cuda" or torch.cpu._is_amx_tile_supported()  # noqa: SLF001 - there is no public question
    return torch.bfloat16 if tiles else torch.float32
