// One chart as inline SVG: lines, bands and marks on axes that are logarithmic where all values are positive, and beyond a
// linear part where values of both signs differ by more than two decades.
const MARKS = [
  "M0 -4.6A4.6 4.6 0 1 1 0 4.6A4.6 4.6 0 1 1 0 -4.6Z", "M-4.1 -4.1H4.1V4.1H-4.1Z", "M0 -5.2L5 4H-5Z", "M0 -5.6L5 0L0 5.6L-5 0Z",
  "M0 5.2L5 -4H-5Z", "M-1.7 -5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z",
  "M-4.6 -2.2L-2.2 -4.6L0 -2.4L2.2 -4.6L4.6 -2.2L2.4 0L4.6 2.2L2.2 4.6L0 2.4L-2.2 4.6L-4.6 2.2L-2.4 0Z", "M-5.2 0L4 -5V5Z",
  "M5.2 0L-4 -5V5Z", "M0 -5.2L4.9 -1.6L3 4.2H-3L-4.9 -1.6Z",
];
const FILLS = ["full", "hollow", "dotted", "holed"]; // one a model where several share a chart

function mark(parent, line, fill = "full", size = 1) {
  const group = draw(parent, "g", { class: `s${line % 9}`, transform: `scale(${size})` });
  draw(group, "path", { d: MARKS[line % MARKS.length], class: fill === "full" || fill === "holed" ? "mark" : "hollow" });
  if (fill === "dotted") draw(group, "circle", { r: 1.6, class: "dot" });
  if (fill === "holed") draw(group, "circle", { r: 1.7, class: "hole" });
  return group;
}

function axis(values, pixels, ticks) {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  const log = Math.min(...known) > 0, within = log ? 0 : linearWithin(known);
  const to = log ? (v) => Math.log(Math.max(v, 1e-300)) : within
    ? (v) => (Math.abs(v) <= within ? v / within : Math.sign(v) * (1 + Math.log10(Math.abs(v) / within))) : (v) => v;
  const from = log ? Math.exp : within ? (u) => (Math.abs(u) <= 1 ? u * within : Math.sign(u) * within * 10 ** (Math.abs(u) - 1)) : (u) => u;
  const first = to(Math.min(...known)), last = to(Math.max(...known));
  const room = 0.06 * (log ? Math.max(last - first, Math.log(1.6)) : last - first || Math.abs(last) || 1);
  const low = from(first - room), high = from(last + room);
  const at = (v) => ((to(v) - first + room) / (last - first + 2 * room)) * pixels;
  const round = within ? signedTicks(within, high, low) : log ? logTicks(low, high) : linearTicks(low, high);
  // where the range is small, or no given tick lies inside, the first choice can leave one or none
  const choices = [...(ticks ? [ticks] : []), round, linearTicks(low, high)].map((choice) => apart(choice, at, low, high, pixels));
  return { low, high, log, at, ticks: choices.find((choice) => choice.length > 1) || choices[0] };
}

// The power of ten below which values of both signs are told apart on a linear scale; 0 where that does for all.
function linearWithin(values) {
  const sizes = values.map(Math.abs).filter((size) => size > 0).sort((a, b) => a - b);
  const within = sizes.length ? 10 ** Math.floor(Math.log10(sizes[sizes.length >> 1])) : 0;
  return within && sizes.at(-1) > 100 * within ? within : 0;
}

function signedTicks(within, high, low) {
  const found = [0];
  for (let power = Math.round(Math.log10(within)); 10 ** power <= Math.max(high, -low); power++) found.push(Number(`1e${power}`), Number(`-1e${power}`));
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const digit of [1, 1.5, 2, 3, 4, 5, 6, 8]) found.push(Number(`${digit}e${power}`));
  // powers of ten and fives and twos first, so that they stay where there is no room for all
  const rank = (v) => [1, 5, 2, 3, 1.5, 4, 6, 8].indexOf(Number((v / 10 ** Math.floor(Math.log10(v) + 1e-9)).toFixed(2)));
  return found.sort((a, b) => rank(a) - rank(b));
}

