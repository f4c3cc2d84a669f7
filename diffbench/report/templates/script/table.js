// The table of all results: sorted by any column, filtered by text, model and sampler.
function sortable(table) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const text = (row, column) => row.cells[column].textContent;
  const value = (row, column) => {
    const found = text(row, column).match(/-?\d[\d.]*(e[+-]?\d+)?/);
    return found ? Number(found[0]) : null;
  };
  const original = [...body.rows];
  heads.forEach((head, column) => {
    const numeric = head.classList.contains("number");
    const button = make("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = original.slice().sort((a, b) => {
        if (!numeric) return (up ? 1 : -1) * text(a, column).localeCompare(text(b, column), undefined, { numeric: true });
        const [one, other] = [value(a, column), value(b, column)];
        if (one === null || other === null) return (one === null) - (other === null); // what is missing goes last either way
        return (up ? 1 : -1) * (one - other);
      });
      for (const row of rows) row.classList.remove("first");
      body.append(...rows);
    });
  });
}

function filterable(table, host) {
  const rows = [...table.tBodies[0].rows];
  const said = make("output", { role: "status" });
  const search = make("input", { type: "search", "aria-label": "Filter", placeholder: "any text", oninput: apply });
  host.append(make("label", {}, "Filter", search));
  // the rows are the cells of the data, in its order; a list of one name says nothing
  const lists = [["Model", (cell) => data.models[cell.model]], ["Variant", (cell) => cell.variant || "as it is"], ["Sampler", (cell) => cell.sampler]].map(([label, of]) => {
    const own = data.cells.map(of), names = [...new Set(own)];
    const list = names.length > 1 ? choice(host, label, [["", "all"], ...names.map((name) => [name, name])], apply) : { value: "" };
    return (index) => !list.value || own[index] === list.value;
  });
  const best = make("input", { type: "checkbox", onchange: apply });
  if (table.querySelector("strong")) host.append(make("label", {}, best, "best and ties only"));
  host.append(said);
  function apply() {
    let shown = 0;
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [index, row] of rows.entries()) {
      const all = row.textContent.toLowerCase();
      const fits = wanted.every((word) => all.includes(word)) && lists.every((fit) => fit(index))
        && (!best.checked || row.querySelector("strong"));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    said.textContent = `${shown} of ${rows.length} cells`;
  }
  apply();
}

function tables() {
  for (const long of document.querySelectorAll("table")) if (long.tBodies[0].rows.length > 24) long.parentElement.classList.add("tall");
  const table = document.querySelector("table.sortable");
  if (!table) return;
  sortable(table);
  filterable(table, byId("table-controls"));
}
