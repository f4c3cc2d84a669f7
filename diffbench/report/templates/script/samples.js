// Samples from the same noise with a slider over budgets, each of them large on demand; and how images form.
const pictures = new Map();
function picture(sheet) {
  if (!pictures.has(sheet)) {
    const image = new Image();
    image.src = sheet.src;
    pictures.set(sheet, image.decode().then(() => image));
  }
  return pictures.get(sheet);
}

function tile(sheet, row, column, label) {
  const canvas = make("canvas", { width: sheet.width, height: sheet.height, role: "img", "aria-label": label, class: sheet.width <= 96 ? "small" : "" });
  canvas.style.setProperty("--ratio", `${sheet.width} / ${sheet.height}`);
  picture(sheet).then((image) => canvas.getContext("2d").drawImage(image, column * sheet.width, row * sheet.height, sheet.width, sheet.height, 0, 0, sheet.width, sheet.height));
  return canvas;
}

const cellsOf = (model, key) => data.cells.filter((cell) => cell.model === model && cell[key]);
function budgetsOf(cells) {
  const known = new Map(cells.map((cell) => [cell.budget, cell.order]));
  return [...known.keys()].sort((a, b) => known.get(a)[0] - known.get(b)[0] || known.get(a)[1] - known.get(b)[1] || known.get(a)[2] - known.get(b)[2]);
}
const seriesOf = (cells) => [...new Set(cells.map((cell) => cell.name))];
const scoreOf = (cell) => {
  const main = data.metrics[0];
  return main && cell.scores[main.key] ? `${main.title} ${cell.scores[main.key][3]}` : "";
};
const sheetOf = (cell) => data.sheets[cell.sheet];

// Arrow keys within a row; the tab key goes from row to row.
function arrows(host) {
  host.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const all = [...host.querySelectorAll("button")], next = all[all.indexOf(document.activeElement) + step];
    if (!step || !next) return;
    event.preventDefault();
    for (const button of all) button.tabIndex = button === next ? 0 : -1;
    next.focus();
  });
}

function zoom(model, name, place, index, budgets) {
  const dialog = byId("zoom"), stage = make("div", { class: "large" }), rivals = make("div", { class: "rivals" }), controls = make("div", { class: "controls" });
  const heading = make("h2", { id: "zoom-h" }), caption = make("p", { class: "quiet" });
  const cells = cellsOf(model, "sheet"), count = Math.max(...cells.map((cell) => sheetOf(cell).columns));
  const over = slider(controls, "Budget", budgets, place, show);
  const step = (by) => { index = (index + by + count) % count; show(); };
  controls.append(make("button", { type: "button", onclick: () => step(-1) }, "← sample"), make("button", { type: "button", onclick: () => step(1) }, "sample →"),
    make("button", { type: "button", onclick: () => dialog.close() }, "Close"));
  function show() {
    const budget = budgets[over.place], there = cells.filter((cell) => cell.budget === budget), cell = there.find((one) => one.name === name);
    heading.textContent = `${data.models[model]} · ${name} @ ${budget}, sample ${index}`;
    caption.textContent = cell ? scoreOf(cell) : "no samples were kept of this cell";
    stage.replaceChildren(...(cell && index < sheetOf(cell).columns ? [tile(sheetOf(cell), 0, index, heading.textContent)] : []));
    rivals.replaceChildren(...there.filter((one) => one !== cell && index < sheetOf(one).columns).map((one) => make("figure", {},
      tile(sheetOf(one), 0, index, `${one.name} @ ${budget}, sample ${index}`), make("figcaption", {}, one.name))));
  }
  dialog.replaceChildren(heading, controls, stage, caption, rivals);
  show();
  dialog.showModal();
}

