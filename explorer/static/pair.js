// Compare: two SAEs by concept, as in explorer/views/pair.py.
import { isKnownIn, numbersOf } from "./numbers.js";
import { difference } from "./statistics.js";

const { acts, data, themeListeners, draw, embed, familyFolder, figures, find, go, isDark, readPart, remove, saeFolder } = reader;
const { fill, parsed, asHtml, written } = live;
const NAME = "pair-rates";
const AIR = [-0.02, 1.06]; // margins of the axis of rates (explorer.plots.dumbbell)
const POLICIES = { with_candidates: 2, all_concepts: 1 }; // minimum number of policies that must include a concept

let words = null; // texts on pairs of the family
let pair = null; // the pair shown
let figureOf = "";
let keepFocus = (write) => write();

export async function show(keep) {
  keepFocus = keep;
  const { place, sae } = reader;
  const folder = familyFolder(place);
  words = await readPart(`${folder}/pair.bin`);
  if (figureOf !== folder) {
    figureOf = folder;
    remove(NAME);
    find(`${NAME}-plot`).hidden = false;
    const model = await embed(NAME, words.figure);
    model.on_event("tap", ({ y }) => {
      const row = pair?.drawn[pair.drawn.length - 1 - Math.round(y)];
      if (row) go({ concept: row.concept });
    });
    if (matchMedia("(pointer: coarse)").matches) model.toolbar.tools.find(({ type }) => type === "BoxZoomTool").active = false;
  }
  find("compare-head").innerHTML = words.head;
  const mine = await numbersOf(place, place.suite, place.sae);
  const suite = place.other_suite ?? place.suite;
  const suggested = mine.suggested[suite] ?? null;
  const other = place.other_sae ?? suggested;
  const labels = await labelsOf(suite, place.family);
  pair = { rows: [], numbers: [], suite, other, suggested, labels, name: sae.label, drawn: [] };
  if (other === null) pair.nothing = words.nothing;
  else if (!isKnownIn(place, suite)) pair.nothing = words.elsewhere;
  else await compare(place, mine, suite, other);
  await showTable(place);
  applyTheme();
}

// The names of a suite's SAEs.
async function labelsOf(suite, family) {
  const there = Object.hasOwn(data.suites[suite].families, family) ? family : Object.keys(data.suites[suite].families)[0];
  return (await readPart(`${familyFolder({ suite, family: there })}/pair.bin`)).labels;
}

async function compare(place, mine, suite, other) {
  const hasFamily = Object.hasOwn(data.suites[suite].families, place.family);
  const its = hasFamily ? await numbersOf(place, suite, other) : { seeds: [other], rows: new Map() };
  const isSeed = suite === place.suite && mine.seeds.includes(other);
  const seedsOf = (own, where, sae) => Promise.all((isSeed ? [sae] : own.seeds).map((seed) => (seed === sae ? own : numbersOf(place, where, seed))));
  const [seeds, otherSeeds] = await Promise.all([seedsOf(mine, place.suite, place.sae), seedsOf(its, suite, other)]);
  const least = POLICIES[place.mean_policy];
  const inMean = (row) => (row && row.policies >= least ? row.mean : null);
  const concepts = [...new Set([...seeds, ...otherSeeds].flatMap(({ rows }) => [...rows.keys()]))].sort();
  const ratesOf = (all) => all.map(({ rows }) => concepts.map((concept) => inMean(rows.get(concept)))).filter((rates) => rates.some((rate) => rate !== null));
  const [rates, otherRates] = [ratesOf(seeds), ratesOf(otherSeeds)];
  pair.difference = rates.length && otherRates.length ? difference(rates, otherRates) : null;
  pair.rows = rowsOf(place, mine.rows, suite, its.rows);
  pair.numbers = [mine.rows.get(place.concept), its.rows.get(place.concept)];
}

// The rows of the query pair_concepts.
function rowsOf(place, mine, suite, its) {
  const [here, there] = [place.suite, suite].map((name) => Object.entries(data.suites[name].families[place.family] ?? {}));
  const nothing = { absorption_rate: null, num_split_latents: null, precision: null, recall: null };
  return [...new Set([...mine.keys(), ...its.keys()])].map((concept) => {
    const [one, other] = [mine.get(concept), its.get(concept)];
    const lacks = [one, other].some((each) => each && each.num_tested === null);
    const isOn = (each, token) => each?.absorbed.has(token) ?? false;
    const only = (each, but) => (lacks ? null : [...(each?.absorbed.keys() ?? [])].filter((token) => !isOn(but, token)).length);
    const names = Object.keys(nothing);
    return {
      concept, label: (one ? here : there).find(([id]) => id === concept)[1][0],
      order: one?.position ?? other?.position ?? Infinity,
      ...Object.fromEntries(names.map((name) => [name, (one ?? nothing)[name]])),
      ...Object.fromEntries(names.map((name) => [`other_${name}`, (other ?? nothing)[name]])),
      num_gained: only(other, one), num_lost: only(one, other),
    };
  }).sort((one, other) => (one.order === other.order ? 0 : one.order - other.order) || (one.concept < other.concept ? -1 : 1));
}

