"""From state to results: runs the queries that the state requires, and holds the results that all views share."""

from __future__ import annotations

from functools import partial
from math import isnan
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import pandas as pd
import param

from explorer.concepts import Concept, Family
from explorer.files import with_whole_numbers
from explorer.request import QueryCall, Request
from explorer.saes import Sae, labelled
from explorer.state import ExplorerState, SuiteChoices, Thresholds
from queries import QueryError, Store, catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from explorer.request import Answers
    from explorer.state import Snapshot

_PLACE = ("suite", "sae", "concept")
#: Query parameters that have another name in the state.
_READ = {"other_suite": "compared_suite", "other_sae": "compared_sae.id"}
_CHOICES: WeakKeyDictionary[Store, Mapping[str, SuiteChoices]] = WeakKeyDictionary()
#: Marks a query that has not run.
_NEVER: dict[str, Any] = {"": None}


class Question(NamedTuple):
    """The query behind a parameter of the model.

    A query's parameters are taken from the attributes of the state with the same names; `reads` lists those that are
    taken from other attributes (None: NULL). A `record` is a result of at most one row, kept as a dict. Queries
    `of_latent` run only while a latent is selected, those with a `table` only for suites that have it.
    """

    query: str
    record: bool = False
    of_latent: bool = False
    table: str | None = None
    reads: Mapping[str, str | None] = MappingProxyType({})


class AnswerSource(Protocol):
    """A class of views, which declares the results that it shows (`explorer.views.view.View`)."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The results that it shows."""

    def on_show(self, at: Snapshot) -> Iterable[AnswerSource]:
        """List the views that are visible when it is."""


_OWN_THRESHOLDS: Mapping[str, str | None] = MappingProxyType(
    {name: f"thresholds_of_suite.{name}" for name in Thresholds._fields}
)
_OF_CONCEPT: Mapping[str, str | None] = MappingProxyType(
    {"facet_saes": "own_saes", "facet_concept": "concept", "facet_latent": None, "evidence_page": None}
)

QUESTIONS: Mapping[str, Question] = {
    "concepts": Question("concept_counts"),
    "summary": Question("summary", record=True),
    "cosines": Question("cosines"),
    "split_latents": Question("split_latents"),
    "absorbing_latents": Question("absorbing_latents"),
    "k_sparse": Question("k_sparse"),
    "concept_evidence": Question("evidence", reads=_OF_CONCEPT),
    "suite_evidence": Question("evidence"),
    "latent_parts": Question("latent_parts", reads={"latent": "facet_latent"}),
    "verdicts_by_metric": Question("token_verdicts", reads={"token": None}),
    "threshold_sensitivity": Question("threshold_sensitivity"),
    "token_shares": Question("token_shares"),
    "concept_shares": Question("concept_shares"),
    "suite_info": Question("suite_info", record=True),
    "own_info": Question("suite_info", record=True, reads=_OWN_THRESHOLDS),
    "sae_scores": Question("sae_scores"),
    "latent_facts": Question("latent_facts", record=True, of_latent=True),
    "latent_contexts": Question("latent_contexts", of_latent=True),
    "latent_logits": Question("latent_logits", record=True, of_latent=True),
    "latent_histogram": Question("latent_histogram", record=True, of_latent=True),
    "latent_roles": Question("latent_roles", of_latent=True),
    "latent_cosines": Question("latent_cosines", of_latent=True),
    "latent_kin": Question("latent_kin", of_latent=True, table="kin"),
    "latent_dashboard": Question("latent_dashboard", record=True, of_latent=True),
    "random_tokens": Question("random_tokens", of_latent=True),
    "absorbed_tokens": Question("absorbed_tokens", of_latent=True),
    "compared_cosines": Question("compared_cosines"),
    "compared_counts": Question("compared_counts"),
    "sae_cosines": Question("sae_cosines"),
    "pair_rates": Question("pair_rates"),
    "pair_concepts": Question("pair_concepts"),
    "pair_tokens": Question("pair_tokens"),
    "splitting_tree": Question("splitting_tree", table="kin"),
    "sae_means": Question("sae_means"),
    "concept_rates": Question("concept_rates"),
    "similar_tokens": Question("similar_tokens"),
    "token_saes": Question("token_saes"),
    "token_roles": Question("token_roles"),
}


