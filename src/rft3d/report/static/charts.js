// Small line charts as SVG, drawn when they come into sight.

/** Ticks at round numbers inside [low, high]. */
function ticks(low, high, count = 4) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9; t += step) found.push(Math.abs(t) < step * 1e-9 ? 0 : t);
  return found;
}

const short = (value) => {
  const size = Math.abs(value);
  if (size >= 1e5 || (size > 0 && size < 1e-3)) return value.toExponential(1).replace("e+", "e");
  return String(Number(value.toPrecision(size >= 100 ? 4 : 3)));
};

/**
 * A chart of lines [{name, colour, x, y, mean?, dashed?, points?}]; `mean` is drawn strong over a thin `y`.
 * Pointing at it shows the values at the nearest x.
 */
function plot(title, lines, { xName = "step", spans = [], level = null, height = 150, width = 330, yFrom = null, key = lines } = {}) {
  const box = el("div", { class: "plot" }, el("h4", {}, title));
  const W = width, H = height, L = 42, R = 8, T = 6, B = 20;
  const xs = lines.flatMap((line) => line.x), ys = [...lines.flatMap((line) => line.y), ...(level === null ? [] : [level])];
  if (!xs.length) {
    box.append(el("p", { class: "soft" }, "Nothing to draw: no readable answer has a value here."));
    return box;
  }
  let [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  if (yFrom !== null) [y0, y1] = [Math.min(y0, yFrom), Math.max(y1, yFrom + 1)];
  if (x0 === x1) [x0, x1] = [x0 - 0.5, x1 + 0.5];
  if (y0 === y1) [y0, y1] = [y0 - 0.5 * (Math.abs(y0) || 1), y1 + 0.5 * (Math.abs(y1) || 1)];
  const px = (x) => L + ((x - x0) / (x1 - x0)) * (W - L - R), py = (y) => H - B - ((y - y0) / (y1 - y0)) * (H - T - B);
  const svg = el("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}: ${lines.map((l) => `${l.name} ends at ${short(l.y.at(-1))}`).join(", ")}` });
  for (const t of ticks(y0, y1)) svg.append(el("line", { class: "axis", x1: L, x2: W - R, y1: py(t), y2: py(t) }), el("text", { x: L - 5, y: py(t) + 3, "text-anchor": "end" }, short(t)));
  for (const t of ticks(x0, x1, 5)) svg.append(el("text", { x: px(t), y: H - 6, "text-anchor": "middle" }, short(t)));
  for (const span of spans) {
    const from = clamp(span.since, x0, x1), until = clamp(span.until ?? x1, from, x1);
    svg.append(el("rect", { x: px(from), y: T, width: Math.max(2, px(until) - px(from)), height: H - B - T, opacity: 0.16, style: { fill: "var(--bad)" } }));
  }
  if (level !== null) svg.append(el("line", { x1: L, x2: W - R, y1: py(level), y2: py(level), stroke: "var(--grey)", "stroke-dasharray": "3 3" }));
  for (const line of lines) {
    const path = (values) => line.x.map((x, i) => `${px(x).toFixed(1)},${py(values[i]).toFixed(1)}`).join(" ");
    const stroke = { stroke: line.colour, "stroke-dasharray": line.dashed ? "4 3" : null, fill: "none" };
    if (line.mean) svg.append(el("polyline", { points: path(line.y), ...stroke, "stroke-width": 0.8, opacity: 0.35 }));
    svg.append(el("polyline", { points: path(line.mean || line.y), ...stroke, "stroke-width": 1.7 }));
    if (line.points) line.x.forEach((x, i) => svg.append(el("circle", { cx: px(x), cy: py(line.y[i]), r: 2.6, fill: line.colour })));
  }
  const cursor = el("line", { y1: T, y2: H - B, stroke: "var(--grey)", "stroke-width": 1, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const rect = svg.getBoundingClientRect();
    const x = x0 + (((event.clientX - rect.left) / rect.width) * W - L) / (W - L - R) * (x1 - x0);
    const at = lines.map((line) => line.x.reduce((best, value, i) => (Math.abs(value - x) < Math.abs(line.x[best] - x) ? i : best), 0));
    const near = lines[0].x[at[0]];
    for (const name of ["x1", "x2"]) cursor.setAttribute(name, px(near));
    cursor.setAttribute("visibility", "visible");
    tip(event, [`${xName} ${short(near)}`, ...lines.map((line, i) => `${line.name}: ${short(line.y[at[i]])}${line.notes ? ` (${line.notes[at[i]]})` : ""}`)].join("\n"));
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); tip(null, ""); });
  box.append(svg);
  if (key.length > 1) box.append(el("div", { class: "key" }, key.map((line) => el("span", {}, swatch(line.colour), line.name))));
  return box;
}

/** The lines of a panel, named and coloured: by run where there are several runs. */
function panelLines(panel) {
  const several = data.runs.length > 1;
  const names = [...new Set(panel.lines.map((line) => line.name))];
  return panel.lines.map((line) => ({ ...line,
    name: several ? (names.length > 1 ? `${line.name}, ${data.runs[line.run]}` : data.runs[line.run]) : line.name,
    colour: colourOf(several && names.length === 1 ? line.run : names.indexOf(line.name)), dashed: several && names.length > 1 && line.run > 0 }));
}

/** How a panel is drawn: the spans of its alarms, and where an honest policy stands. */
const optionsOf = (stage, panel) => ({ level: panel.level ?? null,
  spans: data.alarms.filter((alarm) => alarm.stage === stage.stage && alarm.keys.some((key) => key === panel.title || key.startsWith(`${panel.title}/`))) });

/** On the first view, in the order of training: each stage's reward, or its loss where it has none. */
function drawStory() {
  const shown = data.curves.map((stage) => [stage, ["reward", "loss"].map((title) => stage.panels.find((panel) => panel.title === title)).find(Boolean)]).filter(([, panel]) => panel).slice(0, 6);
  byId("story").hidden = !shown.length;
  fill(byId("story-plots"), shown.map(([stage, panel]) => plot(`${stage.stage}: ${panel.title}`, panelLines(panel), { ...optionsOf(stage, panel), width: 215, height: 112 })));
}

function drawCurves() {
  if (!data.curves.length) return;
  fill(byId("curves"), data.curves.map((stage) => {
    const plots = el("div", { class: "plots" });
    for (const panel of stage.panels) {
      const place = el("div", { class: "plot", style: { minHeight: "170px" } });
      whenSeen(place, () => place.replaceWith(plot(panel.heading ? `${panel.heading} (${panel.title})` : panel.title, panelLines(panel), optionsOf(stage, panel))));
      plots.append(place);
    }
    return el("div", { class: "card" }, el("h2", {}, stage.stage), plots);
  }), el("p", { class: "note" }, "Thin: as logged. Strong: moving average over a fifteenth of the stage. Red: an alarm was on. Dashed: where an honest policy stands."));
}
