"""Helpers for the page Explore, whose contents are compared with the results of queries."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from playwright.sync_api import TimeoutError as NeverCame
from playwright.sync_api import expect

from explorer.format import number, width_label
from explorer.headline import headline
from explorer.views.arrange import STILL_TO_COME
from queries.schema import concept_id, letter_of
from tests.browser import WAIT_SECONDS, glyphs, wait_figure, wait_for, wait_glyph, wait_model
from tests.questions import DECIDING, FAMILY, THRESHOLDS, ask, keys, sae_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from playwright.sync_api import Locator, Page

    from explorer.theme import Theme
    from queries import Store
    from tests.browser import PageOpener

expect.set_options(timeout=WAIT_SECONDS * 1000)

#: The glyphs of the cosine plot, in its order.
LINE, BAND, SPLIT, ABSORBING, RING = range(5)
SAE_GROUPS = {"layer": "Layer", "width": "Width", "l0": "L0"}


@dataclass(frozen=True)
class View:
    """A state, and the query results for it."""

    store: Store
    suite: str = "smollm2-135m"
    layer: int = 4
    width: int = 2048
    l0: int = 6
    letter: str = "a"
    latent: int | None = None
    tau: float = THRESHOLDS["tau"]

    def but(self, **changes: Any) -> View:
        return replace(self, **changes)

    def ask(self, name: str, **others: Any) -> pd.DataFrame:
        values = DECIDING | {"seed": 0, "family": FAMILY} | keys(**self._state())
        return ask(self.store, name, values | others)

    def _state(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "store"}

    @property
    def query(self) -> dict[str, str]:
        """Return the query of the URL."""
        values = {name: value for name, value in self._state().items() if value is not None}
        if self.tau == THRESHOLDS["tau"]:
            del values["tau"]
        return {"page": "explore"} | {name: str(value) for name, value in values.items()}

    @property
    def path(self) -> str:
        return f"/dashboard?{urlencode(self.query)}"

    @property
    def summary(self) -> dict[str, Any] | None:
        rows: list[dict[str, Any]] = self.ask("summary").to_dict("records")
        return rows[0] if rows else None

    @property
    def where(self) -> str:
        letter = self.letter.upper()
        return f"Letter {letter} · layer {self.layer}, {width_label(self.width)} latents, L0 {self.l0}"

    @property
    def split(self) -> list[int]:
        return self.ask("split_latents")["latent"].tolist()

    @property
    def absorbing(self) -> list[int]:
        return self.ask("absorbing_latents")["latent"].tolist()

    @property
    def cosines(self) -> dict[int, float]:
        frame = self.ask("cosines")
        return dict(zip(frame["latent"].tolist(), frame["cosine"].tolist(), strict=True))

    @property
    def letters(self) -> dict[str, int]:
        """By measured letter, its number of absorbing latents."""
        frame = self.ask("concept_counts").query("measured")
        letters = frame["concept"].map(letter_of)
        return dict(zip(letters, frame["num_absorbing_latents"].astype(int), strict=True))

    @property
    def sae(self) -> str:
        """Id of the SAE."""
        return sae_id(self.layer, self.width, self.l0)

    @property
    def concept(self) -> str:
        """Id of the concept."""
        return concept_id(self.letter)


@dataclass(frozen=True)
class Pair:
    """A full and a bare generated suite, served together."""

    url: str
    full: View
    bare: View


def open_view(open_page: PageOpener, view: View | str, **options: Any) -> Page:
    """Open a view, or a path, of the page Explore and wait until its cosine plot is painted."""
    page = open_page(view if isinstance(view, str) else view.path, **options)
    wait_ready(page)
    wait_figure(page, "cosine")
    return page


def wait_ready(page: Page) -> None:
    """Wait until a page is painted completely, not only its first plot."""
    predicate = """(stillToCome) => {
      const {classList} = document.documentElement;
      return classList.contains("ax-ready") && !classList.contains("ax-is-busy") &&
        Bokeh.documents.every((document) => document.get_model_by_name(stillToCome) == null) &&
        Bokeh.index.roots.every((view) => view.has_finished());
    }"""
    wait_for(page, predicate, STILL_TO_COME)


def query_of(page: Page) -> dict[str, str]:
    """Return the query of the URL, with layer, width, L0 and letter in place of the ids of SAEs and concepts."""
    return page.evaluate(f"({_MEANING})(window.location.search)")


def wait_query(page: Page, wanted: Mapping[str, str | None]) -> None:
    """Wait until the URL has these values, as in `query_of`; None means that the key is absent."""
    predicate = f"""(wanted) => {{
      const has = ({_MEANING})(window.location.search);
      return Object.entries(wanted).every(([key, value]) => (has[key] ?? null) === value);
    }}"""
    wait_for(page, predicate, dict(wanted))


_MEANING = r"""(search) => {
  const values = Object.fromEntries(new URLSearchParams(search));
  for (const before of ["", "other_"]) {
    const id = values[`${before}sae`];
    const named = id?.match(/^l(\d+)-w(\d+)(?:-l0-(\d+)|-(\d+))?$/);
    if (named == null) continue; // a further seed, say, goes by its id
    delete values[`${before}sae`];
    const [, layer, width, l0, unknown] = named;
    const parts = { layer, width, l0: l0 ?? `-${unknown ?? 1}` };
    for (const name in parts) values[before + name] = parts[name];
  }
  for (const [key, name] of [["concept", "letter"], ["facet_concept", "facet_letter"]]) {
    if (values[key] == null) continue;
    values[name] = values[key].split(".")[1];
    delete values[key];
  }
  return values;
}"""


def part(page: Page, name: str) -> Locator:
    """The component of that name."""
    return page.locator(f".ax.{name}")


def graph_head(page: Page) -> Locator:
    """The heading of the graph of split and absorbing latents."""
    return part(page, "section").filter(has_text="splits and what absorbs it")


def cell(page: Page, letter: str) -> Locator:
    """The cell of a letter in the strip of concepts."""
    return page.locator(f"[data-concept='{concept_id(letter)}']")


def row(page: Page, role: str, latent: int) -> Locator:
    """The row of a latent in the list of split or of absorbing latents."""
    return page.locator(f"[data-key={role}-{latent}]")


def buttons(page: Page, name: str) -> Locator:
    """The buttons that choose layer, width or L0."""
    return page.locator(f"[role=radiogroup][aria-label={SAE_GROUPS[name]}] [role=radio]")


def choose(page: Page, name: str, value: int) -> None:
    text = width_label(value) if name == "width" else str(value)
    buttons(page, name).filter(has_text=re.compile(f"^{text}$")).click()


def task(page: Page, name: str) -> Locator:
    return page.locator(f"#task-{name}")


def unfold(page: Page, name: str) -> None:
    """Open one of the explanations."""
    button = part(page, "disclosure").locator(f"[data-key={name}]")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")


def set_widget(page: Page, name: str, value: object) -> None:
    """Set the value of the widget whose Bokeh model has that name, as its own handle would."""
    page.evaluate("([name, value]) => { Bokeh.documents[0].get_model_by_name(name).value = value }", [name, value])


def expect_marks(page: Page, view: View) -> None:
    """Wait until the cosine plot marks the view's latents, each at its exact position."""
    cosines = view.cosines
    marked = {SPLIT: view.split, ABSORBING: view.absorbing, RING: [] if view.latent is None else [view.latent]}
    for nth, latents in marked.items():
        places = sorted(latents)
        wait_glyph(page, "cosine", nth, x=places, cosine=[cosines[latent] for latent in places])


