// Elements, numbers, packed data, and what the views share. Texts only ever become text nodes.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function el(tag, attributes = {}, ...children) {
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const SVG_TAGS = new Set(["svg", "g", "line", "path", "rect", "circle", "text", "polyline", "polygon"]);

const chip = (text, kind = "") => el("span", { class: `chip ${kind}`.trim() }, text);
const swatch = (colour) => el("span", { class: "swatch", style: { background: colour } });
const fixed = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const percent = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(1));
const signed = (value, text) => (value > 0 ? "+" : value < 0 ? "−" : "±") + text(Math.abs(value));
const sum = (values) => values.reduce((total, value) => total + value, 0);
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const range = (count) => Array.from({ length: count }, (_, index) => index);
const COLOURS = ["#2563eb", "#ea580c", "#16a34a", "#9333ea", "#0891b2", "#be123c", "#a16207", "#64748b"];
const colourOf = (index) => COLOURS[index % COLOURS.length];

/* ------------------------------------------------------------------ packed data: base64 of gzip */

function bytesOf(id) {
  const node = byId(id);
  if (!node) return null;
  const text = atob(node.textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function unpacked(id) {
  const bytes = bytesOf(id);
  if (!bytes) return null;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

const chunkCache = new Map();
function chunk(id) {
  if (!chunkCache.has(id)) {
    if (chunkCache.size > 60) chunkCache.delete(chunkCache.keys().next().value);
    const response = unpacked(id);
    chunkCache.set(id, response ? response.json() : Promise.resolve(null));
  }
  return chunkCache.get(id);
}

let data = null;

/** The details of sample `index` of `task` (an entry of data.tasks), or null when they were left out. */
async function detailOf(task, index) {
  const place = task.places[index];
  if (place < 0) return null;
  const rows = await chunk(`s-${task.name}-${Math.floor(place / task.chunk)}`);
  return rows ? rows[place % task.chunk] : null;
}

async function groupOf(place) {
  const rows = await chunk(`g-${Math.floor(place / data.groups.chunk)}`);
  return rows ? rows[place % data.groups.chunk] : null;
}

/** The address of picture `number`, or null when it was left out. */
function pictureOf(number) {
  const node = number >= 0 ? byId(`p-${number}`) : null;
  return node ? `data:image/jpeg;base64,${node.textContent}` : null;
}

/** Width and height of the file that picture `number` was made from. */
const sizeOf = (number) => byId(`p-${number}`).dataset.size.split("x").map(Number);

/** Point cloud of scene `number`: {points: Float32Array (metres), colours: Uint8Array, count}, or null. */
async function cloudOf(number) {
  const place = data.clouds[number];
  if (place === undefined) return null;
  const buffer = await unpacked(`c-${place}`).arrayBuffer();
  const [x, y, z, step] = new Float32Array(buffer, 0, 4);
  const count = (buffer.byteLength - 16) / 9;
  const grid = new Uint16Array(buffer, 16, 3 * count);
  const points = new Float32Array(3 * count);
  for (let i = 0; i < count; i++) {
    points[3 * i] = x + step * grid[3 * i];
    points[3 * i + 1] = y + step * grid[3 * i + 1];
    points[3 * i + 2] = z + step * grid[3 * i + 2];
  }
  return { points, colours: new Uint8Array(buffer, 16 + 6 * count, 3 * count), count };
}

/* ---------------------------------------------------------------------------------- small widgets */

function tip(event, text) {
  const node = byId("tip");
  node.hidden = !text;
  if (!text) return;
  node.textContent = text;
  const { width, height } = node.getBoundingClientRect();
  node.style.left = `${clamp(event.clientX + 14, 4, innerWidth - width - 8)}px`;
  node.style.top = `${clamp(event.clientY + 16, 4, innerHeight - height - 8)}px`;
}

function choice(label, options, value, change, attributes = {}) {
  const select = el("select", { "aria-label": label, ...attributes, on: { change: () => change(select.value) } },
    options.map(([key, name]) => el("option", { value: key }, name)));
  select.value = String(value);
  return el("label", {}, `${label} `, select);
}

function toggle(text, pressed, change, attributes = {}) {
  const button = el("button", { type: "button", "aria-pressed": String(pressed), ...attributes, on: { click: () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    change(on);
  } } }, text);
  return button;
}

function fill(node, ...children) {
  node.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Calls `draw` when `node` first comes near the window, so that long pages cost only what is seen. */
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    watcher.unobserve(entry.target);
    entry.target.whenSeen?.();
  }
}, { rootMargin: "300px" });

function whenSeen(node, draw) {
  node.whenSeen = draw;
  watcher.observe(node);
  return node;
}
