// Navigation in a suite without a server: its parts are compressed in this file (a snapshot) or beside it (a site), and are
// decompressed when they are shown.
//
// The address contains the state, with the keys of the served page. The visitor's actions change only the address, and
// `follow` shows its state.
"use strict";

const reader = (() => {
  const STRETCHES = 1000; // bins of the visible latents, each drawn by its lowest and its highest cosine, so that peaks are kept
  const SCALE = 10_000, UNKNOWN = -32_768; // of the compressed cosines
  const REACH = 0.03; // maximum distance of a tap, as a share of the plot's height
  const ASPECT = 3; // assumed ratio of the plot's width to its height
  const AIR = 0.04; // margin beside the latents, as a share of their number (explorer.plots.cosine)
  const HIGHEST = 10;
  let kept = 40; // maximum decompressed parts of each kind in the cache
  const PLOTS = ["token-shares", "concept-shares", "splitting-tree"]; // besides those of cosines and k-sparse probes

  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const isWhole = "parts" in data; // all parts are in this file

  // --- Parts --------------------------------------------------------------------------------------------------------

  async function unpack(path) {
    let packed;
    if (isWhole) {
      packed = new Blob([Uint8Array.from(atob(data.parts[path]), (character) => character.charCodeAt(0))]).stream();
    } else {
      const response = await fetch(path);
      if (!response.ok) throw new Error(`${path}: ${response.status}`);
      packed = response.body;
    }
    return new Uint8Array(await new Response(packed.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
  }

  const withCache = (read) => {
    const known = new Map();
    return (key) => {
      const found = known.get(key) ?? read(key);
      known.delete(key);
      known.set(key, found); // the most recently read one is removed last
      found.catch(() => known.delete(key));
      if (known.size > kept) known.delete(known.keys().next().value);
      return found;
    };
  };
  const readPart = withCache(async (path) => JSON.parse(new TextDecoder().decode(await unpack(path))));
  const readCosines = withCache(async (path) => {
    const bytes = await unpack(path);
    const count = bytes.length / 2;
    if (!count) return null;
    const cosines = new Float64Array(count);
    for (let latent = 0; latent < count; latent++) {
      const whole = ((bytes[latent] | (bytes[count + latent] << 8)) << 16) >> 16;
      cosines[latent] = whole === UNKNOWN ? NaN : whole / SCALE;
    }
    return cosines;
  });

  // A site contains BokehJS as a compressed part, so that it is small on hosts without compression, too; the site's policy
  // allows it by its hash.
  let bokeh = isWhole ? Promise.resolve() : null;
  const loadBokeh = () => (bokeh ??= insertBokeh().catch((error) => {
    bokeh = null; // so that it is loaded again for the next place
    throw error;
  }));
  async function insertBokeh() {
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(await unpack("assets/bokeh.bin"));
    document.head.append(script);
  }
  loadBokeh().catch(() => {}); // `embed` waits for it and reports a failure

  // The folders of the parts, as explorer.parts names them.
  const metricsOf = (suite) => Object.keys(data.suites[suite].metrics ?? {}); // the suite's own first
  const movableOf = ({ suite, metric }) => data.suites[suite].metrics?.[metric] ?? {};
  const suiteFolder = ({ suite, metric }) => (metricsOf(suite).slice(1).includes(metric) ? `metrics/${suite}/${metric}` : `suites/${suite}`);
  const familyFolder = (place) => `${suiteFolder(place)}/${place.family}`;
  const saeFolder = (place) => `${familyFolder(place)}/${place.sae}`;
  const cosinesOf = (place, concept) => readCosines(`${saeFolder({ ...place, metric: null })}/${concept}.cos`); // the same for any metric

  // --- The address --------------------------------------------------------------------------------------------------

  const THRESHOLDS = ["tau", "cosine_threshold", "effect_margin"];
  const TOUR = ["tour", "tour_step"]; // static/reader_guide.js
  const KEYS = isWhole ? ["concept", "latent", "evidence_token", ...TOUR]
    : ["page", "suite", "sae", "concept", "latent", "metric", ...THRESHOLDS, "compare_by", "other_suite", "other_sae", "mean_policy", "cell", "evidence_token", ...TOUR];
  // Further options; the first is the default, which, except for the page, is not part of an address.
  const CHOICES = isWhole ? {} : {
    page: ["explore", "compare", "atlas", "evidence"],
    compare_by: ["pair"],
    mean_policy: ["with_candidates", "all_concepts"],
    cell: ["absorption_rate", "num_split_latents", "f1_gap"],
  };
  const ATTRIBUTES = ["layer", "hook", "architecture", "width", "l0", "seed"]; // as in explorer.saes
  const FORMER_KEYS = { width: "sae_width", l0: "sae_l0" }; // as in explorer.former_links
  let shown = {}; // suite, family, sae, concept, latent, each of the choices, the thresholds that can be moved, and the rejected values of the address
  let ahead = null; // the place that is being loaded, to which the next choice refers
  let settled = {}; // the place that was shown completely; after a failure everything is rendered again
  let part = null; // of the concept shown, its SAE and its family
  let ofSae = null, ofFamily = null;
  let cosines = null;
  let concepts = []; // measured on the SAE, in order

  const familyOf = (suite, concept) => Object.entries(data.suites[suite].families).find(([, there]) => Object.hasOwn(there, concept))?.[0];
  const labelOf = (concept, { suite, family } = shown) => data.suites[suite].families[family][concept][0];

  function wanted() {
    const given = new URLSearchParams(location.hash.length > 1 ? location.hash.slice(1) : location.search);
    for (const [name, value] of [...given]) if (!value) given.delete(name);
    const suite = Object.hasOwn(data.suites, given.get("suite") ?? "") ? given.get("suite") : Object.keys(data.suites)[0];
    const { start, saes } = data.suites[suite];
    const metric = metricsOf(suite).find((each) => each === given.get("metric")) ?? metricsOf(suite)[0];
    const thresholds = movableOf({ suite, metric });
    const others = inFormerTerms(given, data.suites[suite]);
    const opens = !["sae", "concept", "latent"].some((name) => given.has(name));
    const sae = saes.includes(given.get("sae")) ? given.get("sae") : start.sae;
    const concept = given.has("concept") && familyOf(suite, given.get("concept")) ? given.get("concept") : start.concept;
    const latent = /^\d{1,9}$/.test(given.get("latent") ?? "") ? Number(given.get("latent")) : null;
    const choices = Object.entries(CHOICES).map(([key, all]) => [key, all.includes(given.get(key)) ? given.get(key) : all[0]]);
    const known = { suite, sae, concept, metric, page: Object.fromEntries(choices).page };
    const refused = Object.entries(known).filter(([name, value]) => (given.get(name) ?? value) !== value).map(([name]) => given.get(name));
    const isRefused = {
      ...Object.fromEntries(Object.entries(CHOICES).filter(([key]) => key !== "page").map(([key, all]) => [key, (value) => !all.includes(value)])),
      ...Object.fromEntries(Object.entries(thresholds).map(([key, [, low, high]]) => [key, (value) => !(value >= low && value <= high)])),
    };
    others.push(...Object.keys(isRefused).filter((key) => given.has(key) && isRefused[key](given.get(key))).map((key) => `${key}=${given.get(key)}`));
    const other = isWhole ? {} : otherOf(given, suite, others);
    refused.push(...others);
    return {
      refused, ...Object.fromEntries(choices), suite, metric, family: familyOf(suite, concept), sae, concept, latent: opens ? start.latent : latent,
      evidence_token: given.get("evidence_token") ?? "", ...other,
      tour: given.get("tour") ?? "", tour_step: given.has("tour") ? Math.max(1, Number.parseInt(given.get("tour_step"), 10) || 1) : "",
      isBare: [...given.keys()].every((key) => key === "suite" || TOUR.includes(key)), // a link to a step, which sets the state
      ...Object.fromEntries(Object.entries(thresholds).map(([name, [own, low, high]]) => {
        const value = given.get(name) ? Number(given.get(name)) : own;
        return [name, value >= low && value <= high ? value : own];
      })),
    };
  }

  // The other SAE of a comparison, and its suite if that differs; null means the suggested one.
  function otherOf(given, suite, refused) {
    const isThere = Object.hasOwn(data.suites, given.get("other_suite") ?? suite);
    if (!isThere) refused.push(`other_suite=${given.get("other_suite")}`);
    const there = isThere ? given.get("other_suite") ?? suite : suite;
    const { saes, attributes, repeats } = data.suites[there];
    let requested = given.get("other_sae");
    const former = ["layer", "width", "l0"].map((name) => given.get(`other_${name}`));
    if (!requested && former.some(Boolean)) {
      // Formerly, further seeds were not separate SAEs, and SAEs of unknown L0 had -1, -2, ...
      const [layer, width, l0] = former.map(Number);
      const fitting = saes.filter((_, at) => !repeats.includes(at) && attributes.layer[at] === layer && attributes.width[at] === width
        && (attributes.l0[at] === null ? l0 < 0 : Math.round(attributes.l0[at]) === l0));
      requested = fitting[l0 < 0 ? -l0 - 1 : 0] ?? former.map((each) => each ?? "?").join(", ");
    }
    if (requested && !saes.includes(requested)) refused.push(`other_sae=${requested}`);
    return { other_suite: there === suite ? null : there, other_sae: requested && saes.includes(requested) ? requested : null };
  }

  // Former links identify an SAE by attributes and a concept by letter or family; returns values that do not exist.
  function inFormerTerms(given, { attributes = {}, saes, start, families }) {
    const refused = [];
    const valueOf = (name) => given.get(name) ?? given.get(FORMER_KEYS[name]);
    if (!given.has("sae") && ATTRIBUTES.some(valueOf)) {
      let left = saes.map((_, at) => at);
      for (const name of ATTRIBUTES.filter((each) => each in attributes)) {
        const values = attributes[name];
        const meets = (requested) => left.filter((at) => String(values[at] ?? "") === requested
          || (values[at] === null ? Number(requested) < 0 : typeof values[at] === "number" && Math.round(values[at]) === Number(requested)));
        const met = valueOf(name) ? meets(valueOf(name)) : [];
        if (valueOf(name) && !met.length) refused.push(`${name}=${valueOf(name)}`);
        // Each attribute narrows the next; unspecified ones have the initial value if it exists.
        const own = meets(String(values[saes.indexOf(start.sae)] ?? ""));
        left = [met, own].find((some) => some.length) ?? left.filter((at) => values[at] === values[left[0]]);
      }
      given.set("sae", saes[left[0]]);
    }
    if (!given.has("concept") && given.has("letter")) given.set("concept", `first-letter.${given.get("letter").toLowerCase()}`);
    if (!given.has("concept") && given.has("family")) {
      const family = given.get("family");
      if (!Object.hasOwn(families, family)) refused.push(`family=${family}`);
      else if (!Object.hasOwn(families[family], start.concept)) given.set("concept", Object.keys(families[family])[0]);
    }
    return refused;
  }

  // While another suite is loading, choices of an SAE or a concept refer to the suite shown.
  function base(values) {
    const isOfShown = "sae" in values || "concept" in values;
    return ahead && (ahead.suite === shown.suite || !isOfShown) ? ahead : shown;
  }

  function query(values, from = base(values)) {
    const there = { ...from, latent: null, evidence_token: "", ...values };
    const start = (key) => (key === "metric" ? metricsOf(there.suite)[0] : movableOf(there)[key]?.[0] ?? CHOICES[key]?.[0]);
    const isSaid = (key) => (key === "compare_by" ? there.page === "compare" : (there[key] ?? "") !== "" && (key === "page" || there[key] !== start(key)));
    return new URLSearchParams(KEYS.filter(isSaid).map((key) => [key, there[key]])).toString();
  }

  function go(values, replaces = false) {
    if (isWhole) location.hash = query(values);
    else {
      history[replaces ? "replaceState" : "pushState"](null, "", `?${query(values)}`);
      follow();
    }
  }

  function step(by) {
    const place = data.suites[shown.suite].families[shown.family] && concepts.indexOf(base({ concept: null }).concept) + by;
    if (concepts[place]) go({ concept: concepts[place] });
  }

  let asked = 0;
  let turn = Promise.resolve(); // the last rendering, because they run one after another
  const followers = []; // further functions that render the place, called with the former one
  let change = (_, parts) => parts; // transforms parts before they are shown

  async function follow() {
    const mine = ++asked;
    const place = ahead = wanted();
    document.documentElement.classList.add("ax-is-busy");
    const folder = saeFolder(place);
    try {
      const parts = await Promise.all([
        readPart(`${familyFolder(place)}/family.bin`), readPart(`${folder}/sae.bin`), readPart(`${folder}/${place.concept}.bin`),
        cosinesOf(place, place.concept),
      ]);
      const changed = await change(place, parts);
      if (mine !== asked) return;
      turn = turn.catch(() => {}).then(() => mine === asked && show(place, changed));
      await turn;
    } catch (error) {
      if (mine !== asked) return;
      find("failed").hidden = false;
      throw error;
    } finally {
      if (mine === asked) {
        ahead = null;
        document.documentElement.classList.remove("ax-is-busy");
      }
    }
  }

  async function show(place, parts) {
    const former = settled;
    settled = {};
    const isOf = (...names) => names.every((name) => former[name] === place[name]);
    const isNew = !isOf("suite", "metric", "family", "sae", "concept", ...THRESHOLDS);
    [ofFamily, ofSae, part, cosines] = parts;
    if (ofSae.n_latents && place.latent >= ofSae.n_latents) {
      place.refused.push(`latent=${place.latent}`);
      place.latent = null;
    }
    shown = place;
    find("failed").hidden = true;
    if (!isOf("suite", "metric", "family", "sae")) find("concepts").innerHTML = ofSae.strip;
    if (isNew) showConcept();
    if (!isOf("suite", "metric", "family")) await embedAll(["cosine"]); // the others are embedded while a reader looks at this one
    if (isNew) drawCosines();
    if (!isOf("suite", "metric", "family")) await embedAll(["k-sparse", ...PLOTS]);
    if (isNew) drawPlots();
    await showLatent();
    drawSelected();
    if (find("evidence-token") && (isNew || !isOf("evidence_token"))) {
      find("evidence-token").value = place.evidence_token;
      filter();
    }
    const other = new URLSearchParams(data.query);
    for (const [name, value] of new URLSearchParams(query({ latent: shown.latent, evidence_token: shown.evidence_token }, shown))) other.set(name, value);
    if (shown.latent === null) other.delete("latent");
    find("query").textContent = other;
    for (const render of followers) await render(former);
    settled = place;
    document.documentElement.dataset.shown = isWhole ? location.hash : location.search;
  }

  function showConcept() {
    const cells = [...find("concepts").querySelectorAll("[data-concept]")];
    concepts = cells.filter((cell) => cell.getAttribute("aria-disabled") !== "true").map(({ dataset }) => dataset.concept);
    const strip = find("concepts").querySelector(".grid, .list");
    for (const cell of cells) {
      const chosen = cell.dataset.concept === shown.concept;
      if (chosen && cells.includes(document.activeElement)) cell.focus({ preventScroll: true });
      cell.setAttribute("aria-checked", chosen);
      cell.tabIndex = chosen ? 0 : -1;
      if (!chosen) continue;
      if (strip.scrollWidth > strip.clientWidth) strip.scrollLeft = cell.offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
      if (strip.scrollHeight > strip.clientHeight) strip.scrollTop = cell.offsetTop - strip.offsetTop - strip.clientHeight / 2;
    }
    // These come from templates that escape every text, and the policy would block a script in them.
    const html = {
      headline: part.headline, figures: part.figures, "no-plot": part.no_plot, highest: part.highest, lists: part.lists,
      evidence: part.evidence, "k-sparse": part.k_sparse,
    };
    for (const [id, text] of Object.entries(html)) find(id).innerHTML = text;
    const [label, phrase] = data.suites[shown.suite].families[shown.family][shown.concept].map(escaped);
    const { slots, prose } = ofFamily;
    for (const [topic, text] of Object.entries(prose)) {
      find(`prose-${topic}`).innerHTML = text.replaceAll(slots.label, label).replaceAll(slots.phrase, phrase);
    }
    sorted = { column: null, descending: false };
    verdict = "all";
    if (find("evidence").querySelector("table")) sort(ofFamily.sorted_by);
  }

  function escaped(text) {
    const span = document.createElement("span");
    span.textContent = text;
    return span.innerHTML;
  }

  // Filters a list of concepts by the typed text.
  function narrow(typed) {
    for (const cell of find("concepts").querySelectorAll("[data-concept]")) {
      cell.hidden = !cell.querySelector(".name").textContent.toLowerCase().includes(typed.trim().toLowerCase());
    }
  }

  // --- The selected latent ------------------------------------------------------------------------------------------

  const cosineOf = (latent) => part.marks[latent] ?? cosines?.[latent] ?? NaN;
  const written = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "\u2212") : "–");

  function filled(id, values) {
    const copy = find(id).content.cloneNode(true);
    for (const [name, text] of Object.entries(values)) {
      for (const place of copy.querySelectorAll(`[data-fill=${name}]`)) place.textContent = text;
    }
    return copy;
  }

  async function showLatent() {
    const { concept, latent } = shown;
    for (const row of document.querySelectorAll("#lists [data-action=latent]")) {
      row.setAttribute("aria-pressed", Number(row.dataset.value) === latent);
    }
    const card = find("card");
    card.hidden = latent === null;
    if (latent === null) {
      find("selection").replaceChildren(filled("nothing-selected", { noun: ofFamily.noun }));
      return;
    }
    const cosine = cosineOf(latent);
    const descriptions = [part.roles[latent], Number.isNaN(cosine) ? "" : `cosine ${written(cosine, 4)}`];
    const after = descriptions.filter(Boolean).map((text) => ` · ${text}`).join("");
    find("selection").replaceChildren(filled("selected", { latent, description: after }));
    const known = (await readPart(`${saeFolder(shown)}/cards.bin`))[latent];
    if (known) {
      card.innerHTML = known.html;
      const role = document.createElement("span");
      role.className = "small";
      role.textContent = known.roles[concept] ?? "";
      card.querySelector("h2").after(role);
    } else {
      await showOther(card, latent);
    }
  }

  // For a latent without a role for any concept, only its cosines are stored.
  async function showOther(card, latent) {
    const found = await Promise.all(concepts.map(async (concept) => [concept, (await cosinesOf(shown, concept))?.[latent]]));
    card.replaceChildren(filled("other-latent", { latent, noun: ofFamily.noun, sae: ofSae.label }));
    const table = card.querySelector("table");
    const highest = found.filter(([, cosine]) => Number.isFinite(cosine)).sort((a, b) => b[1] - a[1]).slice(0, HIGHEST);
    table.hidden = !highest.length;
    for (const [concept, cosine] of highest) {
      const row = table.insertRow();
      row.insertCell().textContent = labelOf(concept);
      const cell = row.insertCell();
      cell.className = "num";
      cell.textContent = written(cosine, 4);
    }
  }

  // --- The tested tokens --------------------------------------------------------------------------------------------

  let sorted = { column: null, descending: false };
  let verdict = "all";

  function sort(column) {
    sorted = { column, descending: sorted.column === column && !sorted.descending };
    order(document.querySelector("#evidence .tokens-tested"), part.order[column], sorted);
    // On a phone the table has no header row.
    document.querySelector("#evidence select").value = column;
    const turn = document.querySelector("#evidence .turn");
    turn.dataset.value = column;
    turn.textContent = arrowOf(sorted);
  }

  const arrowOf = ({ descending }) => (descending ? "↓" : "↑");

  // Sorts the rows of a table by a column, unknown values last.
  function order(table, { rows, unknown }, by) {
    const [body] = table.tBodies;
    const known = rows.slice(0, rows.length - unknown);
    if (by.descending) known.reverse();
    const byPlace = new Map([...body.rows].filter((row) => !row.matches(".opened")).map((row) => [placeOf(row), row]));
    for (const place of [...known, ...rows.slice(rows.length - unknown)]) {
      const row = byPlace.get(place);
      const opened = row.nextElementSibling;
      body.append(row);
      if (opened?.matches(".opened")) body.append(opened);
    }
    for (const button of table.tHead.querySelectorAll("[data-action=sort]")) {
      const mine = button.dataset.value === by.column;
      button.closest("th").ariaSort = mine ? (by.descending ? "descending" : "ascending") : "none";
      button.textContent = button.textContent.replace(/ [↑↓]$/, "") + (mine ? ` ${arrowOf(by)}` : "");
    }
  }

  // Hides rows whose token does not begin with the typed text, and rows with another verdict.
  function filter(chosen = verdict) {
    verdict = chosen;
    for (const choice of document.querySelectorAll("#evidence [data-action=evidence_verdict]")) {
      choice.ariaChecked = String(choice.dataset.value === verdict);
      choice.tabIndex = choice.dataset.value === verdict ? 0 : -1;
    }
    const plain = (text) => text.trimStart().toLowerCase();
    const begins = plain(find("evidence-token").value);
    let isAnyLeft = false;
    for (const row of document.querySelectorAll("#evidence .tokens-tested > tbody > tr:not(.opened)")) {
      const { token, verdict: its, published } = row.dataset;
      const fits = verdict === "all" || (verdict === "differs" ? its && published && its !== published : its === verdict);
      row.hidden = !fits || !plain(token).startsWith(begins);
      if (row.nextElementSibling?.matches(".opened")) row.nextElementSibling.hidden = row.hidden;
      isAnyLeft ||= !row.hidden;
    }
    find("none-found").hidden = isAnyLeft;
  }

  const placeOf = (row) => Number(row.querySelector("[data-action=open], [data-action=go]").dataset.value);

  function open(button) {
    const row = button.closest("tr");
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", !isOpen);
    row.classList.toggle("current", !isOpen);
    if (isOpen) return row.nextElementSibling.remove();
    const opened = document.createElement("tr");
    opened.className = "opened";
    const cell = opened.insertCell();
    cell.colSpan = row.cells.length;
    cell.innerHTML = part.opened[placeOf(row)];
    row.after(opened);
  }

  // --- The plot -----------------------------------------------------------------------------------------------------

  const figures = {};

  // A figure was drawn when the parts were created; here its data is replaced.
  async function embed(name, { item, sources, themes }) {
    await loadBokeh();
    const views = await Bokeh.embed.embed_item(item, find(`${name}-plot`));
    const model = Bokeh.documents.at(-1).roots()[0];
    const known = (id) => model.document.get_model_by_id(id);
    figures[name] = {
      model,
      view: views.get(model),
      put: (source, columns) => { known(sources[source]).data = columns; },
      applyTheme: (theme) => {
        for (const [id, property, value] of themes[theme]) known(id).setv({ [property]: value });
      },
    };
    figures[name].applyTheme(isDark() ? "dark" : "light");
    return model;
  }

  // Replaces the figures of another family by those of the family shown.
  async function embedAll(names) {
    for (const name of names) {
      remove(name);
      const drawn = ofFamily.figures[name];
      if (!drawn) continue;
      // A figure that is not displayed has no size.
      for (const hidden of [`${name}-plot`, `${name}-part`]) if (find(hidden)) find(hidden).hidden = false;
      const model = await embed(name, drawn);
      if (name === "cosine") {
        model.on_event("tap", ({ x, y }) => tap(x, y));
        model.x_range.change.connect(() => later(drawLine));
        // On a touch screen a drag scrolls the page.
        const zoom = model.toolbar.tools.find(({ type }) => type === "BoxZoomTool");
        if (matchMedia("(pointer: coarse)").matches) zoom.active = false;
      } else if (name === "k-sparse") {
        model.on_event("tap", ({ x }) => {
          const latent = part.bars?.columns.latent[Math.round(x) - 1];
          if (latent != null) go({ latent });
        });
      } else if (name === "splitting-tree") {
        model.properties.inner_width.change.connect(() => spread(model));
        spread(model);
      }
    }
    applyTheme();
  }

  function remove(name) {
    if (!figures[name]) return;
    const { document: drawn } = figures[name].model;
    drawn.clear();
    Bokeh.documents.splice(Bokeh.documents.indexOf(drawn), 1);
    delete figures[name];
  }

  // The space beside the columns of the tree has a fixed number of pixels (explorer.plots.node_link.fit_columns).
  function spread(model) {
    const [left, right] = ofFamily.beside;
    const room = model.inner_width - left - right;
    if (room > 0) model.x_range.setv({ start: -left / room, end: 1 + right / room });
  }

  function drawPlots() {
    for (const name of PLOTS) {
      const drawn = part?.plots[name];
      find(`${name}-part`).hidden = !drawn;
      if (!drawn) continue;
      for (const what of ["head", "table"]) find(`${name}-${what}`).innerHTML = drawn[what];
      drawPlot(name, drawn);
    }
  }

  function drawPlot(name, { columns, dark, x, y, height, ticks, rows }) {
    const { model, put } = figures[name];
    for (const [layer, its] of Object.entries(columns)) put(layer, isDark() ? { ...its, ...dark[layer] } : its);
    if (x) fit(model.x_range, ...x);
    if (y) fit(model.y_range, ...y);
    if (height) model.height = height;
    if (ticks) nameTicks(model, ticks);
    if (rows) nameTicks(model, rows, "left");
  }

  // If the range of the data has changed, all of it is shown; otherwise the zoom is kept.
  function fit(range, start, end) {
    if (range.bounds?.[0] === start && range.bounds[1] === end) return;
    range.setv({ bounds: [start, end] }); // first, because start and end are clamped to it
    range.setv({ start, end, reset_start: start, reset_end: end });
  }

  function drawCosines() {
    find("cosine-plot").hidden = !cosines;
    if (!figures.cosine) return;
    fit(figures.cosine.model.y_range, ...part.y_range);
    const last = cosines?.length - 1;
    if (cosines) fit(figures.cosine.model.x_range, -AIR * last, (1 + AIR) * last);
    drawLine();
    drawMarks();
  }

  let isDue = false;
  function later(draw) {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => { isDue = false; draw(); });
  }

  function put(name, latents, values) {
    figures.cosine.put(name, { x: latents, latent: latents, cosine: values });
  }

  function drawLine() {
    if (!cosines || !figures.cosine) return;
    const { start, end } = figures.cosine.model.x_range;
    const first = Math.max(0, Math.ceil(start) - 1);
    const last = Math.min(cosines.length, Math.floor(end) + 2);
    const stretch = Math.max(2, Math.ceil((last - first) / STRETCHES));
    const kept = [];
    for (let from = first; from < last; from += stretch) {
      let low = -1, high = -1;
      for (let latent = from; latent < Math.min(from + stretch, last); latent++) {
        if (Number.isNaN(cosines[latent])) continue;
        if (low < 0 || cosines[latent] < cosines[low]) low = latent;
        if (high < 0 || cosines[latent] > cosines[high]) high = latent;
      }
      if (low >= 0) kept.push(...(low === high ? [low] : [Math.min(low, high), Math.max(low, high)]));
    }
    put("latents", Int32Array.from(kept), Float64Array.from(kept, (latent) => cosines[latent]));
  }

  function drawMarks() {
    if (!cosines) return;
    const isSplit = new Set(part.split);
    const marks = { split: part.split, absorbing: part.absorbing.filter((latent) => !isSplit.has(latent)) };
    for (const [name, latents] of Object.entries(marks)) {
      const known = latents.filter((latent) => latent in part.marks);
      put(name, known, known.map((latent) => part.marks[latent]));
    }
  }

  function drawSelected() {
    drawBars();
    if (!cosines) return;
    const known = shown.latent !== null && Number.isFinite(cosineOf(shown.latent)) ? [shown.latent] : [];
    put("selected", known, known.map(cosineOf));
  }

  function drawBars() {
    find("k-sparse-plot").hidden = find("k-sparse-head").hidden = !part?.bars;
    if (!part?.bars || !figures["k-sparse"]) return;
    const { columns, labels, probe } = part.bars;
    const { model, put } = figures["k-sparse"];
    const colours = getComputedStyle(document.documentElement);
    const colour = (which) => colours.getPropertyValue(which === "split" ? "--ax-split" : "--ax-other");
    const bars = { ...columns, colour: columns.part.map(colour) };
    put("bars", bars);
    const isSelected = (_, place) => bars.latent[place] === shown.latent;
    put("selected", Object.fromEntries(Object.entries(bars).map(([name, values]) => [name, values.filter(isSelected)])));
    model.renderers.find(({ type }) => type === "Span").location = probe ?? NaN;
    fit(model.x_range, 0.3, columns.k.length + 0.7);
    nameTicks(model, labels);
  }

  function nameTicks(model, labels, side = "below") {
    const axis = model[side].find(({ type }) => type.endsWith("Axis"));
    const named = Object.entries(labels).map(([place, label]) => [Number(place), label]);
    axis.ticker.ticks = named.map(([place]) => place);
    axis.major_label_overrides = new Map(named);
  }

  // The nearest latent, preferring marked ones: explorer.plots.cosine.nearest_latent.
  function tap(x, y) {
    if (!cosines) return;
    const { x_range, y_range } = figures.cosine.model;
    const xSpan = x_range.end - x_range.start, ySpan = y_range.end - y_range.start;
    const marked = Object.keys(part.marks).map(Number);
    for (const crowd of [marked, cosines.keys()]) {
      let best = null, least = REACH;
      for (const latent of crowd) {
        const distance = Math.hypot((ASPECT * (latent - x)) / xSpan, (cosineOf(latent) - y) / ySpan);
        if (distance <= least && (best === null || distance < least)) [best, least] = [latent, distance];
      }
      if (best !== null) return go({ latent: best });
    }
  }

  // --- Light and dark, and paper ------------------------------------------------------------------------------------

  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

  const themeListeners = []; // further functions that apply the theme

  function applyTheme(dark = isDark()) {
    const button = document.querySelector("[data-action=dark]");
    button.textContent = dark ? "☀ Light" : "☾ Dark";
    button.setAttribute("aria-pressed", dark);
    for (const figure of Object.values(figures)) figure.applyTheme(dark ? "dark" : "light");
    drawBars();
    for (const [name, drawn] of Object.entries(part?.plots ?? {})) if (figures[name]) drawPlot(name, drawn);
    for (const listener of themeListeners) listener();
  }

  prefersDark.addEventListener("change", () => applyTheme());

  const unfolded = new Map();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) {
      unfolded.set(details, details.open);
      details.open = true;
    }
    if (!cosines) return;
    // For printing, a picture replaces the canvas, which would keep the width of the screen.
    applyTheme(false);
    // Bokeh would apply the colours of glyphs only after this event.
    for (const drawn of Bokeh.index.query((each) => each.model.type === "GlyphRenderer")) drawn.set_visuals();
    figures.cosine.view.repaint();
    find("printed-plot").src = figures.cosine.view.export("png", true).canvas.toDataURL();
  });
  addEventListener("afterprint", () => {
    for (const [details, was] of unfolded) details.open = was;
    find("printed-plot").removeAttribute("src");
    applyTheme();
  });

  // --- Events -------------------------------------------------------------------------------------------------------

  const acts = {
    concept: (concept) => go({ concept }),
    latent: (latent) => go({ page: "explore", latent: Number(latent) }),
    go: (value) => acts.latent(value.split(" ")[1]), // a row's index, and the latent
    role: (concept) => go({ concept, latent: shown.latent }),
    clear: () => go({}),
    "to-card": () => {
      find("card").scrollIntoView({ block: "start" });
      find("card").focus({ preventScroll: true });
    },
    sort,
    open: (_, button) => open(button),
    evidence_verdict: filter,
    print: () => print(),
    dark: () => {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      applyTheme();
    },
  };

  document.addEventListener("change", ({ target }) => {
    if (target.matches("select[data-action]")) acts[target.dataset.action](target.value, target);
  });

  document.addEventListener("input", ({ target }) => {
    if (target.id === "find-concept") narrow(target.value);
    if (target.id === "evidence-token") filter();
  });

  document.addEventListener("submit", (event) => event.preventDefault());

  document.addEventListener("click", (event) => {
    const element = event.target.closest?.("button[data-action], a[data-action]");
    if (!element || element.getAttribute("aria-disabled") === "true") return;
    event.preventDefault();
    acts[element.dataset.action]?.(element.dataset.value, element);
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const isAhead = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!isAhead || event.defaultPrevented || event.target.closest?.("input, select, textarea, .scroll, dialog")) return;
    // In a radio group, the arrow keys move between the options.
    const group = event.target.closest?.("[data-arrows]");
    if (group && !group.closest("#concepts")) {
      event.preventDefault();
      const all = [...group.querySelectorAll("[data-action]")];
      const next = all[all.indexOf(event.target.closest("[data-action]")) + isAhead];
      next?.focus();
      next?.click();
    } else if (/Left|Right/.test(event.key)) {
      event.preventDefault();
      step(isAhead);
    }
  });

  addEventListener("popstate", follow);

  return {
    acts, data, draw: drawPlot, themeListeners, embed, familyFolder, figures, find, follow, followers, go, isDark, isWhole, labelOf, metricsOf, movableOf, order,
    keys: KEYS, readPart, remove, saeFolder, suiteFolder,
    query: () => query({ latent: shown.latent, evidence_token: shown.evidence_token }, shown),
    keep: (number) => { kept = Math.max(kept, number); },
    changeBy: (how) => { change = how; },
    get family() { return ofFamily; },
    get place() { return shown; },
    get sae() { return ofSae; },
  };
})();

if (reader.isWhole) reader.follow();
