// What one answer was: its boxes, its reward part by part and why, its text as written and as read.

function partsTable(answer) {
  return el("table", { class: "parts" }, el("tbody", {}, answer.parts.map((part) => el("tr", {},
    el("td", {}, part.name, el("small", {}, part.weight !== null && part.weight !== undefined && part.weight !== 1 ? `weight ${part.weight}; ` : "", part.reason || "")),
    el("td", {}, el("span", { class: "meter" }, el("i", { style: { width: `${100 * clamp(part.value ?? 0, 0, 1)}%` } })), fixed(part.value, 3))))));
}

function answerChips(answer) {
  return [
    answer.missing && chip("no prediction: scored as an empty answer", "bad"),
    answer.truncated && chip("truncated", "bad"),
    answer.parse_failure && chip(`unreadable: ${answer.parse_failure}`, "bad"),
    answer.tokens !== null && answer.tokens !== undefined && chip(`${answer.tokens} tokens`),
  ];
}

/** A reward out of what could be had: "1.80 of 3". */
function outOf(answer) {
  const most = sum(answer.parts.map((part) => part.weight ?? 1));
  return answer.total !== null && answer.total <= most ? `${fixed(answer.total)} of ${Number(most.toFixed(2))}` : fixed(answer.total, 3);
}

function answerCard(answer, { title, colour, advantage = false, extra = null }) {
  return el("article", { class: "answer" },
    el("h3", {}, el("span", {}, colour && swatch(colour), title), el("span", {}, outOf(answer),
      advantage && el("span", { class: answer.advantage > 0 ? "plus" : answer.advantage < 0 ? "minus" : "soft", title: "advantage" },
        answer.advantage === null ? " (–)" : ` (${signed(answer.advantage, (v) => v.toFixed(2))})`))),
    extra, el("div", {}, answerChips(answer)), partsTable(answer),
    answer.note && el("p", { class: "note" }, answer.note),
    el("details", { open: true }, el("summary", {}, "as written"), el("pre", { class: "written" }, answer.text || "(empty)")),
    el("details", {}, el("summary", {}, "as read"), el("pre", {}, answer.parsed)));
}

/** Prompt and gold answer. */
const questionBlock = (detail) => el("div", { class: "columns" },
  el("div", {}, el("h3", {}, "Prompt"), el("pre", { class: "prompt" }, detail.prompt)),
  el("div", {}, el("h3", {}, "Gold answer"), el("pre", {}, detail.gold || "(unknown)")));

/** Every frame, with boxes. */
const framesBlock = (detail, boxes) => el("div", { class: "frames" }, detail.frames.map((_, frame) =>
  el("figure", {}, picture(detail, frame, boxes), el("figcaption", {}, `frame ${frame}`))));
