// Recomputes the parts of a site at moved thresholds: compares the stored scores of tested tokens
// (queries/views/30_verdicts.sql), and fills the numbers into the page's own texts (explorer/live.py).
"use strict";

const live = (() => {
  const THRESHOLDS = ["tau", "cosine_threshold", "effect_margin"];
  const DARKEST = 54; // maximum shade of a cell, percent (explorer.views.concepts)
  const { find, labelOf, movableOf, readPart, saeFolder, suiteFolder } = reader;

  const ownOf = (place, name) => movableOf(place)[name]?.[0];
  const movedOf = (place) => THRESHOLDS.filter((name) => name in movableOf(place) && place[name] !== ownOf(place, name));

  // --- Numbers, formatted as by explorer.format -----------------------------------------------------------------------

  // Rounds half to even, as Python does.
  function fixed(value, digits) {
    const exact = Math.abs(value).toFixed(Math.min(100, digits + 60)).split(".");
    const text = value.toFixed(digits);
    const isTie = /^50*$/.test(exact[1].slice(digits));
    if (!isTie) return text;
    const down = exact[0] + (digits ? `.${exact[1].slice(0, digits)}` : "");
    return Number(down.at(-1)) % 2 ? text : (value < 0 ? "-" : "") + down;
  }

  function written(value, format) {
    if (value === null || !Number.isFinite(value)) return "–";
    const [, signed, grouped, digits] = /^(z?)(,?)(?:\.(\d+)f)?$/.exec(format);
    let text = digits === undefined ? String(Math.round(value)) : fixed(value, Number(digits));
    if (signed && Number(text) === 0) text = text.replace("-", "");
    if (grouped) text = text.replace(/^(-?\d+)/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
    return text.replace("-", signed ? "\u2212" : "-");
  }

  function fill(text, values) {
    const value = (name) => {
      const [, size, times, one, other] = /^(size of )?(?:(\d+) )?(\w+)(?: less (\w+))?$/.exec(name);
      if (values[one] === null || (other && values[other] === null)) return null;
      const found = (times ? Number(times) : 1) * (values[one] - (other ? values[other] : 0));
      return size ? Math.abs(found) : found;
    };
    // An interval has enough decimals to distinguish its ends.
    const isNarrow = () => "rate_low" in values && fixed(100 * values.rate_low, 1) === fixed(100 * values.rate_high, 1);
    return text.replace(/⟦([^:]*):([^⟧]*)⟧/g, (_, name, format) => {
      if (name === "moved") return values.moved;
      return written(value(name), /rate_(low|high)$/.test(name) && isNarrow() ? ".2f" : format);
    });
  }

  // --- Values that depend on the thresholds ---------------------------------------------------------------------------

  // Why a token is absorbed or not: queries/functions/reason.sql.
  function reasonOf(tokens, at, place, ownTau) {
    if (!tokens.is_decided[at]) return "published";
    const silent = place.tau === ownTau ? !tokens.fires_published[at] : place.tau >= tokens.silent_from[at];
    if (!silent) return "split latent fires";
    if (!(tokens.top_effect[at] < 0)) return "no effect";
    if (!(tokens.margin[at] >= place.effect_margin)) return "effect margin";
    return (tokens.top_cosine[at] ?? place.cosine_threshold) >= place.cosine_threshold ? "absorbed" : "cosine";
  }

  const isAbsorbed = (tokens, at, reason) => (reason === "published" ? tokens.published[at] === true : reason === "absorbed");

  // Wilson's interval: queries/functions/wilson.sql.
  function wilson(part, whole) {
    const share = Math.min(part / whole, 1);
    const middle = share + 1.9208 / whole, reach = 1.96 * Math.sqrt((share * (1 - share)) / whole + 0.9604 / (whole * whole));
    return [Math.max(0, (middle - reach) / (1 + 3.8416 / whole)), Math.min(1, (middle + reach) / (1 + 3.8416 / whole))];
  }

  function decide(known, place) {
    const ownTau = ownOf(place, "tau") ?? place.tau;
    const list = place.tau === ownTau ? "own" : String(known.rises.filter((rise) => rise > place.tau).length);
    const variant = known.variants[list];
    const { tokens } = known;
    if (!tokens) return { variant, absorbing: [] };
    const reasons = new Map(), by = new Map();
    let numAbsorbed = 0;
    tokens.token.forEach((token, at) => {
      const reason = reasonOf(tokens, at, place, ownTau);
      reasons.set(token, { reason, at, absorbed: isAbsorbed(tokens, at, reason) });
      if (!reasons.get(token).absorbed) return;
      numAbsorbed += 1;
      const latent = tokens.top_latent[at];
      if (!by.has(latent)) by.set(latent, { latent, absorbed: [] });
      by.get(latent).absorbed.push([tokens.top_effect[at], token, tokens.top_cosine[at]]);
    });
    const meanOf = (values) => {
      const known = values.filter((value) => value !== null);
      return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
    };
    const absorbing = [...by.values()].map(({ latent, absorbed }) => {
      absorbed.sort(([one, a], [other, b]) => (one ?? Infinity) - (other ?? Infinity) || (a < b ? -1 : 1));
      return {
        latent, num_tokens: absorbed.length, tokens: absorbed.map(([, token]) => token),
        mean_effect: meanOf(absorbed.map(([effect]) => effect)), cosine: meanOf(absorbed.map(([, , cosine]) => cosine)),
      };
    });
    absorbing.sort((one, other) => other.num_tokens - one.num_tokens || one.mean_effect - other.mean_effect || one.latent - other.latent);
    const whole = known.probe * known.portion;
    const rate = known.probe ? numAbsorbed / known.portion / known.probe : null;
    const [low, high] = known.probe ? wilson(numAbsorbed, whole) : [null, null];
    return {
      variant, absorbing, reasons, tokens,
      values: { num_absorbed: numAbsorbed, num_absorbing: absorbing.length, rate, rate_low: low, rate_high: high },
    };
  }

  // The latents and effects of the absorbed tokens, by token.
  function absorbedOf({ tokens }, place) {
    const ownTau = ownOf(place, "tau") ?? place.tau;
    const found = new Map();
    tokens?.token.forEach((token, at) => {
      if (isAbsorbed(tokens, at, reasonOf(tokens, at, place, ownTau))) found.set(token, tokens.top_latent[at]);
    });
    return found;
  }

  const casesOf = (count) => (count > 1 ? "n" : String(count));

  // --- Parts with recomputed values -----------------------------------------------------------------------------------

  // A part of the concept at the thresholds of the place.
  function changed(part, known, place, cosines) {
    const { variant, values, absorbing, reasons, tokens } = decide(known, place);
    const split = variant.split;
    const marks = {};
    for (const latent of split) marks[latent] = part.marks[latent] ?? cosines?.[latent];
    for (const { latent, cosine } of absorbing) if (!(latent in marks)) marks[latent] = cosine;
    for (const [latent, cosine] of Object.entries(marks)) if (cosine == null || Number.isNaN(cosine)) delete marks[latent];
    const roles = {};
    for (const { latent } of absorbing) roles[latent] = known.roles.absorbing;
    for (const latent of split) roles[latent] = known.roles.split;
    const words = tokens
      ? {
        headline: fill(variant.headline[`${casesOf(values.num_absorbed)} ${casesOf(values.num_absorbing)}`], values),
        figures: fill(variant.figures, values),
        lists: listsOf(part, variant.lists, absorbing, values),
        ...evidenceOf(part, reasons, tokens, place),
      }
      : { headline: variant.headline[""], figures: variant.figures, lists: variant.lists.none };
    const bars = part.bars && variant.bars
      ? { ...part.bars, labels: variant.bars.labels, columns: { ...part.bars.columns, part: variant.bars.part } } : part.bars;
    return { ...part, ...words, split, absorbing: absorbing.map(({ latent }) => latent), marks, roles, bars };
  }

  function parsed(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  }

  const asHtml = (content) => {
    const box = document.createElement("div");
    box.append(content);
    return box.innerHTML;
  };

  function listsOf(part, lists, absorbing, values) {
    if (!absorbing.length) return fill(lists.none, values);
    const page = parsed(fill(lists.some, { ...values, latent: 0, num_tokens: 0, mean_effect: 0, cosine: 0 }));
    const chips = new Map([...parsed(part.evidence).querySelectorAll("tr[data-token]")].map((row) => [row.dataset.token, row.querySelector(".token")]));
    const list = page.querySelector("[data-scroll=absorbing]");
    const row = parsed(lists.some).querySelector("[data-scroll=absorbing] li");
    list.replaceChildren(...absorbing.map((latent) => {
      const item = parsed(fill(row.outerHTML, latent)).firstElementChild;
      const button = item.querySelector("button");
      button.setAttribute("aria-label", button.getAttribute("aria-label") + latent.tokens.join(", "));
      item.querySelector(".tokens").append(...latent.tokens.map((token) => chips.get(token).cloneNode(true)));
      return item;
    }));
    return asHtml(page);
  }

  // The tested tokens with their verdicts; verdicts by other metrics are not recomputed and are omitted.
  function evidenceOf(part, reasons, tokens, place) {
    const page = parsed(part.evidence);
    const { whys, verdicts } = ofSuite;
    const opened = [], decided = [];
    for (const row of page.querySelectorAll("tr[data-token]")) {
      const { reason, at, absorbed } = reasons.get(row.dataset.token);
      const short = place.effect_margin - tokens.margin[at];
      const isClose = reason === "effect margin" && short < 0.005 ? " close" : "";
      const cosine = tokens.top_cosine[at];
      const aligned = cosine === null ? "unknown" : cosine < place.cosine_threshold ? "missed" : "reached";
      const why = whys[`${reason} ${aligned}${isClose}`];
      row.querySelector(".of-why").textContent = fill(why, { ...place, margin: tokens.margin[at], cosine });
      row.querySelector(".of-reason").innerHTML = verdicts[`[${absorbed}, ${tokens.published[at]}]`];
      row.dataset.verdict = absorbed ? "absorbed" : "not absorbed";
      for (const cell of row.querySelectorAll(".of-absorbed_by")) cell.textContent = "–";
      const its = parsed(part.opened[decided.push(reason) - 1]);
      its.querySelector(".by-metric")?.remove();
      for (const bar of its.querySelectorAll(".bars tbody tr")) {
        const isAbsorbing = absorbed && Number(bar.querySelector("button").textContent) === tokens.top_latent[at];
        bar.querySelector(".bar-cell").style.setProperty("--bar", `var(--ax-${isAbsorbing ? "absorbing" : "other"})`);
      }
      opened.push(asHtml(its));
    }
    const rows = decided.map((_, at) => at).sort((one, other) => (decided[one] < decided[other] ? -1 : decided[one] > decided[other] ? 1 : one - other));
    return { evidence: asHtml(page), opened, order: { ...part.order, ...(part.order.reason && { reason: { rows, unknown: 0 } }) } };
  }

  let ofSuite = null; // texts on the suite's thresholds

  async function change(place, [family, sae, part, cosines]) {
    ofSuite = (await readPart(`${suiteFolder(place)}/suite.bin`)).thresholds;
    if (!movedOf(place).length) return [family, sae, part, cosines];
    const known = await readPart(`${saeFolder(place)}/live.bin`);
    if (!(place.concept in known)) return [family, sae, part, cosines];
    return [family, sae, changed(part, known[place.concept], place, cosines), cosines];
  }

  // The counts of all concepts of the SAE.
  async function showStrip() {
    const { place, sae, family } = reader;
    const isMoved = movedOf(place).length > 0;
    find("moved").hidden = !isMoved;
    document.documentElement.classList.toggle("ax-is-moved", isMoved);
    const line = reader.figures.cosine?.model.renderers.find(({ type }) => type === "Span");
    if (line && place.cosine_threshold !== undefined) line.location = place.cosine_threshold;
    const known = isMoved ? await readPart(`${saeFolder(place)}/live.bin`) : {};
    const cells = [...find("concepts").querySelectorAll("[data-concept]")];
    const first = parsed(sae.strip);
    const found = new Map(Object.keys(known).map((concept) => [concept, decide(known[concept], place)]));
    const most = Math.max(1, ...[...found.values()].map(({ values }) => values?.num_absorbing ?? 0));
    for (const cell of cells) {
      const own = first.querySelector(`[data-concept="${CSS.escape(cell.dataset.concept)}"]`);
      let [count, title] = [own.querySelector(".count").textContent, own.title];
      const there = found.get(cell.dataset.concept);
      let shade = own.style.getPropertyValue("--ax-cell");
      const name = labelOf(cell.dataset.concept);
      if (there?.values) {
        const { num_absorbing: number, rate } = there.values;
        count = written(number, "");
        title = `${name}: ${fill(family.cells[`${number === 1 ? "1" : "n"} ${rate === null ? "unknown" : "known"}`], there.values)}`;
        const share = Number(fixed((DARKEST * number) / most, 0));
        shade = share ? `color-mix(in srgb, var(--ax-absorbing) ${share}%, var(--ax-panel))` : "";
      } else if (there) {
        const { count: its, label } = known[cell.dataset.concept].cell;
        [count, title, shade] = [its, `${name}: ${label}`, ""];
      }
      cell.querySelector(".count").textContent = count;
      cell.title = title;
      cell.setAttribute("aria-label", own.getAttribute("aria-label").replace(own.title, () => title));
      cell.style.setProperty("--ax-cell", shade);
    }
  }

  // --- The sliders ---------------------------------------------------------------------------------------------------

  function showSliders(former) {
    const { place } = reader;
    const box = find("thresholds"), isChosen = document.activeElement?.id === "metric"; // it is replaced below
    if (former.suite !== place.suite || former.metric !== place.metric) {
      box.innerHTML = `<div class="ax thresholds" id="thresholds-head"></div>${Object.values(ofSuite.sliders).map(({ html }) => html).join("")}`;
    }
    const moved = movedOf(place);
    find("thresholds-head").innerHTML = moved.length
      ? fill(ofSuite.moved, { moved: moved.map((name) => ofSuite.names[name]).join(", ") }) : ofSuite.head;
    if (isChosen) find("metric")?.focus({ preventScroll: true });
    for (const slider of box.querySelectorAll("[data-threshold]")) {
      const name = slider.dataset.threshold;
      if (document.activeElement !== slider) slider.value = place[name];
      const text = written(place[name], `z,.${ofSuite.sliders[name].digits}f`);
      slider.parentElement.querySelector("output").textContent = text;
      slider.setAttribute("aria-valuetext", text);
    }
  }

  document.addEventListener("input", ({ target }) => {
    const name = target.dataset.threshold;
    if (name) reader.go({ [name]: Number(Number(target.value).toFixed(6)), latent: reader.place.latent }, true);
  });

  reader.acts.metric = (metric) => {
    const left = Object.keys(movableOf({ ...reader.place, metric }));
    const others = THRESHOLDS.filter((name) => !left.includes(name));
    reader.go({ metric, latent: reader.place.latent, ...Object.fromEntries(others.map((name) => [name, null])) });
  };
  reader.acts.reset = () => reader.go(Object.fromEntries(movedOf(reader.place).map((name) => [name, ownOf(reader.place, name)])));
  reader.changeBy(change);
  reader.followers.push(showSliders, showStrip);

  return { absorbedOf, asHtml, decide, fill, fixed, parsed, written };
})();
