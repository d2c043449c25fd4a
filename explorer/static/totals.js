// The counts of Evidence and of the search over all SAEs and families of a suite at moved thresholds.
import { MAX_PARTS, movedIn, thresholdsOf } from "./numbers.js";

const { data, readPart, saeFolder } = reader;

let latest = { key: null, totals: null };

// Returns null at the suite's own thresholds. `absorbed`: the number of SAEs on which a token is absorbed, by concept and
// token.
export function totalsOf(place) {
  if (!movedIn(place).length) return null;
  const key = JSON.stringify([place.suite, place.metric, thresholdsOf(place)]);
  if (latest.key !== key) {
    const totals = count(place);
    latest = { key, totals };
    totals.catch(() => { if (latest.totals === totals) latest = { key: null, totals: null }; });
  }
  return latest.totals;
}

async function count(place) {
  const { suite, metric } = place;
  const { saes, families } = data.suites[suite];
  const thresholds = { ...thresholdsOf(place), suite, metric };
  reader.keep(Math.min(MAX_PARTS, saes.length * Object.keys(families).length + 40));
  const absorbed = new Map();
  let [numAbsorbed, numAbsorbing] = [0, 0];
  await Promise.all(saes.map(async (sae) => {
    const parts = await Promise.all(Object.keys(families).map((family) => readPart(`${saeFolder({ suite, family, sae, metric })}/live.bin`)));
    const latents = new Set();
    for (const [concept, known] of parts.flatMap(Object.entries)) {
      for (const [token, latent] of live.absorbedOf(known, thresholds)) {
        numAbsorbed += 1;
        latents.add(latent);
        const key = keyOf(concept, token);
        absorbed.set(key, (absorbed.get(key) ?? 0) + 1);
      }
    }
    numAbsorbing += latents.size;
  }));
  return { num_absorbed: numAbsorbed, num_absorbing: numAbsorbing, absorbed };
}

export const keyOf = (concept, token) => `${concept} ${token}`;
