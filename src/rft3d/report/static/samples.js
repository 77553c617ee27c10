// The list of a task's samples, and one sample: frames, scene, answers of every model.

const listing = { task: null, sort: "worst", show: "all", kind: "", find: "", column: null, shown: 48 };

const SORTS = [["worst", "worst first"], ["best", "best first"], ["changed", "most changed first"], ["file", "as in the file"]];
const SHOWS = [["all", "all"], ["failed", "unreadable"], ["truncated", "truncated"], ["wrong", "wrong"], ["right", "right"]];

const columnTitle = (number) => data.columns[number].title;
const taskNamed = (name) => data.tasks.find((task) => task.name === name) || data.tasks[0];

/** Indices of `task` as the list's settings choose and order them. */
function listed(task) {
  const c = Math.max(0, task.columns.indexOf(Number(listing.column ?? task.columns.at(-1))));
  const totals = task.totals[c] || [], first = task.totals[0] || [];
  const find = listing.find.toLowerCase();
  const kept = range(task.ids.length).filter((i) =>
    (!listing.kind || task.kinds[i] === listing.kind) &&
    (!find || task.ids[i].toLowerCase().includes(find)) &&
    (listing.show === "all" || (listing.show === "failed" && task.failed[c]?.[i]) || (listing.show === "truncated" && task.truncated[c]?.[i]) ||
      (listing.show === "wrong" && task.right[c]?.[i] < task.half) || (listing.show === "right" && task.right[c]?.[i] >= task.half)));
  const value = { worst: (i) => totals[i] ?? Infinity, best: (i) => -(totals[i] ?? -Infinity), changed: (i) => -Math.abs((totals[i] ?? 0) - (first[i] ?? 0)), file: (i) => i }[listing.sort];
  return kept.sort((a, b) => value(a) - value(b) || a - b);
}

function drawSamples() {
  const view = byId("view-samples");
  if (!data.tasks.length) return fill(view, el("p", { class: "soft" }, "No samples."));
  const task = taskNamed(listing.task);
  const redraw = () => { listing.shown = 48; drawSamples(); };
  const kinds = [...new Set(task.kinds)].filter(Boolean).sort();
  const indices = listed(task);
  const grid = el("div", { class: "grid" }, indices.slice(0, listing.shown).map((i) => tile(task, i)));
  const search = el("input", { type: "search", placeholder: "part of an id", "aria-label": "Find by id", value: listing.find, on: { change: () => { listing.find = search.value; redraw(); } } });
  fill(view, el("div", { class: "controls" },
    choice("Task", data.tasks.map((t) => [t.name, `${t.name} (${t.ids.length})`]), task.name, (name) => { Object.assign(listing, { task: name, kind: "", column: null }); redraw(); }),
    task.columns.length > 0 && choice("By", task.columns.map((c) => [c, columnTitle(c)]), listing.column ?? task.columns.at(-1), (c) => { listing.column = Number(c); redraw(); }),
    choice("Order", SORTS, listing.sort, (sort) => { listing.sort = sort; redraw(); }),
    choice("Show", SHOWS, listing.show, (show) => { listing.show = show; redraw(); }),
    kinds.length > 1 && choice("Kind", [["", "all"], ...kinds.map((kind) => [kind, kind.replaceAll("_", " ")])], listing.kind, (kind) => { listing.kind = kind; redraw(); }),
    search, el("span", { class: "soft push", id: "sample-count" }, `${indices.length} of ${task.ids.length} samples`)),
  grid, indices.length > listing.shown && el("p", {}, el("button", { type: "button", on: { click: () => {
    const more = indices.slice(listing.shown, listing.shown + 96);
    listing.shown += more.length;
    grid.append(...more.map((i) => tile(task, i)));
    if (listing.shown >= indices.length) view.lastChild.remove();
  } } }, "show more")));
  listing.order = indices;
}

/** A sample in a list: its first frame, with boxes once it is seen, and the reward of every model. */
function tile(task, index) {
  const place = el("span", { class: "picture" }, el("span", { class: "none" }, "…"));
  const node = el("a", { class: "tile", href: `#samples/${task.name}/${index}` }, place,
    el("span", { class: "caption", style: { display: "block" } }, el("b", {}, task.ids[index]), task.kinds[index] && chip(task.kinds[index].replaceAll("_", " ")),
      task.columns.slice(0, 6).map((c, k) => task.totals[k][index] !== null && el("span", { class: `score ${task.failed[k][index] ? "bad" : ""}`, title: task.failed[k][index] ? "unreadable" : null }, el("span", {}, columnTitle(c)), el("span", {}, fixed(task.totals[k][index]))))));
  return whenSeen(node, async () => {
    const detail = await detailOf(task, index);
    const c = Math.max(0, task.columns.indexOf(Number(listing.column ?? task.columns.at(-1))));
    place.replaceWith(detail
      ? picture(detail, 0, drawnBoxes(detail, [{ answer: detail.answers[c], colour: "var(--pred)" }]), { labels: false, alt: "" })
      : picture({ frames: [task.frames[index]] }, 0, []));
  });
}

