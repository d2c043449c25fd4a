"""What tensors are computed on, and in which precision large products are fastest there."""

from __future__ import annotations

import contextvars

import psutil
import torch

#: How many workers there are on this machine: they share its memory, and that of its GPUs.
_WORKERS = contextvars.ContextVar("workers", default=1)


def best_device() -> torch.device:
    """Return the GPU that this thread works on where there is one, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def num_gpus() -> int:
    """Return the number of GPUs that this process sees."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def take_gpu(number: int) -> None:
    """Let this thread work on the GPU of that number, counted again from the first behind the last."""
    if num_gpus():
        torch.cuda.set_device(number % num_gpus())


def share_memory(workers: int) -> None:
    """Let this thread take its part of the memory only, as one of so many workers on this machine."""
    _WORKERS.set(workers)


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on a GPU, or on this machine, for this worker."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        # Each worker has a GPU of its own, as far as there are so many.
        return (torch.cuda.mem_get_info(device)[0] + held) // -(-_WORKERS.get() // num_gpus())
    return psutil.virtual_memory().available // _WORKERS.get()


def fast_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies it faster: on GPUs, and on CPUs with matrix tiles (AMX)."""
    tiles = device.type == "cuda" or torch.cpu._is_amx_tile_supported()  # noqa: SLF001 - there is no public question
    return torch.bfloat16 if tiles else torch.float32
