// Features of a site beyond a snapshot: pages, the choice of suite and SAE, search, and the keys of the served page.
import { keyOf, totalsOf } from "./totals.js";
import { render } from "./search.js";

const { acts, data, themeListeners, draw, embed, familyFolder, figures, find, follow, followers, go, isDark, order, readPart, remove, suiteFolder } = reader;
const root = document.documentElement;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// --- Pages ----------------------------------------------------------------------------------------------------------

function showPage() {
  const { page, suite, family, concept } = reader.place;
  for (const each of all("[data-page]")) each.classList.toggle("away", each.dataset.page !== page);
  for (const link of all("#nav a")) {
    if (link.dataset.value === page) link.ariaCurrent = "page";
    else link.removeAttribute("aria-current");
  }
  if (find("suite")) find("suite").value = suite;
  const { refused } = reader.place;
  find("refused").hidden = !refused.length;
  find("refused-names").textContent = refused.join(", ");
  // The table of tested tokens is shown on two pages.
  const table = find("evidence");
  if (page === "evidence") find("evidence-head").after(table);
  else find("card").after(table);
  const [label] = data.suites[suite].families[family][concept];
  document.title = `${label}, ${reader.sae.label} · ${page} · Absorption Explorer`;
}

acts.page = (page) => go({ page, latent: reader.place.latent });

async function showSuite(former) {
  const { suite } = reader.place;
  if (former.suite === suite && former.metric === reader.place.metric) return;
  const { about, made } = await readPart(`${suiteFolder(reader.place)}/suite.bin`);
  for (const [id, html] of Object.entries({ about, made })) find(id).innerHTML = html;
}

async function showTotals() {
  const { place } = reader;
  if (place.page !== "evidence") return;
  const { evidence } = await readPart(`${suiteFolder(place)}/suite.bin`);
  const totals = await totalsOf(place);
  find("evidence-head").innerHTML = totals ? live.fill(evidence[totals.num_absorbing === 1 ? "1" : "n"], totals) : evidence.own;
}

acts.suite = (suite) => go({ suite, metric: null, sae: null, concept: null, other_suite: null, other_sae: null, tau: null, cosine_threshold: null, effect_margin: null });
acts.family = (family) => go({ concept: Object.keys(data.suites[reader.place.suite].families[family])[0] });

// --- The SAE --------------------------------------------------------------------------------------------------------

// Renders parts again; the focus is kept.
function keepFocus(write) {
  const held = document.activeElement?.dataset.key;
  write();
  if (held && !document.activeElement?.dataset.key) {
    document.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  }
}

function showChoice(former) {
  if (["suite", "family", "sae"].every((name) => former[name] === reader.place[name])) return;
  keepFocus(() => find("choose").replaceChildren(...Object.entries(reader.sae.choose.html).map(([name, html]) => {
    const box = document.createElement("div");
    box.className = `ax ${name}`;
    box.innerHTML = html;
    return box;
  })));
}

const targets = (name) => reader.sae.choose.targets[name] ?? [];
for (const name of ["layer", "hook", "architecture", "width", "l0", "seed"]) {
  acts[name] = (label) => acts.sae(targets(name).find(([its]) => its === label)[1]);
}
acts.sae = (sae) => go({ sae });

function stepL0(ahead) {
  const there = targets("l0").map(([, sae]) => sae);
  const next = there[there.indexOf(reader.place.sae) + ahead];
  if (there.includes(reader.place.sae) && next) acts.sae(next);
}

// --- Atlas ----------------------------------------------------------------------------------------------------------

const MAP = "absorption-heatmap";
let atlas = null; // its data
let figuresOf = "", tableOf = "";
let sorted = { column: "", descending: false };

async function showAtlas() {
  const { page, mean_policy: policy } = reader.place;
  if (page !== "atlas") return;
  const folder = familyFolder(reader.place);
  const [drawn, known] = await Promise.all([readPart(`${folder}/atlas.bin`), readPart(`${folder}/atlas-${policy}.bin`)]);
  const { movedIn } = await import("./numbers.js");
  const moved = movedIn(reader.place).map((name) => reader.place[name]).join(" ");
  atlas = moved ? await (await import("./atlas.js")).moved(known, reader.place) : known;
  if (figuresOf !== folder) {
    figuresOf = folder;
    for (const name of ["absorption-vs-l0", "splits-vs-l0", MAP]) {
      remove(name);
      find(`${name}-part`).hidden = !drawn[name];
      if (!drawn[name]) continue;
      const model = await embed(name, drawn[name]);
      const zoom = model.toolbar.tools.find(({ type }) => type === "BoxZoomTool");
      if (zoom && matchMedia("(pointer: coarse)").matches) zoom.active = false;
      model.on_event("tap", ({ x, y }) => tapped(name, x, y));
    }
  }
  if (tableOf !== folder + policy + moved) {
    tableOf = folder + policy + moved;
    sorted = { column: "", descending: false };
    find("atlas-table").innerHTML = atlas.table;
    for (const [word, title] of Object.entries(atlas.titles)) find(`${word}-vs-l0-head`).textContent = `${title} against L0`;
  }
  for (const row of all("tbody tr", find("atlas-table"))) {
    row.classList.toggle("current", atlas.saes[row.querySelector("[data-action=go]").dataset.value] === reader.place.sae);
  }
  applyThemeToAtlas();
}

