// The figures: scores against cost, the Pareto front, the cost of equal quality.
const hidden = new Set(); // lines that the legend has switched off
const AXES = { nfe: "evaluations per sample (NFE)", seconds: "seconds per image" };
const titled = (key) => data.metrics.find((metric) => metric.key === key);
const span = (value) => (value[1] === null || value[2] === null ? null : [value[1], value[2]]);
const costOf = (cell, by) => (by === "nfe" ? (cell.nfe > 0 ? [cell.nfe, null, null] : null) : cell.seconds && cell.seconds[0] > 0 ? cell.seconds : null);
const timed = data.cells.some((cell) => costOf(cell, "seconds"));
const axes = Object.entries(AXES).filter(([key]) => key === "nfe" || timed);

function told(cell, metric) {
  const parts = [`${data.models[cell.model]} · ${cell.name} @ ${cell.budget}`, `${titled(metric).title} ${cell.scores[metric][3]}`];
  if (cell.nfe !== null) parts.push(`${Number(cell.nfe.toPrecision(4))} evaluations`);
  if (cell.seconds) parts.push(`${cell.seconds[3]} s/image`);
  return parts.join("\n");
}

function legend(redraw) {
  const host = byId("legend");
  data.lines.forEach((line, index) => {
    const picture = draw(null, "svg", { width: 30, height: 14, viewBox: "-15 -7 30 14", "aria-hidden": true, class: `chart s${index % 9}` });
    draw(picture, "path", { class: `line${line.stochastic ? " dashed" : ""}`, d: "M-15 0H15" });
    mark(picture, index);
    picture.setAttribute("class", `s${index % 9} chart`);
    picture.style.width = "30px";
    const button = make("button", { type: "button", "aria-pressed": true }, picture, make("span", {}, line.stochastic ? `${line.name} (stochastic)` : line.name));
    button.addEventListener("click", () => {
      if (!hidden.delete(index)) hidden.add(index);
      button.setAttribute("aria-pressed", !hidden.has(index));
      redraw();
    });
    host.append(button);
  });
}

function budgetTicks(cells) {
  const often = new Map();
  for (const { nfe, order: [adaptive] } of cells) if (nfe > 0 && !adaptive) often.set(nfe, (often.get(nfe) || 0) + 1);
  return !often.size ? null : [...often.keys()].sort((a, b) => often.get(b) - often.get(a) || a - b);
}

function panels(metric, by) {
  const host = byId("panels"), plots = [];
  host.replaceChildren();
  data.models.forEach((name, model) => {
    const cells = data.cells.filter((cell) => cell.model === model && cell.scores[metric] && costOf(cell, by));
    if (!cells.length) return;
    const plot = make("div"), lines = [];
    data.lines.forEach((line, index) => {
      const mine = cells.filter((cell) => cell.line === index && !hidden.has(index)).sort((a, b) => costOf(a, "nfe")?.[0] - costOf(b, "nfe")?.[0]);
      if (mine.length) lines.push({ line: index, dashed: line.stochastic, join: true, points: mine.map((cell) => ({
        x: costOf(cell, by)[0], y: cell.scores[metric][0], xs: span(costOf(cell, by)), ys: span(cell.scores[metric]), text: told(cell, metric) })) });
    });
    host.append(make("div", {}, make("h3", {}, name), plot));
    const floor = data.floors[metric]?.[model];
    plots.push([plot, { title: `${titled(metric).title} against ${AXES[by]}, ${name}`, xLabel: AXES[by], yLabel: titled(metric).title, lines,
      levels: floor === undefined ? [] : [floor], yMore: floor === undefined ? [] : [floor], xTicks: by === "nfe" ? budgetTicks(cells) : null }]);
  });
  for (const [plot, spec] of plots) chart(plot, spec); // once all have their width
}