def expect_view(page: Page, view: View) -> None:
    """Wait until every part of the page shows the view.

    Raises
    ------
    AssertionError
        If it does not come to that; the message says what differs.
    """
    wanted = _facts(view)
    try:
        wait_for(page, f"(wanted) => JSON.stringify(({_READ})(wanted, {_MEANING})) === JSON.stringify(wanted)", wanted)
    except NeverCame:
        seen = page.evaluate(f"(wanted) => ({_READ})(wanted, {_MEANING})", wanted)
        others = {name: (seen[name], wanted[name]) for name in wanted if seen[name] != wanted[name]}
        raise AssertionError(f"what is shown, and what was wanted: {others}") from None
    expect_marks(page, view)


def _facts(view: View) -> dict[str, Any]:
    """Return the result of `_READ` on a page that shows the view."""
    summary, counts, latent = view.summary, view.letters, view.latent
    groups = {"Layer": [str(view.layer)], "Width": [width_label(view.width)], "L0": [str(view.l0)]}
    # Attributes shared by all SAEs of a suite are not selected.
    saes = view.store.fetch("saes").query("suite == @view.suite")
    columns = zip(SAE_GROUPS.values(), ("layer", "width", "l0_nominal"), strict=True)
    distinguishing = {title for title, name in columns if len(set(saes[name])) > 1}
    pressed = {role: [str(each) for each in getattr(view, role) if each == latent] for role in ("split", "absorbing")}
    return {
        "where": view.where,
        "headline": [headline(summary, view.letter.upper(), "letter")],
        "scores": [f"{number(summary[f'main_{s}'])} | {number(summary[f'probe_{s}'])}" for s in ("precision", "recall")]
        if summary
        else f"No scores for {view.letter.upper()}",
        "chosen": {title: chosen for title, chosen in groups.items() if title in distinguishing},
        "letter": [view.letter],
        "counts": [str(counts.get(letter, "–")) for letter in view.ask("concept_counts")["concept"].map(letter_of)],
        "split": [str(each) for each in view.split],
        "absorbing": [str(each) for each in view.absorbing],
        "pressed": [*pressed["split"], *pressed["absorbing"]],
        "card": [] if latent is None else [f"Latent {latent}"],
        "tested": latent is not None,
        "selected": [] if latent is None else [f"Latent {latent}"],
        "address": sorted(map(list, view.query.items())),
    }


