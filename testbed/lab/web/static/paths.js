// What the plan and the probes say of each path at a time.

export const COLOURS = ["#5ab8f5", "#f5a742", "#35d6a4", "#e08fc0", "#f0e05a", "#b6a2ff", "#ff8a70", "#9fd4d0"];
// After Okabe and Ito's set (2008), lighter for a dark ground. One for a pair of hosts, whichever way.

const FRESH_S = 3; // an older probe says nothing of now

// Index of the last of the ascending `times` that is ≤ t; -1 before the first.
export function lastAt(times, t) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= t) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export class Path {
  constructor(told, colour, back, scene) {
    Object.assign(this, told);
    this.scene = scene;
    this.colour = colour;
    this.back = back; // the second direction of a pair
    this.name = `${told.from} → ${told.to}`;
    this.begins = told.steps.map((step) => step.t);
    this.probes = { t: [], ms: [], planned: [] };
  }

  stepAt(t) {
    return this.steps[Math.max(0, lastAt(this.begins, t))];
  }

  // What the audit allows nine probes of ten to differ, µs: so much for each hop with netem.
  budgetUsAt(t) {
    const { nodes } = this.stepAt(t);
    const emulated = nodes.filter((node, place) => place && `${nodes[place - 1]}|${node}` in this.scene.kinds);
    return this.scene.budget_us * emulated.length;
  }

  plannedAt(t) {
    const place = lastAt(this.planned.t, t);
    return place < 0 ? null : this.planned.ms[place];
  }

  // The median of the probes of the last second, or the newest: {ms, planned}; null if there is none of late.
  measuredAt(t) {
    const { probes } = this;
    const newest = lastAt(probes.t, t);
    if (newest < 0 || probes.t[newest] < t - FRESH_S) return null;
    let first = newest;
    while (first > 0 && probes.t[first - 1] > t - 1) first -= 1;
    const alive = [];
    for (let place = first; place <= newest; place += 1)
      if (probes.ms[place] !== null && probes.planned[place] !== null) alive.push(place);
    if (!alive.length) return null;
    alive.sort((one, other) => probes.ms[one] - probes.planned[one] - (probes.ms[other] - probes.planned[other]));
    const middle = alive[alive.length >> 1];
    return { ms: probes.ms[middle], planned: probes.planned[middle] };
  }

  // One more probe, of a run that plays.
  add(t, ms, planned) {
    const { probes } = this;
    if (probes.t.length && t <= probes.t[probes.t.length - 1]) return;
    probes.t.push(t);
    probes.ms.push(ms);
    probes.planned.push(planned);
  }
}

export function pathsOf(scene) {
  const pairs = [];
  const seen = new Set();
  return scene.paths.map((told) => {
    const key = [told.from, told.to].sort().join("|");
    if (!pairs.includes(key)) pairs.push(key);
    const back = seen.has(key);
    seen.add(key);
    return new Path(told, COLOURS[pairs.indexOf(key) % COLOURS.length], back, scene);
  });
}

// Differences of measured to planned delay in [from, to], µs, without lost ones: ascending.
export function differencesUs(paths, from, to) {
  const found = [];
  for (const { probes } of paths)
    for (let place = lastAt(probes.t, to); place >= 0 && probes.t[place] >= from; place -= 1)
      if (probes.ms[place] !== null && probes.planned[place] !== null)
        found.push(Math.abs(probes.ms[place] - probes.planned[place]) * 1000);
  return found.sort((one, other) => one - other);
}
