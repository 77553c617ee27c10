// A picture with boxes drawn over it, as SVG lines in the picture's own pixels.

/** What a box says when it is pointed at. */
function boxText(box) {
  if (box.kind === "truth") return `${box.label}\ntrue box`;
  if (box.kind === "object") return `${box.label}\nin the scene`;
  const found = box.match === null || box.match === undefined ? "no match" : "matched";
  const other = box.other ? `\noverlaps a ${box.other[0]} (IoU ${fixed(box.other[1])}): wrong label` : "";
  return `${box.label}\nIoU ${fixed(box.iou)}, ${found}${box.who ? `\n${box.who}` : ""}${other}`;
}

/** The boxes to draw of a sample: [{label, box, kind, colour, dashed, iou, match, ...}], true ones first. */
function drawnBoxes(detail, answers, { truth = true, objects = false } = {}) {
  const boxes = [];
  if (objects) for (const box of detail.objects || []) boxes.push({ ...box, kind: "object", colour: detail.labels.includes(box.label) ? "var(--accent)" : "var(--grey)" });
  if (truth) for (const box of detail.truth) boxes.push({ ...box, kind: "truth", colour: "var(--true)" });
  for (const { answer, colour, who } of answers) {
    for (const box of answer?.boxes || []) {
      boxes.push({ ...box, kind: "predicted", colour, who, dashed: box.match === null || box.match === undefined });
    }
  }
  return boxes;
}

/** A frame of a sample with `boxes` over it, shown about `wide` px wide. No boxes where the camera is unknown. */
function picture(detail, frame, boxes, { labels = true, alt = `frame ${frame}`, wide = 300 } = {}) {
  const number = detail.frames[frame] ?? -1, address = pictureOf(number);
  const holder = el("span", { class: "picture" });
  if (!address) {
    holder.append(el("span", { class: "none" }, "no picture"));
    return holder;
  }
  const image = el("img", { src: address, alt, decoding: "async" });
  holder.append(image);
  const camera = detail.cameras?.[frame];
  if (!camera || !boxes.length) return holder;
  // the picture here may be smaller than its file; cameras speak of the file's pixels
  holder.append(overlay(boxes, camera, ...sizeOf(number), labels && wide));
  return holder;
}

function overlay(boxes, camera, width, height, labelsFor) {
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const tags = [];
  boxes.forEach((box, index) => {
    const lines = projectBox(box.box, camera).map((line) => clipLine(line, width, height)).filter(Boolean);
    if (!lines.length) return;
    const path = lines.map((l) => l.map((v) => v.toFixed(2))).map((l) => `M${l[0]} ${l[1]}L${l[2]} ${l[3]}`).join("");
    const group = el("g", { "data-box": index, "data-kind": box.kind, "data-label": box.label });
    group.append(
      el("path", { d: path, stroke: "#000", "stroke-opacity": 0.55, "stroke-width": 3.6 }),
      el("path", { class: "edge", d: path, "stroke-width": 1.9, "stroke-dasharray": box.dashed ? "5 3" : null, style: { stroke: box.colour } }),
      el("path", { d: path, stroke: "transparent", "stroke-width": 12, on: {
        pointermove: (event) => tip(event, boxText(box)), pointerleave: () => tip(null, "") } }),
    );
    svg.append(group);
    const top = lines.flatMap((l) => [[l[0], l[1]], [l[2], l[3]]]).reduce((a, b) => (b[1] < a[1] ? b : a));
    tags.push({ box, u: top[0], v: top[1] });
  });
  if (labelsFor) svg.append(...placed(tags, width, height, width / labelsFor));
  return svg;
}

/** Labels above their boxes, moved down where one is already there; `unit` picture pixels are one on the screen. */
function placed(tags, width, height, unit) {
  const taken = [], nodes = [];
  for (const { box, u, v } of tags) {
    const text = box.label.slice(0, 26);
    const w = (text.length * 6.9 + 8) * unit, h = 14 * unit;
    const x = clamp(u - w / 2, 0, Math.max(0, width - w));
    let y = clamp(v - h, 0, Math.max(0, height - h));
    for (let tries = 0; tries < taken.length; tries++) {
      const hit = taken.find((t) => x < t.x + t.w && t.x < x + w && y < t.y + h && t.y < y + h);
      if (!hit || hit.y + 2 * h > height) break;
      y = hit.y + h;
    }
    taken.push({ x, y, w });
    nodes.push(el("g", { style: { pointerEvents: "none" } },
      el("rect", { x, y, width: w, height: h, rx: 2 * unit, style: { fill: box.colour }, "fill-opacity": 0.92 }),
      el("text", { x: x + 4 * unit, y: y + 10.6 * unit, style: { fontSize: `${11 * unit}px` } }, text)));
  }
  return nodes;
}

/** All boxes from above, for browsers without WebGL: x to the right, y up, one metre a grid line. */
function planView(detail, boxes) {
  const shapes = boxes.map((box) => ({ box, corners: boxCorners(box.box) })).filter((shape) => shape.corners);
  const cameras = (detail.cameras || []).map((camera) => [camera.T[3], camera.T[7]]);
  const xs = [...shapes.flatMap((s) => s.corners.map((c) => c.x)), ...cameras.map((c) => c[0])];
  const ys = [...shapes.flatMap((s) => s.corners.map((c) => c.y)), ...cameras.map((c) => c[1])];
  if (!xs.length) return el("p", { class: "soft" }, "There is nothing to draw.");
  const [left, right, low, high] = [Math.min(...xs) - 0.5, Math.max(...xs) + 0.5, Math.min(...ys) - 0.5, Math.max(...ys) + 0.5];
  const svg = el("svg", { viewBox: `${left} ${-high} ${right - left} ${high - low}`, style: { width: "100%", maxHeight: "380px" }, class: "plan", role: "img", "aria-label": "the scene from above" });
  for (let x = Math.ceil(left); x < right; x++) svg.append(el("line", { x1: x, x2: x, y1: -high, y2: -low, stroke: "var(--line)", "stroke-width": 0.01 }));
  for (let y = Math.ceil(low); y < high; y++) svg.append(el("line", { x1: left, x2: right, y1: -y, y2: -y, stroke: "var(--line)", "stroke-width": 0.01 }));
  for (const { box, corners } of shapes) {
    const path = EDGES.map(([i, j]) => `M${corners[i].x} ${-corners[i].y}L${corners[j].x} ${-corners[j].y}`).join("");
    svg.append(el("path", { d: path, fill: "none", "stroke-width": 0.03, "stroke-dasharray": box.dashed ? ".1 .06" : null, style: { stroke: box.colour },
      on: { pointermove: (event) => tip(event, boxText(box)), pointerleave: () => tip(null, "") } }));
  }
  if (cameras.length) svg.append(el("polyline", { points: cameras.map((c) => `${c[0]},${-c[1]}`).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 0.03 }));
  for (const [x, y] of cameras) svg.append(el("circle", { cx: x, cy: -y, r: 0.06, fill: "var(--accent)" }));
  return svg;
}
