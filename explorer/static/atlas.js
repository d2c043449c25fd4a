// Atlas at moved thresholds: means, heat map and plots from the numbers of all SAEs, as queries/views/50_sae_means.sql,
// explorer/plots/sweeps.py and explorer/plots/heat_map.py compute them.
import { MAX_PARTS, numbersOf } from "./numbers.js";

const { fixed, parsed, asHtml, written } = live;
const POLICIES = { with_candidates: 2, all_concepts: 1 }; // as in pair.js
const LINE = 0.5, MEAN = 0.9, BAND = 0.16; // opacity of lines, means and bands

const percent = (value) => (value === null ? "–" : `${written(100 * value, "z,.1f")}%`);
const number = (value, digits) => written(value, `z,.${digits}f`);
const known = (values) => values.filter((value) => value !== null);
const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
const rounded = (value) => (value === null ? null : Number(value.toFixed(4)));

export async function moved(atlas, place) {
  reader.keep(Math.min(MAX_PARTS, 2 * atlas.saes.length + 40));
  const all = await Promise.all(atlas.saes.map((sae) => numbersOf(place, place.suite, sae)));
  const means = all.map(({ rows }) => meansOf([...rows.values()], POLICIES[place.mean_policy]));
  withSeeds(means, atlas.training);
  const tops = { absorption: "absorption_rate", splits: "num_split_latents" };
  const plots = Object.entries(atlas.plots).map(([name, plot]) => [name, panel(plot, means, tops[name.split("-vs-")[0]], atlas)]);
  const cells = Object.entries(atlas.cells).map(([cell, shown]) => [cell, mapOf(shown, cell, all, atlas)]);
  const order = Object.fromEntries(atlas.numbers.filter((name) => name in means[0]).map((name) => [name, orderOf(means.map((row) => row[name]))]));
  return { ...atlas, plots: Object.fromEntries(plots), cells: Object.fromEntries(cells), table: tableOf(atlas.table, means), order: { ...atlas.order, ...order } };
}

// --- Means ------------------------------------------------------------------------------------------------------------

function meansOf(rows, least) {
  const rates = rows.filter((row) => row.policies >= least).map((row) => row.mean);
  const middle = mean(rates);
  const total = (name) => (rows.every((row) => row[name] !== null) ? rows.reduce((sum, row) => sum + row[name], 0) : null);
  return {
    absorption_rate: middle,
    absorption_sd: rates.length > 1 ? Math.sqrt(rates.reduce((sum, rate) => sum + (rate - middle) ** 2, 0) / (rates.length - 1)) : null,
    random_rate: null, num_absorbed: total("num_absorbed"), num_tested: total("num_tested"),
    num_split_latents: mean(known(rows.map((row) => row.num_split_latents))),
  };
}

// The lowest and the highest rate over the seeds of each training, if all are known.
function withSeeds(means, training) {
  const trained = Map.groupBy(means.map((row, at) => [row, training[at]]), ([, its]) => its);
  for (const each of trained.values()) {
    const rates = each.map(([row]) => row.absorption_rate);
    const isKnown = rates.length > 1 && known(rates).length === rates.length;
    for (const [row] of each) Object.assign(row, { seed_low: isKnown ? Math.min(...rates) : null, seed_high: isKnown ? Math.max(...rates) : null });
  }
}

function orderOf(values) {
  const places = values.map((_, at) => at);
  const isKnown = places.filter((at) => values[at] !== null).sort((one, other) => values[one] - values[other] || one - other);
  const unknown = places.filter((at) => values[at] === null);
  return { rows: [...isKnown, ...unknown], unknown: unknown.length };
}

function tableOf(html, means) {
  const page = parsed(html);
  for (const row of page.querySelectorAll("tbody tr")) {
    const its = means[row.querySelector("[data-action=go]").dataset.value];
    const of = its.num_absorbed !== null && its.num_tested !== null ? ` of ${number(its.num_tested, 0)}` : "";
    const texts = {
      Rate: percent(its.absorption_rate), "By chance": "–", Absorbed: number(its.num_absorbed, 0) + of, Splits: number(its.num_split_latents, 2),
      Seeds: its.seed_low === null ? "" : `${percent(its.seed_low)} to ${percent(its.seed_high)}`,
    };
    for (const cell of row.cells) {
      const { label } = cell.dataset;
      if (label.startsWith("±")) cell.textContent = percent(its.absorption_sd);
      else if (label in texts) cell.textContent = texts[label];
    }
  }
  return asHtml(page);
}

// --- The plots against L0 ---------------------------------------------------------------------------------------------