// The front is one of the table's main metric: where each cell stands was worked out with its intervals.
function front(scope, by) {
  const host = byId("front"), key = byId("front-key"), metric = data.metrics[0].key;
  if (!host) return;
  const [kind, which] = scope.split(":").map((part, index) => (index ? Number(part) : part));
  const among = kind === "scale" ? "all" : "model";
  const cells = data.cells.filter((cell) => (kind === "scale" ? cell.scale : cell.model) === which && cell.stands[`${by} ${among}`] && !hidden.has(cell.line));
  const stand = (cell) => cell.stands[`${by} ${among}`];
  const best = cells.filter((cell) => stand(cell) === "front").sort((a, b) => costOf(a, by)[0] - costOf(b, by)[0]);
  const several = new Set(cells.map((cell) => cell.model)).size > 1;
  const lines = data.lines.map((line, index) => ({ line: index, points: cells.filter((cell) => cell.line === index)
    .sort((a, b) => costOf(a, by)[0] - costOf(b, by)[0]).map((cell) => ({
      x: costOf(cell, by)[0], y: cell.scores[metric][0], xs: span(costOf(cell, by)), ys: span(cell.scores[metric]),
      pale: stand(cell) === "dominated", ring: stand(cell) === "open", size: stand(cell) === "front" ? 1.2 : 0.9,
      fill: several ? FILLS[cell.model % FILLS.length] : "full", number: stand(cell) === "front" && best.length <= 15 ? best.indexOf(cell) + 1 : null,
      text: `${told(cell, metric)}\n${{ front: "on the front", open: "not on the front; the intervals leave room for it", dominated: "dominated" }[stand(cell)]}` })) })).filter((line) => line.points.length);
  chart(host, { title: `${titled(metric).title} against ${AXES[by]} with the Pareto front`, xLabel: AXES[by], yLabel: titled(metric).title, lines,
    stairs: best.map((cell) => [costOf(cell, by)[0], cell.scores[metric][0]]), stairsFromBelow: !titled(metric).lower, xTicks: by === "nfe" ? budgetTicks(cells) : null });
  key.replaceChildren(...best.map((cell) => make("li", {}, `${several ? `${data.models[cell.model]} · ` : ""}${cell.name} @ ${cell.budget}`,
    make("span", { class: "quiet" }, told(cell, metric).split("\n").slice(1).join(" · ")))));
  const shapes = several ? [...new Set(cells.map((cell) => cell.model))].sort((a, b) => a - b) : [];
  const models = byId("front-models") || byId("front-controls").appendChild(make("span", { id: "front-models", class: "legend" }));
  models.replaceChildren(...shapes.map((model) => {
    const picture = draw(null, "svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", class: "chart s6", "aria-hidden": true });
    picture.style.width = "14px";
    mark(picture, 0, FILLS[model % FILLS.length]).setAttribute("class", "s6");
    return make("span", { class: "model" }, picture, ` ${data.models[model]}`);
  }));
}

function costs(by) {
  const host = byId("cost-panels");
  if (!host) return;
  const metric = titled(data.metrics[0].key), at = by === "nfe" ? 1 : 4, plots = [];
  host.replaceChildren();
  data.models.forEach((name, model) => {
    const mine = data.costs.filter((curve) => curve.model === model && !hidden.has(curve.line));
    const lines = mine.map((curve) => {
      const known = curve.levels.filter((level) => level[at] !== null);
      return { line: curve.line, dashed: data.lines[curve.line].stochastic, path: known.map((level) => [level[0], level[at]]),
        band: known.filter((level) => level[at + 1] !== null && level[at + 2] !== null).map((level) => [level[0], level[at + 1], level[at + 2]]),
        points: curve.targets.filter((need) => need[at] !== null).map((need) => ({ x: need[0], y: need[at], xs: null, ys: null,
          text: `${data.lines[curve.line].name}\n${metric.title} ${significant(need[0])} takes ${significant(need[at])} ${by === "nfe" ? "evaluations" : "s/image"}\n95%: ${end(need[at + 1])} to ${end(need[at + 2])}` })) };
    }).filter((line) => line.path.length > 1 || line.points.length);
    if (!lines.length) return;
    const plot = make("div"), extent = lines.flatMap((line) => line.path);
    host.append(make("div", {}, make("h3", {}, name), plot));
    plots.push([plot, { title: `${AXES[by]} needed to reach a given ${metric.title}, ${name}`, xLabel: `${metric.title} to reach`,
      yLabel: by === "nfe" ? "evaluations needed" : "seconds per image", lines, xMore: extent.map(([x]) => x), yMore: extent.map(([, y]) => y) }]);
  });
  for (const [plot, spec] of plots) chart(plot, spec);
}
const end = (value) => (value === null ? "beyond what was measured" : significant(value));

function figures() {
  if (!data.metrics.length || !byId("panels")) return;
  const redraw = () => {
    panels(metric.value, by.value);
    front(scope.value, frontBy.value);
    costs(costBy.value);
  };
  const controls = byId("chart-controls"), frontControls = byId("front-controls") || make("div"), costControls = byId("cost-controls") || make("div");
  const metric = choice(controls, "Metric", data.metrics.map((m) => [m.key, m.title]), redraw);
  const by = choice(controls, "against", axes, redraw);
  const scopes = [...data.scales.map((text, index) => [`scale:${index}`, data.scales.length > 1 ? `all models, ${text}` : "all models"]),
    ...(data.models.length > 1 ? data.models.map((name, index) => [`model:${index}`, name]) : [])];
  const scope = choice(frontControls, "Of", scopes, redraw);
  const frontBy = choice(frontControls, "against", axes.filter(([key]) => key === "nfe" || data.front === "seconds").reverse(), redraw);
  const costBy = choice(costControls, "Cost in", axes, redraw);
  legend(redraw);
  redraw();
  let width = 0;
  new ResizeObserver(() => {
    if (Math.abs(byId("panels").clientWidth - width) < 2) return;
    width = byId("panels").clientWidth;
    redraw();
  }).observe(byId("panels"));
}
