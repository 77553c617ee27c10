// Views, keys, theme, and what runs when the page opens.

const VIEWS = ["overview", "curves", "classes", "samples", "compare", "rollouts", "run"];
const drawn = new Set();
const DRAW = { overview: () => { drawStory(); drawHighlights(); }, curves: drawCurves, compare: drawCompare, rollouts: drawRollouts };

function route() {
  const [view, task, index] = decodeURIComponent(location.hash.slice(1)).split("/");
  const name = VIEWS.includes(view) ? view : "overview";
  for (const id of VIEWS) {
    byId(`view-${id}`).classList.toggle("on", id === name);
    byId(`tab-${id}`).setAttribute("aria-selected", String(id === name));
    byId(`tab-${id}`).tabIndex = id === name ? 0 : -1;
  }
  tip(null, "");
  openScene?.close();
  openScene = null;
  if (!data) return;
  if (name === "samples") {
    const chosen = task && taskNamed(task);
    if (chosen && chosen.ids[Number(index)] !== undefined) {
      if (listing.task !== chosen.name) Object.assign(listing, { task: chosen.name, kind: "", column: null, order: null });
      drawSample(chosen, Number(index));
      scrollTo(0, 0);
    } else {
      drawSample.turn++; // a sample that is still being read is not wanted any more
      drawSamples();
    }
  } else if (DRAW[name] && !drawn.has(name)) {
    drawn.add(name);
    DRAW[name]();
  }
  if (name === "overview") drawHero(); // each time: there is one 3D view, and the last sample looked at had it
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  const view = openScene;
  if (view) { // its colours are the theme's
    view.scene.clear();
    view.items = [];
    view.build();
    view.cloud && view.scene.add(view.cloud);
    view.draw();
  }
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const number = Number(event.key);
  if (number >= 1 && number <= VIEWS.length) location.hash = VIEWS[number - 1];
  else if (event.key === "t") setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  else if (event.key === "j") byId("next")?.click();
  else if (event.key === "k") byId("previous")?.click();
  else if (event.key === "Escape") byId("back")?.click();
  else if ((event.key === "ArrowRight" || event.key === "ArrowLeft") && event.target.getAttribute?.("role") === "tab") {
    const at = VIEWS.indexOf(event.target.id.slice(4)) + (event.key === "ArrowRight" ? 1 : -1);
    const tab = byId(`tab-${VIEWS[(at + VIEWS.length) % VIEWS.length]}`);
    tab.focus();
    tab.click();
  }
}

async function start() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  document.documentElement.classList.add("js");
  addEventListener("hashchange", route);
  addEventListener("keydown", keys);
  byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  route();
  data = await unpacked("index").json();
  if (!data.groups.rows.length) byId("tab-rollouts").classList.add("soft");
  route();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start();
