// The page: what it asks for, and what it paints when.

import { Chart } from "./chart.js";
import { Clock } from "./clock.js";
import { Fault } from "./fault.js";
import { Land } from "./land.js";
import { LOOKS, Links } from "./links.js";
import { Delays, element, Events, Flows } from "./panels.js";
import { pathsOf } from "./paths.js";
import { Sky } from "./sky.js";
import { Stars } from "./stars.js";
import { View } from "./view.js";

const WORDS_MS = 500; // between two paintings of words and chart
const ORBITAL_RADII_S = 0.0012; // Earth radii that a low satellite flies in a second
const STEP_PX = 0.4; // half a pixel is no hop to the eye; more paintings would take processors that the run needs
const LEAST_FPS = 4;
const MOST_FPS = 60;
const SPEEDS = [0.25, 0.5, 1, 2, 5, 10, 30, 60];
const WHY_NOT_LIVE = "A live run cannot be paused or sped up: its packets are real. Afterwards the page replays it.";

const get = (selector) => document.querySelector(selector);
const json = async (address) => (await fetch(address)).json();

class Page {
  constructor(scene, coast) {
    this.scene = scene;
    this.paths = pathsOf(scene);
    this.clock = new Clock(scene.duration_s);
    this.sky = scene.sky && new Sky(scene.sky);
    this.land = new Land(get("#land"), coast);
    this.stars = new Stars(get("#sky"));
    this.links = new Links(get("#links"), scene);
    this.view = new View(get("#map"), () => this.#turn());
    this.delays = new Delays(this.paths);
    this.flows = new Flows(scene);
    this.events = new Events(scene);
    this.fault = new Fault(scene);
    const handovers = [...new Set(scene.events.filter((event) => event.kind === "handover").map((event) => event.t))];
    this.chart = new Chart(get("#chart"), this.paths, handovers, scene.duration_s);
    this.fitted = false;
    this.turned = true;
    this.paintedMs = this.wordedMs = 0;
    this.frames = []; // between two paintings, the latest thousand: [milliseconds, pixels that a satellite moves]
    this.#words();
    this.#controls();
    this.#resize();
    new ResizeObserver(() => this.#resize()).observe(get("#map"));
  }

  // ---- what the run says

  listen() {
    const socket = new WebSocket(`ws://${location.host}${location.pathname}live`);
    socket.addEventListener("message", (event) => this.#hear(JSON.parse(event.data)));
    socket.addEventListener("close", () => {
      if (this.clock.live) this.#state("no answer", "warn", "The run's command does not answer.");
    });
  }

  #hear(message) {
    if (message.mode) this.#begin(message);
    if (message.stage === "building" || message.stage === "booted") this.#state("building the network", "");
    if (message.stage === "playing") this.#state("live", "live");
    if (message.stage === "judging") this.#state("judging", "live");
    if (message.progress !== undefined) {
      if (this.clock.toldS === null) this.#state("live", "live");
      this.clock.follow(message.progress);
    }
    if (message.live) this.#measure(message.live);
    if (message.fault) this.events.add(message.fault);
    if (message.ended) this.#end(message);
  }

  async #begin({ mode, past, faults }) {
    this.clock.live = mode === "live";
    this.fault.allow(this.clock.live);
    for (const line of faults) this.events.add(line);
    for (const [t, values] of past) values.forEach((ms, number) => this.paths[number].add(t, ms, this.paths[number].plannedAt(t)));
    this.#allowControls();
    if (mode === "replay") {
      const measured = await json("measured.json");
      this.#judged(measured);
      if (!measured.report) this.#state("not judged", "warn");
    } else this.#state("waiting for the run", "");
  }

  #measure(live) {
    live.paths.forEach((told, number) => {
      const path = this.paths[number];
      path.add(live.time_s, told.measured_ms, told.planned_ms);
    });
    if (live.flows && live.flows.length) this.flows.count(live.flows);
  }

