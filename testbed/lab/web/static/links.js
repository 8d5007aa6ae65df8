// What serves now: the links of the paths, their satellites, and the sites, over the map.

import { lastAt } from "./paths.js";
import { vectorOf } from "./view.js";

const LOOKS = {
  user: { colour: "#5ab8f5", word: "user link" },
  feeder: { colour: "#f5a742", word: "feeder link" },
  isl: { colour: "#35d6a4", word: "laser" },
  fibre: { colour: "#e08fc0", word: "fibre" },
};
const MARKS = { terminal: "#5ab8f5", gateway: "#f5a742", pop: "#e08fc0", router: "#35d6a4" };
const FONT = "12px system-ui, 'DejaVu Sans', sans-serif";
const NEAR_PX = 9; // sites closer than this share a label
const PLACES = [
  [10, 4, "left"], [-10, 4, "right"], [0, -11, "center"], [0, 20, "center"], [10, -9, "left"], [-10, -9, "right"],
  [10, 17, "left"], [-10, 17, "right"],
];

export class Links {
  constructor(canvas, scene) {
    this.context = canvas.getContext("2d");
    this.scene = scene;
    this.sites = new Map(scene.sites.map((site) => [site.name, vectorOf(site.longitude, site.latitude)]));
    this.moving = scene.sites.filter((site) => site.track);
    this.roles = new Map(scene.sites.map((site) => [site.name, site.role]));
  }

  // Ships, aircraft and phones to where they are at `t`.
  move(t) {
    for (const { name, track } of this.moving) {
      const place = Math.min(Math.max(0, lastAt(track.t, t)), track.t.length - 2);
      const part = Math.min((t - track.t[place]) / (track.t[place + 1] - track.t[place]), 1);
      const [from, to] = [place, place + 1].map((at) => vectorOf(track.longitude[at], track.latitude[at]));
      this.sites.set(name, from.map((value, axis) => value + part * (to[axis] - value)));
    }
  }

  // The hops in use at `t`: [a, b, kind], each once.
  hops(paths, t) {
    const found = new Map();
    for (const path of paths) {
      const { nodes } = path.stepAt(t);
      for (let place = 1; place < nodes.length; place += 1) {
        const [a, b] = [nodes[place - 1], nodes[place]];
        const kind = this.scene.kinds[`${a}|${b}`];
        if (kind && !found.has(`${b}|${a}`)) found.set(`${a}|${b}`, [a, b, kind]);
      }
    }
    return [...found.values()];
  }

  // Vectors by name of the satellites that serve at `t`.
  serving(paths, t, sky, between) {
    const found = new Map();
    if (sky && between)
      for (const path of paths)
        for (const name of path.stepAt(t).satellites)
          if (name in sky.about.serving && !found.has(name)) {
            const vector = sky.vector(between, sky.about.serving[name]);
            if (vector) found.set(name, vector);
          }
    return found;
  }

  paint(view, ratio, paths, t, serving, darkened) {
    const { context } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    const place = (name) => serving.get(name) || this.sites.get(name);
    for (const [a, b, kind] of this.hops(paths, t)) {
      const [from, to] = [place(a), place(b)];
      const dark = darkened.has(`${a}|${b}`) || darkened.has(`${b}|${a}`);
      if (from && to) this.#line(view, from, to, kind, t, dark);
    }
    const taken = [];
    const labels = this.#sites(view, taken, darkened);
    for (const [name, vector] of serving) this.#satellite(view, name, vector, taken, labels);
    for (const label of labels) this.#label(label, taken);
  }

