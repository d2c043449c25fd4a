"""Views are drawn from answers and from the state that these belong to, once a change, as long as they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import param

    from explorer.model import ExplorerModel


def on_change(
    model: ExplorerModel,
    act: Callable[[], object],
    *,
    answers: Sequence[str] = (),
    shown: Sequence[str] = (),
    shown_with: str = "",
) -> None:
    """Have a view follow what it shows; what changes while it is not shown waits until it is.

    Parameters
    ----------
    model : ExplorerModel
    act : callable
        Brings the view up to date.
    answers : sequence of str
        Parameters of the model whose changes call for `act`.
    shown : sequence of str
        Attributes of `model.shown` whose changes call for it.
    shown_with : str
        The answer that the model keeps up to date as long as the view is shown; by default the first of `answers`.
    """
    shown_with, is_stale = shown_with or answers[0], False

    def changed(*events: param.parameterized.Event) -> None:
        nonlocal is_stale
        for event in events:
            is_stale |= event.name != "shown" or any(
                getattr(event.old, name) != getattr(event.new, name) for name in shown
            )
        if is_stale and model.is_kept(shown_with):
            is_stale = False
            act()

    model.param.watch(changed, [*answers, "shown"])
