"""A device beside the CPU, for machines without a GPU: its tensors never mix with others, and only copies leave it.

It computes on the CPU, so measurements on it must equal those on the CPU.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("pretend")
DEVICE = torch.device("pretend", 0)
_CPU = torch.device("cpu")


class _There(torch.Tensor):
    """A tensor on the device, represented by a tensor on the CPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls: type[Self], held: torch.Tensor) -> Self:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operator: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        return _perform(operator, arguments, options or {})


class PretendGpu(TorchDispatchMode):
    """A context in which tensors can be created on the device.

    Attributes
    ----------
    num_operations : int
        Done on the device so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_operations = 0

    def __enter__(self) -> Self:
        # torch.tensor(..., device=...) makes its tensor on the CPU first, and copies it as any other.
        self._lifted = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # noqa: FBT003 - takes it so only
        return super().__enter__()

    def __exit__(self, *failure: object) -> None:
        super().__exit__(*failure)
        torch._C._set_only_lift_cpu_tensors(self._lifted)

    def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.num_operations += any(issubclass(each, _There) for each in types)
        return _perform(operator, arguments, options or {})


def _perform(operator: Any, arguments: Any, options: dict[str, Any]) -> Any:
    """Run an operation on its tensors' device; scalar CPU tensors are allowed, as on a GPU."""
    tensors = [each for each in pytree.tree_leaves((arguments, options)) if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, _There)]
    if there and operator is not torch.ops.aten.copy_.default:
        for each in tensors:
            assert isinstance(each, _There) or not each.dim(), f"{operator}: tensors of two devices"
    stays = bool(there)
    if options.get("device") is not None:
        stays = torch.device(options["device"]).type == DEVICE.type
        options = options | {"device": _CPU}
    of_held = {id(each.held): each for each in there}
    held = pytree.tree_map_only(_There, lambda each: each.held, (arguments, options))
    found = operator(*held[0], **held[1])
    if not stays:
        return found
    return pytree.tree_map_only(
        torch.Tensor, lambda each: of_held[id(each)] if id(each) in of_held else _There(each), found
    )
