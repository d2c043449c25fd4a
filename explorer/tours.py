"""What a tour tells of a suite: its texts with the suite's own numbers, and the state of each step."""

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

#: What of an address says which step is shown, and how, but not what it is a step of.
_OF_TOUR = frozenset(("tour", "tour_step", "present", "suite"))
_TOLD: WeakKeyDictionary[Store, dict[tuple[str, str], ToldTour]] = WeakKeyDictionary()


class ToldStep(NamedTuple):
    """A step as a suite shows it.

    Attributes
    ----------
    at : str
        The view that it points at (`explorer.text.tour_files.ANCHORS`).
    title : str
    html : str
        What it says; texts of the suite are escaped.
    state : mapping of str to str
        The whole state that it sets, under the names of addresses; all else is as at the start.
    """

    at: str
    title: str
    html: str
    state: Mapping[str, str]


class ToldTour(NamedTuple):
    """A tour as a suite shows it.

    Attributes
    ----------
    name, title, about : str
    steps : tuple of ToldStep
        None where the suite cannot show it.
    why_not : str
        Why it cannot; empty where it can.
    """

    name: str
    title: str
    about: str
    steps: tuple[ToldStep, ...]
    why_not: str = ""


def tell(store: Store, suite: str, name: str) -> ToldTour:
    """Tell a tour of a suite; what was told once is kept.

    Parameters
    ----------
    store : Store
    suite : str
        Name of one of its suites.
    name : str
        One of `explorer.text.tour_files.TOURS`.

    Returns
    -------
    ToldTour

    Raises
    ------
    TourError
        Where its file asks what cannot be asked.
    QueryError
        Where a question fails.
    """
    told = _TOLD.setdefault(store, {})
    if (suite, name) not in told:
        told[suite, name] = tell_file(store, suite, TOURS[name])
    return told[suite, name]


def tell_file(store: Store, suite: str, tour: Tour) -> ToldTour:
    """Tell a tour of a suite; see `tell`."""
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
                return ToldTour(tour.name, tour.title, tour.about, (), tour.unless)
            facts[asked.name] = row
        steps, state = [], {"suite": suite}
        for step in tour.step:
            state = state | {key: _filled(value, facts) for key, value in step.state.items()}
            html = compile_text(step.text).render(facts)
            steps.append(ToldStep(step.at, _filled(step.title, facts), html, {k: v for k, v in state.items() if v}))
    except (QuestionError, TemplateError, KeyError) as error:
        raise TourError(f"{tour.name}.toml: {error}") from error
    return ToldTour(tour.name, tour.title, tour.about, tuple(steps))


def _row(store: Store, suite: str, query: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the first row of an answer, None where there is none; thresholds are the suite's own."""
    known = {"suite": suite} if query in catalog() and "suite" in catalog()[query].params else {}
    rows = records(ask(store, query, **known, **given).head(1))
    return rows[0] if rows else None


def _filled(text: str | list[str], facts: Mapping[str, Any]) -> Any:
    """Fill in the slots of a plain text, or of each of a list."""
    return [_filled(each, facts) for each in text] if isinstance(text, list) else compile_plain(text).render(facts)


def query_of(step: ToldStep, tour: str, number: int, *, present: bool) -> str:
    """Write the address's query of a step.

    Parameters
    ----------
    step : ToldStep
    tour : str
        Name of its tour.
    number : int
        Its place, counted from 1.
    present : bool
        Whether the page is shown to an audience.
    """
    return urlencode({**step.state, "tour": tour, "tour_step": number} | ({"present": 1} if present else {}))


def enter(store: Store, state: ExplorerState, query: str) -> list[str]:
    """Go to the step that an address names, or to the last; where the address says what is shown besides, that stays.

    Parameters
    ----------
    store : Store
    state : ExplorerState
        It has taken the address over.
    query : str
        The address's query.

    Returns
    -------
    list of str
        What of the address was refused.
    """
    if state.tour is None:
        return []
    given = {key for key, value in parse_qsl(query.removeprefix("?")) if value}
    others = [] if "suite" in given else [name for name in store.suites if name != state.suite]
    tour = TOURS[state.tour]
    told = (tell(store, suite, tour.name) for suite in (state.suite, *others))
    shown = next((each for each in told if each.steps), None)
    if shown is None:
        state.tour = None
        return [f"tour = {tour.name!r} cannot be shown here ({tour.unless.rstrip('.')})"]
    number = min(state.tour_step, len(shown.steps))
    refused = []
    if given <= _OF_TOUR:
        refused = state.from_query(query_of(shown.steps[number - 1], shown.name, number, present=state.present))
    state.tour_step = number
    return refused


def offered(store: Store, suite: str) -> list[ToldTour]:
    """Tell all tours of a suite, those too that it cannot show, which say why."""
    return [tell(store, suite, name) for name in TOURS]


def existing(told: ToldTour, exists: Callable[[ToldStep], bool]) -> ToldTour | None:
    """Omit of a tour the steps that a page without a server does not have; None where that is half of them or more."""
    steps = tuple(filter(exists, told.steps))
    return told._replace(steps=steps) if 2 * len(steps) > len(told.steps) else None
