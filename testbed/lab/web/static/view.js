// The globe as it is looked at: from straight above a place, from so far away that it looks flat (orthographic).

const NEAREST = 9000; // pixels of an Earth radius
const DEG = Math.PI / 180;

export class View {
  constructor(element, onChange) {
    this.element = element;
    this.onChange = onChange;
    this.longitude = 0;
    this.latitude = 20;
    this.scale = 200; // pixels of an Earth radius
    this.width = this.height = 1;
    this.#listen();
  }

  // Look straight down on the middle of `vectors`, all of them in sight.
  fit(vectors, filled = 0.55) {
    const sum = [0, 1, 2].map((axis) => vectors.reduce((total, vector) => total + vector[axis], 0));
    const length = Math.hypot(...sum);
    if (length < 1e-6) return this.whole();
    this.longitude = Math.atan2(sum[1], sum[0]) / DEG;
    this.latitude = Math.asin(sum[2] / length) / DEG;
    const reach = Math.max(0.09, ...vectors.map((vector) => Math.hypot(...this.turned(vector).slice(0, 2))));
    this.scale = Math.min((filled * Math.min(this.width, this.height)) / 2 / reach, NEAREST);
    this.onChange();
  }

  whole() {
    this.scale = 0.42 * Math.min(this.width, this.height);
    this.onChange();
  }

  zoom(factor) {
    const least = 0.3 * Math.min(this.width, this.height);
    this.scale = Math.min(Math.max(this.scale * factor, least), NEAREST);
    this.onChange();
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
  }

  // The rotation's rows: east, north and towards the eye, of the point in the middle.
  axes() {
    const [sinLon, cosLon] = [Math.sin(this.longitude * DEG), Math.cos(this.longitude * DEG)];
    const [sinLat, cosLat] = [Math.sin(this.latitude * DEG), Math.cos(this.latitude * DEG)];
    return [
      [-sinLon, cosLon, 0],
      [-cosLon * sinLat, -sinLon * sinLat, cosLat],
      [cosLon * cosLat, sinLon * cosLat, sinLat],
    ];
  }

  turned(vector) {
    return this.axes().map((row) => row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2]);
  }

  // Pixels of a vector in Earth radii; null behind the Earth.
  pixel(vector) {
    const [east, north, near] = this.turned(vector);
    if (near < 0 && east * east + north * north < 1) return null;
    return [this.width / 2 + this.scale * east, this.height / 2 - this.scale * north];
  }

  projection() {
    return d3
      .geoOrthographic()
      .rotate([-this.longitude, -this.latitude])
      .scale(this.scale)
      .translate([this.width / 2, this.height / 2])
      .clipAngle(90)
      .precision(0.4);
  }

  // Degrees from the middle to the farthest corner that shows.
  get reachDeg() {
    return Math.asin(Math.min(1, Math.hypot(this.width, this.height) / 2 / this.scale)) / DEG;
  }

  #listen() {
    const { element } = this;
    let held = null;
    element.addEventListener("pointerdown", (event) => {
      if (event.target.closest("button")) return;
      held = [event.clientX, event.clientY];
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (!held) return;
      const degrees = 1 / DEG / this.scale;
      this.longitude -= ((event.clientX - held[0]) * degrees) / Math.max(0.2, Math.cos(this.latitude * DEG));
      this.latitude = Math.min(89, Math.max(-89, this.latitude + (event.clientY - held[1]) * degrees));
      held = [event.clientX, event.clientY];
      this.onChange();
    });
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => (held = null));
    element.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY / 400));
      },
      { passive: false },
    );
  }
}

export function vectorOf(longitude, latitude) {
  const [east, north] = [longitude * DEG, latitude * DEG];
  return [Math.cos(north) * Math.cos(east), Math.cos(north) * Math.sin(east), Math.sin(north)];
}
