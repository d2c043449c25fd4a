"""What a session looks at: ids, thresholds and switches, and their form in the URL. Knows no data and no plots."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import param

from queries.manifest import THRESHOLD_BOUNDS
from queries.schema import INTEGER_MAX, concept_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
PAGES = ("explore", "compare", "atlas", "evidence")
#: What narrows the tested tokens of a suite.
FACETS = ("facet_layer", "facet_width", "facet_l0", "facet_letter", "facet_latent")
#: Characters of a search that are looked at; no token is as long.
SEARCH_CHARACTERS = 100
#: What links to the explorer of the paper's authors call what has another name here.
_FORMER_KEYS = {"sae_width": "width", "sae_l0": "l0"}
#: What a URL names by an id: the parameters that the id stands for, which links of old name one by one.
_IDS = {
    "sae": ("layer", "width", "l0"),
    "concept": ("letter",),
    "other_sae": ("other_layer", "other_width", "other_l0"),
    "facet_concept": ("facet_letter",),
}
_NAMED_BY = {part: key for key, parts in _IDS.items() for part in parts}
#: Stands in a URL between the parts of a list.
_BETWEEN = "."
_SHOWN_OPTIONS = 8
_SHOWN_CHARACTERS = 40


class SaeId(NamedTuple):
    """Names one SAE within its suite.

    `canonical` ones are hosted on Neuronpedia; where nobody `counted` them, `n_latents` is the least that there are.
    """

    layer: int
    width: int
    l0: int
    n_latents: int = 0
    canonical: bool = False
    counted: bool = True
    #: The name by which questions mean it.
    id: str = ""

    @property
    def key(self) -> tuple[int, int, int]:
        """Layer, nominal width and L0."""
        return (self.layer, self.width, self.l0)


class Thresholds(NamedTuple):
    """The thresholds that decide on splits and absorption."""

    tau: float = 0.03
    cosine_threshold: float = 0.025
    effect_margin: float = 1.0


#: The thresholds of the paper.
PAPER = Thresholds()


class SuiteChoices(NamedTuple):
    """What one suite has: its SAEs, in order, the thresholds it was measured with, and which of these move anything."""

    saes: Sequence[SaeId] = ()
    thresholds: Thresholds = PAPER
    movable: Collection[str] = Thresholds._fields


def choose_sae(
    saes: Sequence[SaeId], *, layer: int | None = None, width: int | None = None, l0: int | None = None
) -> tuple[SaeId | None, dict[str, list[int]]]:
    """Find the SAE that comes closest to a wish, and what could have been chosen at each step.

    Each of layer, width and L0 narrows the next. A wish that cannot be met gives way to the first option; for L0
    to the canonical one.

    Returns
    -------
    tuple of SaeId or None, and dict of str to list of int
        The SAE (None where there is none), and the options of layer, width and L0.
    """
    options: dict[str, list[int]] = {}
    left = list(saes)
    for name, wish in (("layer", layer), ("width", width), ("l0", l0)):
        options[name] = list(dict.fromkeys(getattr(sae, name) for sae in left))
        chosen = wish
        if wish not in options[name]:
            by_default = [sae for sae in left if sae.canonical and name == "l0"] or left
            chosen = getattr(by_default[0], name) if by_default else None
        left = [sae for sae in left if getattr(sae, name) == chosen]
    return (left[0] if left else None), options


def suggest_other(saes: Sequence[SaeId], sae: SaeId | None) -> SaeId | None:
    """Suggest what to compare `sae` with: another width of its layer at the nearest L0, else its layer's nearest L0.

    Returns None where the layer has no other SAE.
    """
    if sae is None:
        return None
    others = [other for other in saes if other.layer == sae.layer and other.key != sae.key]
    widths = [other for other in others if other.width != sae.width]
    # An unknown L0, which is negative, is as far as can be from any known one.
    place = {one: math.log(one.l0 + 1) if one.l0 >= 0 else math.inf for one in (*others, sae)}
    return min(
        widths or others,
        key=lambda other: 0.0 if place[other] == place[sae] else abs(place[other] - place[sae]),
        default=None,
    )


class Snapshot(SimpleNamespace):
    """What an `ExplorerState` was at one time: its parameters and properties, under their names."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class ExplorerState(param.Parameterized):
    """Ids and switches of one session; every change of the page goes through here.

    Parameters
    ----------
    choices : mapping of str to SuiteChoices
        By suite, what can be chosen.
    **values
        Starting values.

    Raises
    ------
    ValueError
        Where a starting value cannot be chosen.
    """

    page = param.Selector(default="explore", objects=list(PAGES), doc="The page shown.")
    suite = param.Selector(objects=[], check_on_set=True, allow_None=True, doc="Name of the suite.")
    layer = param.Selector(objects=[], check_on_set=True, allow_None=True, doc="Layer of the SAE.")
    width = param.Selector(objects=[], check_on_set=True, allow_None=True, doc="Nominal width of the SAE.")
    l0 = param.Selector(
        objects=[], check_on_set=True, allow_None=True, doc="L0 of the SAE: mean number of active latents a token."
    )
    letter = param.Selector(default="a", objects=list(LETTERS), doc="The letter: the concept looked for.")
    latent = param.Integer(default=None, allow_None=True, bounds=(0, None), doc="The selected latent, or None.")

    # The soft bounds are those of sliders and of the sensitivity plot.
    tau = param.Number(
        default=0.03,
        bounds=THRESHOLD_BOUNDS["tau"],
        softbounds=(0, 0.2),
        step=0.005,
        doc="Rise of F1 that a further split latent must bring.",
    )
    cosine_threshold = param.Number(
        default=0.025,
        bounds=THRESHOLD_BOUNDS["cosine_threshold"],
        softbounds=(-0.1, 0.4),
        step=0.005,
        doc="Least cosine of an absorbing latent.",
    )
    effect_margin = param.Number(
        default=1.0,
        bounds=THRESHOLD_BOUNDS["effect_margin"],
        softbounds=(0, 4),
        step=0.05,
        doc="Least lead of the top effect, logits.",
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
        default="encoder", objects=["encoder", "k_sparse"], doc="Which main latent the plots over all SAEs mean."
    )

    compare_by = param.Selector(default="l0", objects=["l0", "letter", "pair"], doc="What Compare sets side by side.")
    other_layer = param.Integer(default=None, allow_None=True, doc="Layer of the SAE compared with, or None.")
    other_width = param.Integer(default=None, allow_None=True, doc="Nominal width of the SAE compared with, or None.")
    other_l0 = param.Integer(default=None, allow_None=True, doc="L0 of the SAE compared with, or None.")
    mean_policy = param.Selector(
        default="with_candidates", objects=["with_candidates", "all_letters"], doc="Letters that a mean takes in."
    )
    scope = param.Selector(default="suite", objects=["suite", "all"], doc="Whether Atlas shows one suite or all.")
    cell = param.Selector(
        default="absorption_rate",
        objects=["absorption_rate", "num_split_latents", "f1_gap"],
        doc="What a cell of the heat map shows.",
    )
    cell_order = param.Selector(default="layer", objects=["layer", "width", "l0"], doc="Order of the heat map's SAEs.")

    evidence_token = param.String(default="", doc="Beginning of the tested tokens listed.")
    evidence_verdict = param.Selector(
        default="all",
        objects=["all", "absorbed", "not absorbed", "differs"],
        doc="Verdict of the tested tokens listed.",
    )
    evidence_sort = param.Selector(
        default="top_effect",
        objects=[
            *("token", "layer", "width", "l0", "top_latent", "top_effect", "top_cosine"),
            *("second_latent", "second_effect", "margin", "reason"),
        ],
        doc="Column by which tested tokens are sorted.",
    )
    evidence_descending = param.Boolean(default=False, doc="Whether from the largest to the smallest.")
    evidence_columns = param.ListSelector(
        default=["top_effect", "top_cosine", "second_latent", "second_effect", "margin"],
        objects=[
            *("split_activations", "top_effect", "top_cosine"),
            *("second_latent", "second_effect", "second_cosine", "margin"),
        ],
        doc="Columns shown of the tested tokens, besides those that are always there.",
    )
    evidence_page = param.Integer(
        default=0, bounds=(0, 1_000_000), doc="Page of the tested tokens listed, counted from 0."
    )
    facet_layer = param.Integer(
        default=None,
        allow_None=True,
        bounds=(0, INTEGER_MAX),
        doc="Layer of the tested tokens listed, or None for all.",
    )
    facet_width = param.Integer(
        default=None, allow_None=True, bounds=(0, INTEGER_MAX), doc="Nominal width of the tokens listed, or None."
    )
    facet_l0 = param.Integer(
        default=None,
        allow_None=True,
        bounds=(-INTEGER_MAX, INTEGER_MAX),
        doc="L0 of the tested tokens listed, or None.",
    )
    facet_letter = param.Selector(default=None, objects=[None, *LETTERS], doc="Letter of the tokens listed, or None.")
    facet_latent = param.Integer(
        default=None, allow_None=True, bounds=(0, INTEGER_MAX), doc="Top latent of the tokens listed, or None."
    )

    brushed = param.List(default=[], item_type=tuple, doc="Suite, layer, width and L0 of the brushed SAEs.")
    tested_words = param.List(default=[], item_type=str, doc="Words that are tested on the selected latent.")
    cosine_range = param.Range(default=None, doc="Brushed range of cosines, or None.")
    seed = param.Integer(default=0, bounds=(0, None), doc="Seed of the random words.")
    touch = param.Boolean(default=False, doc="Whether the page is moved by touch, which plots must not catch.")
    dark = param.Boolean(default=False, doc="Whether page and plots are dark.")

    #: The parameters that a URL carries, in its order; those from `tau` on only where they were changed.
    URL_KEYS = (
        *("page", "suite", "layer", "width", "l0", "letter", "latent"),
        *("tau", "cosine_threshold", "effect_margin", "cosine_view", "k_sparse_score", "graph_edges"),
        "main_latent_by",
        *("compare_by", "other_layer", "other_width", "other_l0", "mean_policy", "scope", "cell", "cell_order"),
        *("evidence_token", "evidence_verdict", "evidence_sort", "evidence_descending"),
        *("evidence_columns", "evidence_page", "sensitivity_of"),
        *FACETS,
    )
    _ALWAYS_IN_URL = frozenset(("page", "suite", "sae", "concept", "latent"))
    _SAE = ("suite", "layer", "width", "l0")
    _OTHER = ("other_layer", "other_width", "other_l0")

    def __init__(self, choices: Mapping[str, SuiteChoices], **values: Any) -> None:
        self._choices = choices
        super().__init__()
        # Suite, SAE and letter that everything else was chosen for.
        self._place: tuple[Any, ...] = ()
        self.param.suite.objects = list(choices)
        self.suite = next(iter(choices), None)
        self._settle()
        self.param.watch(self._settle, [*self._SAE, "letter", "latent", "tested_words"])
        refused = self.apply(values)
        if refused:
            raise ValueError("; ".join(refused))

    @property
    def thresholds_of_suite(self) -> Thresholds:
        """The thresholds that the suite was measured with."""
        return self._choices[self.suite].thresholds if self.suite else PAPER

    @property
    def movable(self) -> Collection[str]:
        """The thresholds that move anything in the suite; by the others nothing can be decided again."""
        return self._choices[self.suite].movable if self.suite else ()

    @property
    def moved(self) -> dict[str, float]:
        """The suite's own value of each threshold that was moved away from it."""
        own = self.thresholds_of_suite._asdict()
        return {name: own[name] for name in own if name in self.movable and getattr(self, name) != own[name]}

    @property
    def sensitivity_low(self) -> float:
        """The lowest value that the sensitivity plot looks at."""
        return float(self.param[self.sensitivity_of].softbounds[0])

    @property
    def sensitivity_high(self) -> float:
        """The highest value that the sensitivity plot looks at."""
        return float(self.param[self.sensitivity_of].softbounds[1])

    @property
    def saes(self) -> Sequence[SaeId]:
        """The SAEs of the suite."""
        return self._choices[self.suite].saes if self.suite else ()

    @property
    def sae(self) -> SaeId | None:
        """The SAE that layer, width and L0 name; None in a suite without SAEs."""
        return next((sae for sae in self.saes if sae.key == (self.layer, self.width, self.l0)), None)

    @property
    def other(self) -> SaeId | None:
        """The SAE compared with: the chosen one, else the suggested one; None where there is none."""
        wish = tuple(getattr(self, name) for name in self._OTHER)
        chosen = next((sae for sae in self.saes if sae.key == wish), None)
        return chosen or suggest_other(self.saes, self.sae)

    @property
    def compared(self) -> list[str]:
        """The ids of the SAEs that Compare sets side by side: those of the layer."""
        return [sae.id for sae in self.saes if sae.layer == self.layer]

    @property
    def concept(self) -> str:
        """The concept looked for."""
        return concept_id(self.letter)

    @property
    def facet_concept(self) -> str | None:
        """The concept of the tokens listed, or None."""
        return concept_id(self.facet_letter) if self.facet_letter else None

    def _settle(self, *events: param.parameterized.Event) -> None:
        """Bring everything in line with a suite, SAE, letter or latent that was set directly."""
        set_now = {event.name for event in events}
        values: dict[str, Any] = {"letter": self.letter}
        if "latent" in set_now:
            values["latent"] = self.latent
            if "tested_words" not in set_now:
                values["tested_words"] = []
        sae, options = choose_sae(self.saes, layer=self.layer, width=self.width, l0=self.l0)
        refusal = self._refuse_latent(values.get("latent"), sae)
        if refusal:
            values["latent"] = None
        if self._place != (self.suite, *(sae.key if sae else (None,) * 3), self.letter):
            self._move(self.suite, sae, options, values)
        else:
            self.param.update(**values)
        if refusal:
            raise ValueError(refusal)

    def _move(
        self, suite: str | None, sae: SaeId | None, options: dict[str, list[int]], values: dict[str, Any]
    ) -> None:
        """Go to an SAE and set `values`, as one change; what was chosen elsewhere and means nothing there is let go."""
        place = (suite, *(sae.key if sae else (None,) * 3), values.get("letter", self.letter))
        changes: dict[str, Any] = dict(zip(self._SAE, place, strict=False))
        if self._place[:1] != place[:1]:
            thresholds = self._choices[suite].thresholds if suite else PAPER
            changes |= thresholds._asdict() | dict.fromkeys((*self._OTHER, *FACETS)) | {"brushed": []}
        if self._place != place:
            changes |= {"latent": None, "tested_words": [], "cosine_range": None, "evidence_page": 0}
        self._place = place
        with param.parameterized.batch_call_watchers(self):
            for name, objects in options.items():
                self.param[name].objects = objects
            self.param.update(**changes | values)

    def apply(self, values: Mapping[str, Any]) -> list[str]:
        """Set several parameters as one change, each only if it can be chosen.

        Parameters
        ----------
        values : mapping of str to object
            Values by parameter, or their text as a URL has it. A latent of "" means none. `sae`, `other_sae`, `concept`
            and `facet_concept` take ids, in place of what these stand for.

        Returns
        -------
        list of str
            A sentence for each value that was refused; the rest is set.
        """
        values, refused = self._without_ids(values)
        wanted: dict[str, Any] = {}
        for name, value in values.items():
            try:
                wanted[name] = self._read(name, value)
            except ValueError as error:
                refused.append(str(error))
        suite = wanted.pop("suite", None) or self.suite
        saes = self._choices[suite].saes if suite else ()
        wish = {name: wanted.pop(name, None) for name in ("layer", "width", "l0")}
        sae, options = choose_sae(
            saes, **{name: getattr(self, name) if value is None else value for name, value in wish.items()}
        )
        refused += [
            _refusal(name, value, options[name])
            for name, value in wish.items()
            if value is not None and value not in options[name]
        ]
        other = tuple(wanted.get(name) for name in self._OTHER)
        if any(name in values for name in self._OTHER) and other not in {sae.key for sae in saes}:
            # It is an SAE as a whole or none: a part that was refused takes the others with it.
            if any(part is not None for part in other):
                refused.append(f"other_layer, other_width, other_l0 = {_short(other)} is no SAE of this suite")
            wanted |= dict.fromkeys(self._OTHER)
        own = self._choices[suite].thresholds._asdict() if suite else {}
        for name in own:
            if name not in self._choices[suite].movable and wanted.get(name, own[name]) != own[name]:
                refused.append(f"{name} = {_short(wanted.pop(name))} moves nothing in this suite")
        if refusal := self._refuse_latent(wanted.get("latent"), sae):
            refused.append(refusal)
            wanted["latent"] = None
        for name in ("layer", "width", "l0"):
            there = list(dict.fromkeys(getattr(sae, name) for sae in saes))
            if wanted.get(facet := f"facet_{name}") not in (None, *there):
                refused.append(_refusal(facet, wanted.pop(facet), there))
        self._move(suite, sae, options, wanted)
        return refused

    def _without_ids(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Put what an id stands for in its place; with a sentence for each id that names nothing."""
        found = {name: value for name, value in values.items() if name not in _IDS}
        named = [name for name in _IDS if values.get(name) is not None]
        refused: list[str] = []
        if not named:  # as in most acts; a suite may have 10,000 SAEs
            return found, refused
        suite = values.get("suite", self.suite)
        saes = {sae.id: sae.key for sae in (self._choices[suite].saes if suite in self._choices else ())}
        concepts = {concept_id(letter): (letter,) for letter in LETTERS}
        for name in named:
            known: dict[str, tuple[Any, ...]] = saes if name.endswith("sae") else concepts
            parts = known.get(str(values[name]))
            if parts is None:
                refused.append(_refusal(name, values[name], list(known)))
            else:
                found |= dict(zip(_IDS[name], parts, strict=True))
        return found, refused

    def snapshot(self) -> Snapshot:
        """Return what the state is now: all its parameters, and what follows from them."""
        derived = [name for name, of_class in vars(type(self)).items() if isinstance(of_class, property)]
        return Snapshot(**self.param.values(), **{name: getattr(self, name) for name in derived})

    @staticmethod
    def _refuse_latent(latent: int | None, sae: SaeId | None) -> str:
        """Say why an SAE has no such latent; empty where it has, or where nobody knows how many it has."""
        if latent is None or (sae is not None and (not sae.counted or not latent >= sae.n_latents > 0)):
            return ""
        there = f"this SAE has {sae.n_latents:,} latents" if sae else "this suite holds no SAE"
        return f"latent = {_short(latent)} does not exist here ({there})"

    def _refuse_facet_latent(self) -> str:
        """Say why no SAE of the suite has the latent whose tokens are listed; empty where one may have it."""
        latent, most = self.facet_latent, max((sae.n_latents for sae in self.saes), default=0)
        if latent is None or latent < most or not all(sae.counted and sae.n_latents for sae in self.saes):
            return ""
        there = f"no SAE of this suite has more than {most:,} latents"
        return f"facet_latent = {_short(latent)} does not exist here ({there})"

    def setters(self, *names: str) -> dict[str, Callable[[Any], list[str]]]:
        """Make, by parameter, what takes over a reader's choice."""

        def setter(name: str) -> Callable[[Any], list[str]]:
            return lambda value: self.apply({name: value})

        return {name: setter(name) for name in names}

    def _read(self, name: str, value: Any) -> Any:
        """Turn `value` into what its parameter takes; ValueError with a sentence where that is impossible."""
        if name not in self.param or name == "name":
            message = f"{_short(name)} is not known here"
            raise ValueError(message)
        parameter = self.param[name]
        if value is None and parameter.allow_None:
            return None
        if isinstance(parameter, param.ListSelector):
            return _several(name, value, parameter.objects)
        if name in self._SAE[1:] or isinstance(parameter, param.Number):
            return self._read_number(name, value)
        if isinstance(parameter, param.String):
            # Half a character is none that a query could take.
            return str(value)[:SEARCH_CHARACTERS].encode("utf-8", "replace").decode()
        return _one(name, value, parameter)

    def _read_number(self, name: str, value: Any) -> int | float | None:
        parameter = self.param[name]
        if name in self._SAE[1:]:
            return _number(name, value, int)
        if value == "" and parameter.allow_None:
            return None
        kind = int if isinstance(parameter, param.Integer) else float
        return _within(name, _number(name, value, kind), parameter.bounds)

    def url_values(self) -> dict[str, Any]:
        """Return all values that a URL carries, by parameter."""
        return {name: getattr(self, name) for name in self.URL_KEYS}

    @property
    def starting(self) -> dict[str, Any]:
        """What each value that a URL carries is at the start."""
        return {name: self.param[name].default for name in self.URL_KEYS} | self.thresholds_of_suite._asdict()

    def to_query(self) -> str:
        """Write the state as a URL's query, without the question mark."""
        starting, written = self.starting, {}
        for name, value in self.url_values().items():
            key = _NAMED_BY.get(name, name)
            shown = value if key == name else self._id(key)
            if shown is not None and (key in self._ALWAYS_IN_URL or shown != starting.get(key)):
                written[key] = _BETWEEN.join(shown) if isinstance(shown, list) else shown
        return urlencode(written)

    def _id(self, key: str) -> str | None:
        """Return the id that stands in a URL for several parameters, None where they name nothing."""
        if key.endswith("concept"):
            concept: str | None = getattr(self, key)
            return concept
        place = tuple(getattr(self, name) for name in _IDS[key])
        return next((sae.id for sae in self.saes if sae.key == place), None)

    def from_query(self, query: str) -> list[str]:
        """Take over a URL's query; switches and thresholds that it does not name go back to their start.

        Returns
        -------
        list of str
            A sentence for each value that was refused, replaced or given again, and one that names the unknown keys.
        """
        given: dict[str, str] = {}
        again: list[str] = []
        for key, value in parse_qsl(query.removeprefix("?"), keep_blank_values=True):
            name = _FORMER_KEYS.get(key, key)
            if name in (*self.URL_KEYS, *_IDS) and given.get(name, value) != value:
                again.append(f"{name} = {_short(given[name])} is given a second time, as {_short(value)}")
            given[name] = value
        again += [
            f"{part} = {_short(given.pop(part))} is left out, for {key} says it"
            for key, parts in _IDS.items()
            for part in parts
            if key in given and part in given
        ]
        starting = {name: self.param[name].default for name in self.URL_KEYS if name not in self._SAE}
        suite = given.get("suite", self.suite)
        thresholds = self._choices[suite].thresholds if suite in self._choices else self.thresholds_of_suite
        known = {name: value for name, value in given.items() if name in (*self.URL_KEYS, *_IDS)}
        with param.parameterized.batch_call_watchers(self):
            refused = again[:_SHOWN_OPTIONS] + self.apply(starting | thresholds._asdict() | known)
            if refusal := self._refuse_facet_latent():
                refused.append(refusal)
                self.facet_latent = None
        if unknown := [_short(name) for name in given if name not in known]:
            named = ", ".join(unknown[:_SHOWN_OPTIONS]) + (", ..." if len(unknown) > _SHOWN_OPTIONS else "")
            refused.append(f"nothing here is called {named}")
        return refused


def _number(name: str, value: Any, kind: type[int | float]) -> int | float:
    try:
        number = kind(value)
        usable = math.isfinite(number)
    except (TypeError, ValueError, OverflowError):  # an integer may be too large to be told finite
        usable = False
    if not usable:
        message = f"{name} = {_short(value)} is not a{' whole' if kind is int else ''} number"
        raise ValueError(message)
    return number


def _one(name: str, value: Any, parameter: param.Parameter) -> Any:
    """Return the option that `value` names; capital letters mean the same as small ones."""
    if isinstance(parameter, param.Boolean):
        named = {"True": True, "False": False}
        if str(value) not in named:
            raise ValueError(_refusal(name, value, [*named]))
        return named[str(value)]
    if name in ("letter", "facet_letter") and isinstance(value, str):
        value = value.lower()
    if isinstance(parameter, param.Selector) and value not in parameter.objects:
        raise ValueError(_refusal(name, value, parameter.objects))
    return value


def _several(name: str, value: Any, options: Sequence[str]) -> list[str]:
    """Return the options that `value` names, as a list or as a URL's text, in their order."""
    given = [part for part in value.split(_BETWEEN) if part] if isinstance(value, str) else list(value)
    for part in given:
        if part not in options:
            raise ValueError(_refusal(name, part, options))
    return [option for option in options if option in given]


def _within(name: str, value: float, bounds: tuple[float | None, float | None] | None) -> int | float:
    """Return `value` if it lies within `bounds`."""
    low, high = bounds or (None, None)
    if (low is not None and value < low) or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        message = f"{name} = {_short(value)} is out of range ({span})"
        raise ValueError(message)
    return value


def _refusal(name: str, value: object, options: Sequence[object]) -> str:
    there = [option for option in options if option is not None]
    shown = ", ".join(str(option) for option in there[:_SHOWN_OPTIONS]) or "nothing"
    more = ", ..." if len(there) > _SHOWN_OPTIONS else ""
    return f"{name} = {_short(value)} does not exist here (there is {shown}{more})"


def _short(value: object) -> str:
    """Quote a value for a sentence, cut to a readable length."""
    text = str(value)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")