function panel(plot, means, name, atlas) {
  const { SAEs: former } = plot.columns;
  const rows = former.sae.map((sae) => atlas.saes.indexOf(sae));
  const left = rows.map((row, at) => [row, at]).filter(([row]) => means[row][name] !== null);
  const only = (columns) => Object.fromEntries(Object.entries(columns).map(([key, values]) => [key, left.map(([, at]) => values[at])]));
  const values = (key) => left.map(([row]) => rounded(means[row][key]));
  const ofRow = (key) => left.map(([row]) => atlas[key][row]);
  const SAEs = {
    ...only(former), y: values(name), absorption_rate: values("absorption_rate"), absorption_sd: values("absorption_sd"),
    num_split_latents: values("num_split_latents"), seeds: left.map(([row]) => textBySeed(row, means, name, atlas.training)),
  };
  const dark = { ...only(plot.dark.SAEs ?? {}) };
  const trained = overSeeds(SAEs, left.map(([row]) => means[row][name]), ofRow("training"), ofRow("sweep"), atlas, dark.colour ?? SAEs.colour);
  const layers = sweeps(trained);
  const colours = Object.fromEntries(Object.entries(layers).map(([layer, columns]) => [layer, { colour: columns.darkColour }]));
  for (const columns of Object.values(layers)) delete columns.darkColour;
  const top = Math.max(0, ...known(means.map((row) => row[name])));
  return { ...plot, columns: { ...plot.columns, ...layers, SAEs }, dark: { ...plot.dark, ...colours, SAEs: dark }, y: [0, top > 0 ? 1.1 * top : 1] };
}

function textBySeed(row, means, name, training) {
  const write = name === "absorption_rate" ? percent : (value) => number(value, 2);
  const values = means.filter((_, at) => training[at] === training[row]).map((each) => each[name]);
  if (values.length < 2) return "–";
  const each = values.map(write).join(", ");
  return values.includes(null) ? each : `${each}; mean ${write(mean(values))}`;
}

function overSeeds(SAEs, ys, training, sweep, atlas, darkColours) {
  const all = new Map();
  training.forEach((group, at) => {
    if (!all.has(group)) all.set(group, []);
    all.get(group).push(at);
  });
  return [...all].map(([group, at]) => {
    const values = (name) => at.map((each) => SAEs[name][each]);
    const its = at.map((each) => ys[each]);
    const isKnown = at.length > 1 && at.length === atlas.training.filter((each) => each === group).length;
    const one = (colours, theme) => (new Set(colours).size === 1 ? colours[0] : atlas.colours[theme].muted);
    return {
      group, sweep: sweep[at[0]], x: mean(values("x")), y: mean(its), l0: mean(values("l0")), shown: Math.max(...values("shown")),
      low: isKnown ? Math.min(...its) : null, high: isKnown ? Math.max(...its) : null,
      colour: one(values("colour"), "light"), darkColour: one(at.map((each) => darkColours[each]), "dark"),
    };
  });
}

function sweeps(trained) {
  const swept = [...trained].sort((one, other) => one.sweep - other.sweep || one.l0 - other.l0);
  const pairs = swept.slice(1).map((to, at) => ({ from: swept[at], to, shown: Math.min(swept[at].shown, to.shown) })).filter(({ from, to }) => from.sweep === to.sweep);
  const banded = pairs.filter(({ from, to }) => from.low !== null && to.low !== null);
  const isBanded = new Set(banded.flatMap(({ from, to }) => [from, to]));
  const lone = trained.filter((each) => each.low !== null && !isBanded.has(each));
  const runs = [];
  for (const pair of banded) {
    const before = runs.at(-1)?.at(-1);
    if (!before || before.to !== pair.from || before.from.colour !== pair.from.colour || before.shown !== pair.shown) runs.push([]);
    runs.at(-1).push(pair);
  }
  const along = (run, name) => [...run.map(({ from }) => from[name]), run.at(-1).to[name]];
  const outline = (there, back) => [[[...there, ...back.reverse(), there[0]]]];
  const both = (list, of) => ({ colour: list.map((each) => of(each).colour), darkColour: list.map((each) => of(each).darkColour) });
  return {
    sweeps: {
      x: pairs.map(({ from }) => from.x), y: pairs.map(({ from }) => from.y), x1: pairs.map(({ to }) => to.x), y1: pairs.map(({ to }) => to.y),
      ...both(pairs, ({ from }) => from), shown: pairs.map((pair) => (banded.includes(pair) ? MEAN : LINE) * pair.shown),
    },
    bands: {
      xs: runs.map((run) => outline(along(run, "x"), along(run, "x"))), ys: runs.map((run) => outline(along(run, "low"), along(run, "high"))),
      ...both(runs, ([{ from }]) => from), shown: runs.map(([{ shown }]) => BAND * shown),
    },
    bars: {
      x: lone.map(({ x }) => x), y: lone.map(({ low }) => low), x1: lone.map(({ x }) => x), y1: lone.map(({ high }) => high),
      ...both(lone, (each) => each), shown: lone.map(({ shown }) => LINE * shown),
    },
  };
}

