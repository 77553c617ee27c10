// Two models on the same samples: paired intervals, flips, and a slider between their boxes.

const pairing = { task: null, a: null, b: null, flip: null, at: 0 };

/** Samples that both answered, and which flipped: [{index, a, b, gained, lost}] (objects, or 1 for an answer). */
function flips(task, a, b) {
  const rows = [];
  for (const index of range(task.ids.length)) {
    const [ra, rb] = [task.right[a][index], task.right[b][index]];
    if (ra === null || rb === null) continue;
    const [fa, fb] = [task.found[a][index], task.found[b][index]];
    const change = fa && fb
      ? { gained: fb.filter((j) => !fa.includes(j)).length, lost: fa.filter((j) => !fb.includes(j)).length }
      : { gained: Number(ra < task.half && rb >= task.half), lost: Number(ra >= task.half && rb < task.half) };
    rows.push({ index, a: task.totals[a][index], b: task.totals[b][index], lists: Boolean(fa && fb), ...change });
  }
  return rows;
}

function drawCompare() {
  const view = byId("view-compare"), tasks = data.tasks.filter((task) => task.columns.length > 1);
  if (!tasks.length) return fill(view, el("p", { class: "soft" }, "There is nothing to compare: it takes two models, checkpoints or runs that answered the same samples."));
  const task = tasks.find((t) => t.name === pairing.task) || tasks[0];
  if (!task.columns.includes(pairing.a)) pairing.a = task.columns[0];
  if (!task.columns.includes(pairing.b)) pairing.b = task.columns.at(-1);
  const [a, b] = [task.columns.indexOf(pairing.a), task.columns.indexOf(pairing.b)];
  const set = (values) => { Object.assign(pairing, { at: 0 }, values); drawCompare(); };
  const options = task.columns.map((c) => [c, columnTitle(c)]);
  const rows = flips(task, a, b);
  const orders = { gained: (r) => -r.gained, lost: (r) => -r.lost, up: (r) => r.a - r.b, down: (r) => r.b - r.a, all: (r) => r.index };
  const kept = { gained: (r) => r.gained, lost: (r) => r.lost, up: (r) => r.b > r.a, down: (r) => r.b < r.a, all: () => true };
  const flip = pairing.flip ?? Object.keys(kept).find((key) => rows.some(kept[key])) ?? "all"; // until one is asked for
  const chosen = rows.filter(kept[flip]).sort((x, y) => orders[flip](x) - orders[flip](y) || x.index - y.index);
  pairing.at = clamp(pairing.at, 0, Math.max(0, chosen.length - 1));
  const unit = rows.some((r) => r.lists) ? "objects" : "answers";
  const flipButton = (key, text) => el("button", { type: "button", "aria-pressed": String(flip === key), id: `flip-${key}`, on: { click: () => set({ flip: key }) } }, text);
  const shown = el("div", { class: "card", id: "pair" });
  fill(view, el("div", { class: "controls" },
    choice("Task", tasks.map((t) => [t.name, t.name]), task.name, (name) => set({ task: name })),
    choice("A", options, pairing.a, (c) => set({ a: Number(c) })), choice("B", options, pairing.b, (c) => set({ b: Number(c) })),
    el("span", { class: "soft push" }, `${rows.length} samples answered by both`)),
  el("div", { class: "card" }, el("h2", {}, "B minus A"), pairTable(task, pairing.a, pairing.b)),
  el("div", { class: "controls" }, el("span", { class: "soft" }, "Flips"),
    flipButton("gained", `wrong → right: ${sum(rows.map((r) => r.gained))} ${unit}`), flipButton("lost", `right → wrong: ${sum(rows.map((r) => r.lost))} ${unit}`),
    flipButton("up", `reward up: ${rows.filter((r) => r.b > r.a).length}`), flipButton("down", `reward down: ${rows.filter((r) => r.b < r.a).length}`), flipButton("all", `all: ${rows.length}`)),
  chosen.length ? el("div", { class: "split" }, flipList(task, chosen, shown, a, b), shown) : el("p", { class: "soft" }, "No such sample."));
  if (chosen.length) drawPair(shown, task, chosen[pairing.at], a, b);
}

function pairTable(task, a, b) {
  const pairs = data.pairs[task.name] || {};
  const sign = pairs[`${a}-${b}`] ? 1 : -1;
  const found = pairs[`${a}-${b}`] || pairs[`${b}-${a}`] || {};
  const names = Object.keys(found);
  if (!names.length || a === b) return el("p", { class: "soft" }, a === b ? "A and B are the same." : "They have no sample in common.");
  const cell = (d) => {
    const [low, high] = sign > 0 ? [d.low, d.high] : [d.high === null ? null : -d.high, d.low === null ? null : -d.low];
    const kind = low !== null && low > 0 ? "up" : high !== null && high < 0 ? "down" : "";
    return el("td", { class: kind }, el("span", { class: "value" }, d.difference === null ? "–" : d.tied ? "=" : signed(sign * d.difference, percent)), !d.still && el("small", {}, `[${percent(low)}, ${percent(high)}]`), el("small", {}, `n = ${d.n}`));
  };
  const side = (key) => names.map((name) => el("td", {}, percent(found[name][key])));
  const [first, second] = sign > 0 ? ["a", "b"] : ["b", "a"];
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, task.name), names.map((name) => el("th", {}, name)))),
    el("tbody", {}, el("tr", {}, el("td", {}, "A: ", columnTitle(a)), side(first)), el("tr", {}, el("td", {}, "B: ", columnTitle(b)), side(second)),
      el("tr", { id: "pair-difference" }, el("td", {}, el("b", {}, "B minus A")), names.map((name) => cell(found[name]))))),
    el("p", { class: "note" }, "Percentage points, with the 95 % interval of a paired bootstrap over scenes; coloured when it leaves out zero."));
}

