"""Batch sizes that fit into memory, from the measured memory of a small batch."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from measure.device import free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Share of this worker's free memory that a batch may take.
SHARE = 0.25


class _PeakMemory(TorchDispatchMode):
    """Records the peak of the total size, in bytes, of the tensors allocated within its context."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: dict[int, weakref.finalize[..., Any]] = {}

    def __exit__(self, *failure: object) -> None:
        super().__exit__(*failure)
        for finalizer in self._known.values():
            finalizer.detach()

    def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        # Storage that existed before is not counted, nor are views of it.
        self._register((arguments, options), counted=False)
        result = operator(*arguments, **options)
        self._register(result, counted=True)
        self.peak = max(self.peak, self._now)
        return result

    def _register(self, tree: Any, *, counted: bool) -> None:
        for tensor in _tensors(tree):
            storage = tensor.untyped_storage()
            if id(storage) not in self._known:
                size = storage.nbytes() if counted else 0
                self._now += size
                self._known[id(storage)] = weakref.finalize(storage, self._freed, id(storage), size)

    def _freed(self, key: int, size: int) -> None:
        del self._known[key]
        self._now -= size


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    """Find the tensors in the arguments or results of an operator, which may be nested in lists and dicts."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for inner in tree:
            yield from _tensors(inner)
    elif isinstance(tree, dict):
        yield from _tensors(list(tree.values()))


def peak_of(run: Callable[[], object]) -> int:
    """Return the peak size of the tensors that `run` allocates, in bytes."""
    with _PeakMemory() as memory:
        run()
    return memory.peak


def batch_size(run: Callable[[], object], device: torch.device, most: int, number: int = 1) -> int:
    """Return the largest batch size that fits into memory, from 1 to `most`.

    Parameters
    ----------
    run : callable
        Computes a batch of size `number`, whose memory is measured.
    device : torch.device
    most : int
    number : int
    """
    if most <= 1:
        return 1
    fit = SHARE * free_memory(device) * number // max(peak_of(run), 1)
    return int(min(max(fit, 1), most))
