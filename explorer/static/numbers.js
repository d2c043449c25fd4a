// The numbers of an SAE by concept at the thresholds of a place, as queries/views/40_rates.sql computes them.

// Maximum parts of a suite's SAEs in the cache; a slider needs all of them at each step.
export const MAX_PARTS = 600;

const { data, metricsOf, movableOf, readPart, saeFolder } = reader;

// The thresholds of a place, including those without effect in its suite.
export const thresholdsOf = (place) => Object.fromEntries(Object.entries(data.suites[place.suite].own).map(([name, own]) => [name, place[name] ?? own]));

export const movedIn = (place, suite = place.suite) => {
  const thresholds = thresholdsOf(place);
  return Object.keys(movableOf({ ...place, suite })).filter((name) => thresholds[name] !== data.suites[suite].own[name]);
};

// Whether the numbers of a suite are known at the thresholds and by the metric of a place, which may be in another suite.
export const isKnownIn = (place, suite) => {
  const there = data.suites[suite];
  const thresholds = thresholdsOf(place);
  const canMove = Object.keys(movableOf({ ...place, suite })).length > 0;
  return metricsOf(suite).includes(place.metric) && (canMove || Object.keys(there.own).every((name) => there.own[name] === thresholds[name]));
};

// Returns the numbers by concept; `absorbed` maps each absorbed token to its latent and effect.
export async function numbersOf(place, suite, sae) {
  const at = { suite, family: place.family, sae, metric: place.metric };
  const isMoved = movedIn(place, suite).length > 0;
  const [stored, live] = await Promise.all([readPart(`${saeFolder(at)}/numbers.bin`), isMoved && readPart(`${saeFolder(at)}/live.bin`)]);
  const thresholds = { ...thresholdsOf(place), suite, metric: place.metric };
  const rows = new Map(stored.concepts.map((concept, nth) => {
    const known = Object.fromEntries(Object.entries({ ...stored.own, ...(isMoved && stored.away) }).map(([name, values]) => [name, values[nth]]));
    known.position = stored.positions[nth];
    const absorbed = isMoved ? [] : stored.absorbed[concept] ?? [];
    const row = { ...known, absorbed: new Map(absorbed.map(([token, latent, effect]) => [token, { latent, effect }])) };
    return [concept, isMoved && live[concept] ? moved(row, live[concept], thresholds) : row];
  }));
  return { seeds: stored.seeds, suggested: stored.suggested, rows };
}

function moved(row, known, thresholds) {
  const { variant, values, reasons, tokens } = live.decide(known, thresholds);
  const splits = { num_split_latents: variant.split.length || row.num_split_latents };
  if (!tokens) return { ...row, ...splits };
  const absorbed = [...reasons].filter(([, reason]) => reason.absorbed)
    .map(([token, { at }]) => [token, { latent: tokens.top_latent[at], effect: tokens.top_effect[at] }]);
  return {
    ...row, ...splits, absorption_rate: values.rate, rate_low: values.rate_low, rate_high: values.rate_high,
    num_absorbed: values.num_absorbed, mean: values.rate ?? (known.probe === 0 ? 0 : null), absorbed: new Map(absorbed),
  };
}
