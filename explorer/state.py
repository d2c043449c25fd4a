"""State of a session: ids, thresholds and switches, and their form in the URL. Independent of data and plots."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import param

from explorer.concepts import Concept, Family, plural
from explorer.evidence import decisive, unused_columns
from explorer.format import rate_label
from explorer.former_links import FORMER, FORMER_KEYS, OTHER, translate_former_keys
from explorer.given_values import (
    SEPARATOR,
    SHOWN_OPTIONS,
    attribute_of,
    number_of,
    option_of,
    options_of,
    refusal_of,
    shortened,
    within,
)
from explorer.saes import (
    ATTRIBUTES,
    SWEEP,
    Sae,
    are_of_one_sweep,
    by_width,
    choose,
    counterparts,
    distinguishing_attributes,
    matches,
    suggest_other,
    value_label,
    values_of,
)
from explorer.text.tour_files import TOURS
from queries.manifest import THRESHOLD_BOUNDS
from queries.schema import FRACTIONS, INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

PAGES = ("explore", "compare", "atlas", "evidence", "token", "learn")
#: Filters by SAE, for tested tokens and for a token's latents; with concept and latent, all filters of tested tokens.
SAE_FACETS = tuple(f"facet_{name}" for name in ATTRIBUTES)
FACETS = (*SAE_FACETS, "facet_concept", "facet_latent")
#: Maximum length of a search; tokens are shorter.
SEARCH_CHARACTERS = 100
#: Maximum number of concepts whose plots Compare shows.
COMPARED_CONCEPTS = 60
#: Numeric attributes of SAEs that Atlas can use as x-axis.
X_AXES = ("l0", "layer", "width", "variance_explained", "loss_recovered", "dead_fraction")
#: Parameters that are ids; `apply` checks whether they exist.
_IDS = ("sae", "concept", "family", "metric", "other_suite", "other_sae", "facet_concept")
#: Keys of a URL, each with the less specific keys that are ignored if it is given.
_SAID_BY = {"sae": ATTRIBUTES, "concept": ("family", "letter"), "other_sae": OTHER, "facet_concept": ("facet_letter",)}


class Thresholds(NamedTuple):
    """The thresholds for splitting and absorption."""

    tau: float = 0.03
    cosine_threshold: float = 0.025
    effect_margin: float = 1.0


#: The thresholds of the paper.
PAPER = Thresholds()


class SuiteChoices(NamedTuple):
    """The choices in one suite, in order, its own thresholds, and which of these have an effect."""

    saes: Sequence[Sae] = ()
    concepts: Mapping[str, Concept] = {}
    families: Mapping[str, Family] = {}
    thresholds: Thresholds = PAPER
    #: Thresholds that have an effect, by metric; the suite's own metric first.
    movable: Mapping[str, Collection[str]] = {"ig_ablation": Thresholds._fields}
    #: Metrics by which tokens have a verdict.
    judging: Collection[str] = ("ig_ablation",)
    #: Whether kin of latents are stored.
    has_kin: bool = False
    #: SAE, concept and latent of its initial view.
    opening: Mapping[str, Any] = {}


_NO_CHOICES = SuiteChoices()


class Snapshot(SimpleNamespace):
    """The parameters and properties of an `ExplorerState` at one time, by their names."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class ExplorerState(param.Parameterized):
    """Ids and switches of one session; every change of the page is a change of these parameters.

    Parameters
    ----------
    choices : mapping of str to SuiteChoices
        Possible choices, by suite.
    **values
        Initial values.

    Raises
    ------
    ValueError
        If an initial value is not possible.
    """

    page = param.Selector(default="explore", objects=list(PAGES), doc="The page shown.")
    suite = param.Selector(objects=[], check_on_set=True, allow_None=True, doc="Name of the suite.")
    sae = param.Selector(objects=[], check_on_set=True, allow_None=True, doc="Id of the SAE.")
    concept = param.Selector(objects=[], check_on_set=True, allow_None=True, doc="Id of the concept.")
    metric = param.Selector(objects=[], check_on_set=True, allow_None=True, doc="How absorption was measured.")
    latent = param.Integer(default=None, allow_None=True, bounds=(0, None), doc="The selected latent, or None.")

    # The soft bounds are those of sliders and of the sensitivity plot.
    tau = param.Number(
        default=0.03,
        bounds=THRESHOLD_BOUNDS["tau"],
        softbounds=(0, 0.2),
        step=0.005,
        doc="Minimum F1 gain per split latent.",
    )
    cosine_threshold = param.Number(
        default=0.025,
        bounds=THRESHOLD_BOUNDS["cosine_threshold"],
        softbounds=(-0.1, 0.4),
        step=0.005,
        doc="Minimum cosine of an absorbing latent.",
    )
    effect_margin = param.Number(
        default=1.0,
        bounds=THRESHOLD_BOUNDS["effect_margin"],
        softbounds=(0, 4),
        step=0.05,
        doc="Minimum effect margin, logits.",
    )
    sensitivity_of = param.Selector(
        default="cosine_threshold",
        objects=["tau", "cosine_threshold", "effect_margin"],
        doc="Threshold against which the sensitivity plot draws the absorption rate.",
    )

    cosine_view = param.Selector(default="index", objects=["index", "rank", "distribution"], doc="Form of the plot.")
    k_sparse_score = param.Selector(
        default="f1", objects=["f1", "precision", "recall", "auc"], doc="Score that the k-sparse plot shows."
    )
    graph_edges = param.Selector(
        default="count", objects=["count", "effect"], doc="What the width of an edge of the graph shows."
    )
    main_latent_by = param.Selector(
        default="encoder",
        objects=["encoder", "k_sparse"],
        doc="Main latent in the plots over all SAEs: by encoder or k-sparse.",
    )

    compare_by = param.Selector(
        default=None,
        objects=[None, *ATTRIBUTES, "concept", "pair", "splitting"],
        doc="What Compare compares; None for a default.",
    )
    other_suite = param.String(
        default=None, allow_None=True, doc="Suite of the SAE compared with, or None for this one."
    )
    other_sae = param.String(default=None, allow_None=True, doc="Id of the SAE compared with, or None.")
    mean_policy = param.Selector(
        default="with_candidates",
        objects=["with_candidates", "all_concepts"],
        doc="Concepts that count in means.",
    )
    rate_x = param.Selector(default="l0", objects=list(X_AXES), doc="X-axis of Atlas' plot of the absorption rate.")
    other_x = param.Selector(
        default=None,
        objects=[None, *X_AXES],
        doc="X-axis of its second plot; None for a default.",
    )
    splits_x = param.Selector(
        default="l0", objects=list(X_AXES), doc="X-axis of its plot of the number of split latents."
    )
    told_by = param.Selector(
        default=None,
        objects=[None, *ATTRIBUTES],
        doc="Attribute by which Atlas colours; None for one that varies.",
    )
    scope = param.Selector(default="suite", objects=["suite", "all"], doc="Whether Atlas shows one suite or all.")
    cell = param.Selector(
        default="absorption_rate",
        objects=["absorption_rate", "num_split_latents", "f1_gap"],
        doc="What a cell of the heat map shows.",
    )
    cell_order = param.Selector(default="layer", objects=list(ATTRIBUTES), doc="Order of the heat map's SAEs.")

    evidence_token = param.String(default="", doc="Prefix of the tested tokens to list.")
    evidence_verdict = param.Selector(
        default="all",
        objects=["all", "absorbed", "not absorbed", "differs", "disagree"],
        doc="Verdict of the tested tokens to list.",
    )
    evidence_sort = param.Selector(
        default="top_effect",
        objects=[
            *("token", "sae", "concept", "top_latent", "top_effect", "top_cosine"),
            *("second_latent", "second_effect", "margin", "projection", "fraction", "reason"),
        ],
        doc="Column by which tested tokens are sorted.",
    )
    evidence_descending = param.Boolean(default=False, doc="Whether in descending order.")
    evidence_columns = param.ListSelector(
        default=[
            *("top_effect", "top_cosine", "second_latent", "second_effect", "margin"),
            *("projection", "projected_share", "fraction", "absorbed_by"),
        ],
        objects=[
            *("split_activations", "top_effect", "top_cosine"),
            *("second_latent", "second_effect", "second_cosine", "margin"),
            *("projection", "projected_share", "fraction", "absorbed_by"),
        ],
        doc="Optional columns of the tested tokens.",
    )
    evidence_page = param.Integer(
        default=0, bounds=(0, 1_000_000), doc="Page of the list of tested tokens, counted from 0."
    )
    facet_layer = param.Parameter(default=None, doc="Layer of the SAEs listed on Evidence and Token, or None for all.")
    facet_hook = param.Parameter(default=None, doc="Their hook, or None.")
    facet_architecture = param.Parameter(default=None, doc="Their architecture, or None.")
    facet_width = param.Parameter(default=None, doc="Their nominal width, or None.")
    facet_l0 = param.Parameter(default=None, doc="Their L0, or None.")
    facet_seed = param.Parameter(default=None, doc="Their seed, or None.")
    facet_concept = param.String(default=None, allow_None=True, doc="Id of the concept of the tokens to list, or None.")
    facet_latent = param.Integer(
        default=None, allow_None=True, bounds=(0, INTEGER_MAX), doc="Top latent of the tokens to list, or None."
    )

    learn_step = param.Integer(default=1, bounds=(1, 5), doc="Step of the page Learn.")
    learn_latents = param.Integer(default=2, bounds=(1, 2), doc="Latents of its toy SAE.")
    absorption = param.Number(
        default=0.0, bounds=(0, 1), step=0.01, doc="Absorption of the toy SAE, from 0 (none) to 1 (full)."
    )
    hedging = param.Number(
        default=0.0,
        bounds=(-1, 1),
        step=0.01,
        doc="Share of the child in the decoder row of the toy SAE's only latent.",
    )
    toy_parent = param.Number(default=0.5, bounds=(0.05, 0.95), step=0.05, doc="Probability of the toy's parent.")
    toy_child = param.Number(
        default=0.3, bounds=(0.01, 0.95), step=0.01, doc="Probability of the toy's child, given the parent."
    )
    toy_alone = param.Number(
        default=0.0, bounds=(0, 0.95), step=0.01, doc="Probability of the toy's child without the parent."
    )
    toy_sparsity = param.Number(
        default=0.1, bounds=(0.01, 0.5), step=0.01, doc="Weight of the sparsity loss of the toy SAE."
    )
    toy_seed = param.Integer(default=0, bounds=(0, 1_000_000), doc="Seed of the starts of the toy's training.")
    learn_token = param.String(default="", doc="Token whose verdict the page Learn explains; empty for the first.")
    token = param.String(default="", doc="The token, with its leading space, whose latents the page Token lists.")
    tour = param.Selector(default=None, objects=[None, *TOURS], doc="The tour that is shown, or None.")
    tour_step = param.Integer(default=1, bounds=(1, 99), doc="Its step, counted from 1.")
    present = param.Boolean(
        default=False, doc="Whether the page is in presentation mode: larger, and without a sidebar."
    )

    brushed = param.List(default=[], item_type=tuple, doc="Suite and id of each selected SAE.")
    tested_words = param.List(default=[], item_type=str, doc="Words that are tested on the selected latent.")
    cosine_range = param.Range(default=None, doc="Selected range of cosines, or None.")
    seed = param.Integer(default=0, bounds=(0, None), doc="Seed of the random words.")
    touch = param.Boolean(default=False, doc="Whether touch scrolls the page instead of moving plots.")
    dark = param.Boolean(default=False, doc="Whether page and plots are dark.")

    #: The parameters in a URL, in order; those from `tau` on only if they were changed.
    URL_KEYS = (
        *("page", "suite", "sae", "concept", "latent", "metric"),
        *("tau", "cosine_threshold", "effect_margin", "cosine_view", "k_sparse_score", "graph_edges"),
        "main_latent_by",
        *("compare_by", "other_suite", "other_sae", "mean_policy"),
        *("rate_x", "other_x", "splits_x", "told_by", "scope", "cell", "cell_order"),
        *("evidence_token", "evidence_verdict", "evidence_sort", "evidence_descending"),
        *("evidence_columns", "evidence_page", "sensitivity_of"),
        *FACETS,
        *("learn_step", "learn_latents", "absorption", "hedging"),
        *("toy_parent", "toy_child", "toy_alone", "toy_sparsity", "toy_seed", "learn_token"),
        "token",
        *("tour", "tour_step", "present"),
    )
    _READ_KEYS = frozenset((*URL_KEYS, *ATTRIBUTES, "family", *FORMER))
    _ALWAYS_IN_URL = frozenset(("page", "suite", "sae", "concept", "latent"))
    _PLACE = ("suite", "sae", "concept")
    _OPENED = frozenset(("sae", "concept", "latent", "family", *ATTRIBUTES, *FORMER))

    def __init__(self, choices: Mapping[str, SuiteChoices], **values: Any) -> None:
        self._choices = choices
        super().__init__()
        # Suite, SAE and concept to which the other parameters refer.
        self._place: tuple[Any, ...] = ()
        self.param.suite.objects = list(choices)
        self._go(next(iter(choices), None), None, None, {})
        self.param.watch(self._settle, [*self._PLACE, "latent", "tested_words", "tour", "tour_step"])
        refused = self.apply({**self._opening(values), **values})
        if refused:
            raise ValueError("; ".join(refused))

    def _of(self, suite: str | None) -> SuiteChoices:
        """Return the choices in a suite."""
        return self._choices.get(suite, _NO_CHOICES) if suite else _NO_CHOICES

    def _opening(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the initial view of a suite; empty if `values` contain a part of it."""
        return {} if self._OPENED & values.keys() else self._of(values.get("suite", self.suite)).opening

    def metrics_of(self, suite: str | None) -> list[str]:
        """Return the metrics that a suite was measured by."""
        return list(self._of(suite).movable)

    def saes_of(self, suite: str | None) -> Sequence[Sae]:
        """Return the SAEs of a suite."""
        return self._of(suite).saes

    def all_saes(self) -> dict[tuple[str, str], Sae]:
        """Return the SAEs of all suites, by suite and id."""
        return {(name, sae.id): sae for name, there in self._choices.items() for sae in there.saes}

    @property
    def thresholds_of_suite(self) -> Thresholds:
        """The suite's own thresholds."""
        return self._of(self.suite).thresholds

    @property
    def movable(self) -> Collection[str]:
        """The thresholds that have an effect on the metric in the suite."""
        return self._of(self.suite).movable.get(self.metric, ()) if self.suite else ()

    @property
    def metrics(self) -> list[str]:
        """The metrics that the suite was measured by, its own first."""
        return self.metrics_of(self.suite)

    @property
    def judging(self) -> Collection[str]:
        """The metrics by which tokens have a verdict."""
        return self._of(self.suite).judging

    @property
    def rate_label(self) -> str:
        """Name of the metric's value for a concept: absorption rate or absorption fraction."""
        return rate_label(self.metric)

    @property
    def moved(self) -> dict[str, float]:
        """The thresholds that differ from the suite's own, with the suite's own values."""
        own = self.thresholds_of_suite._asdict()
        return {name: own[name] for name in own if name in self.movable and getattr(self, name) != own[name]}

    @property
    def sensitivity_low(self) -> float:
        """The lowest value in the sensitivity plot."""
        return float(self.param[self.sensitivity_of].softbounds[0])

    @property
    def sensitivity_high(self) -> float:
        """The highest value in the sensitivity plot."""
        return float(self.param[self.sensitivity_of].softbounds[1])

    @property
    def saes(self) -> Sequence[Sae]:
        """The SAEs of the suite."""
        return self._of(self.suite).saes

    @property
    def concepts(self) -> Mapping[str, Concept]:
        """The concepts of the suite, by id."""
        return self._of(self.suite).concepts

    @property
    def families(self) -> Mapping[str, Family]:
        """The families of concepts of the suite, by id."""
        return self._of(self.suite).families

    @property
    def chosen_sae(self) -> Sae | None:
        """The SAE; None in a suite without SAEs."""
        chosen = self.sae  # reading a parameter is slow
        return next((sae for sae in self.saes if sae.id == chosen), None)

    @property
    def chosen_concept(self) -> Concept | None:
        """The concept; None in a suite without concepts."""
        return self.concepts.get(self.concept)

    @property
    def family(self) -> str | None:
        """Id of the concept's family."""
        return self.chosen_concept.family if self.chosen_concept else None

    @property
    def chosen_family(self) -> Family | None:
        """The concept's family."""
        return self.families.get(self.family) if self.family else None

    @property
    def label(self) -> str:
        """The concept's label."""
        return self.chosen_concept.label if self.chosen_concept else "–"

    @property
    def phrase(self) -> str:
        """The phrase that is true of the concept's tokens."""
        return self.chosen_concept.phrase if self.chosen_concept else "has the concept"

    @property
    def parent(self) -> Concept | None:
        """The parent of the concept, or None."""
        parent = self.chosen_concept and self.chosen_concept.parent
        return self.concepts.get(parent) if parent else None

    @property
    def options(self) -> dict[str, list[Any]]:
        """The options of each attribute, given the values of earlier attributes, and the options of "sae"."""
        return choose(self.saes, self._attributes())[1]

    @property
    def alike(self) -> list[Sae]:
        """The SAEs that differ from the chosen one at most in L0 and seed."""
        sae, same = self.chosen_sae, (*SWEEP, "width")
        return [
            other for other in self.saes if sae and all(getattr(other, name) == getattr(sae, name) for name in same)
        ]

    @property
    def noun(self) -> str:
        """Noun for a concept of the family."""
        return self.chosen_family.noun if self.chosen_family else "concept"

    @property
    def nouns(self) -> str:
        """Plural noun for concepts of the family."""
        return plural(self.noun)

    @property
    def compared_sae(self) -> Sae | None:
        """The other SAE of the comparison: the chosen one, else the suggested one, or None."""
        saes, is_own = self._of(self.compared_suite).saes, self.compared_suite == self.suite
        wanted = self.other_sae
        chosen = next((sae for sae in saes if sae.id == wanted), None)
        return chosen or suggest_other(saes, self.chosen_sae, in_layer=is_own)

    @property
    def compared_suite(self) -> str | None:
        """The suite of the other SAE of the comparison."""
        return self.other_suite or self.suite

    @property
    def compared(self) -> list[str]:
        """The ids of the compared SAEs: those of one sweep, or one per value of an attribute."""
        return self._compared_by(self.comparison)

    @property
    def comparison(self) -> str:
        """The chosen comparison or, by default, cosines of several SAEs; without cosines, two SAEs."""
        if self.compare_by is not None:
            return str(self.compare_by)
        if sum(sae.repeat_of is None for sae in self.saes) > 1 and not any(sae.cosines for sae in self.saes):
            return "pair"
        if len(self._compared_by("l0")) > 1:  # read for every change of the state, and enough for most suites
            return "l0"
        varied = [name for name in distinguishing_attributes(self.saes) if name not in ("l0", "width")]
        return next((by for by in varied if len(self._compared_by(by)) > 1), "l0")

    def _compared_by(self, comparison: str) -> list[str]:
        sae = self.chosen_sae
        if sae is None:
            return []
        if comparison in ATTRIBUTES and comparison not in ("l0", "width"):
            return [other.id for other in counterparts(self.saes, sae, comparison)]
        return [other.id for other in self.saes if are_of_one_sweep(other, sae)]

    @property
    def has_kin(self) -> bool:
        """Whether the suite stores kin of latents."""
        return self._of(self.suite).has_kin

    @property
    def tree_saes(self) -> list[str]:
        """The ids of the SAEs of the splitting tree, from narrow to wide."""
        return [sae.id for sae in by_width(self.saes, self.chosen_sae)] if self.chosen_sae else []

    @property
    def compared_concepts(self) -> list[str]:
        """The ids of the compared concepts: those of the family, or some around the chosen one."""
        family = self.family  # read once, because there may be a thousand concepts
        there = [concept.id for concept in self.concepts.values() if concept.family == family]
        start = there.index(self.concept) // COMPARED_CONCEPTS * COMPARED_CONCEPTS if self.concept in there else 0
        return there[start : start + COMPARED_CONCEPTS]

    @property
    def facet_saes(self) -> list[str] | None:
        """The ids of the SAEs whose tested tokens are listed; None for all."""
        requested = {name: getattr(self, f"facet_{name}") for name in ATTRIBUTES}
        requested = {name: value for name, value in requested.items() if value is not None}
        fitting = [sae.id for sae in self.saes if all(getattr(sae, name) == value for name, value in requested.items())]
        return fitting if requested else None

    @property
    def own_saes(self) -> list[str]:
        """The id of the SAE, as a list."""
        return [self.sae]

    def _settle(self, *events: param.parameterized.Event) -> None:
        """Make all parameters consistent after a suite, SAE, concept or latent was set directly."""
        set_now = {event.name for event in events}
        values: dict[str, Any] = {} if self.tour else {"tour_step": 1}
        if "latent" in set_now:
            values["latent"] = self.latent
            if "tested_words" not in set_now:
                values["tested_words"] = []
        saes = {sae.id: sae for sae in self.saes}
        sae = saes.get(self.sae) or choose(self.saes, self._attributes())[0]
        refusal = self._refuse_latent(values.get("latent"), sae)
        if refusal:
            values["latent"] = None
        if self._place != (self.suite, sae and sae.id, self.concept):
            self._go(self.suite, sae, self.concept, values)
        else:
            self.param.update(**values)
        if refusal:
            raise ValueError(refusal)

    def _attributes(self) -> dict[str, Any]:
        """Return the attributes of the SAE that was chosen last, as preferences for the next choice."""
        sae = (
            next((sae for sae in self._of(self._place[0]).saes if sae.id == self._place[1]), None)
            if self._place
            else None
        )
        return {} if sae is None else {name: getattr(sae, name) for name in ATTRIBUTES} | {"sae": sae.id}

    def _go(self, suite: str | None, sae: Sae | None, concept: str | None, values: dict[str, Any]) -> None:
        """Set SAE, concept and `values` as one change; parameters that do not apply to them are reset."""
        there = self._of(suite)
        sae = sae or choose(there.saes, {})[0]
        if concept not in there.concepts:
            concept = self._like(concept, there)
        place = (suite, sae and sae.id, concept)
        changes: dict[str, Any] = dict(zip(self._PLACE, place, strict=True))
        if self._place[:1] != place[:1]:
            changes["metric"] = next(iter(there.movable), None)
            changes |= (
                there.thresholds._asdict()
                | dict.fromkeys(("other_suite", "other_sae", "tour", *FACETS))
                | {"brushed": []}
            )
        if self._place != place:
            changes |= {"latent": None, "tested_words": [], "cosine_range": None, "evidence_page": 0}
        self._place = place
        with param.parameterized.batch_call_watchers(self):
            self.param.sae.objects = [sae.id for sae in there.saes]
            self.param.concept.objects = list(there.concepts)
            self.param.metric.objects = list(there.movable)
            self.param.update(**changes | values)

    @staticmethod
    def _like(concept: str | None, there: SuiteChoices) -> str | None:
        """Return a replacement for a concept that a suite lacks, of the same family if possible."""
        family = concept.partition(".")[0] if concept else None
        of_family = (one.id for one in there.concepts.values() if one.family == family)
        return next(of_family, None) or next(iter(there.concepts), None)

    def apply(self, values: Mapping[str, Any]) -> list[str]:
        """Set several parameters as one change, each only if its value is possible.

        Parameters
        ----------
        values : mapping of str to object
            Values by parameter, or their text as in a URL. An empty text for the latent means None. An attribute of
            SAEs (`explorer.saes.ATTRIBUTES`) selects the closest SAE, `family` the family's first concept.

        Returns
        -------
        list of str
            A message for each rejected value; all others are set.
        """
        suite = values.get("suite") or self.suite
        values = translate_former_keys(values, self._of(suite if suite in self._choices else self.suite).saes)
        refused: list[str] = []
        wanted: dict[str, Any] = {}
        for name, value in values.items():
            try:
                wanted[name] = self._read(name, value)
            except ValueError as error:
                refused.append(str(error))
        suite = wanted.pop("suite", None) or self.suite
        there = self._of(suite)
        sae = self._requested_sae(there.saes, wanted, refused)
        concept = self._requested_concept(there, wanted, refused)
        self._check_other(suite, wanted, refused)
        if wanted.get("metric") not in (None, *there.movable):
            refused.append(refusal_of("metric", wanted.pop("metric"), there.movable))
        metric = (
            wanted.get("metric") or (self.metric if suite == self.suite else None) or next(iter(there.movable), None)
        )
        if "metric" in wanted:
            wanted["metric"] = metric
        movable = there.movable.get(metric, ()) if metric else ()
        self._fit_evidence(metric, there.judging, wanted)
        own = there.thresholds._asdict() if suite else {}
        refused += [
            f"{name} = {shortened(wanted.pop(name))} has no effect in this suite"
            for name in own
            if name not in movable and wanted.get(name, own[name]) != own[name]
        ]
        if refusal := self._refuse_latent(wanted.get("latent"), sae):
            refused.append(refusal)
            wanted["latent"] = None
        for name in ATTRIBUTES:
            if wanted.get(facet := f"facet_{name}") is not None:
                values_there = values_of(there.saes, name)
                met = [value for value in values_there if matches(value, wanted[facet])]
                if met:
                    wanted[facet] = met[0]
                else:
                    refused.append(refusal_of(facet, wanted.pop(facet), values_there))
        if wanted.get("facet_concept") not in (None, *there.concepts):
            refused.append(refusal_of("facet_concept", wanted.pop("facet_concept"), there.concepts))
        self._go(suite, sae, concept, wanted)
        return refused

    def _fit_evidence(self, metric: str | None, judging: Collection[str], wanted: dict[str, Any]) -> None:
        """Replace the sort column and the verdict filter of tested tokens if the metric does not have them."""
        if wanted.get("evidence_sort", self.evidence_sort) in unused_columns(metric):
            wanted["evidence_sort"] = decisive(metric)
        verdict = wanted.get("evidence_verdict", self.evidence_verdict)
        if verdict != "all" and (len(judging) <= 1 if verdict == "disagree" else metric in FRACTIONS):
            wanted["evidence_verdict"] = "all"

    def open_token(self, token: str) -> None:
        """Open the page of a token, with all SAEs."""
        self.apply({"page": "token", "token": token, **dict.fromkeys(SAE_FACETS)})

    def narrow(self, name: str, value: Any) -> list[str]:
        """Select the SAE with this value of an attribute (None: unknown) that is closest in all others."""
        sae = self.narrowed(name, value)
        return self.apply({"sae": sae.id}) if sae else []

    def narrowed(self, name: str, value: Any) -> Sae | None:
        """Return the SAE that `narrow` selects."""
        return choose(self.saes, {**self._attributes(), "sae": None, name: value})[0]

    def _requested_sae(self, saes: Sequence[Sae], wanted: dict[str, Any], refused: list[str]) -> Sae | None:
        """Remove the SAE and its attributes from `wanted`, and return the closest SAE."""
        by_id = {sae.id: sae for sae in saes}
        named = wanted.pop("sae", None)
        attributes = {name: wanted.pop(name) for name in ATTRIBUTES if name in wanted}
        attributes = {name: value for name, value in attributes.items() if value is not None}
        if named is not None and named not in by_id:
            refused.append(refusal_of("sae", named, by_id))
        requested = self._attributes()
        if named in by_id:
            requested = {name: getattr(by_id[named], name) for name in ATTRIBUTES} | {"sae": named}
        elif attributes and any(not matches(requested.get(name), value) for name, value in attributes.items()):
            requested.pop("sae", None)
        sae, options = choose(saes, requested | attributes)
        refused += [
            refusal_of(name, value, [value_label(name, option) for option in options[name]])
            for name, value in attributes.items()
            if not any(matches(option, value) for option in options[name])
        ]
        return sae

    def _requested_concept(self, there: SuiteChoices, wanted: dict[str, Any], refused: list[str]) -> str | None:
        """Remove the concept from `wanted`, and return its id."""
        family, concept = wanted.pop("family", None), wanted.pop("concept", None)
        if concept is None and family is not None:
            if family not in there.families:
                refused.append(refusal_of("family", family, there.families))
            elif family != self.family:
                concept = next((one.id for one in there.concepts.values() if one.family == family), None)
        if concept is not None and concept not in there.concepts:
            refused.append(refusal_of("concept", concept, there.concepts))
            concept = None
        return concept or self.concept

    def _check_other(self, suite: str | None, wanted: dict[str, Any], refused: list[str]) -> None:
        """Remove the other SAE of a comparison from `wanted` if it does not exist."""
        other = wanted.get("other_suite")
        if other is not None and other not in self._choices:
            refused.append(refusal_of("other_suite", wanted.pop("other_suite"), self._choices))
        if "other_suite" in wanted and "other_sae" not in wanted:
            wanted["other_sae"] = None
        if wanted.get("other_suite") == suite:
            wanted["other_suite"] = None
        there = wanted.get("other_suite") or (
            suite if "other_suite" in wanted or suite != self.suite else self.compared_suite
        )
        known = [sae.id for sae in self._of(there).saes]
        if wanted.get("other_sae") not in (None, *known):
            refused.append(refusal_of("other_sae", wanted["other_sae"], known))
            wanted["other_sae"] = None

    def snapshot(self) -> Snapshot:
        """Return the current state: all parameters and derived properties."""
        derived = [name for name, of_class in vars(type(self)).items() if isinstance(of_class, property)]
        return Snapshot(**self.param.values(), **{name: getattr(self, name) for name in derived})

    @staticmethod
    def _refuse_latent(latent: int | None, sae: Sae | None) -> str:
        """Return why an SAE does not have a latent; empty if it has it or its number of latents is unknown."""
        if latent is None or (sae is not None and (not sae.counted or not latent >= sae.n_latents > 0)):
            return ""
        there = f"this SAE has {sae.n_latents:,} latents" if sae else "this suite holds no SAE"
        return f"latent = {shortened(latent)} does not exist here ({there})"

    def _refuse_facet_latent(self) -> str:
        """Return why no SAE of the suite has the latent of the filter; empty if one may have it."""
        latent, most = self.facet_latent, max((sae.n_latents for sae in self.saes), default=0)
        if latent is None or latent < most or not all(sae.counted and sae.n_latents for sae in self.saes):
            return ""
        there = f"no SAE of this suite has more than {most:,} latents"
        return f"facet_latent = {shortened(latent)} does not exist here ({there})"

    def setters(self, *names: str) -> dict[str, Callable[[Any], list[str]]]:
        """Return, by parameter, a handler that sets it."""

        def setter(name: str) -> Callable[[Any], list[str]]:
            return lambda value: self.apply({name: value})

        return {name: setter(name) for name in names}

    def _read(self, name: str, value: Any) -> Any:
        """Convert `value` to the type of its parameter; ValueError with a message if that is impossible."""
        if (attribute := name.removeprefix("facet_")) in ATTRIBUTES:
            return None if value in (None, "") else attribute_of(name, attribute, value)
        if name in _IDS:
            return None if value in (None, "") else str(value)
        if name not in self.param or name == "name":
            message = f"{shortened(name)} is not known here"
            raise ValueError(message)
        return self._read_parameter(name, value)

    def _read_parameter(self, name: str, value: Any) -> Any:
        parameter = self.param[name]
        if value is None and parameter.allow_None:
            return None
        if isinstance(parameter, param.ListSelector):
            return options_of(name, value, parameter.objects)
        if isinstance(parameter, param.Number):
            return self._read_number(name, value)
        if isinstance(parameter, param.String):
            # A lone surrogate cannot be used in a query.
            return str(value)[:SEARCH_CHARACTERS].encode("utf-8", "replace").decode()
        return option_of(name, value, parameter)

    def _read_number(self, name: str, value: Any) -> int | float | None:
        parameter = self.param[name]
        if value == "" and parameter.allow_None:
            return None
        kind = int if isinstance(parameter, param.Integer) else float
        return within(name, number_of(name, value, kind), parameter.bounds)

    def url_values(self) -> dict[str, Any]:
        """Return the values of all parameters in a URL."""
        return {name: getattr(self, name) for name in self.URL_KEYS}

    @property
    def starting(self) -> dict[str, Any]:
        """The initial values of all parameters in a URL."""
        return {name: self.param[name].default for name in self.URL_KEYS} | {
            "metric": next(iter(self._of(self.suite).movable), None),
            **self.thresholds_of_suite._asdict(),
        }

    def to_query(self) -> str:
        """Return the state as a URL query, without the question mark."""
        starting, written = self.starting, {}
        for name, value in self.url_values().items():
            if value is not None and (name in self._ALWAYS_IN_URL or value != starting[name]):
                written[name] = (
                    SEPARATOR.join(value) if isinstance(value, list) else int(value) if value is True else value
                )
        return urlencode(written)

    def from_query(self, query: str) -> list[str]:
        """Set the state from a URL query; switches and thresholds that it does not contain are reset.

        Returns
        -------
        list of str
            A message for each value that was rejected, replaced or repeated, and one for unknown keys.
        """
        given: dict[str, str] = {}
        again: list[str] = []
        for key, value in parse_qsl(query.removeprefix("?"), keep_blank_values=True):
            name = FORMER_KEYS.get(key, key)
            if name in self._READ_KEYS and given.get(name, value) != value:
                again.append(f"{name} = {shortened(given[name])} is repeated, as {shortened(value)}")
            given[name] = value
        again += [
            f"{part} = {shortened(given.pop(part))} is omitted, for {key} says it"
            for key, parts in _SAID_BY.items()
            for part in parts
            if key in given and part in given
        ]
        starting = {name: self.param[name].default for name in self.URL_KEYS if name not in self._PLACE}
        suite = given.get("suite", self.suite)
        there = self._of(suite if suite in self._choices else self.suite)
        own = {"metric": next(iter(there.movable), None), **there.thresholds._asdict()}
        known = {name: value for name, value in given.items() if name in self._READ_KEYS}
        with param.parameterized.batch_call_watchers(self):
            wanted = {**starting, **own, **self._opening(known), **known}
            refused = again[:SHOWN_OPTIONS] + self.apply(wanted)
            if refusal := self._refuse_facet_latent():
                refused.append(refusal)
                self.facet_latent = None
        if unknown := [shortened(name) for name in given if name not in known]:
            named = ", ".join(unknown[:SHOWN_OPTIONS]) + (", ..." if len(unknown) > SHOWN_OPTIONS else "")
            refused.append(f"there is nothing called {named}")
        return refused
