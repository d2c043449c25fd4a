"""Tours of a suite: their texts with the suite's own numbers, and the state of each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode
from weakref import WeakKeyDictionary

from jinja2 import TemplateError

from explorer.model import choices_of, records
from explorer.named_questions import QuestionError, ask
from explorer.text import compile_plain, compile_text
from explorer.text.tour_files import TOURS, TourError
from queries import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from explorer.state import ExplorerState
    from explorer.text.tour_files import Tour
    from queries import Store

#: Keys of an address that select a step and its presentation, but do not set the state of the step.
_TOUR_KEYS = frozenset(("tour", "tour_step", "present", "suite"))
_RENDERED: WeakKeyDictionary[Store, dict[tuple[str, str], RenderedTour]] = WeakKeyDictionary()


class RenderedStep(NamedTuple):
    """A step of a tour for a suite.

    Attributes
    ----------
    at : str
        The view that it points at (`explorer.text.tour_files.ANCHORS`).
    title : str
    html : str
        Its text; texts of the suite are escaped.
    state : mapping of str to str
        The complete state that it sets, by the names in addresses; all other parameters have their defaults.
    """

    at: str
    title: str
    html: str
    state: Mapping[str, str]


class RenderedTour(NamedTuple):
    """A tour for a suite.

    Attributes
    ----------
    name, title, about : str
    steps : tuple of RenderedStep
        Empty if the suite cannot show it.
    why_not : str
        Why it cannot; empty if it can.
    """

    name: str
    title: str
    about: str
    steps: tuple[RenderedStep, ...]
    why_not: str = ""


def rendered_tour(store: Store, suite: str, name: str) -> RenderedTour:
    """Return a tour for a suite; results are cached.

    Parameters
    ----------
    store : Store
    suite : str
        Name of one of its suites.
    name : str
        One of `explorer.text.tour_files.TOURS`.

    Returns
    -------
    RenderedTour

    Raises
    ------
    TourError
        If its file contains an invalid query.
    QueryError
        If a query fails.
    """
    rendered = _RENDERED.setdefault(store, {})
    if (suite, name) not in rendered:
        rendered[suite, name] = render_tour(store, suite, TOURS[name])
    return rendered[suite, name]


def render_tour(store: Store, suite: str, tour: Tour) -> RenderedTour:
    """Render a tour for a suite; see `rendered_tour`."""
    there = choices_of(store)[suite]
    labels = {sae.id: sae.label for sae in there.saes}
    family = next(iter(there.families.values()), None)
    facts: dict[str, Any] = {
        "suite": {"name": suite, "model": store.suites[suite].manifest.model.name},
        "family": {} if family is None else {"id": family.id, "title": family.title},
        "sae": labels.__getitem__,
        "concept": there.concepts.__getitem__,
        "noun": lambda concept: there.families[there.concepts[concept].family].noun,
    }
    try:
        for asked in tour.ask:
            row = _row(store, suite, asked.query, {key: _filled(value, facts) for key, value in asked.given.items()})
            if row is None:
                return RenderedTour(tour.name, tour.title, tour.about, (), tour.unless)
            facts[asked.name] = row
        steps, state = [], {"suite": suite}
        for step in tour.step:
            state = state | {key: _filled(value, facts) for key, value in step.state.items()}
            html = compile_text(step.text).render(facts)
            steps.append(RenderedStep(step.at, _filled(step.title, facts), html, {k: v for k, v in state.items() if v}))
    except (QuestionError, TemplateError, KeyError) as error:
        raise TourError(f"{tour.name}.toml: {error}") from error
    return RenderedTour(tour.name, tour.title, tour.about, tuple(steps))


def _row(store: Store, suite: str, query: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the first row of a result, None if there is none; thresholds are the suite's own."""
    known = {"suite": suite} if query in catalog() and "suite" in catalog()[query].params else {}
    rows = records(ask(store, query, **known, **given).head(1))
    return rows[0] if rows else None


def _filled(text: str | list[str], facts: Mapping[str, Any]) -> Any:
    """Fill in a plain text or a list of texts."""
    return [_filled(each, facts) for each in text] if isinstance(text, list) else compile_plain(text).render(facts)


def query_of(step: RenderedStep, tour: str, number: int, *, present: bool) -> str:
    """Return the URL query of a step.

    Parameters
    ----------
    step : RenderedStep
    tour : str
        Name of its tour.
    number : int
        Its number, from 1.
    present : bool
        Whether the page is in presentation mode.
    """
    return urlencode({**step.state, "tour": tour, "tour_step": number} | ({"present": 1} if present else {}))


def enter_step(store: Store, state: ExplorerState, query: str) -> list[str]:
    """Apply the step that an address names, or the last; not if the address also sets other parameters of the state.

    Parameters
    ----------
    store : Store
    state : ExplorerState
        The address has been applied to it.
    query : str
        Query of the address.

    Returns
    -------
    list of str
        Messages on rejected parts of the address.
    """
    if state.tour is None:
        return []
    given = {key for key, value in parse_qsl(query.removeprefix("?")) if value}
    others = [] if "suite" in given else [name for name in store.suites if name != state.suite]
    tour = TOURS[state.tour]
    rendered = (rendered_tour(store, suite, tour.name) for suite in (state.suite, *others))
    shown = next((each for each in rendered if each.steps), None)
    if shown is None:
        state.tour = None
        return [f"tour = {tour.name!r} cannot be shown here ({tour.unless.rstrip('.')})"]
    number = min(state.tour_step, len(shown.steps))
    refused = []
    if given <= _TOUR_KEYS:
        refused = state.from_query(query_of(shown.steps[number - 1], shown.name, number, present=state.present))
    state.tour_step = number
    return refused


def rendered_tours(store: Store, suite: str) -> list[RenderedTour]:
    """Return all tours for a suite, including those that it cannot show, with the reason."""
    return [rendered_tour(store, suite, name) for name in TOURS]


def with_existing_steps(tour: RenderedTour, exists: Callable[[RenderedStep], bool]) -> RenderedTour | None:
    """Omit the steps that a page without a server cannot show; None if that is half of them or more."""
    steps = tuple(filter(exists, tour.steps))
    return tour._replace(steps=steps) if 2 * len(steps) > len(tour.steps) else None
