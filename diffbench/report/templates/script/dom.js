// What all parts of the page use: elements made without markup, controls, the theme, the tooltip.
const SVG = "http://www.w3.org/2000/svg";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// Text and elements are appended as nodes: nothing of the data is ever parsed as markup.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function draw(parent, name, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

// A labelled list of choices [value, text]; hidden while there is only one.
function choice(host, label, options, change) {
  const list = make("select", { "aria-label": label, onchange: () => change(list.value) });
  for (const [value, text] of options) list.append(make("option", { value }, text));
  if (options.length > 1) host.append(make("label", {}, label, list));
  return list;
}

// A slider over named places; the name is what a screen reader says, too.
function slider(host, label, names, start, change) {
  const output = make("output", {}, "");
  const input = make("input", { type: "range", min: 0, step: 1, "aria-label": label });
  const show = () => {
    output.textContent = names[input.valueAsNumber];
    input.setAttribute("aria-valuetext", names[input.valueAsNumber]);
  };
  input.addEventListener("input", () => { show(); change(input.valueAsNumber); });
  host.append(make("label", {}, label, input, output));
  const to = (place) => { input.value = place; show(); };
  const over = (list, place) => { names = list; input.max = Math.max(0, list.length - 1); to(Math.min(place, list.length - 1)); };
  over(names, start);
  return { input, to, over, get place() { return input.valueAsNumber; } };
}

const significant = (x, digits = 3) => {
  if (x === 0) return "0";
  if (Math.abs(x) >= 1e6 || Math.abs(x) < 1e-5) return x.toExponential(1);
  return x.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(x)))));
};

const tip = byId("tip");
function showTip(target, text) {
  tip.textContent = text;
  tip.hidden = false;
  const box = target.getBoundingClientRect();
  const left = Math.min(box.right + 8, document.documentElement.clientWidth - tip.offsetWidth - 8);
  const above = box.top - tip.offsetHeight - 6;
  tip.style.left = `${Math.max(4, left) + scrollX}px`;
  tip.style.top = `${(above > 0 ? above : box.bottom + 6) + scrollY}px`;
}
const hideTip = () => { tip.hidden = true; };
addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });

function theme() {
  const root = document.documentElement, button = byId("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const say = () => {
    button.setAttribute("aria-pressed", isDark());
    button.setAttribute("aria-label", "Dark theme");
    button.textContent = isDark() ? "☾ Dark" : "☀ Light";
  };
  try { // a page opened from a file may have no storage
    const kept = localStorage.getItem("diffbench-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* the system's theme it is */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("diffbench-theme", root.dataset.theme); } catch { /* for this visit only */ }
    say();
  });
  dark.addEventListener("change", say);
  button.hidden = false;
  say();
}
