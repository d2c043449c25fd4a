"""What a session looks at: ids, thresholds and switches, and their form in the URL. Knows no data and no plots."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import param

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
PAGES = ("explore",)
_SHOWN_OPTIONS = 8
_SHOWN_CHARACTERS = 40


class SaeId(NamedTuple):
    """Names one SAE within its suite; `canonical` ones are hosted on Neuronpedia."""

    layer: int
    width: int
    l0: int
    n_latents: int = 0
    canonical: bool = False


class Thresholds(NamedTuple):
    """The thresholds that decide on splits and absorption."""

    tau: float = 0.03
    cosine_threshold: float = 0.025
    effect_margin: float = 1.0


class SuiteChoices(NamedTuple):
    """What can be chosen in one suite: its SAEs, in order, and the thresholds it was measured with."""

    saes: Sequence[SaeId] = ()
    thresholds: Thresholds = Thresholds()


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
    suite = param.Selector(objects=[], doc="Name of the suite.")
    layer = param.Selector(objects=[], doc="Layer of the SAE.")
    width = param.Selector(objects=[], doc="Nominal width of the SAE.")
    l0 = param.Selector(objects=[], doc="L0 of the SAE: mean number of active latents a token.")
    letter = param.Selector(default="a", objects=list(LETTERS), doc="The letter: the concept looked for.")
    latent = param.Integer(default=None, allow_None=True, bounds=(0, None), doc="The selected latent, or None.")

    tau = param.Number(default=0.03, bounds=(0, 1), doc="Rise of F1 that a further split latent must bring.")
    cosine_threshold = param.Number(default=0.025, bounds=(-1, 1), doc="Least cosine of an absorbing latent.")
    effect_margin = param.Number(default=1.0, bounds=(0, 100), doc="Least lead of the top effect, logits.")

    cosine_view = param.Selector(default="index", objects=["index", "rank", "distribution"], doc="Form of the plot.")
    k_sparse_score = param.Selector(
        default="f1", objects=["f1", "precision", "recall", "auc"], doc="Score that the k-sparse plot shows."
    )
    main_latent_by = param.Selector(
        default="encoder", objects=["encoder", "k_sparse"], doc="Which main latent the plots over all SAEs mean."
    )

    cosine_range = param.Range(default=None, doc="Brushed range of cosines, or None.")
    seed = param.Integer(default=0, bounds=(0, None), doc="Seed of the random words.")
    dark = param.Boolean(default=False, doc="Whether page and plots are dark.")

    #: The parameters that a URL carries, in its order; those from `tau` on only where they were changed.
    URL_KEYS = (
        *("page", "suite", "layer", "width", "l0", "letter", "latent"),
        *("tau", "cosine_threshold", "effect_margin", "cosine_view", "k_sparse_score", "main_latent_by"),
    )
    _ALWAYS_IN_URL = frozenset(URL_KEYS[:7])
    _SAE = ("suite", "layer", "width", "l0")

    def __init__(self, choices: Mapping[str, SuiteChoices], **values: Any) -> None:
        self._choices = choices
        super().__init__()
        self.param.suite.objects = list(choices)
        self.suite = next(iter(choices), None)
        self._on_suite()
        self.param.watch(self._on_suite, "suite")
        self.param.watch(self._narrow, ["layer", "width"])
        self.param.watch(self._forget_selection, [*self._SAE, "letter", "latent"])
        refused = self.apply(values)
        if refused:
            raise ValueError("; ".join(refused))

    @property
    def thresholds_of_suite(self) -> Thresholds:
        """The thresholds that the suite was measured with."""
        return self._choices[self.suite].thresholds if self.suite else Thresholds()

    @property
    def differs_from_paper(self) -> bool:
        """Whether a threshold was moved away from the suite's own."""
        return any(getattr(self, name) != value for name, value in self.thresholds_of_suite._asdict().items())

    @property
    def saes(self) -> Sequence[SaeId]:
        """The SAEs of the suite."""
        return self._choices[self.suite].saes if self.suite else ()

    @property
    def sae(self) -> SaeId | None:
        """The SAE that layer, width and L0 name; None in a suite without SAEs."""
        return next((sae for sae in self.saes if sae[:3] == (self.layer, self.width, self.l0)), None)

    def _narrow(self, *_: param.parameterized.Event) -> None:
        """Fit layer, width and L0, and the options of each, to what comes before them."""
        sae, options = choose_sae(self.saes, layer=self.layer, width=self.width, l0=self.l0)
        self._set_sae(sae, options)

    def _set_sae(self, sae: SaeId | None, options: dict[str, list[int]]) -> None:
        for name, objects in options.items():
            self.param[name].objects = objects
        self.param.update(**{name: getattr(sae, name, None) for name in options})

    def _on_suite(self, *_: param.parameterized.Event) -> None:
        self._narrow()
        self.param.update(**self.thresholds_of_suite._asdict())

    def _forget_selection(self, *events: param.parameterized.Event) -> None:
        # A latent is chosen on one SAE for one letter, and means nothing on the next.
        if all(event.name != "latent" for event in events):
            self.param.update(latent=None, cosine_range=None)

    def apply(self, values: Mapping[str, Any]) -> list[str]:
        """Set several parameters as one change, each only if it can be chosen.

        Parameters
        ----------
        values : mapping of str to object
            Values by parameter, or their text as a URL has it. A latent of "" means none.

        Returns
        -------
        list of str
            A sentence for each value that was refused; the rest is set.
        """
        refused: list[str] = []
        wanted: dict[str, Any] = {}
        for name, value in values.items():
            try:
                wanted[name] = self._read(name, value)
            except ValueError as error:
                refused.append(str(error))
        if "suite" in wanted:
            self.suite = wanted.pop("suite")
        wish = {name: wanted.pop(name, getattr(self, name)) for name in ("layer", "width", "l0")}
        sae, options = choose_sae(self.saes, **wish)
        refused += [
            _refusal(name, wish[name], options[name])
            for name in wish
            if name in values and wish[name] not in options[name]
        ]
        latent = wanted.get("latent", self.latent)
        if latent is not None and sae is not None and latent >= sae.n_latents > 0:
            refused.append(f"latent = {latent} does not exist here (this SAE has {sae.n_latents:,})")
            latent = None
        with param.parameterized.batch_call_watchers(self):
            self._set_sae(sae, options)
            self.param.update(**wanted | {"latent": latent})
        # The change of letter or SAE above may have dropped a latent that was wanted with it.
        if "latent" in wanted:
            self.latent = latent
        return refused

    def _read(self, name: str, value: Any) -> Any:
        """Turn `value` into what its parameter takes; ValueError with a sentence where that is impossible."""
        if name not in self.param or name == "name":
            message = f"{_short(name)} is not known here"
            raise ValueError(message)
        parameter = self.param[name]
        if name in ("layer", "width", "l0") or isinstance(parameter, param.Integer):
            value = None if name == "latent" and value in ("", None) else _number(name, value, int)
        elif isinstance(parameter, param.Number):
            value = _number(name, value, float)
        elif isinstance(parameter, param.Selector) and value not in parameter.objects:
            raise ValueError(_refusal(name, value, parameter.objects))
        low, high = getattr(parameter, "bounds", None) or (None, None)
        if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
            message = f"{name} = {_short(value)} is out of range ({low} to {high})"
            raise ValueError(message)
        return value

    def url_values(self) -> dict[str, Any]:
        """Return all values that a URL carries, by parameter."""
        return {name: getattr(self, name) for name in self.URL_KEYS}

    def to_query(self) -> str:
        """Write the state as a URL's query, without the question mark."""
        starting = {name: self.param[name].default for name in self.URL_KEYS} | self.thresholds_of_suite._asdict()
        return urlencode(
            {
                name: value
                for name, value in self.url_values().items()
                if value is not None and (name in self._ALWAYS_IN_URL or value != starting[name])
            }
        )

    def from_query(self, query: str) -> list[str]:
        """Take over a URL's query; switches and thresholds that it does not name go back to their start.

        Returns
        -------
        list of str
            A sentence for each value that was refused and replaced; foreign keys are passed over.
        """
        given = dict(parse_qsl(query.removeprefix("?"), keep_blank_values=True))
        starting = {name: self.param[name].default for name in self.URL_KEYS if name not in self._SAE}
        suite = given.get("suite", self.suite)
        thresholds = self._choices[suite].thresholds if suite in self._choices else self.thresholds_of_suite
        known = {name: value for name, value in given.items() if name in self.URL_KEYS}
        return self.apply(starting | thresholds._asdict() | known)


def _number(name: str, value: Any, kind: type[int | float]) -> int | float:
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        message = f"{name} = {_short(value)} is not a{' whole' if kind is int else ''} number"
        raise ValueError(message)
    return number


def _refusal(name: str, value: object, options: Sequence[object]) -> str:
    shown = ", ".join(str(option) for option in options[:_SHOWN_OPTIONS])
    more = ", ..." if len(options) > _SHOWN_OPTIONS else ""
    return f"{name} = {_short(value)} does not exist here (there is {shown}{more})"


def _short(value: object) -> str:
    """Quote a value for a sentence, cut to a readable length."""
    text = str(value)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")
