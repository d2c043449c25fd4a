"""Views follow answers and state as long as they are shown; what changes meanwhile waits until they are again."""

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
    state: Sequence[str] = (),
    shown_with: str = "",
) -> None:
    """Have a view follow what it shows.

    Parameters
    ----------
    model : ExplorerModel
    act : callable
        Brings the view up to date.
    answers : sequence of str
        Parameters of the model whose changes call for `act`.
    state : sequence of str
        Parameters of the state whose changes call for it.
    shown_with : str
        The answer that the model keeps up to date as long as the view is shown; by default the first of `answers`.
    """
    shown_with, is_stale = shown_with or answers[0], False

    def changed(*_: param.parameterized.Event) -> None:
        nonlocal is_stale
        is_stale = not model.is_kept(shown_with)
        if not is_stale:
            act()

    def turned(*_: param.parameterized.Event) -> None:
        if is_stale:
            changed()

    for watched, names in ((model, answers), (model.state, state)):
        if names:
            watched.param.watch(changed, list(names))
    model.state.param.watch(turned, ["page", "compare_by"])
