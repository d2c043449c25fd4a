"""The device to compute on, and the precision in which it multiplies large matrices fastest."""

from __future__ import annotations

import contextvars

import psutil
import torch

#: Number of workers on this machine, which share its memory and that of its GPUs.
_WORKERS = contextvars.ContextVar("workers", default=1)


def best_device() -> torch.device:
    """Return this thread's current GPU, or the CPU if there is no GPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def num_gpus() -> int:
    """Return the number of GPUs that this process sees."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def take_gpu(number: int) -> None:
    """Make GPU `number` (modulo the number of GPUs) the current one of this thread."""
    if num_gpus():
        torch.cuda.set_device(number % num_gpus())


def share_memory(workers: int) -> None:
    """Limit this thread's batches to its share of the memory, as one of `workers` on this machine."""
    _WORKERS.set(workers)


def free_memory(device: torch.device) -> int:
    """Return this worker's share of the free memory of a GPU or of this machine, in bytes."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        # Workers are distributed over the GPUs, so those of one GPU share it.
        return (torch.cuda.mem_get_info(device)[0] + held) // -(-_WORKERS.get() // num_gpus())
    return psutil.virtual_memory().available // _WORKERS.get()


def fast_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies it faster: on GPUs, and on CPUs with matrix tiles (AMX)."""
    tiles = device.type == "cuda" or torch.cpu._is_amx_tile_supported()  # noqa: SLF001 - there is no public function
    return torch.bfloat16 if tiles else torch.float32