// The drawn rows, sorted by descending difference: explorer.plots.dumbbell.rows_of.
function drawnOf(rows) {
  const both = rows.filter((row) => row.absorption_rate !== null && row.other_absorption_rate !== null)
    .map((row) => ({ ...row, rise: row.other_absorption_rate - row.absorption_rate }));
  return both.sort((one, other) => Math.abs(other.rise) - Math.abs(one.rise)).slice(0, words.heights.length - 1)
    .sort((one, other) => other.rise - one.rise || (one.label < other.label ? -1 : 1));
}

// --- Rendering --------------------------------------------------------------------------------------------------------

function applyTheme() {
  if (!pair || reader.place.page !== "compare") return;
  keepFocus(showHead);
  drawRates();
}

function showHead() {
  const { place } = reader;
  const { suite, other, suggested, labels, nothing } = pair;
  if (other === null) { find("pair-head").innerHTML = nothing; return; }
  const case_ = [isDark() ? "dark" : "light", place.other_sae === null || other === suggested ? "suggested" : "chosen", suite === place.suite ? "same" : "other"];
  const page = parsed(words.choose[case_.join(" ")]);
  page.querySelector("strong").textContent = pair.name;
  page.querySelector("#other").append(...data.suites[suite].saes.filter((sae) => suite !== place.suite || sae !== place.sae)
    .map((sae) => new Option(labels[sae], sae, sae === other, sae === other)));
  for (const option of page.querySelector("#other-suite")?.options ?? []) if (option.value === suite) option.setAttribute("selected", "");
  find("pair-head").innerHTML = asHtml(page) + (nothing ?? summary());
}

function summary() {
  const { difference: found, rows, drawn } = pair;
  if (!found) return `<p class="summary">${words.none}</p>`;
  const { mean, low, high, num_seeds: seeds, num_other_seeds: others } = found;
  const sign = mean > 0 ? "higher" : mean < 0 ? "lower" : "same";
  const ends = low === null ? "none" : low <= 0 && high >= 0 ? "open" : "clear";
  const sum = (name) => (rows.some((row) => row[name] !== null) ? rows.reduce((total, row) => total + (row[name] ?? 0), 0) : null);
  const [gained, lost] = [sum("num_gained"), sum("num_lost")];
  const moved = gained === null ? "" : ` ${fill(words.moved[gained === 1 ? "1" : "n"], { num_gained: gained, num_lost: lost })}`;
  const over = words.over[`${reader.place.mean_policy} ${Math.min(seeds, 2)} ${Math.min(others, 2)} ${found.detectable ? "detectable" : "none"}`];
  const most = drawn.length === words.heights.length - 1 ? ` ${words.drawn}` : "";
  return `<p class="summary">${fill(words.mean[`${sign} ${ends}`], found)}${moved}</p>\n<p class="small muted">${fill(over, found)}${most}</p>`;
}

function drawRates() {
  const { drawn } = pair;
  find(`${NAME}-plot`).hidden = !drawn.length;
  if (!drawn.length) return;
  const y = drawn.map((_, at) => drawn.length - 1 - at);
  const [mine, others] = ["absorption_rate", "other_absorption_rate"].map((name) => drawn.map((row) => row[name]));
  const top = Math.max(0.01, ...mine, ...others) * AIR[1];
  const x = [AIR[0] * top, top];
  const percent = (value) => `${written(100 * value, "z,.1f")}%`;
  const texts = {
    concept: drawn.map(({ concept }) => concept), label: drawn.map(({ label }) => label),
    this: mine.map(percent), other: others.map(percent), difference: drawn.map(({ rise }) => percent(rise)),
  };
  const chosen = y.filter((_, at) => drawn[at].concept === reader.place.concept);
  const shortened = (text) => ([...text].length <= 24 ? text : `${[...text].slice(0, 23).join("")}…`);
  draw(NAME, {
    columns: {
      "chosen row": { left: chosen.map(() => x[0]), bottom: chosen.map((at) => at - 0.5), right: chosen.map(() => x[1]), top: chosen.map((at) => at + 0.5) },
      differences: { rate: mine, place: y, rate1: others, place1: y },
      A: { ...texts, rate: mine, place: y }, B: { ...texts, rate: others, place: y },
    },
    dark: {}, x, y: [-0.8, drawn.length - 0.2], height: words.heights[drawn.length],
    rows: Object.fromEntries(drawn.map(({ label }, at) => [y[at], shortened(label)])),
  });
}

