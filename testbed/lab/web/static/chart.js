// Planned delays as lines, measured ones as dots, around now.

import { lastAt } from "./paths.js";

const BEHIND_S = 60;
const AHEAD_S = 12; // the plan is known before it happens
const POINTS = 240;
const INK = "#7f93a8";
const RULE = "rgba(150, 185, 215, 0.10)";
const FONT = "11px system-ui, 'DejaVu Sans', sans-serif";

export class Chart {
  constructor(element, paths, handovers, durationS) {
    Object.assign(this, { element, paths, handovers, durationS });
    this.now = 0;
    this.height = [0, 1];
    const axis = { stroke: INK, font: FONT, grid: { stroke: RULE, width: 1 }, ticks: { show: false } };
    this.plot = new uPlot(
      {
        width: 300,
        height: 190,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: false, range: () => this.#range() }, y: { range: () => this.height } },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map((tick) => `${tick} s`), size: 26 },
          { ...axis, values: (_, ticks) => ticks.map((tick) => `${+tick.toFixed(2)} ms`), size: 58 },
        ],
        series: [
          {},
          ...paths.map((path) => ({ stroke: path.colour, width: 1.5, dash: path.back ? [4, 4] : [], points: { show: false } })),
          ...paths.map((path) => ({
            paths: () => null,
            points: { show: true, size: path.back ? 3.5 : 4.5, width: 0, fill: path.colour, stroke: path.colour },
          })),
        ],
        hooks: { drawClear: [() => this.#behind()], draw: [() => this.#over()] },
      },
      [[0], ...paths.map(() => [null]), ...paths.map(() => [null])],
      element,
    );
  }

  paint(now) {
    this.now = now;
    const [from, to] = this.#range();
    const grid = Array.from({ length: POINTS }, (_, number) => from + ((to - from) * number) / (POINTS - 1));
    const tables = this.paths.map((path) => {
      const edges = path.begins.filter((begin) => begin > from && begin < to).flatMap((begin) => [begin - 1e-4, begin]);
      const times = [...grid, ...edges].sort((one, other) => one - other);
      return [times, times.map((t) => path.plannedAt(t))];
    });
    const dots = this.paths.map(({ probes }) => {
      const [first, last] = [lastAt(probes.t, from) + 1, lastAt(probes.t, now) + 1];
      const every = Math.max(1, Math.ceil((last - first) / POINTS));
      const chosen = [];
      for (let place = first; place < last; place += every) chosen.push(place);
      return [chosen.map((place) => probes.t[place]), chosen.map((place) => probes.ms[place])];
    });
    this.height = around(tables.flatMap(([, ms]) => ms), dots.flatMap(([, ms]) => ms));
    this.plot.setData(uPlot.join([...tables, ...dots].map(([t, ms]) => (t.length ? [t, ms] : [[from], [null]]))));
  }

  resize() {
    const width = this.element.clientWidth;
    if (width) this.plot.setSize({ width, height: 190 });
  }

  #range() {
    const span = Math.min(BEHIND_S + AHEAD_S, this.durationS);
    const to = Math.min(Math.max(this.now + AHEAD_S, span), this.durationS);
    return [to - span, to];
  }

  #behind() {
    const { ctx, bbox } = this.plot;
    const [from, to] = this.#range();
    ctx.save();
    ctx.strokeStyle = "rgba(214, 226, 238, 0.28)";
    ctx.setLineDash([3, 4]);
    for (const t of this.handovers)
      if (t > from && t < to) {
        const x = this.plot.valToPos(t, "x", true);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
    ctx.restore();
  }

  // The future is the plan's alone: dimmed.
  #over() {
    const { ctx, bbox } = this.plot;
    const x = this.plot.valToPos(this.now, "x", true);
    ctx.save();
    ctx.fillStyle = "rgba(17, 25, 34, 0.55)";
    ctx.fillRect(x, bbox.top, bbox.left + bbox.width - x, bbox.height);
    ctx.fillStyle = "#d6e2ee";
    ctx.fillRect(x - 1, bbox.top, 1.5, bbox.height);
    ctx.restore();
  }
}

// All that is planned and nine of ten that were measured, some room above and below, and no less than a millisecond.
function around(planned, measured) {
  const seen = measured.filter((ms) => ms !== null).sort((one, other) => one - other);
  const typical = seen.slice(Math.floor(0.05 * seen.length), Math.ceil(0.95 * seen.length));
  const all = [...planned.filter((ms) => ms !== null), ...typical];
  if (!all.length) return [0, 1];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = Math.max(0.12 * (high - low), 0.5);
  return [Math.max(0, low - room), high + room];
}
