"use strict";
// The theme, and tables that sort and filter. Everything foreign is set as textContent.

const LONG = 8; // rows from which a table gets a filter

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// --- theme ---

function setUpTheme() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; label(); });
  button.hidden = false;
  label();
}

// --- tables ---

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function valueOf(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.sort !== undefined) {
    const number = Number(cell.dataset.sort.replace("inf", "Infinity"));
    return Number.isNaN(number) ? null : number;
  }
  const text = cell.textContent.trim();
  if (text === "" || text === "–") return null;
  return Number.isNaN(Number(text)) ? text : Number(text);
}

function sortBy(table, column, ascending) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, value: valueOf(row, column) }));
  rows.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null); // nothing comes last
    return ascending ? compare(a.value, b.value) : compare(b.value, a.value);
  });
  body.append(...rows.map(({ row }) => row));
}

function setUpSorting(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = make("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(table, column, ascending);
    });
    head.append(button);
  });
}

function setUpFilter(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < LONG || "form" in table.dataset) return; // a form filters it
  const bar = make("div", "filter");
  const label = make("label", "", "Show rows that contain");
  const input = make("input");
  input.type = "search";
  const count = make("span", "status");
  count.setAttribute("role", "status");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
  label.append(input);
  bar.append(label, count);
  table.closest(".scroll").before(bar);
}

setUpTheme();
for (const table of document.querySelectorAll("table.sortable")) {
  setUpSorting(table);
  setUpFilter(table);
}