const plotsOf = () => ({ ...atlas.plots, [MAP]: atlas.cells[reader.place.cell]?.plot });

function applyThemeToAtlas() {
  if (!atlas) return;
  const theme = isDark() ? "dark" : "light";
  const cells = atlas.cells[reader.place.cell];
  keepFocus(() => {
    find("atlas-head").innerHTML = atlas.head[theme];
    find(`${MAP}-head`).innerHTML = cells?.head[theme] ?? "";
    find(`${MAP}-table`).innerHTML = cells?.table ?? "";
  });
  for (const [name, plot] of Object.entries(plotsOf())) {
    if (!figures[name] || !plot) continue;
    const { columns, dark, ...whole } = plot;
    const marks = columns[name === MAP ? "cells" : "SAEs"];
    const isCurrent = (_, at) => marks.sae[at] === reader.place.sae && (!marks.concept || marks.concept[at] === reader.place.concept);
    const current = Object.fromEntries(Object.entries(marks).map(([key, values]) => [key, values.filter(isCurrent)]));
    draw(name, { columns: { ...columns, current }, dark: { ...dark, current: {} }, ...whole });
    figures[name].applyTheme(theme);
  }
}

themeListeners.push(applyThemeToAtlas);
for (const name of ["mean_policy", "cell"]) acts[name] = (value) => go({ [name]: value, latent: reader.place.latent });

// The SAE or cell of a tap, as in explorer.views.atlas and explorer.views.heat_map.
const REACH = 0.06;
function tapped(name, x, y) {
  const { columns, x: across, y: up } = plotsOf()[name];
  if (name === MAP) {
    const { left, bottom, sae, concept } = columns.cells;
    const at = left.findIndex((start, cell) => start + 0.5 === Math.round(x) && bottom[cell] + 0.5 === Math.round(y));
    if (at >= 0) go({ page: "explore", sae: sae[at], concept: concept[at] });
    return;
  }
  const { x: xs, y: ys, sae } = columns.SAEs;
  const distance = xs.map((_, at) => Math.hypot((xs[at] - x) / (across[1] - across[0]), (ys[at] - y) / (up[1] - up[0])));
  const nearest = distance.indexOf(Math.min(...distance));
  if (distance[nearest] <= REACH) go({ page: "explore", sae: sae[nearest] });
}

const TEXTS = ["layer", "hook", "architecture", "width", "l0", "seed"]; // ascending by default
const ofTokens = { sort: acts.sort, go: acts.go };
acts.sort = (column, element) => {
  if (!element.closest("#atlas-table")) return ofTokens.sort(column);
  sorted = { column, descending: column === sorted.column ? !sorted.descending : !TEXTS.includes(column) };
  order(find("atlas-table").querySelector("table"), atlas.order[column], sorted);
};
acts.go = (value, element) => {
  if (element.closest("#atlas-table")) go({ page: "explore", sae: atlas.saes[value] });
  else ofTokens.go(value);
};

// --- Compare --------------------------------------------------------------------------------------------------------

async function showPair() {
  if (reader.place.page === "compare") await (await import("./pair.js")).show(keepFocus);
}

// --- Search ---------------------------------------------------------------------------------------------------------

const search = {
  css_name: "search",
  html: data.search,
  onShown: null,
  on: (what, listener) => { if (what === "html") search.onShown = listener; },
  send_msg: ({ action, value }) => (action === "search" ? answer(value) : found[action]?.(value)),
};
find("search-place").replaceWith(render({ model: search, el: find("search-place") }));

const found = {
  latent: (latent) => acts.latent(latent),
  concept: (concept) => acts.concept(concept),
  token: async (token) => {
    const { tokens } = await readPart(`${suiteFolder(reader.place)}/search.bin`);
    const [, concept] = tokens.find(([its]) => its === token);
    go({ page: "evidence", concept, evidence_token: token });
  },
};

