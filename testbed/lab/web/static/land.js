// The Earth below: sea, land, a graticule. Painted only when the view changes.

export class Land {
  constructor(canvas, coast) {
    this.canvas = canvas;
    this.region = coast.region;
    this.fine = shape(coast.region.rings);
    this.world = shape(coast.world.rings);
    this.graticule = d3.geoGraticule10();
  }

  paint(view, ratio) {
    const context = this.canvas.getContext("2d", { alpha: false });
    const { width, height, scale } = view;
    const projection = view.projection();
    const path = d3.geoPath(projection, context);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#070b10";
    context.fillRect(0, 0, width, height);

    const [x, y] = [width / 2, height / 2];
    const halo = context.createRadialGradient(x, y, scale * 0.98, x, y, scale * 1.08);
    halo.addColorStop(0, "rgba(84, 160, 214, 0.30)");
    halo.addColorStop(1, "rgba(84, 160, 214, 0)");
    context.fillStyle = halo;
    context.fillRect(0, 0, width, height);

    context.beginPath();
    path({ type: "Sphere" });
    const sea = context.createRadialGradient(x - scale * 0.3, y - scale * 0.35, scale * 0.1, x, y, scale);
    sea.addColorStop(0, "#10202e");
    sea.addColorStop(1, "#0a131c");
    context.fillStyle = sea;
    context.fill();

    context.beginPath();
    path(this.graticule);
    context.strokeStyle = "rgba(150, 185, 215, 0.09)";
    context.lineWidth = 1;
    context.stroke();

    context.beginPath();
    path(this.#inRegion(view) ? this.fine : this.world);
    context.fillStyle = "#1c2b36";
    context.fill();
    context.strokeStyle = "rgba(134, 168, 192, 0.45)";
    context.lineWidth = 0.8;
    context.stroke();
  }

  // Does the fine coast cover all that shows?
  #inRegion(view) {
    const { west, east, south, north } = this.region;
    const reach = view.reachDeg;
    const wide = reach / Math.max(0.2, Math.cos((view.latitude * Math.PI) / 180));
    return (
      view.longitude - wide > west && view.longitude + wide < east && view.latitude - reach > south && view.latitude + reach < north
    );
  }
}

// Rings of differences in hundredths of a degree, as GeoJSON; d3 takes what lies to the right of a ring for land.
function shape(rings) {
  const coordinates = rings.map((packed) => {
    const ring = [];
    let [x, y] = [0, 0];
    for (let place = 0; place < packed.length; place += 2) {
      x += packed[place];
      y += packed[place + 1];
      ring.push([x / 100, y / 100]);
    }
    ring.push(ring[0]);
    return d3.geoArea({ type: "Polygon", coordinates: [ring] }) > 2 * Math.PI ? [ring.reverse()] : [ring];
  });
  return { type: "MultiPolygon", coordinates };
}
