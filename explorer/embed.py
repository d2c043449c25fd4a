"""Views that can be embedded in other pages, at an address of their own: ``?embed=cosine``."""

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

#: Parts of the subject of a view, in the order in which they are named.
_PLACE = ("family", "sae", "concept", "latent", "token")
_NO_LATENT = "The address names none."
_NO_SHARES = "This suite stores no projections of tokens on the probe for this SAE."


class Embed(NamedTuple):
    """A view that can be embedded.

    Attributes
    ----------
    view : class of views
    title : str
        Description of its contents.
    page : str
        The page that contains it.
    options : mapping of str to object
        Options of its constructor.
    state : mapping of str to object
        Parameters of the state that it requires.
    """

    view: type[View]
    title: str
    page: str
    options: Mapping[str, Any] = {}
    state: Mapping[str, Any] = {}

    def make(self, model: ExplorerModel) -> View:
        """Create the view."""
        return self.view(model, **self.options)


def _panel_of_atlas(name: str) -> Embed:
    what, _, _ = name.partition("-vs-")
    slot, title = {"absorption": ("rate_x", "Absorption"), "splits": ("splits_x", "Split latents")}[what]
    number = absorption.PANELS[name][0]
    over = absorption.X_AXES[number].partition(",")[0]
    return Embed(Atlas, f"{title} of all SAEs against {over}", "atlas", {"only": slot}, {slot: number})


#: The views by their names in addresses, which are those of figures if they have one.
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
    **dict.fromkeys(SHARES, Embed(SharesView, "Latents that carry a concept", "evidence", {"when_none": _NO_SHARES})),
    "suite-evidence": Embed(SuiteEvidence, "Tested tokens of the suite", "evidence"),
    "token": Embed(TokenView, "Latents that fire on a token", "token"),
}


def subject_of(model: ExplorerModel, view: type[View]) -> str:
    """Return the subject of a view as a text: suite, and family, SAE, concept, latent and token if it is about one."""
    shown, about = model.shown, subject_keys(model, view)
    suite = model.store.suites[shown.suite].manifest
    texts = {
        "family": shown.chosen_family.title if shown.chosen_family else "",
        "sae": shown.chosen_sae.label if shown.chosen_sae else "",
        "concept": f"{shown.noun} {shown.label}",
        "latent": f"latent {shown.latent}",
        "token": f"token {visible(shown.token)}" if shown.token else "",
    }
    return ", ".join([suite.title or suite.name, *(texts[key] for key in about if texts[key])])


def subject_keys(model: ExplorerModel, view: type[View]) -> list[str]:
    """Return the parts of a view's subject in order; the family only if it is not about one SAE."""
    about = {key for answer in view.answers for key in _about(model, answer)}
    return [key for key in _PLACE if key in about and not (key == "family" and "sae" in about)]


def _about(model: ExplorerModel, answer: str) -> set[str]:
    taken = catalog()[QUESTIONS[answer].query].params
    try:
        return {*model.place(answer), *({"family", "token"} & taken.keys())}
    except KeyError:
        return set()
