// The confidence interval of a difference of mean rates, by the bootstrap that explorer/statistics.py explains. It uses the
// same random numbers as numpy.random.default_rng(0) there (PCG-64 by O'Neill, bounded integers by Lemire, gamma by Marsaglia
// and Tsang with their ziggurat), so that site and page show the same interval.
const RESAMPLES = 4000;
const AT_ONCE = 4_000_000;
const LEVELS = { low: 0.025, high: 0.975, sure: 0.95, often: 0.6 };

// --- The generator --------------------------------------------------------------------------------------------------

const MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645n;
// The initial state for numpy's seed 0.
const STATE = 35399562948360463058890781895381311971n, INCREMENT = 87136372517582989555478159403783844777n;

// 128 bits as four 32-bit numbers, because BigInts would take ten times as long.
const words = (value) => [0n, 32n, 64n, 96n].map((by) => Number((value >> by) & 0xFFFFFFFFn));

class Generator {
  #state = words(STATE);
  #half = null; // the unused higher half of the last 64 bits

  #step() {
    const [a0, a1, a2, a3] = this.#state;
    const [m0, m1, m2, m3] = Generator.#multiplier, [i0, i1, i2, i3] = Generator.#increment;
    const [l0, h0] = product(a0, m0), [l1, h1] = product(a0, m1), [l2, h2] = product(a1, m0);
    const [l3, h3] = product(a0, m2), [l4, h4] = product(a1, m1), [l5, h5] = product(a2, m0);
    const top = Math.imul(a0, m3) + Math.imul(a1, m2) + Math.imul(a2, m1) + Math.imul(a3, m0);
    const s0 = l0 + i0;
    const s1 = h0 + l1 + l2 + i1 + Math.floor(s0 / 2 ** 32);
    const s2 = h1 + h2 + l3 + l4 + l5 + i2 + Math.floor(s1 / 2 ** 32);
    const s3 = h3 + h4 + h5 + top + i3 + Math.floor(s2 / 2 ** 32);
    this.#state = [s0 >>> 0, low(s1), low(s2), low(s3)];
  }

  // The next 64 bits, the lower half first.
  pair() {
    this.#step();
    const [a0, a1, a2, a3] = this.#state;
    const turn = a3 >>> 26;
    let x0 = (a0 ^ a2) >>> 0, x1 = (a1 ^ a3) >>> 0;
    if (turn >= 32) [x0, x1] = [x1, x0];
    const by = turn % 32;
    if (!by) return [x0, x1];
    return [((x0 >>> by) | (x1 << (32 - by))) >>> 0, ((x1 >>> by) | (x0 << (32 - by))) >>> 0];
  }

  word() {
    if (this.#half !== null) {
      const half = this.#half;
      this.#half = null;
      return half;
    }
    const [lower, higher] = this.pair();
    this.#half = higher;
    return lower;
  }

  uniform() {
    const [lower, higher] = this.pair();
    return (higher * 2 ** 21 + (lower >>> 11)) / 2 ** 53;
  }

  // Returns `count` integers below `bound`.
  integers(bound, count) {
    const found = new Uint32Array(count);
    if (bound === 1) return found;
    const least = (2 ** 32 - bound) % bound;
    for (let at = 0; at < count; at++) {
      let wide;
      do wide = this.word() * bound; while (wide % 2 ** 32 < least);
      found[at] = Math.floor(wide / 2 ** 32);
    }
    return found;
  }

  normal() {
    for (;;) {
      const [lower, higher] = this.pair();
      const layer = lower & 0xFF, isNegative = lower & 0x100;
      const rest = (higher & 0x1FFFFFFF) * 2 ** 23 + (lower >>> 9);
      const x = rest * NORMAL.width[layer], signed = isNegative ? -x : x;
      if (rest < NORMAL.inside[layer]) return signed;
      if (layer === 0) {
        for (;;) {
          const beyond = -Math.log1p(-this.uniform()) / NORMAL.end, other = -Math.log1p(-this.uniform());
          if (other + other > beyond * beyond) return (rest / 2 ** 8) & 1 ? -(NORMAL.end + beyond) : NORMAL.end + beyond;
        }
      }
      const { height } = NORMAL;
      if ((height[layer - 1] - height[layer]) * this.uniform() + height[layer] < Math.exp(-0.5 * x * x)) return signed;
    }
  }

  exponential() {
    for (;;) {
      const [lower, higher] = this.pair();
      const layer = (lower >>> 3) & 0xFF;
      const rest = higher * 2 ** 21 + (lower >>> 11);
      const x = rest * EXPONENTIAL.width[layer];
      if (rest < EXPONENTIAL.inside[layer]) return x;
      if (layer === 0) return EXPONENTIAL.end - Math.log1p(-this.uniform());
      const { height } = EXPONENTIAL;
      if ((height[layer - 1] - height[layer]) * this.uniform() + height[layer] < Math.exp(-x)) return x;
    }
  }

  gamma(shape) {
    if (shape === 1) return this.exponential();
    if (shape < 1) {
      for (;;) {
        const u = this.uniform(), v = this.exponential();
        if (u <= 1 - shape) {
          const x = u ** (1 / shape);
          if (x <= v) return x;
        } else {
          const y = -Math.log((1 - u) / shape), x = (1 - shape + shape * y) ** (1 / shape);
          if (x <= v + y) return x;
        }
      }
    }
    const b = shape - 1 / 3, c = 1 / Math.sqrt(9 * b);
    for (;;) {
      let x, v;
      do {
        x = this.normal();
        v = 1 + c * x;
      } while (v <= 0);
      v = v * v * v;
      const u = this.uniform();
      if (u < 1 - 0.0331 * x * x * x * x || Math.log(u) < 0.5 * x * x + b * (1 - v + Math.log(v))) return b * v;
    }
  }

  chiSquare(freedom) {
    return 2 * this.gamma(freedom / 2);
  }

  static #multiplier = words(MULTIPLIER);
  static #increment = words(INCREMENT);
}