function flipList(task, chosen, shown, a, b) {
  const body = el("tbody", {}), most = 200;
  chosen.slice(0, most).forEach((row, place) => body.append(el("tr", { class: `group-row${place === pairing.at ? " on" : ""}`, tabindex: 0, on: {
    click: () => pick(place), keydown: (event) => event.key === "Enter" && pick(place) } },
    el("td", {}, task.ids[row.index]), el("td", {}, fixed(row.a)), el("td", {}, fixed(row.b)), el("td", { class: "plus" }, row.gained ? `+${row.gained}` : ""), el("td", { class: "minus" }, row.lost ? `−${row.lost}` : ""))));
  const pick = (place) => {
    body.children[pairing.at]?.classList.remove("on");
    pairing.at = place;
    body.children[place].classList.add("on");
    drawPair(shown, task, chosen[place], a, b);
  };
  return el("div", { class: "card list" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "sample"), el("th", {}, "A"), el("th", {}, "B"), el("th", {}, "won"), el("th", {}, "lost"))), body),
    chosen.length > most && el("p", { class: "note", style: { padding: "0 .6rem .5rem" } }, `the first ${most} of ${chosen.length}`));
}

drawPair.turn = 0;
async function drawPair(shown, task, row, a, b) {
  const turn = ++drawPair.turn, detail = await detailOf(task, row.index);
  if (turn !== drawPair.turn) return; // another one was asked for meanwhile
  if (!detail) return fill(shown, el("p", { class: "soft" }, "This sample's details were left out to keep the page small (--max-mb)."));
  const [answerA, answerB] = [detail.answers[a], detail.answers[b]];
  let frame = 0;
  const stage = el("div", {});
  const draw = () => fill(stage, beforeAfter(detail, frame, answerA, answerB));
  draw();
  const last = detail.frames.length - 1;
  const frames = last > 0 && el("label", { class: "soft" }, "frame ", el("input", { type: "range", min: 0, max: last, value: 0, id: "pair-frame", "aria-label": "Frame", on: { input: (event) => { frame = Number(event.target.value); draw(); } } }));
  fill(shown, el("h2", {}, el("a", { href: `#samples/${task.name}/${row.index}` }, detail.id), detail.kind && chip(detail.kind.replaceAll("_", " "))), el("div", { class: "controls" }, frames), stage,
    el("div", { class: "answers" }, answerCard(answerA, { title: `A: ${columnTitle(task.columns[a])}`, colour: "var(--pred)" }), answerCard(answerB, { title: `B: ${columnTitle(task.columns[b])}`, colour: "var(--b)" })), questionBlock(detail));
}

/** One frame with A's boxes left of a movable rule and B's right of it. */
function beforeAfter(detail, frame, answerA, answerB) {
  const left = picture(detail, frame, drawnBoxes(detail, [{ answer: answerA, colour: "var(--pred)", who: "A" }]), { wide: 620 });
  const right = picture(detail, frame, drawnBoxes(detail, [{ answer: answerB, colour: "var(--b)", who: "B" }]), { wide: 620 });
  right.classList.add("over");
  const rule = el("span", { class: "rule" });
  const slider = el("div", { class: "slider", id: "pair-slider" }, left, right, rule,
    el("span", { class: "tag", style: { left: ".4rem", background: "#c2570c" } }, "A"), el("span", { class: "tag", style: { right: ".4rem", background: "#6d28d9" } }, "B"));
  const input = el("input", { type: "range", min: 0, max: 100, value: 50, id: "pair-rule", "aria-label": "Between A and B", on: { input: () => move() } });
  const move = () => {
    right.style.clipPath = `inset(0 0 0 ${input.value}%)`;
    rule.style.left = `${input.value}%`;
  };
  slider.addEventListener("pointerdown", (event) => {
    const drag = (e) => { const r = slider.getBoundingClientRect(); input.value = String(100 * (e.clientX - r.left) / r.width); move(); };
    drag(event);
    slider.setPointerCapture(event.pointerId);
    slider.addEventListener("pointermove", drag);
    slider.addEventListener("pointerup", () => slider.removeEventListener("pointermove", drag), { once: true });
  });
  move();
  return [slider, input];
}
