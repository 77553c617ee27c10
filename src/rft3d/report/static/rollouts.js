// The reward inspector: every rollout group that was written down, with all its completions side by side.

const inspector = { task: "", stage: "", filter: "all", sort: "step", at: null, shown: 120 };

const FILTERS = [["all", "all"], ["zero", "zero variance"], ["spread", "some variance"], ["failed", "with parse failures"], ["truncated", "with truncation"]];
const GROUP_SORTS = [["step", "by step"], ["advantage", "largest advantage"], ["low", "lowest mean reward"], ["high", "highest mean reward"], ["failures", "most parse failures"]];

function listedGroups() {
  const rows = data.groups.rows.map((row, place) => ({ ...row, place })).filter((row) =>
    (!inspector.task || row.task === inspector.task) && (!inspector.stage || `${row.run}/${row.stage}` === inspector.stage) &&
    (inspector.filter === "all" || (inspector.filter === "zero" && row.zero) || (inspector.filter === "spread" && !row.zero) || (inspector.filter === "failed" && row.failures > 0) || (inspector.filter === "truncated" && row.truncated > 0)));
  const value = { step: (r) => r.step ?? 0, advantage: (r) => -(r.advantage ?? -1), low: (r) => r.mean ?? Infinity, high: (r) => -(r.mean ?? -Infinity), failures: (r) => -r.failures }[inspector.sort];
  return rows.sort((x, y) => x.run - y.run || value(x) - value(y) || (x.step ?? 0) - (y.step ?? 0) || x.place - y.place);
}

function drawRollouts() {
  const view = byId("view-rollouts"), all = data.groups.rows;
  if (!all.length) return fill(view, el("p", { class: "soft" }, "No rollouts: the run has no stages/*/rollouts.jsonl. RFT writes one when log_rollouts_every is not 0."));
  const stages = [...new Set(all.map((row) => `${row.run}/${row.stage}`))];
  const stageName = (key) => (data.runs.length > 1 ? `${data.runs[Number(key.split("/")[0])]}: ` : "") + key.slice(key.indexOf("/") + 1);
  const rows = listedGroups();
  if (!rows.some((row) => row.place === inspector.at)) inspector.at = rows[0]?.place ?? null;
  const set = (values) => { Object.assign(inspector, { shown: 120, at: null }, values); drawRollouts(); };
  const shown = el("div", { id: "group" });
  const body = el("tbody", {}, rows.slice(0, inspector.shown).map((row) => groupRow(row, (node) => {
    body.querySelector(".on")?.classList.remove("on");
    node.classList.add("on");
    inspector.at = row.place;
    drawGroup(shown, row.place);
  })));
  fill(view, el("div", { class: "controls" },
    choice("Task", [["", "all"], ...[...new Set(all.map((row) => row.task))].map((name) => [name, name])], inspector.task, (task) => set({ task }), { id: "group-task" }),
    stages.length > 1 && choice("Stage", [["", "all"], ...stages.map((key) => [key, stageName(key)])], inspector.stage, (stage) => set({ stage })),
    choice("Show", FILTERS, inspector.filter, (filter) => set({ filter }), { id: "group-filter" }),
    choice("Order", GROUP_SORTS, inspector.sort, (sort) => set({ sort }), { id: "group-sort" }),
    el("span", { class: "soft push", id: "group-count" }, `${rows.length} of ${all.length} groups`)),
  rows.length ? el("div", { class: "split" }, el("div", { class: "card list" }, el("table", {}, el("thead", {}, el("tr", {}, ["group", "step", "reward", "max |A|"].map((name) => el("th", {}, name)))), body),
    rows.length > inspector.shown && el("p", {}, el("button", { type: "button", on: { click: () => { inspector.shown += 400; drawRollouts(); } } }, "show more"))), shown) : el("p", { class: "soft" }, "None."));
  if (inspector.at !== null) drawGroup(shown, inspector.at);
}

function groupRow(row, pick) {
  const node = el("tr", { class: `group-row${row.place === inspector.at ? " on" : ""}`, tabindex: 0, "data-place": row.place, on: {
    click: () => pick(node), keydown: (event) => event.key === "Enter" && pick(node) } },
    el("td", {}, row.id, el("small", {}, row.zero && chip("zero variance"), row.failures > 0 && chip(`${row.failures} unreadable`, "bad"), row.truncated > 0 && chip(`${row.truncated} truncated`, "bad"))),
    el("td", {}, row.step ?? "–"), el("td", {}, fixed(row.mean), el("small", {}, `${fixed(row.low)}–${fixed(row.high)}`)), el("td", {}, fixed(row.advantage)));
  return node;
}

async function drawGroup(holder, place) {
  const detail = await groupOf(place);
  if (!detail || inspector.at !== place) return;
  let frame = 0, order = "written";
  const cards = el("div", { class: "rollouts", id: "completions" });
  const draw = () => {
    const places = range(detail.answers.length);
    if (order === "reward") places.sort((a, b) => (detail.answers[b].total ?? 0) - (detail.answers[a].total ?? 0));
    fill(cards, places.map((k) => {
      const answer = detail.answers[k];
      const boxes = drawnBoxes(detail, [{ answer, colour: "var(--pred)" }]);
      const pictured = detail.frames.length ? picture(detail, frame, boxes, { labels: false }) : null;
      return answerCard(answer, { title: `${k + 1}`, advantage: true, extra: pictured });
    }));
  };
  const last = detail.frames.length - 1;
  const scene = el("div", {});
  fill(holder, el("div", { class: "card" },
    el("h2", {}, detail.id), el("div", { class: "controls" }, chip(detail.stage), chip(detail.task), chip(`step ${detail.step ?? "–"}`), detail.seed !== null && detail.seed !== undefined && chip(`seed ${detail.seed}`), chip(`${detail.answers.length} completions`),
      last > 0 && el("label", {}, "frame ", el("input", { type: "range", min: 0, max: last, value: 0, "aria-label": "Frame", on: { input: (event) => { frame = Number(event.target.value); draw(); } } })),
      choice("Order", [["written", "as sampled"], ["reward", "by reward"]], order, (value) => { order = value; draw(); }),
      detail.truth.length > 0 && el("button", { type: "button", on: { click: () => drawGroupScene(scene, detail) } }, "3D scene")),
    detail.note && el("p", { class: "note" }, detail.note), scene, cards,
    el("p", { class: "note" }, swatch("var(--true)"), "true ", swatch("var(--pred)"), "predicted, dashed without a match. Beside the reward: the advantage.")),
  el("div", { class: "card" }, questionBlock(detail)));
  draw();
}

/** All completions of a group in one scene, a colour each. */
function drawGroupScene(holder, detail) {
  const answers = detail.answers.map((answer, k) => ({ answer, colour: colourOf(k), who: `completion ${k + 1}` }));
  fill(holder, scenePanel(detail, drawnBoxes(detail, answers), [["var(--true)", "true"], ...answers.map(({ colour, who }) => [colour, who])]));
}