async function answer({ number, text }) {
  const wanted = text.trim();
  const { place } = reader;
  const [{ slots, ...known }, totals] = await Promise.all([readPart(`${suiteFolder(place)}/search.bin`), totalsOf(place)]).catch(() => [{}]);
  const page = new DOMParser().parseFromString(data.search, "text/html");
  const box = page.querySelector(".found");
  const list = slots ? find_(known, slots, wanted, totals) : { html: [], isCut: false };
  box.dataset.answers = number;
  box.hidden = !wanted;
  box.querySelector("[data-live=list]").innerHTML = list.html.join("");
  all("[role=option]", box).forEach((option, at) => { option.id = `found-${at}`; });
  const status = box.querySelector("[data-live=status]");
  status.className = list.html.length && !list.isCut ? "sr" : "";
  if (!slots) status.textContent = "The search could not be loaded.";
  else status.innerHTML = list.isCut ? known.cut : list.html.length ? known.results[list.html.length] : known.nothing.replaceAll(slots.text, escaped(wanted));
  search.html = page.body.innerHTML;
  search.onShown();
}

const escaped = (text) => Object.assign(document.createElement("span"), { textContent: text }).innerHTML;

// The results of the query `search`, without words that were tested on no SAE.
function find_({ latent, tokens, concepts, most }, slots, wanted, totals) {
  const plain = (text) => text.trimStart().toLowerCase();
  const begins = plain(wanted);
  const { n_latents: number, label } = reader.sae;
  const latents = /^\d{1,9}$/.test(wanted) && (number === null || Number(wanted) < number)
    ? [latent.replaceAll(slots.latent, Number(wanted)).replaceAll(slots.sae, escaped(label))] : [];
  const others = wanted.toLowerCase().split(/\s+/), last = others.pop();
  const isNamed = ([, its, phrase, , family]) => its.toLowerCase().startsWith(begins)
    || (begins.length > 1 && ` ${phrase}`.toLowerCase().includes(` ${begins}`))
    || (others.length && its.toLowerCase().startsWith(last) && others.every((word) => ` ${family} ${phrase}`.toLowerCase().includes(` ${word}`)));
  const named = concepts.filter(isNamed);
  const isExact = ([, its]) => its.toLowerCase() === begins;
  named.sort((one, other) => isExact(other) - isExact(one) || one[1].length - other[1].length);
  const found = tokens.filter(([token]) => plain(token).startsWith(begins));
  const tested = (totals ? found.map((each) => counted(each, totals)).sort(asListed) : found).slice(0, most);
  const html = wanted ? [...latents, ...named.slice(0, 5).map((each) => each[3]), ...tested.map((each) => each[2])] : [];
  return { html, isCut: tested.length === most };
}

// A tested token with the number of SAEs on which it is absorbed at moved thresholds.
function counted([token, concept, html], { absorbed }) {
  const number = absorbed.get(keyOf(concept, token)) ?? 0;
  const item = live.parsed(html);
  item.querySelector(".num-absorbed").textContent = live.written(number, "z,.0f");
  return [token, concept, live.asHtml(item), number];
}

// The order of the query `search`.
const lengthOf = (token) => [...token.replace(/^ +/, "")].length;
const asListed = ([one, its, , number], [other, others, , count]) => lengthOf(one) - lengthOf(other) || count - number
  || (one === other ? (its < others ? -1 : 1) : one < other ? -1 : 1);

// --- Keys and stored settings ---------------------------------------------------------------------------------------

const PAGE_KEYS = { e: "explore", c: "compare", a: "atlas", v: "evidence" };
let awaited = false; // the second key after g
addEventListener("keydown", (event) => {
  if (event.key === "Tab") root.classList.add("ax-by-keyboard");
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, select, textarea") || document.querySelector("dialog[open]")) return;
  if (event.key === "/") {
    event.preventDefault();
    dispatchEvent(new CustomEvent("ax:search"));
  }
  if (awaited && PAGE_KEYS[event.key]) acts.page(PAGE_KEYS[event.key]);
  awaited = event.key === "g";
  const ahead = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!ahead || event.shiftKey || event.target.closest?.(".scroll")) return;
  event.preventDefault();
  stepL0(ahead);
});
addEventListener("pointerdown", () => root.classList.remove("ax-by-keyboard"), { capture: true });

const turn = acts.dark;
acts.dark = () => {
  turn();
  try {
    localStorage.setItem("ax_theme", root.dataset.theme);
  } catch { /* the browser may not allow storage */ }
};

// A new choice is marked only once it is shown, because it may fail to load, or another choice may follow.
document.addEventListener("change", ({ target }) => {
  if (target.id === "suite") target.value = reader.place.suite;
  else if (target.matches("#choose select, #concepts select")) {
    for (const option of target.options) option.selected = option.defaultSelected;
  }
});

followers.push(showChoice, showPage, showSuite, showTotals, showAtlas, showPair);
try {
  await follow();
} finally {
  root.classList.add("ax-ready");
}
