// The words beside the map. Text is set as text: nothing that a run says is ever read as HTML.

import { differencesUs } from "./paths.js";

const WATCHED_S = 60; // of which the agreement tells
const MOST_EVENTS = 40;

export function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

const difference = (us) => (us < 1000 ? `${us.toFixed(0)} µs` : `${(us / 1000).toFixed(1)} ms`);
const milliseconds = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

export class Delays {
  constructor(paths) {
    this.paths = paths;
    this.rows = paths.map((path) => {
      const row = element("tr");
      const name = element("th");
      name.scope = "row";
      const swatch = element("i", "", path.back ? "swatch back" : "swatch");
      swatch.style.color = path.colour;
      const via = element("small");
      name.append(swatch, path.name, via);
      const [planned, measured, off] = ["td", "td", "td"].map((kind) => element(kind));
      row.append(name, planned, measured, off);
      return { row, via, planned, measured, off };
    });
    document.querySelector("#delays tbody").replaceChildren(...this.rows.map((one) => one.row));
    this.agreement = document.querySelector("#agreement");
  }

  paint(t) {
    this.paths.forEach((path, number) => {
      const { via, planned, measured, off } = this.rows[number];
      const seen = path.measuredAt(t);
      via.textContent = path.stepAt(t).satellites.map((name) => name.replace("NORAD", "")).join(" · ") || "no satellite";
      const plan = path.plannedAt(t);
      planned.textContent = plan === null ? "cut" : milliseconds(plan);
      measured.textContent = seen ? milliseconds(seen.ms) : "–";
      const us = seen ? (seen.ms - seen.planned) * 1000 : null;
      off.textContent = us === null ? "–" : `${us < 0 ? "−" : "+"}${difference(Math.abs(us))}`;
      off.className = us === null ? "" : Math.abs(us) <= path.budgetUsAt(t) ? "good" : "off";
    });
    const differences = differencesUs(this.paths, t - WATCHED_S, t);
    const at = (share) => differences[Math.min(differences.length - 1, Math.floor(share * differences.length))];
    this.agreement.textContent = differences.length
      ? `Of the last minute's ${differences.length} probes half are within ${difference(at(0.5))} of the plan, nine of ten within ${difference(at(0.9))}.`
      : "No probe yet.";
  }
}

export class Flows {
  constructor(scene) {
    this.body = document.querySelector("#flows tbody");
    this.note = document.querySelector("#verdict-note");
    this.reasons = document.querySelector("#reasons");
    this.#rows(scene.flows.map((flow) => ({ ...flow, sent: null, received: null, integrity: null })));
    this.note.textContent = scene.flows.length ? "counted while it plays, judged at its end" : "this plan has none";
  }

  // Counts of a run that plays.
  count(flows) {
    this.#rows(flows.map((flow) => ({ ...flow, integrity: flow.alarms ? `${flow.alarms} alarms` : "no alarm" })));
  }

  judge(report) {
    this.#rows(report.flows);
    const checks = report.checks.filter((check) => check.passed).length;
    this.note.textContent = `${checks} of ${report.checks.length} checks passed`;
    this.reasons.replaceChildren(...report.reasons.slice(0, 4).map((reason) => element("li", reason)));
  }

  #rows(flows) {
    const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));
    this.body.replaceChildren(
      ...flows.map((flow) => {
        const row = element("tr");
        const name = element("th", flow.name);
        name.scope = "row";
        const kind = { intact: "good", attacked: "off", invalid: "warn" }[flow.integrity];
        const alarmed = String(flow.integrity || "").endsWith("alarms") ? "off" : "";
        row.append(name, element("td", number(flow.sent)), element("td", number(flow.received)));
        row.append(element("td", flow.integrity || "–", kind || alarmed));
        return row;
      }),
    );
  }
}

export class Events {
  constructor(scene) {
    this.list = document.querySelector("#events");
    this.planned = scene.events.map((event) => ({ t: event.t, kind: event.kind, text: words(event) }));
    this.numbers = scene.numbers;
    this.faults = [];
    this.shown = "";
  }

  add(line) {
    const effect = line.down ? "down" : [line.loss && `${(100 * line.loss).toFixed(0)} % loss`, line.delay_ms && `+${line.delay_ms} ms`]
      .filter(Boolean).join(", ");
    const what = { begin: "begins", end: "ends", refused: "refused" }[line.act];
    const text = line.act === "refused" ? line.why : `${line.kind} ${what} at ${(line.nodes || []).join(", ")}: ${line.cause} (${effect})`;
    this.faults.push({ t: line.time_ns / 1e9, kind: "fault", text, line });
    this.shown = "";
  }

  // 'a|b' of the directions that a fault holds down at `t`, and the nodes that are down whole.
  darkened(t) {
    const held = new Map();
    for (const { t: when, line } of this.faults) {
      if (when > t || line.act === "refused") continue;
      if (line.act === "begin" && line.down) held.set(line.id, line);
      else held.delete(line.id);
    }
    return new Set(
      [...held.values()].flatMap((line) => [
        ...line.dark.map((number) => this.numbers[number]),
        ...(line.kind === "link" ? [] : line.nodes),
      ]),
    );
  }

  paint(t) {
    const all = [...this.planned, ...this.faults].sort((one, other) => one.t - other.t);
    const next = all.filter((event) => event.t > t).slice(0, 3);
    const past = all.filter((event) => event.t <= t).slice(-MOST_EVENTS);
    const key = `${next.length && next[0].t} ${past.length} ${this.faults.length}`;
    if (key === this.shown) return;
    this.shown = key;
    this.list.replaceChildren(
      ...[...next.reverse(), ...past.reverse()].map((event) => {
        const line = element("li", "", event.t > t ? `${event.kind} future` : event.kind);
        line.append(element("time", `${event.t.toFixed(1)} s`), element("span", event.text));
        return line;
      }),
    );
  }
}

function words(event) {
  if (event.kind !== "handover") return `${event.kind} at ${event.node}: ${event.cause}`;
  const short = (name) => name.replace("NORAD", "");
  return event.from === event.to
    ? `${event.node} lands elsewhere (${event.cause})`
    : `${event.node} hands over ${short(event.from)} → ${short(event.to)} (${event.cause})`;
}
