// Positions of all satellites: samples from the server, straight lines between them.
//
// A vector is in the map's sphere, in Earth radii: x towards 0° N 0° E, y towards 90° E, z towards the north pole.

const CHUNK = 8; // samples in one request

export class Sky {
  constructor(about) {
    this.about = about;
    this.samples = new Map(); // number → Int16Array of x, y, z by satellite
    this.asked = new Set();
  }

  get count() {
    return this.about.satellites;
  }

  // The two samples around `timeS` and the part of the way between them; null until they are here.
  around(timeS) {
    const last = this.about.samples - 1;
    const place = Math.min(Math.max(timeS / this.about.step_s, 0), last);
    const low = Math.min(Math.floor(place), Math.max(last - 1, 0));
    const high = Math.min(low + 1, last);
    this.#ask(Math.floor(low / CHUNK));
    this.#ask(Math.floor((high + CHUNK / 2) / CHUNK)); // ahead of its time
    const a = this.samples.get(low);
    const b = this.samples.get(high);
    return a && b ? { a, b, part: place - low } : null;
  }

  // The vector of satellite `number` between two samples; null for one that has decayed.
  vector(between, number) {
    const { a, b, part } = between;
    const at = 3 * number;
    if (!(a[at] || a[at + 1] || a[at + 2])) return null;
    const unit = this.about.unit;
    return [0, 1, 2].map((axis) => unit * (a[at + axis] + part * (b[at + axis] - a[at + axis])));
  }

  async #ask(chunk) {
    const first = chunk * CHUNK;
    if (this.asked.has(chunk) || first >= this.about.samples) return;
    this.asked.add(chunk);
    const answer = await fetch(`sky?from=${first}&count=${CHUNK}`);
    if (!answer.ok) return;
    const all = new Int16Array(await answer.arrayBuffer());
    const size = 3 * this.about.satellites;
    for (let number = 0; (number + 1) * size <= all.length; number += 1)
      this.samples.set(first + number, all.subarray(number * size, (number + 1) * size));
  }
}