drawSample.turn = 0;
async function drawSample(task, index) {
  const view = byId("view-samples"), turn = ++drawSample.turn, detail = await detailOf(task, index);
  if (turn !== drawSample.turn) return; // another one was asked for meanwhile
  const order = listing.order?.includes(index) ? listing.order : range(task.ids.length);
  const around = (step) => order[order.indexOf(index) + step];
  const link = (to, id, text) => el("a", { id, href: to === undefined ? null : `#samples/${task.name}/${to}`, class: to === undefined ? "soft" : null }, text);
  const head = el("div", { class: "controls" }, el("a", { href: "#samples", id: "back" }, "← all samples"), link(around(-1), "previous", "previous"), link(around(1), "next", "next"),
    el("b", { class: "push" }, task.ids[index]), task.kinds[index] && chip(task.kinds[index].replaceAll("_", " ")));
  if (!detail) return fill(view, head, el("p", { class: "card" }, "This sample's details were left out to keep the page small; make the report with a larger --max-mb."));
  const chosen = new Set([task.columns.length - 1]);
  const body = el("div", {});
  const redraw = () => {
    const answers = [...chosen].filter((c) => detail.answers[c]).map((c) => ({ answer: detail.answers[c], who: columnTitle(task.columns[c]), colour: chosen.size > 1 ? colourOf(c) : "var(--pred)" }));
    const boxes = drawnBoxes(detail, answers, { objects: !detail.truth.length });
    const legend = [detail.truth.length && ["var(--true)", "true"], ...answers.filter(({ answer }) => answer.boxes.length).map(({ colour, who }) => [colour, who]),
      !detail.truth.length && detail.labels.length && ["var(--accent)", "asked about"], !detail.truth.length && detail.objects?.length && ["var(--grey)", "other objects"]].filter(Boolean);
    const unread = [...chosen].filter((c) => detail.answers[c]?.parse_failure).map((c) => chip(`${columnTitle(task.columns[c])}: unreadable answer, so no boxes`, "bad"));
    fill(body, boxes.length || detail.cameras ? el("div", { class: "card" }, el("h2", {}, "Scene"), unread, scenePanel(detail, boxes, legend)) : null,
      el("div", { class: "card" }, el("h2", {}, "Frames"), framesBlock(detail, boxes), detail.note && el("p", { class: "note" }, detail.note), el("p", { class: "note" }, "Dashed: a predicted box without a match.")));
  };
  const models = task.columns.length > 1 && el("div", { class: "controls models" }, el("span", { class: "soft" }, "Boxes of"), task.columns.map((c, k) => detail.answers[k] &&
    toggle(columnTitle(c), chosen.has(k), (on) => { on ? chosen.add(k) : chosen.delete(k); redraw(); })));
  fill(view, head, models, body, el("div", { class: "card" }, el("h2", {}, "Question"), questionBlock(detail)),
    el("div", { class: "card" }, el("h2", {}, "Answers"), el("div", { class: "answers" }, task.columns.map((c, k) => detail.answers[k] && answerCard(detail.answers[k], { title: columnTitle(c) })))));
  redraw();
}

/** On the first view: the worst, best and most changed samples of every task. */
function drawHighlights() {
  const rows = data.tasks.filter((task) => task.columns.length).map((task) => {
    const last = task.totals.at(-1), first = task.totals[0], all = range(task.ids.length).filter((i) => last[i] !== null);
    const top = (value, count = 2) => [...all].sort((a, b) => value(a) - value(b) || a - b).slice(0, count);
    const taken = new Set(), fresh = (value) => top(value, all.length).filter((i) => !taken.has(i)).slice(0, 2).map((i) => (taken.add(i), i));
    const picks = [["worst", fresh((i) => last[i])], ["best", fresh((i) => -last[i])]];
    if (task.columns.length > 1) picks.push(["most changed", fresh((i) => -Math.abs(last[i] - (first[i] ?? last[i])))]);
    return el("div", {}, el("h3", {}, `${task.name}, by ${columnTitle(task.columns.at(-1))}`),
      el("div", { class: "grid" }, picks.flatMap(([what, indices]) => indices.map((i) => {
        const node = tile(task, i);
        node.querySelector(".caption").prepend(chip(what, what === "worst" ? "bad" : what === "best" ? "good" : ""));
        return node;
      }))));
  });
  byId("highlights").hidden = !rows.length;
  fill(byId("highlight-tiles"), rows);
}

/** At the top of the first view: the scene that training changed most for the better, before and after it. */
async function drawHero() {
  const holder = byId("hero-scene"), task = data.tasks.find((each) => each.name === "detection" && each.columns.length);
  if (!task) return;
  const last = task.totals.at(-1), first = task.totals[0], gain = (i) => (last[i] ?? 0) - (task.columns.length > 1 ? first[i] ?? 0 : 0);
  const index = range(task.ids.length).filter((i) => task.places[i] >= 0 && last[i] !== null).sort((a, b) => gain(b) - gain(a) || a - b)[0];
  const detail = index === undefined ? null : await detailOf(task, index);
  if (!detail || !byId("view-overview").classList.contains("on")) return;
  const chosen = [...new Set([0, task.columns.length - 1])].filter((k) => detail.answers[k]);
  const answers = chosen.map((k) => ({ answer: detail.answers[k], who: columnTitle(task.columns[k]), colour: k === task.columns.length - 1 ? "var(--pred)" : "var(--accent)" }));
  const legend = [["var(--true)", "true"], ...answers.map(({ colour, who }) => [colour, who])];
  fill(holder, scenePanel(detail, drawnBoxes(detail, answers), legend),
    el("p", { class: "note" }, "The detection sample that changed most for the better: ", el("a", { href: `#samples/${task.name}/${index}` }, task.ids[index])));
}