  #end({ measured }) {
    this.clock.release();
    this.fault.allow(false);
    this.#allowControls();
    this.#judged(measured);
  }

  #judged({ probes, report }) {
    probes.forEach((told, number) => (this.paths[number].probes = told));
    if (!report) return;
    this.flows.judge(report);
    const kind = { pass: "good", fail: "off", invalid: "warn" }[report.verdict];
    this.#state(report.verdict, kind, report.reasons.join("\n"));
  }

  // ---- painting

  // At the next frame of the screen.
  #soon() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame((ms) => this.#frame(ms));
  }

  #turn() {
    this.turned = true;
    this.#soon();
  }

  #frame(ms) {
    this.asked = false;
    const t = this.clock.tick();
    const rate = this.clock.live || this.clock.playing ? this.clock.rate * this.scene.speed : 0;
    const pixelsS = this.view.scale * ORBITAL_RADII_S * rate;
    const passedMs = ms - this.paintedMs;
    if (this.paintedMs) this.frames = [...this.frames.slice(-999), [passedMs, (passedMs / 1000) * pixelsS]];
    this.paintedMs = ms;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#soon(), 1000 / Math.min(Math.max(pixelsS / STEP_PX, LEAST_FPS), MOST_FPS));
    const between = this.sky && this.sky.around(t);
    this.links.move(t);
    const serving = this.links.serving(this.paths, t, this.sky, between);
    if (!this.fitted && (between || !this.sky)) {
      this.fitted = true;
      this.#fit(serving);
    }
    if (this.turned) this.land.paint(this.view, this.ratio);
    if (between) this.stars.paint(this.view, this.ratio, this.sky, between);
    this.links.paint(this.view, this.ratio, this.paths, t, serving, this.events.darkened(t));
    this.turned = false;
    if (ms - this.wordedMs >= WORDS_MS) {
      this.wordedMs = ms;
      this.#tell(t);
    }
  }

  #tell(t) {
    const { scene } = this;
    get("#utc").textContent = new Date(scene.start_ms + t * scene.speed * 1000).toISOString().slice(11, 19);
    get("#elapsed").textContent = `UTC of the sky · ${t.toFixed(1)} of ${scene.duration_s.toFixed(0)} s`;
    if (scene.slots) {
      const { first_s: first, length_s: length } = scene.slots;
      const left = (((first - t) % length) + length) % length || length;
      get("#slot-s").textContent = `${left.toFixed(1)} s`;
      get("#slot-bar").style.width = `${(100 * (1 - left / length)).toFixed(1)}%`;
    }
    const seen = this.sky ? `${this.sky.count.toLocaleString("en")} satellites, ${this.stars.shown.toLocaleString("en")} in sight` : "";
    get("#caption").textContent = `${seen}${seen && " · "}${scene.satellites_used} used by the plan`;
    if (document.activeElement !== get("#seek")) get("#seek").value = t / scene.duration_s;
    get("#play").textContent = this.clock.playing || this.clock.live ? "❚❚" : "▶";
    get("#play").setAttribute("aria-label", this.clock.playing ? "Pause" : "Play");
    this.delays.paint(t);
    this.events.paint(t);
    this.chart.paint(t);
  }

  #state(text, kind, why = "") {
    const pill = get("#state");
    pill.textContent = text;
    pill.className = `pill ${kind}`;
    pill.title = why;
  }

  // ---- what a person does

  #words() {
    const { scene } = this;
    get("#title").textContent = scene.title;
    get("#about").textContent = `${scene.topology} · from ${new Date(scene.start_ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
    document.title = `${scene.topology} · satcom-testbed`;
    get("#slot").hidden = !scene.slots;
    const kinds = new Set(Object.values(scene.kinds));
    get("#key").replaceChildren(
      ...Object.entries(LOOKS).filter(([kind]) => kinds.has(kind)).map(([kind, { colour, word }]) => {
        const line = element("li", word, kind);
        line.style.color = colour;
        return line;
      }),
    );
  }

  #controls() {
    get("#speed").replaceChildren(...SPEEDS.map((speed) => element("option", `${speed}×`)));
    get("#speed").value = "1×";
    get("#speed").addEventListener("change", (event) => {
      this.clock.tick();
      this.clock.rate = parseFloat(event.target.value);
    });
    get("#play").addEventListener("click", () => this.clock.toggle());
    get("#seek").addEventListener("input", (event) => {
      this.clock.seek(event.target.value * this.scene.duration_s);
      this.#soon();
    });
    get("#seek").addEventListener("change", (event) => event.target.blur());
    get("#nearer").addEventListener("click", () => this.view.zoom(1.5));
    get("#farther").addEventListener("click", () => this.view.zoom(1 / 1.5));
    get("#whole").addEventListener("click", () => this.view.whole());
    get("#fit").addEventListener("click", () => {
      const t = this.clock.tick();
      this.#fit(this.links.serving(this.paths, t, this.sky, this.sky && this.sky.around(t)));
    });
  }

  #allowControls() {
    for (const one of [get("#play"), get("#seek"), get("#speed")]) {
      one.disabled = this.clock.live;
      one.title = this.clock.live ? WHY_NOT_LIVE : "";
    }
  }

  #fit(serving) {
    const vectors = [...this.links.sites.values(), ...serving.values()];
    if (vectors.length) this.view.fit(vectors);
    else this.view.whole();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = get("#map");
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const canvas of document.querySelectorAll("#map canvas")) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    this.view.resize(width, height);
    this.fitted = false;
    this.chart.resize();
    this.#turn();
  }
}

const [scene, coast] = await Promise.all([json("scene.json"), json("coast.json")]);
const page = new Page(scene, coast);
page.listen();
window.page = page; // for a person at the console, and the tests