#: Reads all contents of the page at once, because searching all shadow roots for each of them is slow.
_READ = """(wanted, meaning) => {
  const roots = []
  const enter = (root) => {
    roots.push(root)
    for (const element of root.querySelectorAll("*")) if (element.shadowRoot) enter(element.shadowRoot)
  }
  enter(document)
  const all = (selector, within = roots) => within.flatMap((root) => [...root.querySelectorAll(selector)])
  const shown = (element) => {
    const copy = element.cloneNode(true)
    copy.querySelectorAll(".definition").forEach((each) => each.remove())
    return copy.textContent
  }
  const text = (element) => shown(element).replace(/\\s+/g, " ").trim()
  const texts = (selector) => all(selector).map(text)
  const isSeen = (element) =>
    element.checkVisibility({visibilityProperty: true}) && element.getBoundingClientRect().height > 0
  // The expected words if the page contains them.
  const find = (words, selector) => texts(selector).some((each) => each.includes(words)) ? words : texts(selector)
  const chosen = (name) => {
    const [group] = all(`[role=radiogroup][aria-label=${name}]`)
    const labels = group ? all("[aria-checked=true]", [group]) : []
    return labels.map((label) => text(label).replace(/\\*$/, ""))
  }
  const facts = {
    where: () => find(wanted.where, ".ax.headline .where"),
    headline: () => texts(".ax.headline h1"),
    scores: () => Array.isArray(wanted.scores)
      ? texts(".ax.figures dd:not(.under)").slice(0, 2)
      : find(wanted.scores, ".ax.figures"),
    chosen: () => Object.fromEntries(Object.keys(wanted.chosen).map((name) => [name, chosen(name)])),
    letter: () => all("[data-concept][aria-checked=true]").map((cell) => cell.dataset.concept.split(".")[1]),
    counts: () => texts("[data-concept] .count"),
    split: () => texts("[data-key^=split-] .id"),
    absorbing: () => texts("[data-key^=absorbing-] .id"),
    pressed: () => ["split", "absorbing"].flatMap((role) => texts(`[data-key^=${role}-][aria-pressed=true] .id`)),
    card: () => all(".ax.card").filter(isSeen).flatMap((card) => all("h2", [card])).map(text),
    tested: () => wanted.tested && all(".ax.tester :is(th, h3)").slice(0, 1).some(isSeen),
    selected: () => wanted.selected.length ? texts(".ax.selection strong") : [],
    address: () => Object.entries(meaning(window.location.search)).sort(),
  }
  return Object.fromEntries(Object.keys(wanted).map((name) => [name, facts[name]()]))
}"""


