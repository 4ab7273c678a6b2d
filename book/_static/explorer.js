/* The page on which readers look at single documents: shows what `sparseattn.explorer` measured.
   Nothing is measured here. Text of documents only ever becomes text. */
(function () {
  "use strict";
  const LONG = 60; // tokens beyond which words are set smaller
  const AT_FIRST = ["attention", "inputs_gradient"]; // strips that are shown until others are asked for
  const PARTS = ["task", "classifier", "projection", "document", "token", "show"]; // of the address
  const FIRST = 6; // tokens in each list of bars
  const number = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

  const spelled = (value) => (Number.isFinite(value) ? number.format(value).replace("-", "−").replace("−0.00", "0.00") : "–");
  const percent = (share) => (share === 0 ? "0 %" : share < 0.001 ? "< 0.1 %" : (100 * share).toFixed(share < 0.0995 ? 1 : 0) + " %");
  const lowered = (whole) => [...String(whole)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");

  const make = (...given) => window.sparseattn.make(...given); // known only once all scripts are read

  const quoted = (text) => `“${text.length > 40 ? text.slice(0, 40) + "…" : text}”`;

  /* What an address names that is not among these parts; and what is said of such faults. */
  function strangers(fragment, parts) {
    const asked = [...new URLSearchParams(fragment).keys()];
    if (fragment && !parts.some((part) => asked.includes(part))) return [`${quoted(fragment)} names nothing here`];
    return asked.filter((part) => !parts.includes(part)).map((part) => `there is no ${quoted(part)}`);
  }

  const faulty = (faults) => (faults.length ? `Of the address not all is understood: ${faults.join("; ")}. The rest is shown.` : "");

  /* -- what shows tokens and their shares, here and on the page "Your own sentence" -- */
  function shade(tokens, shares) {
    const most = shares ? Math.max(...shares) : 0;
    [...tokens.children].forEach((token, k) => {
      token.style.setProperty("--share", most ? (shares[k] / most).toFixed(3) : 0);
      token.classList.toggle("none", Boolean(shares) && shares[k] === 0);
    });
  }

  const numbered = (rows) => rows.map(([name, value]) => make("span", { "data-number": name }, make("small", {}, name), " ", make("b", {}, value)));

  const ordered = (shares, count) => [...shares.keys()].filter((k) => shares[k] > 0).sort((a, b) => shares[b] - shares[a] || a - b).slice(0, count);

  /* The first words by the shares of each kind. */
  function bars(kinds, sharesOf, words) {
    return kinds.map(({ code, name, of }) => {
      const shares = sharesOf(code) || [];
      const first = ordered(shares, FIRST);
      const list = make("ol", { "aria-label": name });
      for (const k of first) {
        const bar = make("span", { class: "explorer-bar" });
        bar.style.setProperty("--share", (shares[k] / shares[first[0]]).toFixed(3));
        list.append(make("li", { "data-at": k }, make("span", { class: "explorer-bar-word" }, words[k]), make("span", { class: "explorer-bar-value" }, percent(shares[k])), bar));
      }
      if (!first.length) list.append(make("li", {}, "–"));
      return make("div", { "data-of": of }, make("p", { class: "explorer-name" }, make("span", { class: "explorer-swatch" }), name), list);
    });
  }

  /* The place among so many to which a key leads from one, if to any; of other keys undefined. */
  function steered(event, place, count, others = {}) {
    if (!event.target.matches("[data-at]") || event.ctrlKey || event.metaKey || event.altKey) return undefined;
    const back = getComputedStyle(event.target.parentElement).direction === "rtl" ? 1 : -1;
    const to = { ArrowLeft: () => place + back, ArrowRight: () => place - back, Home: () => 0, End: () => count - 1, ...others }[event.key]?.();
    if (to !== undefined) event.preventDefault();
    return to >= 0 && to < count ? to : undefined;
  }

  const svg = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  };

  /* A value over the projections, its ceiling dashed, the chosen projection a large dot. */
  function sparkline(values, ceilings, lowest, chosen, words) {
    const [width, height, margin] = [104, 36, 5];
    const x = (k) => margin + (values.length > 1 ? k / (values.length - 1) : 0.5) * (width - 2 * margin);
    const y = (value) => margin + (1 - (value - lowest) / (1 - lowest)) * (height - 2 * margin);
    const path = (row) => row.map((value, k) => (value === null ? null : `${x(k)},${y(value)}`)).filter(Boolean).join(" ");
    const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words, class: "explorer-spark" });
    drawn.append(svg("title", {}, words), svg("line", { x1: 0, x2: width, y1: y(0), y2: y(0), class: "zero" }));
    if (ceilings) drawn.append(svg("polyline", { points: path(ceilings), class: "ceiling" }));
    drawn.append(svg("polyline", { points: path(values), class: "line" }));
    values.forEach((value, k) => {
      if (value !== null) drawn.append(svg("circle", { cx: x(k), cy: y(value), r: k === chosen ? 4 : 1.8, class: k === chosen ? "here" : "there" }));
    });
    return drawn;
  }

  class Explorer {
    constructor(root) {
      this.live = root.querySelector(".explorer-live");
      this.data = JSON.parse(root.querySelector(".explorer-data").textContent);
      const { measures } = this.data;
      this.kinds = [measures[0], { code: "influence", name: "Influence on hₚ", symbol: "‖∂‖hₚ‖/∂Xᵢ‖", of: "influence" }, ...measures.slice(1)];
      this.state = { task: 0, classifier: 0, stop: 0, document: 0, token: 0, show: null };
      this.build();
      this.start(location.hash.slice(1));
      root.querySelector(".explorer-static").hidden = true;
      this.live.hidden = false;
      // The address asked for, not the one a choice just before may have written since.
      addEventListener("hashchange", (event) => this.start(new URL(event.newURL).hash.slice(1)));
      for (const button of document.querySelectorAll("[data-explore]")) {
        button.hidden = false;
        button.addEventListener("click", () => {
          this.start(button.dataset.explore);
          this.step = true;
          this.live.scrollIntoView({ block: "start" });
          this.at(this.state.token).focus({ preventScroll: true });
        });
      }
      root.dataset.ready = "yes";
    }

    /* -- what is chosen -- */
    get task() { return this.data.tasks[this.state.task]; }
    get classifier() { return this.task.classifiers[this.state.classifier]; }
    get stop() { return this.classifier.stops[this.state.stop]; }
    get document() { return this.task.documents[this.state.document]; }
    get seen() { return this.stop.documents[this.state.document]; }
    get unknown() { return new Set(this.document.unknown); }
    get shown() {
      if (this.state.show) return this.state.show;
      return AT_FIRST;
    }

    /* The shares of a kind, or null where it is undefined or not kept. */
    shares(kind, stop = this.stop) {
      const seen = stop.documents[this.state.document];
      if (kind !== "influence") return seen.measures[kind].shares.map((units) => units * this.data.share_unit);
      const row = seen.influence.shares[this.document.positions.indexOf(this.state.token)];
      return row ? row.map((units) => units * this.data.influence_unit) : null;
    }

    /* Change the choice; whatever no longer exists falls back to something that does. */
    move(changes) {
      const before = { ...this.state };
      const code = this.stop.code;
      Object.assign(this.state, changes);
      const s = this.state;
      if (s.task !== before.task) Object.assign(s, { classifier: 0, document: 0 }, changes);
      if (!("stop" in changes)) s.stop = this.near(code);
      const other = s.task !== before.task || s.document !== before.document;
      if (other && !("token" in changes)) s.token = this.heaviest();
      s.token = Math.max(0, Math.min(s.token, this.document.tokens.length - 1));
      this.fault.textContent = "";
      this.paint(other || !this.deciding);
      this.step ||= other || s.classifier !== before.classifier || s.show !== before.show;
      clearTimeout(this.saving);
      this.saving = setTimeout(() => this.remember(), 120);
    }

    /* Write the choice into the address; what one may want to come Back from is a step. */
    remember() {
      clearTimeout(this.saving);
      history[this.step ? "pushState" : "replaceState"](null, "", "#" + this.fragment());
      this.step = false;
    }

    near(code) {
      const same = this.classifier.stops.findIndex((stop) => stop.code === code);
      return same < 0 ? Math.min(this.state.stop, this.classifier.stops.length - 1) : same;
    }

    /* The projection first shown: sparsemax, or one in the middle. */
    usual({ stops }) {
      const sparse = stops.findIndex((stop) => stop.code === "sparsemax");
      return sparse < 0 ? stops.length >> 1 : sparse;
    }

    heaviest() {
      const shares = this.shares("attention");
      return shares.indexOf(Math.max(...shares));
    }

    fragment() {
      const chosen = { task: this.task.code, classifier: this.classifier.code, projection: this.stop.code, document: this.document.number, token: this.state.token + 1 };
      if (this.state.show) chosen.show = this.state.show.join(".");
      return new URLSearchParams(chosen).toString();
    }

    /* Take the choice from a link, and say what in it is not ours. */
    start(fragment) {
      const asked = new URLSearchParams(fragment);
      const faults = strangers(fragment, PARTS);
      const place = (list, key, name) => {
        const found = list.findIndex((one) => String(one[key]) === asked.get(name));
        if (asked.has(name) && found < 0) faults.push(`no ${name} ${quoted(asked.get(name))}`);
        return Math.max(0, found);
      };
      const task = this.data.tasks[place(this.data.tasks, "code", "task")];
      const classifier = place(task.classifiers, "code", "classifier");
      const { stops } = task.classifiers[classifier];
      const stop = asked.has("projection") ? place(stops, "code", "projection") : this.usual(task.classifiers[classifier]);
      const changes = { task: this.data.tasks.indexOf(task), classifier, stop, document: place(task.documents, "number", "document"), show: null };
      if (asked.has("show")) {
        const codes = this.kinds.map((kind) => kind.code);
        const given = asked.get("show").split(".").filter(Boolean);
        faults.push(...given.filter((code) => !codes.includes(code)).map((code) => `no strip ${quoted(code)}`));
        changes.show = codes.filter((code) => code === "attention" || given.includes(code));
      }
      const count = task.documents[changes.document].tokens.length;
      const token = Number(asked.get("token"));
      const known = Number.isInteger(token) && token > 0 && token <= count;
      if (asked.has("token") && !known) faults.push(`no token ${quoted(asked.get("token"))} among ${count}`);
      Object.assign(this.state, changes, { token: 0 });
      this.deciding = null;
      this.move({ token: known ? token - 1 : this.heaviest() });
      this.step = false; // the address is this one already
      this.fault.textContent = faulty(faults);
    }

    /* -- controls, made once -- */
    build() {
      const choice = (name, title) => {
        const select = make("select", { name });
        select.addEventListener("change", () => this.move({ [name]: Number(select.value) }));
        this[name + "s"] = select;
        return make("label", { class: "explorer-choice explorer-" + name }, make("span", {}, title), select);
      };
      const step = (by, sign, words) => {
        const button = make("button", { type: "button", "aria-label": words }, sign);
        const count = () => this.task.documents.length;
        button.addEventListener("click", () => this.move({ document: (this.state.document + by + count()) % count() }));
        return button;
      };
      this.slider = make("input", { type: "range", name: "projection", min: 0, step: 1, "aria-label": "Projection" });
      this.slider.addEventListener("input", () => this.move({ stop: Number(this.slider.value) }));
      this.ticks = make("div", { class: "explorer-ticks", "aria-hidden": "true" });
      this.projection = make("output", { class: "explorer-stop" });
      this.fault = make("p", { class: "explorer-fault", role: "status" });
      this.summary = make("p", { class: "explorer-summary", role: "status" });
      this.about = make("p", { class: "explorer-about" });
      this.toggles = make("div", { class: "explorer-toggles", role: "group", "aria-label": "Show" });
      this.strips = make("div", { class: "explorer-strips" });
      this.bars = make("div", { class: "explorer-bars" });
      this.live.append(
        make("div", { class: "explorer-controls" },
          choice("task", "Task"), choice("classifier", "Classifier"),
          make("div", { class: "explorer-documents" }, choice("document", "Document"), step(-1, "‹", "Previous document"), step(1, "›", "Next document"))),
        make("div", { class: "explorer-projection" }, make("div", {}, make("span", {}, "Projection"), this.projection), this.slider, this.ticks),
        this.fault, this.summary, this.about, this.toggles, this.strips,
        make("p", { class: "explorer-title" }, `The first ${FIRST} tokens by each`), this.bars, this.permalink());
      this.data.tasks.forEach((task, k) => this.tasks.append(new Option(task.name, k)));
      this.tasks.disabled = this.data.tasks.length < 2;
      for (const kind of this.kinds) this.buildStrip(kind);
      this.strips.addEventListener("mouseover", (event) => this.peek(event.target.closest("[data-at]")));
      this.strips.addEventListener("mouseleave", () => this.peek(null));
      this.live.addEventListener("click", (event) => {
        const token = event.target.closest("[data-at]");
        if (token) this.choose(Number(token.dataset.at));
      });
      this.strips.addEventListener("keydown", (event) => this.steer(event));
    }

    buildStrip(kind) {
      kind.head = make("div", { class: "explorer-numbers" });
      kind.spark = make("span", {});
      kind.tokens = make("div", { class: "explorer-tokens", dir: "auto" });
      kind.value = make("p", { class: "explorer-value" });
      const name = make("span", { class: "explorer-name" }, kind.name);
      const top = make("div", { class: "explorer-top" }, make("span", { class: "explorer-swatch" }), make("div", {}, name, make("span", { class: "explorer-symbol" }, kind.symbol)), kind.spark);
      kind.strip = make("section", { class: "explorer-strip", "data-of": kind.of, "data-kind": kind.code, "aria-label": kind.name }, top, kind.head, kind.tokens, kind.value);
      if (kind.code === "influence") kind.strip.append((this.owed = make("p", { class: "explorer-owed", role: "status" })));
      this.strips.append(kind.strip);
      if (kind.code === "attention") return;
      const button = make("button", { type: "button", "data-of": kind.of, "data-kind": kind.code }, make("span", { class: "explorer-swatch" }), kind.name);
      button.addEventListener("click", () => {
        const shown = new Set(this.shown);
        shown.has(kind.code) ? shown.delete(kind.code) : shown.add(kind.code);
        this.move({ show: this.kinds.map((one) => one.code).filter((code) => shown.has(code)) });
      });
      kind.toggle = button;
      this.toggles.append(button);
    }

    permalink() {
      const button = make("button", { type: "button" }, "Copy a link to this view");
      const done = make("span", { role: "status" });
      button.addEventListener("click", async () => {
        this.remember();
        try {
          await navigator.clipboard.writeText(location.href);
          done.textContent = "Copied.";
        } catch {
          done.textContent = "It is in the address bar.";
        }
        setTimeout(() => (done.textContent = ""), 4000);
      });
      return make("p", { class: "explorer-permalink" }, button, " ", done);
    }

    /* -- positions -- */
    at(position) { return this.kinds[0].tokens.children[position]; }

    choose(position) {
      this.move({ token: position });
      this.at(position).focus({ preventScroll: true });
    }

    steer(event) {
      const place = this.state.token;
      const to = steered(event, place, this.document.tokens.length, { ArrowUp: () => this.beside(place, -1), ArrowDown: () => this.beside(place, 1) });
      if (to === undefined) return;
      this.move({ token: to });
      this.at(to).focus();
    }

    /* The token above or below one. */
    beside(place, way) {
      const boxes = [...this.kinds[0].tokens.children].map((token) => token.getBoundingClientRect());
      const own = boxes[place];
      const middle = (box) => box.left + box.width / 2;
      const lines = boxes.map((box) => box.top).filter((top) => (top - own.top) * way > 4);
      if (!lines.length) return place;
      const line = way > 0 ? Math.min(...lines) : Math.max(...lines);
      const gap = (k) => (Math.abs(boxes[k].top - line) > 4 ? Infinity : Math.abs(middle(boxes[k]) - middle(own)));
      return boxes.reduce((best, _, k) => (gap(k) < gap(best) ? k : best), place);
    }

    peek(token) {
      for (const old of this.strips.querySelectorAll(".peek")) old.classList.remove("peek");
      const position = token ? Number(token.dataset.at) : this.state.token;
      if (token) for (const same of this.strips.querySelectorAll(`[data-at="${position}"]`)) same.classList.add("peek");
      for (const kind of this.kinds) this.readOut(kind, position);
    }

    /* -- what is shown -- */
    paint(afresh) {
      const { tokens, evidence, positions } = this.document;
      const fill = (select, rows, chosen) => {
        const options = rows.map((text, k) => new Option(text, k));
        select.replaceChildren(...options);
        select.value = chosen;
      };
      this.tasks.value = this.state.task;
      fill(this.classifiers, this.task.classifiers.map((one) => one.name), this.state.classifier);
      if (afresh) {
        const line = (one, k) => `${k + 1}. ${one.why} · ${one.tokens.length} tokens · ${one.tokens.slice(0, 5).join(" ")} …`;
        fill(this.documents, this.task.documents.map(line), this.state.document);
        this.deciding = new Set(evidence || []);
        this.strips.classList.toggle("long", tokens.length > LONG);
        for (const kind of this.kinds) kind.tokens.replaceChildren(...tokens.map((token, k) => this.token(kind, token, k)));
      }
      this.documents.value = this.state.document;
      this.paintSlider();
      this.paintSummary();
      for (const kind of this.kinds) this.paintStrip(kind);
      this.paintOwed();
      this.paintBars();
      const kept = positions.length < tokens.length ? ` Influence is kept for the ${positions.length} states with most attention.` : "";
      this.about.textContent =
        `Document ${this.state.document + 1}: ${this.document.why}. ${tokens.length} tokens` +
        (evidence ? `; ● marks those that ${this.task.truth || "truly decide"}.` : ".") +
        (this.unknown.size ? " Words in italics the classifiers do not know; all such are one word to them." : "") +
        ` Noise of single numbers (leave-one-out) has a dispersion of about ${spelled(this.document.null)} here, of a gradient's length nearly 1.` + kept;
    }

    token(kind, text, k) {
      const own = kind.code === "attention";
      const token = make(own ? "button" : "span", { class: "explorer-word", "data-at": k });
      if (own) token.type = "button";
      token.classList.toggle("decides", this.deciding.has(k));
      token.classList.toggle("unknown", this.unknown.has(k));
      token.textContent = text;
      return token;
    }

    paintSlider() {
      const { stops } = this.classifier;
      this.slider.max = stops.length - 1;
      this.slider.value = this.state.stop;
      this.slider.disabled = stops.length < 2;
      this.slider.setAttribute("aria-valuetext", this.stop.name);
      this.projection.textContent = this.stop.name;
      const few = stops.length <= 6;
      this.ticks.replaceChildren(...stops.map((stop, k) => {
        const tick = make("span", { class: k === this.state.stop ? "chosen" : "" });
        const crowded = Math.abs(k - this.state.stop) === 1;
        if (few || k === this.state.stop || ((k === 0 || k === stops.length - 1) && !crowded)) tick.textContent = stop.short;
        return tick;
      }));
    }

    paintSummary() {
      const { predicted, probability, correct, support, measures } = this.seen;
      const sure = predicted ? probability : 1 - probability;
      const { tau, ceiling } = measures.inputs_gradient;
      this.summary.replaceChildren(
        "Read as ", make("strong", {}, this.task.classes[predicted]), ` (probability ${sure > 0.994 ? "above 0.99" : spelled(sure)}), `,
        correct ? "which is " : `but labelled ${this.task.classes[this.document.label]}: `,
        make("span", { class: "verdict verdict-" + (correct ? "holds" : "fails") }, correct ? "right" : "wrong"),
        `. Attention rests on ${support} of ${this.document.tokens.length} tokens; with the input gradient it has ` +
        `τ-b ${spelled(tau)} of at most ${spelled(ceiling)}.`);
    }

    paintStrip(kind) {
      const shown = this.shown.includes(kind.code);
      kind.strip.hidden = !shown;
      if (kind.toggle) kind.toggle.setAttribute("aria-pressed", String(shown));
      if (!shown) return;
      const shares = this.shares(kind.code);
      const { tokens } = this.document;
      shade(kind.tokens, shares);
      [...kind.tokens.children].forEach((token, k) => {
        token.classList.toggle("chosen", k === this.state.token);
        if (kind.code !== "attention") return;
        token.tabIndex = k === this.state.token ? 0 : -1;
        token.setAttribute("aria-pressed", String(k === this.state.token));
        token.setAttribute("aria-label", `${tokens[k]}, token ${k + 1}, attention ${percent(shares[k])}${this.deciding.has(k) ? ", decides" : ""}`);
      });
      if (kind.code !== "attention") {
        kind.tokens.setAttribute("role", "img");
        kind.tokens.setAttribute("aria-label", shares ? `Most on ${this.first(shares, 3)}` : "Undefined");
      }
      this.paintNumbers(kind);
      this.readOut(kind, this.state.token);
    }

    first(shares, count) {
      return ordered(shares, count).map((k) => `${this.document.tokens[k]} ${percent(shares[k])}`).join(", ");
    }

    paintNumbers(kind) {
      const { stops } = this.classifier;
      const every = (read) => stops.map((stop) => read(stop.documents[this.state.document]));
      const n = this.document.tokens.length;
      const over = (what, values, text) => `${what} over the projections: ` + stops.map((stop, k) => `${stop.name} ${text(values[k])}`).join(", ");
      const row = this.document.positions.indexOf(this.state.token);
      let [values, ceilings, lowest, what, numbers] = [[], null, 0, "", []];
      const share = (value) => (value === null || value === undefined ? "–" : percent(value));
      if (kind.code === "influence") {
        const { dispersion, self_share: own } = this.seen.influence;
        values = every((seen) => seen.influence.self_share[row] ?? null);
        what = "Share of the token at its own place";
        numbers = [["position p", String(this.state.token + 1)], ["own token", share(own[row])], ["dispersion", spelled(dispersion[row] ?? null)]];
      } else {
        const { tau, ceiling, dispersion, effective, evidence } = this.seen.measures[kind.code];
        const attention = kind.code === "attention";
        values = every((seen) => (attention ? seen.support / n : seen.measures[kind.code].tau));
        what = attention ? "Share of the tokens attended to" : "τ-b with attention";
        if (attention) numbers = [["support", `${this.seen.support} of ${n}`]];
        else {
          lowest = -1;
          ceilings = every((seen) => seen.measures[kind.code].ceiling);
          numbers = [["τ-b", spelled(tau)], ["at most", spelled(ceiling)]];
        }
        numbers.push(["dispersion", spelled(dispersion)], ["effective", effective === null ? "–" : effective.toFixed(1)]);
        if (this.document.evidence) numbers.push(["on ●", share(evidence)]);
      }
      kind.spark.replaceChildren(sparkline(values, ceilings, lowest, this.state.stop, over(what, values, lowest ? spelled : share)));
      kind.head.replaceChildren(...numbered(numbers));
    }

    /* On one line, whatever it says: what is pointed at must not move away. */
    readOut(kind, position) {
      const shares = this.shares(kind.code);
      const undefinedHere = kind.code === "influence" ? "–" : "No token moves the output: undefined.";
      kind.value.textContent = shares ? `“${this.document.tokens[position]}” ${percent(shares[position])}` : undefinedHere;
    }

    paintOwed() {
      const { token } = this.state;
      const shares = this.shares("influence");
      const state = `h${lowered(token + 1)}, the state at “${this.document.tokens[token]}”, `;
      if (shares) this.owed.textContent = `${state}owes most to ${this.first(shares, 3)}.`;
      else if (this.document.positions.includes(token)) this.owed.textContent = `${state}is zero, and owes nothing to any input.`;
      else this.owed.textContent = `${state}is not kept: choose one with more attention.`;
    }

    paintBars() {
      const words = this.document.tokens.map((token, k) => (this.deciding.has(k) ? "● " : "") + token);
      this.bars.replaceChildren(...bars(this.kinds.filter((kind) => this.shown.includes(kind.code)), (code) => this.shares(code), words));
    }
  }

  window.sparseattnTokens = { FIRST, spelled, percent, quoted, strangers, faulty, shade, numbered, ordered, bars, steered };

  function start() {
    for (const root of document.querySelectorAll(".explorer")) new Explorer(root);
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
