"""Views follow answers and state as long as they are shown; what changes meanwhile waits until they are again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import param

    from explorer.model import ExplorerModel


def on_change(
    model: ExplorerModel, act: Callable[[], object], *, answers: Sequence[str], state: Sequence[str] = ()
) -> None:
    """Have a view follow what it shows.

    Parameters
    ----------
    model : ExplorerModel
    act : callable
        Brings the view up to date.
    answers : sequence of str
        Parameters of the model that the view shows; it is taken to be shown while the model keeps any of them answered.
    state : sequence of str
        Parameters of the state that it shows, too.
    """
    is_stale = False

    def changed(*_: param.parameterized.Event) -> None:
        nonlocal is_stale
        is_stale = not any(map(model.is_kept, answers))
        if not is_stale:
            act()

    def turned(*_: param.parameterized.Event) -> None:
        if is_stale:
            changed()

    model.param.watch(changed, list(answers))
    if state:
        model.state.param.watch(changed, list(state))
    model.state.param.watch(turned, ["page", "compare_by"])