def expect_theme(page: Page, theme: Theme) -> None:
    """Wait until page and plots have the colours of a theme."""
    wait_for(page, "(name) => document.documentElement.dataset.theme === name", theme.name)
    expect(page.locator("body")).to_have_css("background-color", rgb(theme.paper))
    expect(part(page, "headline").locator("h1")).to_have_css("color", rgb(theme.ink))
    ink = "(model, colour) => model?.below[0].major_label_text_color === colour"
    wait_model(page, "cosine", ink, theme.muted)
    wait_figure(page, "cosine")
    line, _, split, absorbing, _ = glyphs(page, "cosine")
    assert (line["line"], split["fill"], absorbing["fill"]) == (theme.other, theme.split, theme.absorbing)


def rgb(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"


def shifted(page: Page) -> float:
    """Return the layout shift while the page opened, as measured by the browser."""
    score: float = page.evaluate(_SHIFTED)
    return score


_SHIFTED = """() => new Promise((answer) => {
  const sum = (shifts) => shifts.filter((shift) => !shift.hadRecentInput).reduce((all, {value}) => all + value, 0);
  const observer = new PerformanceObserver((list) => answer(sum(list.getEntries())));
  observer.observe({type: "layout-shift", buffered: true});
  requestAnimationFrame(() => requestAnimationFrame(() => answer(sum(observer.takeRecords()))));
})"""


def results(page: Page) -> list[list[str]]:
    """The rows of the word tester's table."""
    cells: list[list[str]] = (
        part(page, "tester")
        .locator("table")
        .evaluate(
            "(table) => [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
        )
    )
    return cells


def open_parts(page: Page) -> None:
    """Unfold the explanations on the page Explore, test words on its latent, and open a token."""
    for name in ("splitting", "decision", "scores"):
        unfold(page, name)
    wait_figure(page, "k-sparse")
    part(page, "tester").locator("[data-key=pack-concept]").click()
    expect(part(page, "tester").locator("table")).to_be_visible()
    open_token(page)


def open_token(page: Page) -> None:
    """Open the first tested token."""
    part(page, "evidence").locator("tbody button:visible").first.click()
    expect(part(page, "evidence").locator("tr.opened:visible")).to_be_visible()


def wait_card_seen(page: Page) -> None:
    """Wait until the page has scrolled to the card of the selected latent."""
    wait_for(page, _CARD_SEEN)


#: Whether the heading of the card is visible and not covered.
_CARD_SEEN = """() => {
  const card = [...Bokeh.index.query(({model}) => model.name === "card")][0]
  const heading = card?.el.shadowRoot.querySelector("h2")
  if (!heading) return false
  const {left, top, bottom} = heading.getBoundingClientRect()
  const seen = (x, y) => {
    let hit = document.elementFromPoint(x, y)
    while (hit?.shadowRoot?.elementFromPoint(x, y)) hit = hit.shadowRoot.elementFromPoint(x, y)
    return heading.contains(hit)
  }
  return seen(left + 4, top + 2) && seen(left + 4, bottom - 2)
}"""
