// Lets a reader move through a snapshot: its parts lie in the file, compressed, and are unpacked as they are shown.
//
// The address after "#" holds concept and latent, and whatever the reader does changes only this; `show` follows it.
"use strict";

(async () => {
  const STRETCHES = 1000; // of the visible latents, each is drawn by its lowest and its highest: no peak is lost
  const SCALE = 10_000, UNKNOWN = -32_768; // of the packed cosines
  const REACH = 0.03; // of a tap, as a share of the plot's height
  const ASPECT = 3; // the plot is taken as so many times as wide as high
  const HIGHEST = 10;
  const PLOTS = ["token-shares", "concept-shares", "splitting-tree"]; // beside those of cosines and k-sparse probes

  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);

  // --- What lies packed in the file ---------------------------------------------------------------------------------

  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  const once = (read) => {
    const known = new Map();
    return (key) => {
      if (!known.has(key)) known.set(key, read(key));
      return known.get(key);
    };
  };
  const json = async (packed) => JSON.parse(new TextDecoder().decode(await unpack(packed)));
  const readConcept = once((concept) => json(data.concepts[concept]));
  const readCards = once(() => json(data.cards));
  const readCosines = once(async (concept) => {
    if (!(concept in data.cosines)) return null;
    const bytes = await unpack(data.cosines[concept]);
    const count = bytes.length / 2;
    const cosines = new Float64Array(count);
    for (let latent = 0; latent < count; latent++) {
      const whole = ((bytes[latent] | (bytes[count + latent] << 8)) << 16) >> 16;
      cosines[latent] = whole === UNKNOWN ? NaN : whole / SCALE;
    }
    return cosines;
  });

  // --- Concept and latent --------------------------------------------------------------------------------------------

  const cells = [...document.querySelectorAll("#concepts [data-concept]")];
  const concepts = cells.map((cell) => cell.dataset.concept).filter((concept) => concept in data.concepts);
  let shown = { concept: null, latent: null };
  let part = null; // what `readConcept` gave for the concept shown
  let cosines = null;

  function wanted() {
    const hash = new URLSearchParams(location.hash.slice(1));
    if (!hash.has("concept")) return { concept: data.concept, latent: data.latent };
    const concept = concepts.includes(hash.get("concept")) ? hash.get("concept") : data.concept;
    const latent = /^\d{1,9}$/.test(hash.get("latent") ?? "") ? Number(hash.get("latent")) : null;
    return { concept, latent: data.n_latents && latent >= data.n_latents ? null : latent };
  }

  function go({ concept = shown.concept, latent = null }) {
    location.hash = new URLSearchParams(latent === null ? { concept } : { concept, latent }).toString();
  }

  function step(ahead) {
    const place = concepts.indexOf(shown.concept) + ahead;
    if (concepts[place]) go({ concept: concepts[place] });
  }

  let asked = 0;
  async function show() {
    const { concept, latent } = wanted();
    const mine = ++asked;
    const isNew = concept !== shown.concept;
    const [itsPart, itsCosines, cards] = await Promise.all([readConcept(concept), readCosines(concept), readCards("")]);
    if (mine !== asked) return; // the reader has moved on
    shown = { concept, latent };
    part = itsPart;
    cosines = itsCosines;
    if (isNew) {
      showConcept();
      find("cosine-plot").hidden = !cosines;
      fit(figures.cosine.model.y_range, ...part.y_range);
      drawLine();
      drawMarks();
    }
    await showLatent(cards);
    drawSelected();
    const query = new URLSearchParams(find("query").textContent);
    query.delete("latent");
    for (const [name, value] of Object.entries(shown)) if (value !== null) query.set(name, value);
    find("query").textContent = query;
    document.documentElement.dataset.shown = location.hash;
  }

  function showConcept() {
    const strip = find("concepts").querySelector(".grid, .list");
    for (const cell of cells) {
      const chosen = cell.dataset.concept === shown.concept;
      if (chosen && cells.includes(document.activeElement)) cell.focus({ preventScroll: true });
      cell.setAttribute("aria-checked", chosen);
      cell.tabIndex = chosen ? 0 : -1;
      if (chosen && strip.scrollWidth > strip.clientWidth) strip.scrollLeft = cell.offsetLeft - strip.clientWidth / 2;
    }
    // These come from templates that escape every text, and a script in them would be refused.
    const html = {
      headline: part.headline, figures: part.figures, "no-plot": part.no_plot, highest: part.highest, lists: part.lists,
      evidence: part.evidence, "k-sparse": part.k_sparse,
    };
    for (const [id, text] of Object.entries(html)) find(id).innerHTML = text;
    for (const [topic, text] of Object.entries(part.prose)) find(`prose-${topic}`).innerHTML = text;
    drawPlots();
    sorted = { column: null, descending: false };
    if (find("evidence").querySelector("table")) sort(data.sorted_by);
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

  async function showLatent(cards) {
    const { concept, latent } = shown;
    for (const row of document.querySelectorAll("#lists [data-action=latent]")) {
      row.setAttribute("aria-pressed", Number(row.dataset.value) === latent);
    }
    const card = find("card");
    card.hidden = latent === null;
    if (latent === null) {
      find("selection").replaceChildren(find("nothing-selected").content.cloneNode(true));
      return;
    }
    const cosine = cosineOf(latent);
    const said = [part.roles[latent], Number.isNaN(cosine) ? "" : `cosine ${written(cosine, 4)}`];
    const after = said.filter(Boolean).map((text) => ` · ${text}`).join("");
    find("selection").replaceChildren(filled("selected", { latent, said: after }));
    const known = cards[latent];
    if (known) {
      card.innerHTML = known.html;
      const role = document.createElement("span");
      role.className = "small";
      role.textContent = known.said[concept] ?? "";
      card.querySelector("h2").after(role);
    } else {
      await showOther(card, latent);
    }
  }

  // Of a latent without a part for any concept, the file holds no more than its cosines.
  async function showOther(card, latent) {
    const found = [];
    for (const concept of Object.keys(data.cosines)) found.push([concept, (await readCosines(concept))[latent]]);
    card.replaceChildren(filled("other-latent", { latent }));
    const table = card.querySelector("table");
    const highest = found.filter(([, cosine]) => Number.isFinite(cosine)).sort((a, b) => b[1] - a[1]).slice(0, HIGHEST);
    table.hidden = !highest.length;
    for (const [concept, cosine] of highest) {
      const row = table.insertRow();
      row.insertCell().textContent = data.labels[concept];
      const cell = row.insertCell();
      cell.className = "num";
      cell.textContent = written(cosine, 4);
    }
  }

  // --- The tested tokens --------------------------------------------------------------------------------------------

  let sorted = { column: null, descending: false };

  function sort(column) {
    const body = document.querySelector("#evidence .tokens-tested > tbody");
    const { rows, unknown } = part.order[column];
    sorted = { column, descending: sorted.column === column && !sorted.descending };
    const known = rows.slice(0, rows.length - unknown);
    if (sorted.descending) known.reverse();
    const byPlace = new Map([...body.rows].filter((row) => !row.matches(".opened")).map((row) => [placeOf(row), row]));
    for (const place of [...known, ...rows.slice(rows.length - unknown)]) {
      const row = byPlace.get(place);
      const opened = row.nextElementSibling;
      body.append(row);
      if (opened?.matches(".opened")) body.append(opened);
    }
    const arrow = sorted.descending ? "↓" : "↑";
    for (const head of document.querySelectorAll("#evidence th[data-column]")) {
      const mine = head.dataset.column === column;
      head.ariaSort = mine ? (sorted.descending ? "descending" : "ascending") : "none";
      head.firstElementChild.textContent = head.dataset.title + (mine ? ` ${arrow}` : "");
    }
    // On a phone the table has no heads.
    document.querySelector("#evidence select").value = column;
    const turn = document.querySelector("#evidence .turn");
    turn.dataset.value = column;
    turn.textContent = arrow;
  }

  const placeOf = (row) => Number(row.querySelector("[data-action=open]").dataset.value);

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

  // A figure was drawn when the snapshot was made; here its data is exchanged.
  async function embed(name) {
    const { item, sources, themes } = data.figures[name];
    const views = await Bokeh.embed.embed_item(item, find(`${name}-plot`));
    const model = Bokeh.documents.at(-1).roots()[0];
    const known = (id) => model.document.get_model_by_id(id);
    figures[name] = {
      model,
      view: views.get(model),
      put: (source, columns) => { known(sources[source]).data = columns; },
      dress: (theme) => {
        for (const [id, property, value] of themes[theme]) known(id).setv({ [property]: value });
      },
    };
    return model;
  }

  async function embedAll() {
    const cosine = await embed("cosine");
    cosine.on_event("tap", ({ x, y }) => tap(x, y));
    cosine.x_range.change.connect(() => later(drawLine));
    // On a touch screen a drag is left to scroll the page.
    const zoom = cosine.toolbar.tools.find(({ type }) => type === "BoxZoomTool");
    if (matchMedia("(pointer: coarse)").matches) zoom.active = false;
    const kSparse = await embed("k-sparse");
    kSparse.on_event("tap", ({ x }) => {
      const latent = part.bars?.columns.latent[Math.round(x) - 1];
      if (latent != null) go({ latent });
    });
    for (const name of PLOTS) {
      if (!(name in data.figures)) continue;
      // A figure that is not displayed has no size.
      find(`${name}-part`).hidden = false;
      const model = await embed(name);
      if (name !== "splitting-tree") continue;
      model.properties.inner_width.change.connect(() => spread(model));
      spread(model);
    }
    dress();
  }

  // What stands beside the columns of the tree has as many pixels on every screen (explorer.plots.node_link.place).
  function spread(model) {
    const [left, right] = data.beside;
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

  function drawPlot(name, { columns, dark, x, y, height }) {
    const { model, put } = figures[name];
    for (const [layer, its] of Object.entries(columns)) put(layer, isDark() ? { ...its, ...dark[layer] } : its);
    if (x) fit(model.x_range, ...x);
    if (y) fit(model.y_range, ...y);
    if (height) model.height = height;
  }

  // What reaches further than what was there before is shown as a whole; otherwise the zoom is left alone.
  function fit(range, start, end) {
    if (range.bounds?.[0] === start && range.bounds[1] === end) return;
    range.setv({ bounds: [start, end] }); // first: start and end are held to it
    range.setv({ start, end, reset_start: start, reset_end: end });
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
    if (!cosines) return;
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
    put("line", Int32Array.from(kept), Float64Array.from(kept, (latent) => cosines[latent]));
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
    if (!part?.bars) return;
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
    const axis = model.below.find(({ type }) => type.endsWith("Axis"));
    const places = Object.keys(labels).map(Number);
    axis.ticker.ticks = places;
    axis.major_label_overrides = new Map(places.map((place) => [place, labels[place]]));
  }

  // The nearest latent, a marked one before the crowd: explorer.plots.cosine.nearest_latent.
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

  function dress(dark = isDark()) {
    const button = document.querySelector("[data-action=dark]");
    button.textContent = dark ? "☀ Light" : "☾ Dark";
    button.setAttribute("aria-pressed", dark);
    for (const figure of Object.values(figures)) figure.dress(dark ? "dark" : "light");
    drawBars();
    for (const [name, drawn] of Object.entries(part?.plots ?? {})) drawPlot(name, drawn);
  }

  prefersDark.addEventListener("change", () => dress());

  const unfolded = new Map();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) {
      unfolded.set(details, details.open);
      details.open = true;
    }
    if (!cosines) return;
    // A canvas keeps the width of the screen; a picture of it takes that of the paper.
    dress(false);
    // Bokeh would take up the colours of glyphs after this event, which is too late.
    for (const drawn of Bokeh.index.query((each) => each.model.type === "GlyphRenderer")) drawn.set_visuals();
    figures.cosine.view.repaint();
    find("printed-plot").src = figures.cosine.view.export("png", true).canvas.toDataURL();
  });
  addEventListener("afterprint", () => {
    for (const [details, was] of unfolded) details.open = was;
    find("printed-plot").removeAttribute("src");
    dress();
  });

  // --- What the reader does -----------------------------------------------------------------------------------------

  const acts = {
    concept: (concept) => go({ concept }),
    latent: (latent) => go({ latent: Number(latent) }),
    go: (value) => go({ latent: Number(value.split(" ")[1]) }), // a row's place, and the latent
    role: (concept) => go({ concept, latent: shown.latent }),
    clear: () => go({}),
    "to-card": () => {
      find("card").scrollIntoView({ block: "start" });
      find("card").focus({ preventScroll: true });
    },
    sort,
    open: (_, button) => open(button),
    print: () => print(),
    dark: () => {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      dress();
    },
  };

  document.addEventListener("change", ({ target }) => {
    if (target.matches("select[data-action]")) acts[target.dataset.action](target.value, target);
  });

  document.addEventListener("click", (event) => {
    const element = event.target.closest?.("button[data-action]");
    if (!element || element.getAttribute("aria-disabled") === "true") return;
    acts[element.dataset.action]?.(element.dataset.value, element);
  });

  document.addEventListener("keydown", (event) => {
    const ahead = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!ahead || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest?.("input, select, textarea, .scroll")) return;
    event.preventDefault();
    step(ahead);
  });

  addEventListener("hashchange", () => show().catch(fail));

  function fail(error) {
    find("failed").hidden = false;
    throw error;
  }

  await embedAll().then(show).catch(fail);
})();