def choices_of(store: Store) -> Mapping[str, SuiteChoices]:
    """Return the possible choices in each suite, with its metrics and its own thresholds.

    All sessions of a store share the result.
    """
    found = _CHOICES.get(store)
    if found is None:
        found = _CHOICES[store] = _choices_of(store)
    return found


def _choices_of(store: Store) -> dict[str, SuiteChoices]:
    saes, concepts, families = store.fetch("saes"), store.fetch("concepts"), store.fetch("families")
    metrics = store.fetch("metrics")
    return {
        name: SuiteChoices(
            labelled([_sae(row) for row in records(saes[saes["suite"] == name])]),
            {row["concept"]: _concept(row) for row in records(concepts[concepts["suite"] == name])},
            {
                row["family"]: Family(row["family"], row["title"], row["noun"])
                for row in records(families[families["suite"] == name])
            },
            Thresholds(
                suite.manifest.method.tau, suite.manifest.method.cosine_threshold, suite.manifest.method.effect_margin
            ),
            {
                row["metric"]: [threshold for threshold in Thresholds._fields if row[threshold]]
                for row in records(metrics[metrics["suite"] == name])
            },
            metrics.loc[(metrics["suite"] == name) & metrics["judges"], "metric"].tolist(),
            "kin" in suite.manifest.tables,
            suite.manifest.opening.model_dump() if suite.manifest.opening else {},
        )
        for name, suite in store.suites.items()
    }


def _sae(row: Mapping[str, Any]) -> Sae:
    """Create an SAE from a row of the query `saes`."""
    whole = ("layer", "width", "seed", "n_latents", "l0_nominal")
    known: dict[str, Any] = {name: None if row[name] is None else int(row[name]) for name in whole}
    nominal, known["n_latents"] = known.pop("l0_nominal"), known["n_latents"] or 0
    return Sae(
        row["sae"],
        **known,
        hook=row["hook"],
        architecture=row["architecture"],
        l0=row["l0"] if nominal is None else nominal,
        l0_measured=row["l0"],
        repeat_of=row["repeat_of"],
        title=row["title"],
        counted=bool(row["n_latents_counted"]),
        canonical=bool(row["canonical"]),
        cosines=bool(row["cosines"]),
    )


def _concept(row: Mapping[str, Any]) -> Concept:
    """Create a concept from a row of the query `concepts`."""
    return Concept(row["concept"], *(row[name] for name in ("family", "label", "phrase", "parent")))