function samples() {
  if (!Object.keys(data.sheets).length) return;
  const controls = byId("sample-controls"), rows = byId("sample-rows");
  let model = data.models.findIndex((_, index) => cellsOf(index, "sheet").length), budgets = [];
  const models = choice(controls, "Model", data.models.map((name, index) => [index, name]).filter(([index]) => cellsOf(index, "sheet").length), (value) => { model = Number(value); begin(); });
  const over = slider(controls, "Budget", [""], 0, show);
  const sizes = [28, 42, 56, 84, 112, 168];
  const size = slider(controls, "Zoom", sizes.map((pixels) => `${pixels} px`), 2, (place) => rows.style.setProperty("--tile", `${sizes[place]}px`));
  function begin() {
    budgets = budgetsOf(cellsOf(model, "sheet"));
    over.over(budgets, Math.max(0, Math.floor((budgets.length - 1) / 2)));
    show();
  }
  function show() {
    const there = cellsOf(model, "sheet").filter((cell) => cell.budget === budgets[over.place]);
    rows.replaceChildren(...seriesOf(data.cells.filter((cell) => cell.model === model)).map((name) => {
      const cell = there.find((one) => one.name === name), tiles = make("div", { class: "tiles" });
      const known = data.cells.find((one) => one.model === model && one.name === name && one.budget === budgets[over.place]);
      if (cell) {
        for (let i = 0; i < sheetOf(cell).columns; i++) {
          const button = make("button", { type: "button", tabindex: i ? -1 : 0, "aria-label": `${name} @ ${cell.budget}, sample ${i}: enlarge`,
            onclick: () => zoom(model, name, over.place, i, budgets) }, tile(sheetOf(cell), 0, i, `sample ${i}`));
          tiles.append(button);
        }
        arrows(tiles);
      } else tiles.append(make("p", { class: "quiet" }, known ? known.status || "no samples were kept" : "not at this budget"));
      return make("div", { class: "row" }, make("h3", {}, name, make("span", { class: "quiet" }, cell ? scoreOf(cell) : "")), tiles);
    }));
  }
  byId("samples").hidden = document.querySelector("[data-for=samples]").hidden = false;
  byId("samples").querySelector(".rule").append(` They are shown ${data.quality.samples}.`);
  begin();
  void models; void size;
}

function forming() {
  if (!Object.keys(data.trajectories).length) return;
  const controls = byId("forming-controls"), rows = byId("forming-rows");
  let model = data.models.findIndex((_, index) => cellsOf(index, "trajectory").length), budgets = [];
  choice(controls, "Model", data.models.map((name, index) => [index, name]).filter(([index]) => cellsOf(index, "trajectory").length), (value) => { model = Number(value); begin(); });
  const over = slider(controls, "Budget", [""], 0, show), sample = slider(controls, "Sample", ["0"], 0, show);
  function begin() {
    const cells = cellsOf(model, "trajectory");
    budgets = budgetsOf(cells);
    over.over(budgets, budgets.length - 1);
    const most = Math.max(...cells.map((cell) => data.trajectories[cell.trajectory].rows));
    sample.over([...Array(most).keys()].map(String), Math.min(sample.place, most - 1));
    show();
  }
  function show() {
    const there = cellsOf(model, "trajectory").filter((cell) => cell.budget === budgets[over.place]), index = sample.place;
    rows.replaceChildren(...there.map((cell) => {
      const sheet = data.trajectories[cell.trajectory];
      if (index >= sheet.rows) return make("p", { class: "quiet" }, `${cell.name}: not kept`);
      const frames = sheet.evaluations.map((calls, column) => {
        const last = column === sheet.evaluations.length - 1, level = significant(sheet.sigma[index][column]);
        const words = last ? `the sample, after ${calls} evaluations` : `estimate after ${calls} evaluations, at noise level ${level}`;
        return make("figure", {}, tile(sheet, index, column, `${cell.name}: ${words}`), make("figcaption", {}, last ? "sample" : `${calls}`, make("br"), last ? `${calls} NFE` : `σ ${level}`));
      });
      return make("div", { class: "row" }, make("h3", {}, cell.name, make("span", { class: "quiet" }, scoreOf(cell))),
        make("div", { class: "tiles frames", tabindex: 0, role: "region", "aria-label": `How sample ${index} forms, ${cell.name}` }, ...frames));
    }));
  }
  byId("forming").hidden = document.querySelector("[data-for=forming]").hidden = false;
  rows.style.setProperty("--tile", "84px");
  begin();
}

theme();
figures();
tables();
samples();
forming();
