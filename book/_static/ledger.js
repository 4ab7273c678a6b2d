/* Turns a table, such as the ledger's, into one that filters, sorts, saves what it shows, and opens at the run
   or the choice of runs that the address names: #KEY, or #task=sst&lam=-10. */
(function () {
  "use strict";
  const ALL = "";

  /* Each value of a row's data-… is one of several, separated by "|". */
  function chosen(row, choice) {
    return Object.entries(choice).every(([name, value]) =>
      name === "words"
        ? row.textContent.toLowerCase().includes(value.toLowerCase())
        : (row.dataset[name] || "").split("|").includes(value));
  }

  function start(ledger) {
    const form = ledger.querySelector("form");
    const body = ledger.querySelector("tbody");
    const rows = [...body.rows];
    const count = ledger.querySelector(".ledger-count");
    const opened = new Map(); // row -> what closes its details
    const fields = [...form.elements].filter((field) => field.name);

    function choice() {
      return Object.fromEntries(fields.filter((f) => f.value.trim() !== ALL).map((f) => [f.name, f.value.trim()]));
    }

    function show() {
      fold();
      const wanted = choice();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !chosen(row, wanted);
        shown += !row.hidden;
      }
      const of = count.dataset.of || "runs";
      count.textContent = shown === rows.length ? `${rows.length} ${of}.` : `${shown} of ${rows.length} ${of}.`;
    }

    /* Details take the whole width, in a row of their own. */
    function unfold(row) {
      const details = row.querySelector("details");
      const facts = details.querySelector("dl");
      const more = window.sparseattn.make("tr", { class: "ledger-more" });
      more.insertCell().colSpan = row.cells.length;
      more.cells[0].append(facts);
      row.after(more);
      opened.set(row, () => { details.append(facts); more.remove(); });
    }

    function fold() {
      for (const row of opened.keys()) row.querySelector("details").open = false;
      for (const close of opened.values()) close();
      opened.clear();
    }

    for (const row of rows) {
      const details = row.querySelector("details");
      if (!details) continue;
      details.addEventListener("toggle", () => {
        if (details.open === opened.has(row)) return;
        if (details.open) return unfold(row);
        opened.get(row)();
        opened.delete(row);
      });
    }

    /* The address keeps the choice, so that it can be sent to others; Back undoes it. */
    function remember(how) {
      const fragment = Object.entries(choice()).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
      history[how](null, "", fragment ? `#${fragment}` : location.pathname + location.search);
    }

    function follow() {
      const fragment = location.hash.slice(1);
      const row = rows.find((one) => one.id === fragment);
      const wanted = row ? {} : Object.fromEntries(new URLSearchParams(fragment));
      if (fragment && !row && !fields.some((field) => field.name in wanted)) return;
      for (const field of fields) {
        const value = wanted[field.name] || ALL;
        const known = field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value);
        field.value = known ? value : ALL;
      }
      show();
      for (const one of rows) one.classList.toggle("named", one === row);
      if (row) row.querySelector("details").open = true;
      if (fragment) (row || form).scrollIntoView({ block: row ? "center" : "start" });
    }

    form.addEventListener("submit", (event) => event.preventDefault());
    // A word is typed letter by letter: of these Back knows only the last.
    form.addEventListener("input", (event) => { show(); remember(event.target.tagName === "SELECT" ? "pushState" : "replaceState"); });
    form.addEventListener("reset", () => setTimeout(() => { show(); remember("pushState"); }));

    const saved = ledger.querySelector(".ledger-csv");
    const lines = saved && JSON.parse(saved.textContent);
    const place = new Map(rows.map((row, index) => [row, index + 1]));
    if (saved) form.querySelector("[data-get=csv]").addEventListener("click", () => {
      const kept = [...body.rows].filter((row) => place.has(row) && !row.hidden).map((row) => lines[place.get(row)]);
      window.sparseattn.save("runs.csv", [lines[0], ...kept, ""].join("\r\n"), "text/csv");
    });

    sortable(ledger.querySelector("thead"), body, fold);
    form.hidden = false;
    if (location.hash) follow();
    addEventListener("hashchange", follow); // by a link, or by Back
  }

  /* A button in each heading: it is reached by Tab, and says through aria-sort what it did. */
  function sortable(head, body, fold) {
    const heads = [...head.rows[0].cells];
    for (const [column, cell] of heads.entries()) {
      if (cell.classList.contains("unsorted")) continue;
      const button = window.sparseattn.make("button", { type: "button" }, cell.textContent);
      cell.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = cell.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
        const compared = (a, b) => {
          const [x, y] = [key(a), key(b)];
          return isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        };
        fold();
        const ordered = [...body.rows].sort((a, b) => (down ? -1 : 1) * compared(a, b));
        body.append(...ordered);
      });
    }
  }

  const begin = () => document.querySelectorAll(".ledger").forEach(start);
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
  else begin();
})();