// --- The heat map -----------------------------------------------------------------------------------------------------

const WRITE = { absorption_rate: percent, num_split_latents: (value) => number(value, 0), f1_gap: (value) => number(value, 3) };

function mapOf(shown, cell, all, atlas) {
  const { columns, dark } = shown.plot;
  const rows = columns.cells.sae.map((sae, at) => all[atlas.saes.indexOf(sae)].rows.get(columns.cells.concept[at]));
  const values = rows.map((row) => row[cell]);
  const steps = stepsOf(values, cell, atlas.colours.light.ramp.length);
  const colours = (theme) => {
    const { ramp, paper } = atlas.colours[theme];
    const first = ramp.length - steps.length;
    return values.map((value) => (value === null ? "rgba(0, 0, 0, 0)" : value > 0 ? ramp[first + steps.findIndex(({ most }) => value <= most)] : paper));
  };
  const cells = { ...columns.cells, shown: rows.map((row) => textOf(row, cell)), counted: rows.map(countedOf), colour: colours("light") };
  const head = Object.fromEntries(Object.entries(shown.head).map(([theme, html]) => [theme, headOf(html, steps, atlas.colours[theme].ramp)]));
  return {
    head, table: highest(shown.table, columns.cells, values, cell),
    plot: { ...shown.plot, columns: { ...columns, cells }, dark: { ...dark, cells: { ...dark.cells, colour: colours("dark") } } },
  };
}

// A rate with its interval, with enough decimals to distinguish its ends.
function textOf(row, cell) {
  const value = row[cell];
  if (value === null) return "unknown";
  if (cell !== "absorption_rate") return fixed(value, cell === "num_split_latents" ? 0 : 3);
  if (row.rate_low === null) return percent(value);
  const digits = fixed(100 * row.rate_low, 1) === fixed(100 * row.rate_high, 1) ? 2 : 1;
  return `${fixed(100 * value, 1)}% (${fixed(100 * row.rate_low, digits)}–${fixed(100 * row.rate_high, digits)})`;
}

function countedOf(row) {
  if (row.num_absorbed === null) return "unknown";
  return row.num_tested === null ? number(row.num_absorbed, 0) : `${number(row.num_absorbed, 0)} of ${number(row.num_tested, 0)} tested`;
}

function stepsOf(values, cell, length) {
  const most = Math.max(0, ...known(values));
  if (most <= 0) return [];
  const unit = cell === "num_split_latents" ? 1 : 0.001;
  const even = Array.from({ length: length - 1 }, (_, at) => most * ((at + 1) / length) ** 2);
  const whole = even.map((value) => Number((unit * Math.ceil(Number((value / unit).toFixed(6)))).toFixed(3)));
  const ends = [...new Set(whole)].filter((end) => end !== 0 && end < most).sort((one, other) => one - other);
  const all = [...ends, most];
  return all.map((end, at) => {
    const text = WRITE[cell](end);
    return { most: end, text: at || (cell === "num_split_latents" && all[0] === 1) ? text : `up to ${text}` };
  });
}

function headOf(html, steps, ramp) {
  const page = parsed(html);
  const legend = page.querySelector(".legend");
  for (const step of legend.querySelectorAll(".step[style]")) step.parentElement.remove();
  legend.lastElementChild.before(...steps.map(({ text }, at) => {
    const item = document.createElement("span"), colour = document.createElement("i");
    colour.className = "step";
    colour.style.background = ramp[ramp.length - steps.length + at];
    item.append(colour, ` ${text}`);
    return item;
  }));
  return asHtml(page);
}

function highest(html, cells, values, cell) {
  const page = parsed(html);
  const body = page.querySelector("tbody");
  const rank = (value) => value ?? -Infinity; // unknown values come last
  const most = values.map((value, at) => [value, at]).sort(([one, a], [other, b]) => (rank(one) === rank(other) ? a - b : rank(other) - rank(one)));
  for (const [nth, row] of [...body.rows].entries()) {
    const [value, at] = most[nth];
    [cells.label[at], cells.name[at], WRITE[cell](value)].forEach((text, column) => { row.cells[column].textContent = text; });
  }
  return asHtml(page);
}
