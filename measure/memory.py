"""How much of a computation fits into memory at a time: what one piece of it takes is measured."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from measure.device import free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Share of this process's part of the free memory that a batch may take.
SHARE = 0.25


class _Held(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is entered, as long as something holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: dict[int, weakref.finalize[..., Any]] = {}

    def __exit__(self, *failure: object) -> None:
        super().__exit__(*failure)
        for watched in self._known.values():
            watched.detach()

    def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        # What was there before takes no more memory by being changed or looked at.
        self._note((arguments, options), counted=False)
        found = operator(*arguments, **options)
        self._note(found, counted=True)
        self.peak = max(self.peak, self._now)
        return found

    def _note(self, tree: Any, *, counted: bool) -> None:
        for tensor in _tensors(tree):
            storage = tensor.untyped_storage()
            if id(storage) not in self._known:
                size = storage.nbytes() if counted else 0
                self._now += size
                self._known[id(storage)] = weakref.finalize(storage, self._forget, id(storage), size)

    def _forget(self, key: int, size: int) -> None:
        del self._known[key]
        self._now -= size


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    """Find the tensors that an operator takes or gives: there are lists of them, and options."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for inner in tree:
            yield from _tensors(inner)
    elif isinstance(tree, dict):
        yield from _tensors(list(tree.values()))


def peak_of(run: Callable[[], object]) -> int:
    """Return the bytes of tensors that `run` holds at most, beside those that were there before."""
    with _Held() as held:
        run()
    return held.peak


def batch_size(run: Callable[[], object], device: torch.device, most: int, number: int = 1) -> int:
    """Return how many things are done at a time: as many as there is memory for, no more than `most`, at least one.

    Parameters
    ----------
    run : callable
        Does `number` of them, to see what memory that takes.
    device : torch.device
    most : int
    number : int
    """
    if most <= 1:
        return 1
    fit = SHARE * free_memory(device) * number // max(peak_of(run), 1)
    return int(min(max(fit, 1), most))