function linearTicks(low, high) {
  const raw = (high - low) / 5, unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((d) => d * unit).find((s) => s >= raw);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

// Those of the ticks, the first first, whose labels leave each other room.
function apart(ticks, at, low, high, pixels) {
  const kept = [];
  const room = (a, b) => (pixels > 0 ? Math.max(34, 3.3 * (tickText(a).length + tickText(b).length) + 8) : 20);
  for (const tick of ticks) {
    if (tick >= low && tick <= high && kept.every((k) => Math.abs(at(k) - at(tick)) >= room(k, tick))) kept.push(tick);
  }
  return kept;
}

const tickText = (tick) => (tick !== 0 && Math.abs(tick) < 0.001 ? tick.toExponential() : String(tick));

// spec: {title, xLabel, yLabel, xTicks, lines: [{line, dashed, join, band, points: [{x, y, xs, ys, text, pale, ring, size, fill, number}]}],
// levels: [y], stairs: [[x, y]]}; ys and xs are [low, high] or null.
function chart(host, spec) {
  const width = Math.max(280, host.clientWidth || 440), height = spec.height || Math.round(Math.min(420, Math.max(230, width * 0.62)));
  const right = 12, top = 10, bottom = 40;
  const points = spec.lines.flatMap((line) => line.points);
  const svg = draw(null, "svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": spec.title });
  if (!points.length) {
    host.replaceChildren(make("p", { class: "quiet" }, "Nothing to show here."));
    return;
  }
  const ends = (key, value) => {
    const middle = points.map((p) => p[value]);
    const smallest = Math.min(...middle);
    // on a log axis the far end of a wide interval would press everything else together
    return [...middle, ...points.flatMap((p) => p[key] || []).filter((e) => smallest <= 0 || e > smallest / 5), ...(spec[`${value}More`] || [])];
  };
  const y = axis(ends("ys", "y"), -(height - top - bottom));
  const left = Math.max(52, 28 + 6.5 * Math.max(0, ...y.ticks.map((tick) => tickText(tick).length)));
  const x = axis(ends("xs", "x"), width - left - right, spec.xTicks);
  const px = (v) => left + x.at(v), py = (v) => height - bottom + y.at(v);
  const inside = (v, low, high) => Math.min(high, Math.max(low, v));
  const cx = (v) => inside(px(v), left, width - right), cy = (v) => inside(py(v), top, height - bottom);
  const grid = draw(svg, "g", { "aria-hidden": true });
  for (const tick of x.ticks) {
    draw(grid, "line", { class: "grid", x1: px(tick), x2: px(tick), y1: top, y2: height - bottom });
    draw(grid, "text", { x: px(tick), y: height - bottom + 15, "text-anchor": "middle" }, tickText(tick));
  }
  for (const tick of y.ticks) {
    draw(grid, "line", { class: "grid", x1: left, x2: width - right, y1: py(tick), y2: py(tick) });
    draw(grid, "text", { x: left - 6, y: py(tick) + 4, "text-anchor": "end" }, tickText(tick));
  }
  draw(grid, "path", { class: "axis", fill: "none", d: `M${left} ${top}V${height - bottom}H${width - right}` });
  draw(grid, "text", { class: "title", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, spec.xLabel);
  draw(grid, "text", { class: "title", "text-anchor": "middle", transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)` }, spec.yLabel);
  for (const level of spec.levels || []) draw(grid, "path", { class: "floor", d: `M${left} ${cy(level)}H${width - right}` });
  if (spec.stairs && spec.stairs.length) {
    const [first] = spec.stairs;
    const start = spec.stairsFromBelow ? height - bottom : top;
    const steps = spec.stairs.slice(1).map(([a, b]) => `H${px(a)}V${py(b)}`).join("");
    draw(grid, "path", { class: "stairs", d: `M${px(first[0])} ${start}V${py(first[1])}${steps}H${width - right}` });
  }
  for (const line of spec.lines) {
    const group = draw(svg, "g", { class: `s${line.line % 9}`, "aria-hidden": true });
    if (line.band && line.band.length > 1) {
      const forth = line.band.map(([a, b]) => `${px(a)} ${cy(b)}`), back = line.band.map(([a, , c]) => `${px(a)} ${cy(c)}`).reverse();
      draw(group, "path", { class: "band", d: `M${[...forth, ...back].join("L")}Z` });
    }
    const path = line.path || (line.join ? line.points.map((p) => [p.x, p.y]) : []);
    if (path.length > 1) draw(group, "path", { class: `line${line.dashed ? " dashed" : ""}`, d: `M${path.map(([a, b]) => `${px(a)} ${py(b)}`).join("L")}` });
    for (const p of line.points) {
      const faded = p.pale ? " pale" : "";
      if (p.ys) draw(group, "path", { class: `bar${faded}`, d: `M${px(p.x)} ${cy(p.ys[0])}V${cy(p.ys[1])}` });
      if (p.xs) draw(group, "path", { class: `bar${faded}`, d: `M${cx(p.xs[0])} ${py(p.y)}H${cx(p.xs[1])}` });
    }
  }
  const marks = [];
  spec.lines.forEach((line, row) => line.points.forEach((p) => {
    const place = draw(svg, "g", { transform: `translate(${px(p.x)} ${py(p.y)})`, tabindex: -1, role: "img", "aria-label": p.text.replaceAll("\n", ", "), class: p.pale ? "pale" : "" });
    draw(place, "circle", { r: 9, class: "hit" });
    draw(place, "circle", { r: 8.5, class: "halo" });
    if (p.ring) draw(place, "circle", { r: 7.5, class: "ring" });
    mark(place, line.line, p.fill, p.size || 1);
    if (p.number) draw(place, "text", { class: "number", x: -7, y: 14, "text-anchor": "end", "aria-hidden": true }, p.number);
    for (const event of ["mouseenter", "focus"]) place.addEventListener(event, () => showTip(place, p.text));
    for (const event of ["mouseleave", "blur"]) place.addEventListener(event, hideTip);
    marks.push({ place, row, x: px(p.x), y: py(p.y) });
  }));
  rove(svg, marks);
  host.replaceChildren(svg);
}

// One stop of the tab key a chart; left and right go along a line, up and down to the nearest mark of another.
function rove(svg, marks) {
  const focus = (mark) => {
    for (const other of marks) other.place.setAttribute("tabindex", other === mark ? 0 : -1);
    mark.place.focus();
  };
  if (marks.length) marks[0].place.setAttribute("tabindex", 0);
  svg.addEventListener("keydown", (event) => {
    const here = marks.find((mark) => mark.place === document.activeElement);
    if (!here) return;
    const along = marks.filter((mark) => mark.row === here.row).sort((a, b) => a.x - b.x);
    const rows = [...new Set(marks.map((mark) => mark.row))];
    const next = {
      ArrowRight: () => along[along.indexOf(here) + 1], ArrowLeft: () => along[along.indexOf(here) - 1],
      ArrowDown: () => nearest(rows[(rows.indexOf(here.row) + 1) % rows.length]),
      ArrowUp: () => nearest(rows[(rows.indexOf(here.row) + rows.length - 1) % rows.length]),
      Home: () => along[0], End: () => along.at(-1),
    }[event.key];
    if (!next) return;
    event.preventDefault();
    const found = next();
    if (found) focus(found);
    function nearest(row) {
      return marks.filter((mark) => mark.row === row).sort((a, b) => Math.abs(a.x - here.x) - Math.abs(b.x - here.x))[0];
    }
  });
}