  #line(view, from, to, kind, t, dark) {
    const { context } = this;
    const pieces = kind === "fibre" ? 12 : 1; // fibre lies on the ground, radio goes straight
    const points = [];
    for (let piece = 0; piece <= pieces; piece += 1) {
      const part = piece / pieces;
      const vector = from.map((value, axis) => value + part * (to[axis] - value));
      const length = kind === "fibre" ? Math.hypot(...vector) : 1;
      const pixel = view.pixel(vector.map((value) => value / length));
      if (!pixel) return;
      points.push(pixel);
    }
    const { colour } = LOOKS[kind];
    context.beginPath();
    points.forEach(([x, y], number) => (number ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.lineCap = "round";
    context.strokeStyle = dark ? "#ff5b5b" : colour;
    context.setLineDash(kind === "fibre" ? [1, 5] : dark ? [4, 6] : []);
    context.globalAlpha = 0.16;
    context.lineWidth = 7;
    if (kind !== "fibre") context.stroke();
    context.globalAlpha = 0.85;
    context.lineWidth = kind === "fibre" ? 2 : 1.5;
    context.stroke();
    if (kind !== "fibre" && !dark) {
      context.setLineDash([3, 21]);
      context.lineDashOffset = -(t * 8) % 24;
      context.strokeStyle = "#ffffff";
      context.lineWidth = 2;
      context.stroke();
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  #sites(view, taken, darkened) {
    const { context } = this;
    const clusters = [];
    for (const [name, vector] of this.sites) {
      const pixel = view.pixel(vector);
      if (!pixel) continue;
      const near = clusters.find((one) => Math.hypot(one.pixel[0] - pixel[0], one.pixel[1] - pixel[1]) < NEAR_PX);
      if (near) near.names.push(name);
      else clusters.push({ pixel, names: [name] });
    }
    for (const { pixel, names } of clusters) {
      const [x, y] = pixel;
      const role = this.roles.get(names[0]);
      context.beginPath();
      if (role === "terminal") {
        context.moveTo(x, y - 6);
        context.lineTo(x + 5.5, y + 4.5);
        context.lineTo(x - 5.5, y + 4.5);
        context.closePath();
      } else if (role === "gateway") context.rect(x - 4.5, y - 4.5, 9, 9);
      else context.arc(x, y, 4.5, 0, 2 * Math.PI);
      context.fillStyle = names.some((name) => darkened.has(name)) ? "#ff5b5b" : MARKS[role] || "#d6e2ee";
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = "#070b10";
      context.stroke();
      taken.push([x - 7, y - 7, x + 7, y + 7]);
    }
    return clusters.map(({ pixel, names }) => ({ pixel, text: names.slice(0, 3).join(", "), colour: "#b9c9d8" }));
  }

  #satellite(view, name, vector, taken, labels) {
    const pixel = view.pixel(vector);
    if (!pixel) return;
    const { context } = this;
    const [x, y] = pixel;
    const glow = context.createRadialGradient(x, y, 0, x, y, 18);
    glow.addColorStop(0, "rgba(255, 255, 255, 0.75)");
    glow.addColorStop(0.35, "rgba(120, 205, 255, 0.28)");
    glow.addColorStop(1, "rgba(120, 205, 255, 0)");
    context.fillStyle = glow;
    context.beginPath();
    context.arc(x, y, 18, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = "#ffffff";
    context.beginPath();
    context.arc(x, y, 3.6, 0, 2 * Math.PI);
    context.fill();
    taken.push([x - 7, y - 7, x + 7, y + 7]);
    labels.unshift({ pixel, text: name.replace("NORAD", ""), colour: "#ffffff" });
  }

  // Where it hides nothing; nowhere if there is no such place.
  #label({ pixel: [x, y], text, colour }, taken) {
    const { context } = this;
    context.font = FONT;
    const width = context.measureText(text).width;
    for (const [right, down, align] of PLACES) {
      const left = x + right - (align === "right" ? width : align === "center" ? width / 2 : 0);
      const box = [left - 1, y + down - 11, left + width + 1, y + down + 3];
      if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      context.textAlign = "left";
      context.lineJoin = "round";
      context.lineWidth = 3;
      context.strokeStyle = "rgba(7, 11, 16, 0.8)";
      context.strokeText(text, left, y + down);
      context.fillStyle = colour;
      context.fillText(text, left, y + down);
      return;
    }
  }
}

export { LOOKS };
