// What can be switched, sorted and filtered? Without this script the page is complete and still.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector) => [...document.querySelectorAll(selector)];

  // A page opened from disk may have no storage; a choice then lasts as long as the page.
  const stored = {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* nowhere to keep it */ } },
  };

  function press(attribute, value) {
    for (const button of all(`button[${attribute}]`)) {
      button.setAttribute("aria-pressed", String(button.getAttribute(attribute) === value));
    }
  }

  function language(value) {
    root.lang = value;
    document.title = document.title.replace(/^.*? · /, `${figures.words.report_title[value]} · `);
    press("data-language", value);
    drawCharts(figures, value);
  }

  function theme(value) {
    if (value === "auto") delete root.dataset.theme; else root.dataset.theme = value;
    press("data-theme-choice", value);
  }

  const figures = JSON.parse(document.getElementById("figures").textContent);
  for (const button of all("button[data-language]")) {
    button.addEventListener("click", () => language(button.dataset.language));
  }
  for (const button of all("button[data-theme-choice]")) {
    button.addEventListener("click", () => {
      theme(button.dataset.themeChoice);
      stored.set("prunescope-theme", button.dataset.themeChoice);
    });
  }
  const kept = stored.get("prunescope-theme");
  theme(["auto", "light", "dark"].includes(kept) ? kept : "auto");
  language(root.lang);

  const table = document.getElementById("modules");
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const column = (name) => headers.findIndex((header) => header.dataset.column === name);
  const text = (row, index) => row.cells[index].textContent;
  // "4096 × 4096" sorts by its product, "-" before all numbers.
  const number = (cell) =>
    cell === "-" ? -1 : cell.replaceAll(",", "").split(" × ").reduce((a, b) => a * Number(b), 1);

  function sort(header, index) {
    const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", direction);
    const compare = header.dataset.sort === "number"
      ? (a, b) => number(text(a, index)) - number(text(b, index))
      : (a, b) => text(a, index).localeCompare(text(b, index), "en");
    rows.sort((a, b) => (direction === "ascending" ? compare(a, b) : compare(b, a)));
    body.append(...rows);
  }

  headers.forEach((header, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header, index));
    header.append(button);
  });

  const inputs = ["filter", "filter-model", "filter-module", "filter-pruned"]
    .map((id) => document.getElementById(id));
  const [search, model, module, pruned] = inputs;

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const cells = [...row.cells].map((cell) => cell.textContent.toLowerCase());
      row.hidden =
        // A number is a whole cell, so that "3" is layer 3 and not 13; a word may be part of one.
        !words.every((word) => cells.some((c) => (/^\d+$/.test(word) ? c === word : c.includes(word)))) ||
        Boolean(model?.value && text(row, column("model")) !== model.value) ||
        Boolean(module.value && text(row, column("module")) !== module.value) ||
        (pruned.checked && number(text(row, column("sparsity"))) === 0);
      count += row.hidden ? 0 : 1;
    }
    document.getElementById("filter-count").textContent = `${count} / ${rows.length}`;
  }

  inputs.forEach((input) => input?.addEventListener("input", filter));
  filter();
  all(".filters, .switches").forEach((part) => { part.hidden = false; });
})();
