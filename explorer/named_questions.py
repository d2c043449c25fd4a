"""The queries of the catalogue for scripts: parameters of each, and how they are parsed, checked and filled in.

The command (``query``), the server (``/api``) and Python (`ask`) all use this module, with the names of the catalogue.
Parameters that select data are required, unless there is only one choice; thresholds and switches default to those of
the suite and the page. An SAE can also be given by its attributes, and the concept of a first letter by ``letter``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from pandas.api.types import is_list_like, is_scalar

from explorer.files import with_whole_numbers
from explorer.former_links import translate_former_keys
from explorer.given_values import attribute_of, number_of, option_of, refusal_of, shortened, within
from explorer.model import choices_of
from explorer.saes import ATTRIBUTES, matches, value_label, values_of
from explorer.state import ExplorerState, Thresholds
from queries import Query, catalog
from queries.schema import INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from explorer.state import SuiteChoices
    from queries import Store

#: Documentation of parameters that are not part of the state.
_DOCS = {
    "family": "Id of the family of concepts; may be omitted if the suite has only one.",
    "compared": "Ids of the SAEs that are compared.",
    "compared_concepts": "Ids of the concepts that are compared.",
    "facet_saes": "Ids of the SAEs that are listed; all if omitted.",
    "tree_saes": "Ids of the SAEs of the tree, from narrow to wide; the first has the main latent.",
    "sensitivity_low": "Lowest value of the threshold.",
    "sensitivity_high": "Highest value of the threshold.",
    "search": "Text to search for: the beginning of a token or of a concept's label, or the number of a latent.",
    "token": "The token, with its leading space.",
    "main_latent": "The latent for comparison, such as the concept's main latent.",
    "words": "Tokens of the vocabulary, with their leading spaces.",
}
#: Parameters that select data; all others have defaults.
_NAMES = ("suite", "sae", "concept", "family", "latent", "other_sae", "compared", "compared_concepts", "tree_saes")
_NEEDED = frozenset((*_NAMES, "search", "token", "words"))
#: Parameters that default to NULL, even if the page has another default.
_NULL = frozenset(("facet_saes", "facet_concept", "facet_latent", "main_latent", "evidence_page"))
#: Parameters whose defaults depend on the suite.
_OF_SUITE = frozenset(("metric", "other_suite", *Thresholds._fields))
_SAES = ("sae", "other_sae", "compared", "tree_saes", "facet_saes")
_CONCEPTS = ("concept", "facet_concept", "compared_concepts")
_LATENTS = ("latent", "main_latent")
_SPANS = ("sensitivity_low", "sensitivity_high")
#: Alternatives to parameters.
INSTEAD: Mapping[str, tuple[str, ...]] = {"sae": ATTRIBUTES, "concept": ("letter",)}
_SHOWN = 8


class QuestionError(ValueError):
    """A query cannot be run with the given parameters; the message is one line that names the parameter and the fix.

    Attributes
    ----------
    parameter : str or None
        The invalid parameter; None if the query itself is unknown.
    """

    def __init__(self, why: str, parameter: str | None = None) -> None:
        super().__init__(why)
        self.parameter = parameter


class Parameter(NamedTuple):
    """A parameter of a query.

    Attributes
    ----------
    kind : str
        Its DuckDB type.
    doc : str
    needed : bool
        Whether it is required, unless there is only one choice or an alternative is given.
    default : object
        Its default; None if the suite determines it, or if it is NULL.
    options : tuple
        Its possible values, if these are few and equal for all suites.
    bounds : tuple of number or None
    """

    kind: str
    doc: str
    needed: bool
    default: Any = None
    options: tuple[Any, ...] = ()
    bounds: tuple[float | None, float | None] = (None, None)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return self.kind.endswith("[]")


@cache
def parameters(name: str) -> Mapping[str, Parameter]:
    """Return the parameters of the query `name`."""
    return {key: _parameter(key, kind) for key, kind in catalog()[name].params.items()}


def _parameter(name: str, kind: str) -> Parameter:
    needed = name in _NEEDED
    if name in _DOCS:
        bounds = (0, INTEGER_MAX) if kind == "INTEGER" else (None, None)
        return Parameter(kind, _DOCS[name], needed, bounds=bounds)
    of_state = ExplorerState.param[name]
    default = None if needed or name in _NULL or name in _OF_SUITE else of_state.default
    if name in _OF_SUITE or name in _NAMES:
        options: tuple[Any, ...] = ()
    else:
        options = tuple(getattr(of_state, "objects", ()))
    low, high = getattr(of_state, "bounds", None) or (None, None)
    high = INTEGER_MAX if kind == "INTEGER" and high is None else high
    return Parameter(kind, of_state.doc or "", needed, default, options, (low, high))


def alternatives_to(name: str) -> tuple[str, ...]:
    """Return the alternatives that the query `name` accepts in place of its parameters."""
    own = catalog()[name].params
    return tuple(other for key, others in INSTEAD.items() if key in own for other in others if other not in own)


def question(name: str) -> Query:
    """Return the query of that name.

    Raises
    ------
    QuestionError
        If there is none.
    """
    found = catalog().get(name) if isinstance(name, str) else None
    if found is None:
        listed = ", ".join(catalog())
        raise QuestionError(f"there is no query {shortened(name)}; choose one of {listed}")
    return found


def ask(store: Store, name: str, **given: Any) -> pd.DataFrame:
    """Run a query of the catalogue; `tables` lists them.

    Parameters
    ----------
    store : Store
        From `open_store`.
    name : str
        Name of the query.
    **given
        Its parameters, as values or texts. An SAE may be given by layer, width, l0 and so on in place of `sae`, and
        `letter` in place of `concept`.

    Returns
    -------
    pandas.DataFrame
        The complete result; integers may be NA.

    Raises
    ------
    QuestionError
        If a parameter is missing, unknown, or has an invalid value.
    QueryError
        If the query fails.
    """
    return fetch(store, name, read(store, name, given))


def fetch(store: Store, name: str, values: Mapping[str, Any]) -> pd.DataFrame:
    """Run a query with parsed parameters; integers may be NA."""
    return with_whole_numbers(store.fetch(name, **values), catalog()[name].columns)


def tables(store: Store) -> pd.DataFrame:
    """List the queries that `ask` can run.

    Parameters
    ----------
    store : Store
        From `open_store`. The queries are the same for all stores, but the required parameters may differ.

    Returns
    -------
    pandas.DataFrame
        By query: `rows`, what a row is; `needs`, required parameters; `takes`, optional ones; `columns`, with their
        types.
    """
    rows = {
        name: {
            "rows": query.doc,
            "needs": ", ".join(needs(store, name)),
            "takes": ", ".join(key for key in query.params if key not in needs(store, name)),
            "columns": ", ".join(f"{column} {kind}" for column, kind in query.columns.items()),
        }
        for name, query in catalog().items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("question")


def needs(store: Store, name: str) -> list[str]:
    """Return the required parameters of the query `name`: those with several choices."""
    choices = choices_of(store)
    lone = {
        "suite": len(choices) == 1,
        "sae": all(sum(sae.repeat_of is None for sae in there.saes) == 1 for there in choices.values()),
        "concept": all(len(there.concepts) == 1 for there in choices.values()),
        "family": all(len(there.families) == 1 for there in choices.values()),
    }
    taken = catalog()[name].params
    return [
        key for key in taken if key in _NEEDED and not lone.get(key) and not (key == "family" and "concept" in taken)
    ]


def collect_values(name: str, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Collect texts given one by one, as in an address; values of a list parameter become a list.

    Raises
    ------
    QuestionError
        If any other parameter is given twice.
    """
    given: dict[str, Any] = {}
    lists = {key for key, parameter in parameters(question(name).name).items() if parameter.is_list}
    for key, text in pairs:
        if key in lists:
            given.setdefault(key, []).append(text)
        elif key in given:
            raise QuestionError(f"{_named(key)} is given twice; give it once", key)
        else:
            given[key] = text
    return given