const low = (value) => value % 2 ** 32;

// The lower and the higher half of a product of two 32-bit numbers.
function product(a, b) {
  const lower = Math.imul(a, b) >>> 0;
  const al = a & 0xFFFF, ah = a >>> 16, bl = b & 0xFFFF, bh = b >>> 16;
  const middle = ah * bl + ((al * bl) >>> 16);
  const other = al * bh + (middle & 0xFFFF);
  return [lower, ah * bh + Math.floor(middle / 65536) + Math.floor(other / 65536)];
}

// 256 layers of equal area under a decreasing curve: layer 0 is the lowest and includes the tail from `end` on; the others
// are numbered from the top down.
function ziggurat(end, area, bits, curve, inverse) {
  const scale = 2 ** bits, edges = new Float64Array(256);
  edges[255] = end;
  for (let layer = 254; layer > 0; layer--) edges[layer] = inverse(area / edges[layer + 1] + curve(edges[layer + 1]));
  edges[0] = area / curve(end);
  const inside = edges.map((edge, layer) => (layer === 1 ? 0 : Math.floor(((layer ? edges[layer - 1] : end) / edge) * scale)));
  return { end, inside, width: edges.map((edge) => edge / scale), height: edges.map((edge, layer) => (layer ? curve(edge) : 1)) };
}

const NORMAL = ziggurat(3.654152885361009, 0.00492867323397466, 52, (x) => Math.exp(-0.5 * x * x), (y) => Math.sqrt(-2 * Math.log(y)));
const EXPONENTIAL = ziggurat(7.697117470131050, 0.0039496598225815571993, 53, (x) => Math.exp(-x), (y) => -Math.log(y));

// --- The bootstrap --------------------------------------------------------------------------------------------------

const sum = (values) => values.reduce((total, value) => total + value, 0);
const meanOf = (values) => sum(values) / values.length;
const across = (rates, at) => meanOf(rates.map((seed) => seed[at]));

function variance(values) {
  const middle = meanOf(values);
  return sum(values.map((value) => (value - middle) ** 2)) / (values.length - 1);
}

