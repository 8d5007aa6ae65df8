// The form that makes something happen in a run that plays.

import { element } from "./panels.js";

const WITH_EFFECT = ["jam", "rain", "congestion"];
const JAM_KM = 100; // Assumption: around a terminal

export class Fault {
  constructor(scene) {
    this.form = document.querySelector("#fault");
    this.told = document.querySelector("#told");
    this.targets = scene.targets;
    const { kind } = this.form.elements;
    kind.replaceChildren(...Object.keys(this.targets).map((name) => element("option", name)));
    kind.addEventListener("change", () => this.#choose());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    this.#choose();
  }

  allow(live) {
    for (const one of this.form.elements) one.disabled = !live;
    this.form.title = live ? "" : "Only a run that plays can be disturbed; this one has ended.";
    if (!live && !this.told.textContent) this.told.textContent = this.form.title;
    if (live && this.told.textContent.startsWith("Only a run")) this.told.textContent = "";
  }

  #choose() {
    const { kind, target } = this.form.elements;
    const shown = (one) => (kind.value === "jam" ? `${JAM_KM} km around ${one[2]}` : Array.isArray(one) ? one.join(" – ") : one);
    target.replaceChildren(
      ...this.targets[kind.value].map((one, number) => {
        const option = element("option", shown(one));
        option.value = String(number);
        return option;
      }),
    );
    this.form.classList.toggle("effects", WITH_EFFECT.includes(kind.value));
  }

  #entry() {
    const { kind, target, loss } = this.form.elements;
    const one = this.targets[kind.value][Number(target.value)];
    const entry = { kind: kind.value, for: Number(this.form.elements.for.value), cause: "asked for on the page" };
    if (kind.value === "jam") entry.area = [one[0], one[1], JAM_KM];
    else if (Array.isArray(one)) [entry.a, entry.b] = one;
    else entry.node = one;
    if (WITH_EFFECT.includes(kind.value)) entry.loss = Number(loss.value) / 100;
    return entry;
  }

  async #begin() {
    this.told.textContent = "asked …";
    try {
      const answer = await fetch("fault", { method: "POST", body: JSON.stringify(this.#entry()) });
      if (answer.ok) {
        const line = await answer.json();
        this.told.textContent = `${line.kind} began at ${(line.time_ns / 1e9).toFixed(3)} s on ${line.links} link directions`;
      } else this.told.textContent = (await answer.text()).trim();
    } catch {
      this.told.textContent = "The run's command does not answer: it has ended.";
    }
  }
}
