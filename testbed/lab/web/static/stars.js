// All satellites as soft dots, written straight into pixels: ten thousand take a few milliseconds. A dot lies between
// pixels where it must, so that it glides instead of hopping.

const COLOUR = 0x00e8c8a8; // blue, green, red of the dots (little-endian RGBA), alpha left out

export class Stars {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.image = null;
    this.shown = 0;
  }

  // between: what Sky.around gives.
  paint(view, ratio, sky, between) {
    const { width, height } = this.canvas;
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.image = this.context.createImageData(width, height);
      this.words = new Uint32Array(this.image.data.buffer);
    }
    this.words.fill(COLOUR);
    this.shown = this.#dots(view, ratio, sky, between);
    this.context.putImageData(this.image, 0, 0);
  }

  #dots(view, ratio, sky, { a, b, part }) {
    const { width, height } = this.image;
    const bytes = this.image.data;
    const [[ex, ey], [nx, ny, nz], [tx, ty, tz]] = view.axes();
    const unit = sky.about.unit;
    const scale = view.scale * ratio * unit;
    const edge2 = 1 / (unit * unit); // the Earth's radius, in samples' units, squared
    const [midX, midY] = [width / 2, height / 2];
    const small = view.scale < 700; // the whole Earth: smaller, fainter dots
    const radius = (small ? 0.9 : 1.35) * ratio;
    const strength = small ? 150 : 190;
    const reach = Math.ceil(radius);
    const outer2 = (radius + 0.5) * (radius + 0.5);
    let shown = 0;
    for (let at = 0; at < a.length; at += 3) {
      const x = a[at] + part * (b[at] - a[at]);
      const y = a[at + 1] + part * (b[at + 1] - a[at + 1]);
      const z = a[at + 2] + part * (b[at + 2] - a[at + 2]);
      const east = ex * x + ey * y;
      const north = nx * x + ny * y + nz * z;
      const behind = tx * x + ty * y + tz * z < 0;
      if (behind && east * east + north * north < edge2) continue;
      const px = midX + scale * east;
      const py = midY - scale * north;
      if (!(px > reach && py > reach && px < width - reach - 1 && py < height - reach - 1)) continue;
      shown += 1;
      const light = behind ? strength * 0.35 : strength;
      const [left, top] = [Math.round(px), Math.round(py)];
      for (let row = top - reach; row <= top + reach; row += 1)
        for (let column = left - reach; column <= left + reach; column += 1) {
          const away2 = (column - px) * (column - px) + (row - py) * (row - py);
          if (away2 >= outer2) continue;
          const share = Math.min(1, radius + 0.5 - Math.sqrt(away2));
          bytes[4 * (row * width + column) + 3] += light * share; // clamped by its array
        }
    }
    return shown;
  }
}
