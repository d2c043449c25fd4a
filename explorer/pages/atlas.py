"""Atlas: all SAEs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.views.atlas import Atlas

if TYPE_CHECKING:
    import panel as pn

    from explorer.model import ExplorerModel


def atlas_page(model: ExplorerModel) -> pn.viewable.Viewable:
    """Arrange the page."""
    return Atlas(model).__panel__()