def read(store: Store, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for all parameters of the query `name`, from the given values or texts and the defaults.

    Raises
    ------
    QuestionError
        At the first parameter that is missing, unknown, or has an invalid value.
    """
    query = question(name)
    for key, value in given.items():
        if key not in query.params and key not in alternatives_to(name):
            takes = ", ".join((*query.params, *alternatives_to(name))) or "no parameters"
            raise QuestionError(f"{name} does not take {_named(key)}; it takes {takes}", key)
        _check_type(key, value, is_list=key in query.params and parameters(name)[key].is_list)
    return _Reading(store, name, given).values()


class _Reading:
    """Parses the parameters of one query."""

    def __init__(self, store: Store, name: str, given: Mapping[str, Any]) -> None:
        self._name, self._given, self._choices = name, given, choices_of(store)
        self._parameters = parameters(name)
        self._values: dict[str, Any] = {}

    def values(self) -> dict[str, Any]:
        for key, parameter in self._parameters.items():
            try:
                self._values[key] = self._value(key, parameter)
            except QuestionError:
                raise
            except ValueError as error:
                raise QuestionError(str(error), key) from error
        self._check_thresholds()
        self._check_span()
        return {key: self._values[key] for key in self._parameters}

    def _value(self, key: str, parameter: Parameter) -> Any:
        named = {
            "suite": self._suite,
            "other_suite": self._other_suite,
            "sae": self._sae,
            "concept": self._concept,
            "family": self._family,
            "metric": self._metric,
        }
        if key in named:
            return named[key]()
        value = self._given.get(key)
        return self._default(key, parameter) if value is None else self._given_value(key, parameter, value)

    def _given_value(self, key: str, parameter: Parameter, value: Any) -> Any:
        if parameter.is_list:
            return self._list(key, value)
        if key in _SAES or key in _CONCEPTS:
            return self._one_of(key, self._ids(key), value)
        if parameter.kind in ("INTEGER", "DOUBLE"):
            return self._number(key, parameter, value)
        if parameter.options or parameter.kind == "BOOLEAN":
            text = str(value).capitalize() if parameter.kind == "BOOLEAN" else value
            return option_of(key, text, ExplorerState.param[key])
        return _text(key, value)

    def _default(self, key: str, parameter: Parameter) -> Any:
        if parameter.needed:
            self._refuse_missing(key, self._ids(key) if key in _SAES or key in _CONCEPTS else ())
        if key in Thresholds._fields:
            return getattr(self._suite_choices.thresholds, key)
        if key in _SPANS:
            softbounds: tuple[float, float] = ExplorerState.param[self._values["sensitivity_of"]].softbounds
            return float(softbounds[_SPANS.index(key)])
        return parameter.default

    @property
    def _suite_choices(self) -> SuiteChoices:
        """The choices of the given suite."""
        return self._choices[self._values.get("suite") or next(iter(self._choices))]

    def _ids(self, key: str) -> Collection[str]:
        """Return the ids of SAEs or concepts that are possible for a parameter."""
        if key in _CONCEPTS:
            return self._suite_choices.concepts
        other = self._values.get("other_suite") if key == "other_sae" else None
        return [sae.id for sae in (self._choices[other] if other else self._suite_choices).saes]

    def _suite(self) -> str:
        if "suite" in self._given:
            return str(self._one_of("suite", list(self._choices), self._given["suite"]))
        if len(self._choices) > 1:
            self._refuse_missing("suite", self._choices)
        return next(iter(self._choices))

    def _other_suite(self) -> str:
        other = self._given.get("other_suite")
        return str(self._values["suite"] if other is None else self._one_of("other_suite", list(self._choices), other))

    def _metric(self) -> str | None:
        metrics, metric = list(self._suite_choices.movable), self._given.get("metric")
        return next(iter(metrics), None) if metric is None else str(self._one_of("metric", metrics, metric))

    def _sae(self) -> str:
        """Return the id of the SAE, given by its id or by attributes that match only one."""
        saes = self._suite_choices.saes
        requested = {name: self._given[name] for name in self._instead("sae")}
        if "sae" in self._given:
            self._refuse_both("sae", requested)
            return str(self._one_of("sae", self._ids("sae"), self._given["sae"]))
        fitting = list(saes)
        for name, value in requested.items():
            try:
                wanted = attribute_of(name, name, value)
            except ValueError as error:
                raise QuestionError(str(error), name) from error
            met = [sae for sae in fitting if matches(getattr(sae, name), wanted)]
            if not met:
                there = [value_label(name, each) for each in values_of(fitting, name)]
                raise QuestionError(refusal_of(name, value, there), name)
            fitting = met
        # Further seeds are selected only by id or seed.
        own = [sae for sae in fitting if sae.repeat_of is None] if "seed" not in requested else fitting
        if len(own) == 1:
            return own[0].id
        if not requested:
            self._refuse_missing("sae", self._ids("sae"))
        ids, given = _some(sae.id for sae in own), ", ".join(f"{name} = {value}" for name, value in requested.items())
        raise QuestionError(
            f"{given} fits {len(own)} SAEs ({ids}); give sae, or more of {', '.join(ATTRIBUTES)}", "sae"
        )

    def _concept(self) -> str:
        letter = {name: self._given[name] for name in self._instead("concept")}
        if "concept" in self._given:
            self._refuse_both("concept", letter)
            return str(self._one_of("concept", self._suite_choices.concepts, self._given["concept"]))
        if letter:
            concept = translate_former_keys(letter, ())["concept"]
            if concept in self._suite_choices.concepts:
                return str(concept)
            letters = [each.label for each in self._suite_choices.concepts.values() if each.family == "first-letter"]
            raise QuestionError(refusal_of("letter", letter["letter"], letters), "letter")
        if len(self._suite_choices.concepts) != 1:
            self._refuse_missing("concept", self._suite_choices.concepts)
        return next(iter(self._suite_choices.concepts))

    def _family(self) -> str:
        """Return the family that is given, or that of the concept."""
        there = self._suite_choices
        if "concept" in self._parameters:
            own = there.concepts[self._concept()].family
            if self._given.get("family", own) != own:
                raise QuestionError(
                    f"family = {shortened(self._given['family'])} is not the concept's; omit it", "family"
                )
            return own
        if "family" in self._given:
            return str(self._one_of("family", list(there.families), self._given["family"]))
        if len(there.families) != 1:
            self._refuse_missing("family", there.families)
        return next(iter(there.families))

    def _list(self, key: str, value: Any) -> list[str]:
        texts = [value] if isinstance(value, str) else list(value)
        if key == "words":
            return [_text(key, each) for each in texts]
        ids = set(self._ids(key))
        return [str(each) if each in ids else self._one_of(key, self._ids(key), each) for each in texts]

    def _number(self, key: str, parameter: Parameter, value: Any) -> float:
        number = number_of(key, value, int if parameter.kind == "INTEGER" else float)
        bounds = parameter.bounds
        if key in _SPANS:
            bounds = ExplorerState.param[self._values["sensitivity_of"]].bounds
        within(key, number, bounds)
        saes = [sae for sae in self._suite_choices.saes if sae.id == self._values.get("sae")]
        if key in _LATENTS and saes and saes[0].counted and number >= saes[0].n_latents > 0:
            raise QuestionError(f"{key} = {number} does not exist here (0 to {saes[0].n_latents - 1})", key)
        return number

    def _check_thresholds(self) -> None:
        """Reject a threshold that has no effect on the metric in the suite, as the page does."""
        metric = self._values.get("metric")
        if metric is None or self._values.get("scope") == "all":
            return
        own, moving = self._suite_choices.thresholds._asdict(), self._suite_choices.movable[metric]
        for key in own:
            if key in self._values and key not in moving and self._values[key] != own[key]:
                raise QuestionError(f"{key} has no effect on {metric} in this suite; omit it", key)

    def _check_span(self) -> None:
        low, high = (self._values.get(key) for key in _SPANS)
        if low is not None and high is not None and low >= high:
            raise QuestionError(
                f"sensitivity_low = {low:g} is not below sensitivity_high = {high:g}", "sensitivity_low"
            )

    def _instead(self, key: str) -> list[str]:
        return [name for name in INSTEAD[key] if name in self._given and name not in self._parameters]

    def _one_of(self, key: str, options: Collection[str], value: Any) -> Any:
        if value not in options:
            raise QuestionError(refusal_of(key, value, options), key)
        return value

    def _refuse_both(self, key: str, others: Mapping[str, Any]) -> None:
        if others:
            name = next(iter(others))
            raise QuestionError(f"{name} says what {key} already says; give one of them", name)

    def _refuse_missing(self, key: str, options: Collection[str]) -> None:
        instead = [name for name in INSTEAD.get(key, ()) if name not in self._parameters]
        fix = f"give one, as in {_some(options)}" if options else "give it"
        also = f", or {', '.join(instead)} in its place" if instead else ""
        raise QuestionError(f"{key} is missing; {fix}{also}", key)


def _check_type(key: str, value: Any, *, is_list: bool) -> None:
    """Reject values that are neither text nor number, such as bytes, or a list in place of one value."""
    parts = list(value) if is_list and is_list_like(value) else [value]
    if not all(is_scalar(part) and not isinstance(part, bytes) for part in parts):
        raise QuestionError(f"{key} takes {'a list of texts' if is_list else 'one value, a text or a number'}", key)


def _text(key: str, value: Any) -> str:
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QuestionError(f"{key} is not text in UTF-8", key) from None
    return text


def _named(key: str) -> str:
    """Return a given name for a message, quoted unless it is an identifier."""
    return key if key.isidentifier() and len(key) <= _SHOWN * 5 else shortened(key)


def _some(options: Iterable[str]) -> str:
    listed = list(options)
    return ", ".join(listed[:_SHOWN]) + (", ..." if len(listed) > _SHOWN else "")
