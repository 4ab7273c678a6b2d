/* Draws the figures that `sparseattn.figures` wrote, in the page's theme, from the book's own
   scripts; turns their legends into filters; offers their data and pictures. */
(function () {
  "use strict";
  const here = document.currentScript.src; // none where scripts and styles stand in the page itself
  const figures = new Map(); // element -> {spec, view, state, width}
  let loading = null;

  /* An element with attributes and what stands in it. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  /* A script, read; the fault is said where it is not there. */
  function scripted(src, fault) {
    return new Promise((resolve, reject) => {
      const script = make("script", { src });
      script.onload = resolve;
      script.onerror = () => {
        script.remove();
        reject(new Error(fault));
      };
      document.head.append(script);
    });
  }

  const loadVega = () => (window.vegaEmbed ? null : (loading ??= scripted(new URL("../vega.js", here), "vega.js is missing from the book")));

  const mode = () => (document.documentElement.dataset.theme === "dark" ? "dark" : "light");

  /* A colour, or all those of a specification, as the theme draws them. */
  function shaded(text, theme) {
    if (theme === "dark")
      for (const [colour, brighter] of Object.entries(window.sparseattnBrighter)) text = text.replaceAll(colour, brighter);
    return text;
  }

  /* A long name of a panel, in two lines: after a comma or colon, or else between words. */
  const LINES = "length(datum.label) > 26 ? split(replace(datum.label, test(regexp(', |: '), datum.label) ? regexp(', |: ') : regexp('^.{12,}? '), '$&\\n'), '\\n') : datum.label";

  /* The specification as drawn at a width: small multiples share it, one column on a phone. */
  function fitted(spec, width, theme, spare = 0) {
    const copy = JSON.parse(shaded(JSON.stringify(spec), theme));
    if (copy.spec) {
      if (width < 560) { // panels one below another: each with its own axis in view
        copy.columns = 1;
        copy.resolve = { ...copy.resolve, axis: { x: "independent" } };
      }
      copy.columns ||= 1;
      copy.spec.width = Math.max(Math.floor((width + spare) / copy.columns) - 100, 120);
      if (copy.spec.width < 260) copy.facet.header = { labelExpr: LINES };
    } else {
      copy.width = width;
      copy.autosize = { type: "fit-x", contains: "padding" };
    }
    return copy;
  }

  async function embed(target, spec, theme, extra) {
    const config = structuredClone(window.sparseattnThemes[theme]);
    if (extra.noLegend) config.legend.disable = true;
    else config.legend.columns = spec.usermeta?.legend?.columns || 4;
    if (extra.narrow) {
      config.axis.labelLimit = 150;
      config.axis.labelFontSize = config.axis.titleFontSize = 11;
    }
    const result = await window.vegaEmbed(target, spec, {
      mode: "vega-lite", renderer: "svg", actions: false, config, tooltip: { theme },
    });
    unname(target);
    return result.view;
  }

  // Vega calls a group of marks a symbol even when it holds none, and then has no name for it.
  function unname(target) {
    for (const group of target.querySelectorAll('g[role="graphics-symbol"]:empty')) {
      group.removeAttribute("role");
      group.removeAttribute("aria-roledescription");
    }
  }

  function readState(view, spec) {
    const state = {};
    for (const param of spec.params || []) if ("value" in param) state[param.name] = view.signal(param.name);
    return state;
  }

  async function apply(view, state) {
    for (const [name, value] of Object.entries(state)) view.signal(name, value);
    await view.runAsync();
    unname(view.container());
  }

  async function draw(figure) {
    const entry = figures.get(figure);
    const live = figure.querySelector(".chart-live");
    const turn = (entry.turn = (entry.turn || 0) + 1); // a later draw overtakes this one
    live.hidden = false;
    figure.classList.add("drawn");
    const width = live.clientWidth;
    if (!width) return;
    if (entry.view) { entry.state = readState(entry.view, entry.spec); entry.view.finalize(); }
    const legend = entry.spec.usermeta && entry.spec.usermeta.legend;
    const options = { noLegend: Boolean(legend), narrow: width < 480 };
    let view = await embed(live, fitted(entry.spec, width, mode()), mode(), options);
    if (entry.spec.spec) { // how much the axes take of small multiples is known only once drawn
      const spare = width - live.querySelector("svg").width.baseVal.value;
      view.finalize();
      view = await embed(live, fitted(entry.spec, width, mode(), spare), mode(), options);
    }
    if (turn !== entry.turn) return view.finalize();
    entry.view = view;
    entry.width = width;
    await apply(view, entry.state);
    for (const swatch of figure.querySelectorAll(".chart-swatch"))
      swatch.style.background = shaded(swatch.dataset.colour, mode());
    figure.dataset.drawn = mode();
  }

  /* Buttons, unlike a drawn legend, wrap on a phone and answer to the keyboard. */
  function buildLegend(figure) {
    const entry = figures.get(figure);
    const legend = entry.spec.usermeta && entry.spec.usermeta.legend;
    if (!legend) return;
    const box = figure.querySelector(".chart-legend");
    box.setAttribute("aria-label", "Filter by " + legend.title);
    box.append(make("span", { class: "chart-legend-title" }, legend.title));
    for (const item of legend.items) {
      const swatch = make("span", { class: "chart-swatch", "data-colour": item.colour });
      const button = make("button", { type: "button", "aria-pressed": "false", "data-value": item.value }, swatch, item.value);
      button.addEventListener("click", async () => {
        const pressed = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(pressed));
        const chosen = [...box.querySelectorAll("[aria-pressed=true]")].map((b) => b.dataset.value);
        box.classList.toggle("filtering", chosen.length > 0);
        await apply(entry.view, { chosen });
      });
      box.append(button);
    }
    box.hidden = legend.items.length < 2;
  }

  /* Made here, for they need a script, and search would take them for words of the page. */
  function buildDownloads(figure) {
    const box = make("span", { class: "chart-downloads" }, "Download ");
    for (const [kind, words] of Object.entries({ csv: "data (CSV)", svg: "picture (SVG)", png: "picture (PNG)" })) {
      const button = make("button", { type: "button", "data-get": kind }, words);
      button.addEventListener("click", () => download(figure, kind));
      box.append(button);
    }
    figure.querySelector(".chart-tools").append(box);
  }

  function save(name, content, type) {
    const url = content.startsWith("data:") ? content : URL.createObjectURL(new Blob([content], { type }));
    make("a", { href: url, download: name }).click();
    if (url !== content) setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  window.sparseattn = { make, scripted, save }; // for the other scripts, which may be read before this

  /* What a spreadsheet program would run as a formula, were there no apostrophe before it. */
  const FORMULA = /^(?=[=@\t\r\n]|[+-](?!\d*\.?\d+([eE][+-]?\d+)?$))/;

  function asCsv(spec) {
    const rows = Object.values(spec.datasets || {}).flat();
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const cell = (value) => {
      const text = String(value ?? "").replace(FORMULA, "'");
      return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    return [columns, ...rows.map((row) => columns.map((column) => row[column]))]
      .map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  }

  /* One button for the code of a page, in place of a line above each of its results. */
  function gatherCode() {
    const article = document.querySelector(".bd-article");
    if (!article) return; // the page of search has none
    const codes = article.querySelectorAll(".cell > details.hide");
    const title = article.querySelector("h1");
    if (!codes.length || !title) return;
    const button = make("button", { type: "button", class: "code-shown" });
    const show = (shown) => {
      article.classList.toggle("gathered", !shown);
      for (const code of codes) code.open = shown;
      button.textContent = shown ? "Hide the code" : "Show the code of this page";
      button.setAttribute("aria-pressed", String(shown));
    };
    button.addEventListener("click", () => show(article.classList.contains("gathered")));
    show(false);
    title.after(button);
  }

  /* A text in lines of at most so many letters. */
  function wrapped(text, most) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const longer = (lines.at(-1) + " " + word).trim();
      if (longer.length > most) lines.push(word);
      else lines[lines.length - 1] = longer;
    }
    return lines;
  }

  /* The picture is drawn anew: light, 720 wide, with its legend, in the reader's state. */
  async function picture(entry, key) {
    const target = make("div", { class: "chart-offstage" });
    document.body.append(target);
    const spec = fitted(entry.spec, 720, "light");
    for (const param of spec.params || []) delete param.bind;
    if (key) spec.title = { text: wrapped(key, 100), orient: "bottom", anchor: "start", offset: 12 };
    const view = await embed(target, spec, "light", {});
    await apply(view, readState(entry.view, entry.spec));
    return { view, done: () => { view.finalize(); target.remove(); } };
  }

  async function download(figure, kind) {
    const entry = figures.get(figure);
    const name = figure.dataset.name + "." + kind;
    if (kind === "csv") return save(name, asCsv(entry.spec), "text/csv");
    // The words under the figure do not travel with its picture; what its marks mean must.
    const key = figure.querySelector(".chart-key");
    const { view, done } = await picture(entry, key && key.textContent);
    if (kind === "svg") save(name, await view.toSVG(), "image/svg+xml");
    else save(name, (await view.toCanvas(2)).toDataURL("image/png"), "image/png");
    done();
  }

  /* A formula wider than a phone is drawn smaller, down to two thirds; beyond, it scrolls. */
  function fitFormulas() {
    for (const formula of document.querySelectorAll(".bd-article mjx-container[display]")) {
      formula.dataset.size ||= formula.style.fontSize || "100%";
      formula.style.fontSize = formula.dataset.size;
      const share = formula.clientWidth / formula.scrollWidth;
      if (share < 1) formula.style.fontSize = parseFloat(formula.dataset.size) * Math.max(share - 0.01, 0.65) + "%";
    }
  }

  /* What scrolls inside itself must be reachable by keyboard, and look as if there were more. */
  function markScrollers() {
    fitFormulas();
    const scrollers = ".cell_output .output, div.highlight pre, .table-scroll, .pst-scrollable-table-container, div.math, mjx-container[display], .bd-main table";
    for (const box of document.querySelectorAll(scrollers)) {
      const wide = innerWidth <= 720 && box.matches(".table-scroll") && box.scrollWidth > box.clientWidth + 1;
      if (wide) box.querySelector("table").classList.add("cards");
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      if (scrolls && box.tabIndex < 0) box.tabIndex = 0;
      fade(box);
      if (scrolls && !box.dataset.scrolls) {
        box.dataset.scrolls = "true";
        box.addEventListener("scroll", () => fade(box), { passive: true });
      }
    }
  }

  const fade = (box) => box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);

  /* Sphinx calls a bibliography a list, and its entries something else. */
  function mendLists() {
    for (const entry of document.querySelectorAll(".citation-list > .citation")) entry.setAttribute("role", "listitem");
  }

  /* What search shows of a page is prose: no code, no words of buttons. */
  function mendSearch() {
    if (typeof Search === "undefined") return;
    const whole = Search.htmlToText;
    Search.htmlToText = (html, anchor) => {
      const page = new DOMParser().parseFromString(html, "text/html");
      for (const chrome of page.querySelectorAll(".cell_input, details.hide, .chart-words summary, noscript, table.provenance, table.runs, .ledger")) chrome.remove();
      return whole(page.documentElement.outerHTML, anchor);
    };
  }

  async function start() {
    mendSearch();
    gatherCode();
    const found = [...document.querySelectorAll("figure.chart")];
    addEventListener("load", () => {
      markScrollers();
      if (window.MathJax && window.MathJax.startup.promise) window.MathJax.startup.promise.then(markScrollers);
    });
    markScrollers();
    addEventListener("toggle", markScrollers, true);
    mendLists();
    if (!found.length) return;
    await loadVega();
    for (const figure of found) {
      const spec = JSON.parse(figure.querySelector(".chart-spec").textContent);
      figures.set(figure, { spec, view: null, state: {}, width: 0 });
      buildLegend(figure);
      await draw(figure);
      buildDownloads(figure);
    }
    const redraw = () => found.forEach((figure) => draw(figure));
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    let waiting = 0;
    new ResizeObserver(() => { // the window's width changed, or a sidebar came or went
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        for (const [figure, entry] of figures)
          if (figure.querySelector(".chart-live").clientWidth !== entry.width) draw(figure);
        markScrollers();
      }, 150);
    }).observe(document.querySelector(".bd-article"));
    document.documentElement.dataset.charts = "ready";
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