// The mean rate of the other SAE minus that of this one: `mean_difference`. `rates`: by seed and concept; null is unknown.
export function difference(rates, otherRates) {
  const shared = (rates[0] ?? []).map((_, at) => at).filter((at) => [...rates, ...otherRates].every((seed) => seed[at] !== null));
  const [mine, others] = [rates, otherRates].map((seeds) => seeds.map((seed) => shared.map((at) => seed[at])));
  const number = shared.length;
  if (!number || !others.length) return null;
  const mean = meanOf(others.map(meanOf)) - meanOf(mine.map(meanOf));
  const found = { mean, low: null, high: null, detectable: null, num_concepts: number, num_seeds: mine.length, num_other_seeds: others.length };
  if (number === 1) return found;
  const random = new Generator();
  const off = resampled(mine, others, random).map((value) => value - mean);
  const middle = meanOf(off);
  const spread = Math.sqrt(meanOf(off.map((value) => (value - middle) ** 2)));
  if (spread) {
    const [estimated, freedom] = varianceOf(mine, others);
    const factor = Math.sqrt(estimated) / spread;
    for (let at = 0; at < RESAMPLES; at++) off[at] *= factor * Math.sqrt(freedom / random.chiSquare(freedom));
  }
  const ordered = Float64Array.from(off).sort(), sizes = ordered.map(Math.abs).sort();
  found.low = mean + quantile(ordered, LEVELS.low);
  found.high = mean + quantile(ordered, LEVELS.high);
  found.detectable = quantile(sizes, LEVELS.sure) + quantile(sizes, LEVELS.often);
  return found;
}

function resampled(mine, others, random) {
  const number = mine[0].length, most = Math.max(1, Math.floor(AT_ONCE / number));
  const found = [];
  for (let start = 0; start < RESAMPLES; start += most) {
    const size = Math.min(most, RESAMPLES - start);
    const drawn = random.integers(number, size * number);
    const [other, its] = [others, mine].map((rates) => ofDrawnSeeds(rates, drawn, size, random));
    for (let at = 0; at < size; at++) found.push(other[at] - its[at]);
  }
  return found;
}

function ofDrawnSeeds(rates, drawn, size, random) {
  const number = rates[0].length;
  const means = rates.map((seed) => Float64Array.from({ length: size }, (_, at) => {
    let total = 0;
    for (let nth = at * number; nth < (at + 1) * number; nth++) total += seed[drawn[nth]];
    return total / number;
  }));
  const seeds = random.integers(rates.length, size * rates.length);
  return Float64Array.from({ length: size }, (_, at) => {
    let total = 0;
    for (let nth = 0; nth < rates.length; nth++) total += means[seeds[at * rates.length + nth]][at];
    return total / rates.length;
  });
}

// The variance of the mean difference, and its degrees of freedom: `_variance`.
function varianceOf(mine, others) {
  const number = mine[0].length, parts = [];
  const rises = mine[0].map((_, at) => across(others, at) - across(mine, at));
  parts.push([variance(rises) / number, number - 1]);
  for (const rates of [mine, others]) {
    const seeds = rates.length;
    if (seeds < 2) continue;
    const means = rates.map(meanOf), middle = meanOf(means);
    const ofConcepts = rates[0].map((_, at) => across(rates, at));
    const single = sum(rates.map((seed, nth) => sum(seed.map((rate, at) => (rate - ofConcepts[at] - means[nth] + middle) ** 2))));
    const byChance = single / (seeds - 1) / (number - 1) / number;
    parts.push([Math.max(variance(means) - byChance, 0) / seeds, seeds - 1]);
  }
  const whole = sum(parts.map(([value]) => value));
  const uncertain = sum(parts.map(([value, freedom]) => value ** 2 / freedom));
  return [whole, uncertain ? whole ** 2 / uncertain : Infinity];
}

function quantile(ordered, level) {
  const place = level * (ordered.length - 1), below = Math.floor(place);
  return ordered[below] + ((ordered[below + 1] ?? ordered[below]) - ordered[below]) * (place - below);
}