async function showTable(place) {
  if (pair.nothing) { find("pair-table").innerHTML = ""; return; }
  pair.drawn = drawnOf(pair.rows);
  const page = parsed(words.table);
  const [rising, falling] = page.querySelectorAll("tbody tr");
  page.querySelector("tbody").replaceChildren(...pair.rows.map((row) => rowOf(row, row.other_absorption_rate - row.absorption_rate > 0 ? rising : falling)));
  const mine = pair.rows.find(({ concept }) => concept === place.concept);
  const [label] = data.suites[place.suite].families[place.family][place.concept];
  const isKnown = !mine || mine.num_gained !== null;
  const lists = page.querySelector(".moved");
  if (isKnown) lists.append(...await sectionsOf(place, label));
  else lists.replaceWith(labelled(parsed(words.unknown).querySelector("p"), label));
  keepFocus(() => { find("pair-table").replaceChildren(page); });
}

// The row of a concept; a cell shows a dash if its number is unknown.
function rowOf(row, pattern) {
  const copy = pattern.cloneNode(true);
  for (const cell of copy.cells) {
    const text = cell.textContent;
    const names = [...text.matchAll(/⟦(?:\d+ )?(\w+)(?: less (\w+))?:/g)].flatMap(([, one, other]) => (other ? [one, other] : [one]));
    if (names.length) cell.textContent = names.some((name) => row[name] === null) ? "–" : fill(text, row);
  }
  const button = copy.querySelector("button");
  const isChosen = row.concept === reader.place.concept;
  Object.assign(button.dataset, { key: `pair-${row.concept}`, value: row.concept });
  button.textContent = row.label;
  button.setAttribute("aria-pressed", isChosen);
  copy.className = isChosen ? "current" : "";
  return copy;
}

function labelled(element, label) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(words.slots.label, label);
  return element;
}

// The tokens of the concept that are absorbed on one of the two: the query pair_tokens.
async function sectionsOf(place, label) {
  const [mine, its] = pair.numbers.map((each) => each?.absorbed ?? new Map());
  const effect = (token) => mine.get(token)?.effect ?? its.get(token)?.effect ?? Infinity;
  const tokens = [...new Set([...mine.keys(), ...its.keys()])].sort((a, b) => effect(a) - effect(b) || (a < b ? -1 : 1));
  const chips = new Map();
  for (const [absorbed, at] of [[mine, place], [its, { ...place, suite: pair.suite, sae: pair.other }]]) {
    if (!absorbed.size) continue;
    const { evidence } = await readPart(`${saeFolder(at)}/${place.concept}.bin`);
    for (const row of parsed(evidence).querySelectorAll("tr[data-token]")) chips.set(row.dataset.token, row.querySelector(".token"));
  }
  const lists = {
    gained: tokens.filter((token) => !mine.has(token)), lost: tokens.filter((token) => !its.has(token)),
    both: tokens.filter((token) => mine.has(token) && its.has(token)),
  };
  return Object.entries(lists).map(([key, there]) => {
    const section = parsed(fill(words.tokens[key][there.length ? "some" : "none"], { number: there.length, latent: 0 })).firstElementChild;
    const pattern = parsed(words.tokens[key].some).querySelector(".tokens > span");
    section.querySelector(".tokens")?.replaceChildren(...there.map((token) => {
      const chip = pattern.cloneNode(true);
      const by = chip.querySelector("small");
      by.textContent = fill(by.textContent, mine.get(token) ?? its.get(token));
      chip.querySelector(".token").replaceWith(chips.get(token).cloneNode(true));
      return chip;
    }));
    return labelled(section, label);
  });
}

// --- Events -----------------------------------------------------------------------------------------------------------

themeListeners.push(applyTheme);
Object.assign(acts, {
  other: (sae) => go({ other_sae: sae }),
  other_suite: (suite) => go({ other_suite: suite === reader.place.suite ? null : suite, other_sae: null }),
  suggested: () => go({ other_sae: null }),
  swap: () => {
    const { suite, sae } = reader.place;
    go({ suite: pair.suite, sae: pair.other, other_suite: suite === pair.suite ? null : suite, other_sae: sae, ...(suite !== pair.suite && ofOther(pair.suite)) });
  },
});

// Another suite has its own thresholds and concept; the same concept if it exists there.
function ofOther(suite) {
  const { family, concept } = reader.place;
  const isThere = Object.hasOwn(data.suites[suite].families[family] ?? {}, concept);
  return { ...Object.fromEntries(Object.keys(data.suites[suite].own).map((name) => [name, null])), concept: isThere ? concept : null };
}
