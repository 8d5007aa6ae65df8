"""What makes a page readable, asked of the browser that shows it. Each problem is one line; none: an empty list."""

from __future__ import annotations

from typing import Any

CONTRAST = 4.5
"""Least contrast of text to what is behind it: WCAG 2.2, success criterion 1.4.3 (AA)."""

SMALLEST_PX = 11.0
"""Assumption: smaller text is not read on a phone. In figures it is the size on the screen that counts."""

_PROBLEMS = """
([smallest, contrast]) => {
  const found = [];
  const shown = element => element.checkVisibility({ visibilityProperty: true });
  const name = element => element.tagName.toLowerCase() + (element.id ? "#" + element.id : "")
    + " '" + (element.getAttribute("aria-label") || element.textContent).trim().slice(0, 40) + "'";
  const width = document.documentElement.clientWidth;
  const wide = document.documentElement.scrollWidth;
  if (wide > width) found.push(`the page is ${wide} px wide in a window of ${width} px`);

  const scrolls = element => {
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(up).overflowX)) return true;
    return false;
  };
  for (const one of document.querySelectorAll("svg, img, canvas")) {
    if (!shown(one)) continue;
    const box = one.getBoundingClientRect();
    if (box.width < 1 || box.height < 1) found.push(`${name(one)} has no size`);
    else if ((box.left < -0.5 || box.right > width + 0.5) && !scrolls(one)) found.push(`${name(one)} is cut off`);
    if (one.tagName === "IMG" && !one.naturalWidth) found.push(`${name(one)} did not load`);
    if (one.tagName === "svg" && !one.querySelector("path, circle, rect, line, use, polyline, polygon, text"))
      found.push(`${name(one)} is empty`);
    if (one.tagName === "svg" && one.viewBox.baseVal && one.viewBox.baseVal.width) {
      const view = one.viewBox.baseVal.width / one.viewBox.baseVal.height;
      if (Math.abs(box.width / box.height / view - 1) > 0.05) found.push(`${name(one)} is out of shape`);
    }
  }
  for (const figure of document.querySelectorAll("figure"))
    if (!figure.querySelector("svg, img, canvas")) found.push(`${name(figure)} shows nothing`);

  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = css => {
    if (!known.has(css)) {
      pixel.clearRect(0, 0, 1, 1);
      pixel.fillStyle = css;
      pixel.fillRect(0, 0, 1, 1);
      known.set(css, [...pixel.getImageData(0, 0, 1, 1).data]);
    }
    return known.get(css);
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let up = element; up; up = up.parentElement) {
      const colour = rgba(getComputedStyle(up).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const pale = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const small = new Map();
  while (walker.nextNode()) {
    const text = walker.currentNode, holder = text.parentElement;
    if (!text.data.trim() || !shown(holder) || holder.closest("title, style, script, defs")) continue;
    let scale = 1;
    if (holder instanceof SVGElement) {
      const matrix = holder.getScreenCTM();
      if (matrix) scale = Math.hypot(matrix.a, matrix.b);
    }
    const size = parseFloat(getComputedStyle(holder).fontSize) * scale;
    const style = getComputedStyle(holder);
    const ink = rgba(holder instanceof SVGElement ? style.fill : style.color);
    const [dim, bright] = [light(ink), light(behind(holder))].sort((a, b) => a - b);
    const ratio = (bright + 0.05) / (dim + 0.05);
    if (ratio < contrast) pale.set(ratio.toFixed(1), name(holder));
    if (size < smallest - 0.05) small.set(size.toFixed(1), name(holder));
  }
  for (const [ratio, where] of pale) found.push(`contrast of ${ratio}: ${where}`);
  for (const [size, where] of small) found.push(`text of ${size} px: ${where}`);

  const ids = new Set();
  for (const one of document.querySelectorAll("[id]")) {
    if (ids.has(one.id)) found.push(`two elements have the id ${one.id}`);
    ids.add(one.id);
  }
  for (const link of document.querySelectorAll("a[href^='#'], use[href^='#']"))
    if (!ids.has(decodeURIComponent(link.getAttribute("href").slice(1))))
      found.push(`${name(link)} leads to ${link.getAttribute("href")}, which is not there`);
  return found;
}
"""


def problems(page: Any, smallest_px: float = SMALLEST_PX) -> list[str]:
    """What keeps `page` (Playwright's) from being read as it is shown now."""
    found: list[str] = page.evaluate(_PROBLEMS, [smallest_px, CONTRAST])
    return found


def figures(page: Any) -> list[dict[str, Any]]:
    """The figures of the page in order: {"title", "width", "height", "marks"}, marks being drawn shapes and text."""
    found: list[dict[str, Any]] = page.evaluate(
        """() => [...document.querySelectorAll("figure")].map(figure => {
          const picture = figure.querySelector("svg, img, canvas");
          const box = picture ? picture.getBoundingClientRect() : { width: 0, height: 0 };
          const heading = figure.querySelector("h3");
          return { title: heading ? heading.textContent.trim() : "", width: box.width, height: box.height,
                   marks: picture ? picture.querySelectorAll("path, use, text").length : 0 };
        })"""
    )
    return found