class ExplorerModel(param.Parameterized):
    """The query results for the state of one session.

    Parameters
    ----------
    store : Store
    state : ExplorerState
        Watched; a change runs exactly the queries whose parameters changed, and all results arrive as one change.
    *views : classes of views
        The views: only queries of visible views are run.
    """

    concepts = param.DataFrame(doc="Counts of each concept of the family on this SAE (concept_counts).")
    summary = param.Dict(doc="Results for this concept on this SAE, None if it was not measured (summary).")
    cosines = param.DataFrame(doc="Cosine of every latent with the probe (cosines).")
    split_latents = param.DataFrame(doc="Split latents of this concept (split_latents).")
    absorbing_latents = param.DataFrame(doc="Absorbing latents of this concept (absorbing_latents).")
    concept_evidence = param.DataFrame(doc="Tested tokens of this concept (evidence).")
    suite_evidence = param.DataFrame(doc="Tested tokens of the suite, one page of them (evidence).")
    latent_parts = param.DataFrame(doc="Roles of the latent searched for on every SAE (latent_parts).")
    verdicts_by_metric = param.DataFrame(doc="Verdicts of each metric on the concept's tested tokens (token_verdicts).")
    threshold_sensitivity = param.DataFrame(doc="Absorption rate by one threshold (threshold_sensitivity).")
    token_shares = param.DataFrame(
        doc="Shares of the concept's projection on each token that the probe finds (token_shares)."
    )
    concept_shares = param.DataFrame(doc="Mean shares of each concept on this SAE (concept_shares).")
    suite_info = param.Dict(doc="Counts of the whole suite at the current thresholds (suite_info).")
    own_info = param.Dict(doc="The same at the suite's own thresholds (suite_info).")
    k_sparse = param.DataFrame(doc="Scores of the k-sparse probes of this concept (k_sparse).")
    sae_scores = param.DataFrame(doc="Mean precision and recall of every SAE (sae_scores).")

    latent_facts = param.Dict(doc="Statistics of the selected latent (latent_facts).")
    latent_contexts = param.DataFrame(doc="Text in which it fires (latent_contexts).")
    latent_logits = param.Dict(doc="Output tokens it raises and lowers (latent_logits).")
    latent_histogram = param.Dict(doc="Its activations on text (latent_histogram).")
    latent_roles = param.DataFrame(doc="Role for each concept (latent_roles).")
    latent_cosines = param.DataFrame(doc="Its cosine with each concept's probe (latent_cosines).")
    latent_kin = param.DataFrame(doc="Its kin on the other SAEs of the layer (latent_kin).")
    latent_dashboard = param.Dict(doc="Its imported HTML page (latent_dashboard).")
    random_tokens = param.DataFrame(
        doc="Random words of the concept and other words for the word tester (random_tokens)."
    )
    absorbed_tokens = param.DataFrame(doc="Absorbed tokens of the concept (absorbed_tokens).")

    compared_cosines = param.DataFrame(doc="Cosines on the compared SAEs, with marks (compared_cosines).")
    compared_counts = param.DataFrame(
        doc="Numbers of split and absorbing latents on these, if known (compared_counts)."
    )
    sae_cosines = param.DataFrame(doc="Cosines for the compared concepts, with marks (sae_cosines).")
    pair_rates = param.DataFrame(doc="Rates that count in the means of two SAEs, for all their seeds (pair_rates).")
    pair_concepts = param.DataFrame(doc="Results of two SAEs by concept (pair_concepts).")
    pair_tokens = param.DataFrame(doc="Tokens of the concept absorbed on either of two SAEs (pair_tokens).")
    splitting_tree = param.DataFrame(doc="Main latent of the concept and its kin over widths (splitting_tree).")
    sae_means = param.DataFrame(doc="Absorption and splitting of every SAE (sae_means).")
    concept_rates = param.DataFrame(doc="Absorption of every concept on every SAE (concept_rates).")

    similar_tokens = param.DataFrame(doc="The searched token, if it exists, and similar ones (similar_tokens).")
    token_saes = param.DataFrame(doc="Its verdict for each of its concepts on every SAE (token_saes).")
    token_roles = param.DataFrame(doc="Latents that may fire on it, with their activations (token_roles).")

    shown: Snapshot = param.Parameter(doc="The state to which the results belong.")  # type: ignore[assignment]
    act = param.String(
        doc="Last action of the visitor that changes no parameter of the state; watch with onlychanged=False."
    )
    waiting = param.Boolean(default=False, doc="Whether results for the last change are late.")
    error = param.String(doc="Error of the last change's queries, empty if none.")

    def __init__(self, store: Store, state: ExplorerState, *views: AnswerSource) -> None:
        super().__init__()
        self.store = store
        self.state = state
        #: Runs queries. Called with three functions: one that runs them, one that receives the results, and one to
        #: call if the results are late.
        self.runner: Callable[[Callable[[], Any], Callable[[Any], None], Callable[[], None]], None] = _run_at_once
        self._request = Request(self)
        self._latest = state.snapshot()
        #: Running queries with their parameters.
        self._open: dict[str, Any] = {}
        self._waiting_for: set[Request] = set()
        self._failed: set[str] = set()
        self._answered: dict[str, dict[str, Any] | None] = {}
        self._view_queries: dict[str, dict[str, Any]] = {}
        self._views = views
        self._saes = store.fetch("saes")
        #: The SAEs of all suites, by suite and id.
        self.saes = state.all_saes()
        self.shown = self._latest
        state.param.watch(self._refresh, [name for name in state.param if name != "name"])
        self._refresh()

    @property
    def manifest(self) -> Any:
        """The manifest of the suite shown."""
        return self.store.suites[self.shown.suite].manifest

    @property
    def suite_titles(self) -> dict[str, str]:
        """The title of each suite, by its name."""
        return {name: suite.manifest.title or name for name, suite in self.store.suites.items()}

    @property
    def sae_record(self) -> dict[str, Any] | None:
        """The metadata of the SAE shown, None in a suite without SAEs."""
        shown, saes = self.shown, self._saes
        return _record(saes[(saes["suite"] == shown.suite) & (saes["sae"] == shown.sae)]) if shown.sae else None

    def show(self, view: AnswerSource) -> None:
        """Also run the queries of a view that is shown alone."""
        self._views = (*self._views, view)
        self._refresh()

    def shows(self, view: AnswerSource) -> bool:
        """Return whether a view is visible and its results are those of the state shown."""
        return view in self._on_show(self.shown)

    def _on_show(self, at: Snapshot) -> set[AnswerSource]:
        return {part for view in self._views for part in view.on_show(at)}

    def _refresh(self, *_: param.parameterized.Event) -> None:
        """Run the queries whose parameters changed; cancel those of an earlier change."""
        self._latest = self.state.snapshot()
        needed = {name for view in self._on_show(self._latest) for name in view.answers}
        wanted = {name: self._params(question, self._latest) for name, question in QUESTIONS.items() if name in needed}
        changed = {name: params for name, params in wanted.items() if self._answered.get(name, _NEVER) != params}
        if changed and changed != self._open:
            self._open = changed
            asked = {name: QueryCall(QUESTIONS[name].query, params) for name, params in changed.items()}
            self._request.ask(asked, partial(self._publish, changed))
        elif not changed:
            self._request.cancel()
            if self._latest != self.shown:
                self._publish(changed, {})

    def _publish(self, changed: Mapping[str, dict[str, Any] | None], answers: Answers) -> None:
        """Publish the results, and the state to which they belong, as one change."""
        self._open = {}
        self._failed = {name for name, answer in answers.items() if isinstance(answer, QueryError)}
        error = ""
        values: dict[str, Any] = {}
        for name, answer in answers.items():
            if isinstance(answer, QueryError):
                # Forget the parameters of the earlier result, so that its query runs again when the state returns.
                self._answered.pop(name, None)
                values[name], error = None, str(answer)
            else:
                self._answered[name] = changed[name]
                values[name] = _record(answer) if QUESTIONS[name].record else answer
        self.param.update(**values, error=error, shown=self._latest)

    def await_answers(self, request: Request, *, late: bool) -> None:
        """Record whether the results of a request are late."""
        (self._waiting_for.add if late else self._waiting_for.discard)(request)
        self.waiting = bool(self._waiting_for)

    def unanswered(self, name: str) -> str:
        """Return a message if a result is missing because its query failed; otherwise an empty text."""
        return "This query was not answered; the notice at the top explains why." if name in self._failed else ""

    def retry(self) -> None:
        """Run failed queries again."""
        self._refresh()

    def _params(self, question: Question, at: Snapshot) -> dict[str, Any] | None:
        """Return the query's parameters for a state; None if the query does not apply to it."""
        if at.sae is None or (question.of_latent and at.latent is None):
            return None
        if question.table and question.table not in self.store.suites[at.suite].manifest.tables:
            return None
        names = catalog()[question.query].params
        if (at.compared_sae is None and "other_sae" in names) or (at.concept is None and "concept" in names):
            return None
        return {name: param_of(at, question.reads.get(name, name)) for name in names}

    def select(self, latent: int) -> None:
        """Select a latent in a plot; ignored if the plot no longer matches the current choice."""
        if self.is_current:
            self.state.apply({"latent": latent})

    @property
    def is_current(self) -> bool:
        """Whether the plots show the chosen SAE and concept."""
        return all(getattr(self.shown, name) == getattr(self.state, name) for name in _PLACE)

    def ask(self, request: Request, query: str, take: Callable[[pd.DataFrame | None], None], **params: Any) -> None:
        """Run a query of a single view, such as the word tester; only the results of its latest query are used.

        Parameters
        ----------
        request : Request
            Request object of the view.
        query : str
        take : callable
            Receives the result; None, with `error` set, if the query fails.
        **params
            Parameters of the query; the others are taken from the state shown.
        """
        self.ask_together(request, (query,), take, **params)

    def ask_together(self, request: Request, queries: Sequence[str], take: Callable[..., None], **params: Any) -> None:
        """Run several queries like `ask`; `take` receives one result per query."""
        wanted = {
            query: {
                name: params[name] if name in params else param_of(self.shown, name) for name in catalog()[query].params
            }
            for query in queries
        }

        def receive(answers: Answers) -> None:
            frames = []
            for query in queries:
                answer = answers[query]
                if isinstance(answer, QueryError):
                    self.error, answer = str(answer), None
                else:
                    self._view_queries[query] = wanted[query]
                frames.append(answer)
            take(*frames)

        request.ask({query: QueryCall(query, wanted[query]) for query in queries}, receive)

    def whole(self, answer: str) -> pd.DataFrame:
        """Return the complete result: if a page of it is shown, all pages; integers may be NA.

        Parameters
        ----------
        answer : str
            Name of a parameter of this model, or of a query that a view ran.

        Raises
        ------
        KeyError
            If no query ran under that name.
        QueryError
            If the query fails.
        """
        return self.fetch_later(answer)()

    def fetch_later(self, answer: str) -> Callable[[], pd.DataFrame]:
        """Return a function that returns the result of `whole`; it can be called in any thread."""
        query, params = self._query_of(answer)
        return lambda: with_whole_numbers(self.store.fetch(query, **params), catalog()[query].columns)

    def script(self, answer: str, *, shared: bool = False) -> str:
        """Write the query behind a result as standalone SQL; for `shared` see `Store.script`."""
        query, params = self._query_of(answer)
        return self.store.script(query, shared=shared, **params)

    def query(self, answer: str) -> str:
        """Return the name of the query behind a result; `answer` as in `whole`."""
        return self._query_of(answer)[0]

    def place(self, answer: str) -> dict[str, Any]:
        """Return the suite, SAE, concept and latent to which a result refers; `answer` as in `whole`."""
        _, params = self._query_of(answer)
        found = {name: params.get(name) for name in ("suite", "sae", "concept", "latent")}
        return {name: value for name, value in found.items() if value is not None}

    def _query_of(self, answer: str) -> tuple[str, dict[str, Any]]:
        """Return query and parameters of a result."""
        question = QUESTIONS.get(answer)
        if question is None:
            return answer, self._view_queries[answer]
        params = self._params(question, self.shown)
        if params is None:
            raise KeyError(answer)
        return question.query, params | ({"evidence_page": None} if "evidence_page" in params else {})


def param_of(at: Snapshot, name: str | None) -> Any:
    """Return the value of a query's parameter in a state; None if it has none."""
    return name and attrgetter(_READ.get(name, name))(at)


def _run_at_once(ask: Callable[[], Any], take: Callable[[Any], None], _: Callable[[], None]) -> None:
    take(ask())


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a result to one dict per row, with None for NULL."""
    columns = [
        [None if value is pd.NA or (isinstance(value, float) and isnan(value)) else value for value in column.tolist()]
        for _, column in frame.items()
    ]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _record(frame: pd.DataFrame | None) -> dict[str, Any] | None:
    """Convert a result of at most one row to a dict with None for NULL."""
    return None if frame is None or frame.empty else records(frame.head(1))[0]
