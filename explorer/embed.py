"""Views that stand by themselves at an address of their own, as in a frame of another page: ``?embed=cosine``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.format import visible
from explorer.latents.panel import LatentPanel
from explorer.model import QUESTIONS
from explorer.plots import absorption, sae_scores
from explorer.views.atlas import Atlas
from explorer.views.concept_graph import ConceptGraphView
from explorer.views.cosine import CosineView
from explorer.views.evidence_table import ConceptEvidence, SuiteEvidence
from explorer.views.heat_map import HeatMapView
from explorer.views.k_sparse import KSparseView
from explorer.views.latent_lists import LatentLists
from explorer.views.pair import PairView
from explorer.views.sae_scores import SaeScoresView
from explorer.views.sensitivity import SensitivityView
from explorer.views.shares import PANELS as SHARES
from explorer.views.shares import SharesView
from explorer.views.small_multiples import ConceptMultiples, SaeMultiples
from explorer.views.splitting_tree import SplittingTree
from explorer.views.token import TokenView
from queries import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from explorer.model import ExplorerModel
    from explorer.views.view import View

#: What a view can be about one of, in the order in which it is said.
_PLACE = ("family", "sae", "concept", "latent", "token")
_NO_LATENT = "The address names none."
_NO_SHARES = "This suite stores no projections of tokens on the probe for this SAE."


class Embed(NamedTuple):
    """A view that can stand by itself.

    Attributes
    ----------
    view : class of views
    title : str
        What it shows.
    page : str
        Where it stands on the whole page.
    options : mapping of str to object
        What the view is made with.
    state : mapping of str to object
        What of the state makes it show what its name says.
    """

    view: type[View]
    title: str
    page: str
    options: Mapping[str, Any] = {}
    state: Mapping[str, Any] = {}

    def make(self, model: ExplorerModel) -> View:
        """Make the view."""
        return self.view(model, **self.options)


def _panel_of_atlas(name: str) -> Embed:
    what, _, _ = name.partition("-vs-")
    slot, title = {"absorption": ("rate_x", "Absorption"), "splits": ("splits_x", "Split latents")}[what]
    number = absorption.PANELS[name][0]
    over = absorption.X_AXES[number].partition(",")[0]
    return Embed(Atlas, f"{title} of all SAEs against {over}", "atlas", {"only": slot}, {slot: number})


#: By their names in addresses: those of figures, where they have one.
EMBEDS: Mapping[str, Embed] = {
    "cosine": Embed(CosineView, "Cosine of every latent with the probe", "explore", {"alone": True}),
    "latents": Embed(LatentLists, "Split and absorbing latents", "explore"),
    "card": Embed(LatentPanel, "Card of a latent", "explore", {"when_none": _NO_LATENT}),
    "split-absorb-graph": Embed(ConceptGraphView, "Graph of split and absorbing latents of a concept", "explore"),
    "evidence": Embed(ConceptEvidence, "Tested tokens of a concept", "explore"),
    "k-sparse": Embed(KSparseView, "Scores of k-sparse probes", "explore"),
    **dict.fromkeys(
        sae_scores.PANELS, Embed(SaeScoresView, "Precision and recall of the main latent on all SAEs", "explore")
    ),
    "compared-cosines": Embed(SaeMultiples, "Cosines with the probe on several SAEs", "compare"),
    "sae-cosines": Embed(
        ConceptMultiples, "Cosines with the probes of several concepts", "compare", state={"compare_by": "concept"}
    ),
    "pair-rates": Embed(PairView, "Two SAEs concept by concept", "compare", state={"compare_by": "pair"}),
    "splitting-tree": Embed(
        SplittingTree, "How a concept splits over widths", "compare", state={"compare_by": "splitting"}
    ),
    **{name: _panel_of_atlas(name) for name in absorption.PANELS},
    "absorption-heatmap": Embed(HeatMapView, "Absorption of every concept on every SAE", "atlas"),
    "threshold-sensitivity": Embed(SensitivityView, "Absorption by threshold", "evidence"),
    **dict.fromkeys(SHARES, Embed(SharesView, "Who carries a concept", "evidence", {"when_none": _NO_SHARES})),
    "suite-evidence": Embed(SuiteEvidence, "Tested tokens of the suite", "evidence"),
    "token": Embed(TokenView, "Latents that fire on a token", "token"),
}


def place_of(model: ExplorerModel, view: type[View]) -> str:
    """Say which suite, SAE, concept and latent a view is about, as far as it is about one."""
    shown, about = model.shown, about_of(model, view)
    suite = model.store.suites[shown.suite].manifest
    said = {
        "family": shown.chosen_family.title if shown.chosen_family else "",
        "sae": shown.chosen_sae.label if shown.chosen_sae else "",
        "concept": f"{shown.noun} {shown.label}",
        "latent": f"latent {shown.latent}",
        "token": f"token {visible(shown.token)}" if shown.token else "",
    }
    return ", ".join([suite.title or suite.name, *(said[key] for key in about if said[key])])


def about_of(model: ExplorerModel, view: type[View]) -> list[str]:
    """Name in order what a view is about one of: a family only where it is about no SAE."""
    about = {key for answer in view.answers for key in _about(model, answer)}
    return [key for key in _PLACE if key in about and not (key == "family" and "sae" in about)]


def _about(model: ExplorerModel, answer: str) -> set[str]:
    taken = catalog()[QUESTIONS[answer].query].params
    try:
        return {*model.place(answer), *({"family", "token"} & taken.keys())}
    except KeyError:
        return set()
