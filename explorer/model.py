"""From state to answers: asks the store what the state calls for, and holds the results that all views share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import param

from explorer.state import ExplorerState, SaeId, SuiteChoices, Thresholds
from queries import Asking, QueryError, Store, catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Params = dict[str, Any] | None
#: Half of a question's time is planning, which takes one processor.
_SIDE_BY_SIDE = ThreadPoolExecutor(64, "answering")
#: What no question has been asked with.
_NEVER: _Params = {"": None}


class Question(NamedTuple):
    """Which query answers a parameter of the model.

    A query's parameters carry the names of the state's, so nothing else has to be said; `reads` names those that take
    another one's value (None: NULL). A `record` is an answer of at most one row, held as a dict; questions `of_latent`
    are asked only while a latent is selected, those of a `page` only while it is shown, and those of a `part` only
    while Compare sets that side by side.
    """

    query: str
    record: bool = False
    of_latent: bool = False
    page: str = ""
    part: str = ""
    reads: Mapping[str, str | None] = MappingProxyType({})


_OF_LETTER: Mapping[str, str | None] = MappingProxyType(
    {f"facet_{name}": name for name in ("layer", "width", "l0", "letter")} | {"facet_latent": None}
)

QUESTIONS: Mapping[str, Question] = {
    "letters": Question("letter_counts"),
    "summary": Question("summary", record=True, page="explore"),
    "cosines": Question("cosines", page="explore"),
    "split_latents": Question("split_latents", page="explore"),
    "absorbing_latents": Question("absorbing_latents", page="explore"),
    "k_sparse": Question("k_sparse", page="explore"),
    "letter_evidence": Question("evidence", page="explore", reads=_OF_LETTER),
    "suite_evidence": Question("evidence", page="evidence"),
    "latent_parts": Question("latent_parts", page="evidence", reads={"latent": "facet_latent"}),
    "threshold_sensitivity": Question("threshold_sensitivity", page="evidence"),
    "suite_info": Question("suite_info", record=True, page="evidence"),
    "sae_scores": Question("sae_scores", page="explore"),
    "latent_facts": Question("latent_facts", record=True, of_latent=True, page="explore"),
    "latent_contexts": Question("latent_contexts", of_latent=True, page="explore"),
    "latent_logits": Question("latent_logits", record=True, of_latent=True, page="explore"),
    "latent_histogram": Question("latent_histogram", record=True, of_latent=True, page="explore"),
    "latent_roles": Question("latent_roles", of_latent=True, page="explore"),
    "latent_cosines": Question("latent_cosines", of_latent=True, page="explore"),
    "latent_dashboard": Question("latent_dashboard", record=True, of_latent=True, page="explore"),
    "layer_cosines": Question("layer_cosines", page="compare", part="l0"),
    "layer_marks": Question("layer_marks", page="compare", part="l0"),
    "sae_cosines": Question("sae_cosines", page="compare", part="letter"),
    "sae_marks": Question("sae_marks", page="compare", part="letter"),
    "pair_letters": Question("pair_letters", page="compare", part="pair"),
    "pair_tokens": Question("pair_tokens", page="compare", part="pair"),
    "sae_means": Question("sae_means", page="atlas"),
    "letter_rates": Question("letter_rates", page="atlas"),
}


def choices_of(store: Store) -> dict[str, SuiteChoices]:
    """List, by suite, the SAEs that can be chosen, the thresholds it was measured with and those that move anything."""
    saes, movable = store.fetch("saes"), store.fetch("movable").set_index("suite")
    return {
        name: SuiteChoices(
            [
                SaeId(int(sae.layer), int(sae.width), int(sae.l0), int(sae.n_latents), bool(sae.canonical))
                for sae in saes[saes["suite"] == name].itertuples()
            ],
            Thresholds(
                suite.manifest.method.tau, suite.manifest.method.cosine_threshold, suite.manifest.method.effect_margin
            ),
            [threshold for threshold in movable.columns if movable.loc[name, threshold]],
        )
        for name, suite in store.suites.items()
    }


class ExplorerModel(param.Parameterized):
    """The answers that the state of one session calls for.

    Parameters
    ----------
    store : Store
    state : ExplorerState
        Watched; a change asks exactly the questions whose parameters changed, and all answers arrive as one change.
    """

    letters = param.DataFrame(doc="Counts of each letter on this SAE (letter_counts).")
    summary = param.Dict(doc="What is known of this letter on this SAE, None where it was not measured (summary).")
    cosines = param.DataFrame(doc="Cosine of every latent with the probe (cosines).")
    split_latents = param.DataFrame(doc="Split latents of this letter (split_latents).")
    absorbing_latents = param.DataFrame(doc="Absorbing latents of this letter (absorbing_latents).")
    letter_evidence = param.DataFrame(doc="Tested tokens of this letter, one page of them (evidence).")
    suite_evidence = param.DataFrame(doc="Tested tokens of the suite, one page of them (evidence).")
    latent_parts = param.DataFrame(doc="Parts of the latent looked for on every SAE (latent_parts).")
    threshold_sensitivity = param.DataFrame(doc="Absorption rate by one threshold (threshold_sensitivity).")
    suite_info = param.Dict(doc="Counts of the whole suite under the thresholds in force (suite_info).")
    k_sparse = param.DataFrame(doc="Scores of the k-sparse probes of this letter (k_sparse).")
    sae_scores = param.DataFrame(doc="Mean precision and recall of every SAE (sae_scores).")

    latent_facts = param.Dict(doc="How the selected latent behaves (latent_facts).")
    latent_contexts = param.DataFrame(doc="Text in which it fires (latent_contexts).")
    latent_logits = param.Dict(doc="Output tokens it raises and lowers (latent_logits).")
    latent_histogram = param.Dict(doc="Its activations on text (latent_histogram).")
    latent_roles = param.DataFrame(doc="Its part in each letter (latent_roles).")
    latent_cosines = param.DataFrame(doc="Its cosine with each letter's probe (latent_cosines).")
    latent_dashboard = param.Dict(doc="Its imported HTML page (latent_dashboard).")

    layer_cosines = param.DataFrame(doc="Cosines of all SAEs of the layer, reduced (layer_cosines).")
    layer_marks = param.DataFrame(doc="Split and absorbing latents of all SAEs of the layer (layer_marks).")
    sae_cosines = param.DataFrame(doc="Cosines of all letters of the SAE, reduced (sae_cosines).")
    sae_marks = param.DataFrame(doc="Split and absorbing latents of all letters of the SAE (sae_marks).")
    pair_letters = param.DataFrame(doc="Two SAEs letter by letter (pair_letters).")
    pair_tokens = param.DataFrame(doc="Tokens of the letter absorbed on either of two SAEs (pair_tokens).")
    sae_means = param.DataFrame(doc="Absorption and splitting of every SAE (sae_means).")
    letter_rates = param.DataFrame(doc="Absorption of every letter on every SAE (letter_rates).")

    act = param.String(doc="What the reader just did that no id tells, such as a tap; watch with onlychanged=False.")
    waiting = param.Boolean(default=False, doc="Whether answers to the last change are still to come.")
    error = param.String(doc="Why the last change could not be answered; empty where it could.")

    def __init__(self, store: Store, state: ExplorerState) -> None:
        super().__init__()
        self.store = store
        self.state = state
        #: How what changed is asked: takes what asks, what takes the answers over, and what says that they take long.
        self.aside: Callable[[Callable[[], Any], Callable[[Any], None], Callable[[], None]], None] = _at_once
        self._failed: set[str] = set()
        self._asked: dict[str, _Params] = {}
        self._asked_by_views: dict[str, dict[str, Any]] = {}
        self._followed: set[str] = set()
        self._asking = Asking()
        state.param.watch(self._refresh, list(_watched(state)))
        self._refresh()

    @property
    def manifest(self) -> Any:
        """The manifest of the suite shown."""
        return self.store.suites[self.state.suite].manifest

    @property
    def sae_record(self) -> dict[str, Any] | None:
        """What the suite says of the SAE shown, None in a suite without SAEs."""
        state = self.state
        saes = self.store.fetch("saes")
        chosen = saes[
            (saes["suite"] == state.suite)
            & (saes["layer"] == state.layer)
            & (saes["width"] == state.width)
            & (saes["l0"] == state.l0)
        ]
        return _record(chosen)

    def follow(self, page: str) -> None:
        """Answer the questions of a page also while it is not shown, as a view of it needs that stands by itself."""
        self._followed.add(page)
        self._refresh()

    def _refresh(self, *_: param.parameterized.Event) -> None:
        """Ask what changed; what a former change asked is not waited for any more."""
        asking = Asking()
        self._asking.given_up = True
        self._asking = asking
        wanted = {name: self._params(question) for name, question in QUESTIONS.items() if self._wanted(question)}
        changed = {name: params for name, params in wanted.items() if self._asked.get(name, _NEVER) != params}
        self.aside(partial(self._ask, changed, asking), partial(self._take, changed, asking), self._wait)

    def _ask(self, changed: Mapping[str, _Params], asking: Asking) -> dict[str, Any]:
        """Ask, in whatever thread; in place of an answer stands why there is none."""

        def answer(name: str) -> Any:
            params = changed[name]
            with self.store.asking(asking):
                try:
                    return None if params is None else self.store.fetch(QUESTIONS[name].query, **params)
                except QueryError as failure:
                    return failure

        return dict(zip(changed, _SIDE_BY_SIDE.map(answer, changed), strict=True))

    def _take(self, changed: Mapping[str, _Params], asking: Asking, answers: Mapping[str, Any]) -> None:
        """Take over the answers as one change; those to a state that has moved on meanwhile are dropped."""
        if asking.given_up:
            return
        self._failed = {name for name, answer in answers.items() if isinstance(answer, QueryError)}
        error = ""
        values: dict[str, Any] = {}
        for name, answer in answers.items():
            if name in self._failed:
                # The former answer goes too, so that a way back to its question asks it again.
                self._asked.pop(name, None)
                values[name], error = None, str(answer)
            else:
                self._asked[name] = changed[name]
                values[name] = _record(answer) if QUESTIONS[name].record else answer
        self.param.update(**values, error=error, waiting=False)

    def _wait(self) -> None:
        self.waiting = True

    def unanswered(self, name: str) -> str:
        """Say that an answer is missing because its question failed; empty where the suite just has none."""
        return "The question for this was not answered; the notice at the top says why." if name in self._failed else ""

    def retry(self) -> None:
        """Ask again what failed."""
        self._refresh()

    def _params(self, question: Question) -> dict[str, Any] | None:
        """Collect the question's parameters from the state; None where the state has nothing to ask."""
        state = self.state
        if state.sae is None or (question.of_latent and state.latent is None):
            return None
        other = state.other
        names = catalog()[question.query].params
        if other is None and "other_layer" in names:
            return None
        # The SAE compared with is the suggested one as long as none was chosen.
        chosen = {"other_layer": other.layer, "other_width": other.width, "other_l0": other.l0} if other else {}
        read = {name: question.reads.get(name, name) for name in names}
        return {name: chosen.get(name, source and getattr(state, source)) for name, source in read.items()}

    def is_kept(self, answer: str) -> bool:
        """Tell whether an answer is kept up to date; one that is not shown may grow old."""
        return self._wanted(QUESTIONS[answer])

    def _wanted(self, question: Question) -> bool:
        """Tell whether what is shown calls for the question."""
        shown = ("", self.state.page, *self._followed)
        return question.page in shown and question.part in ("", self.state.compare_by)

    def ask(self, query: str, **params: Any) -> pd.DataFrame | None:
        """Answer a question that a view asks when it is used, such as a word tester's.

        Parameters of the query that are not given are the state's. None, and `error` set, where it fails.
        """
        wanted = {name: params.get(name, getattr(self.state, name, None)) for name in catalog()[query].params}
        self._asked_by_views[query] = wanted
        try:
            return self.store.fetch(query, **wanted)
        except QueryError as failure:
            self.error = str(failure)
            return None

    def whole(self, answer: str) -> pd.DataFrame:
        """Return all that is behind an answer: where a page of it is shown, every page; integers may be NA.

        Parameters
        ----------
        answer : str
            Name of a parameter of this model, or of a query that a view asked.

        Raises
        ------
        KeyError
            Where nothing was asked under that name.
        QueryError
            Where the question fails.
        """
        return self.asking_whole(answer)()

    def asking_whole(self, answer: str) -> Callable[[], pd.DataFrame]:
        """Return what asks, in whatever thread, for what `whole` returns as the state is now."""
        query, params = self._behind(answer)
        whole = {name: "Int64" for name, kind in catalog()[query].columns.items() if kind in ("INTEGER", "BIGINT")}
        return lambda: self.store.fetch(query, **params).astype(whole)

    def script(self, answer: str, *, shared: bool = False) -> str:
        """Write the question behind an answer as SQL that runs by itself; `shared` as `Store.script` has it."""
        query, params = self._behind(answer)
        return self.store.script(query, shared=shared, **params)

    def query(self, answer: str) -> str:
        """Name the query behind an answer; takes what `whole` takes."""
        return self._behind(answer)[0]

    def place(self, answer: str) -> dict[str, Any]:
        """Return what of suite, SAE, letter and latent an answer is about; takes what `whole` takes."""
        _, params = self._behind(answer)
        names = ("suite", "layer", "width", "l0", "letter", "latent")
        return {name: params[name] for name in names if params.get(name) is not None}

    def _behind(self, answer: str) -> tuple[str, dict[str, Any]]:
        """Return query and parameters of an answer."""
        question = QUESTIONS.get(answer)
        if question is None:
            return answer, self._asked_by_views[answer]
        params = self._params(question)
        if params is None:
            raise KeyError(answer)
        return question.query, params | ({"evidence_page": None} if "evidence_page" in params else {})


def _at_once(ask: Callable[[], Any], take: Callable[[Any], None], _: Callable[[], None]) -> None:
    take(ask())


def _watched(state: ExplorerState) -> set[str]:
    """Name the parameters of the state that any question depends on."""
    names = {
        source
        for question in QUESTIONS.values()
        for name in catalog()[question.query].params
        if (source := question.reads.get(name, name))
    }
    return {name for name in names if name in state.param} | {"latent", "page", "compare_by"}


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn an answer into a dict a row, with None for NULL."""
    columns = [
        [None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in column.tolist()]
        for _, column in frame.items()
    ]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _record(frame: pd.DataFrame | None) -> dict[str, Any] | None:
    """Turn an answer of at most one row into a dict with None for NULL."""
    return None if frame is None or frame.empty else records(frame.head(1))[0]
