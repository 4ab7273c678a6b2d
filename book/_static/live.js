/* The page "Your own sentence": reads what is typed with the classifiers of live-classifier.js, in
   this tab alone. Nothing typed leaves it: the only requests are for a classifier's own file. Tokens
   are shown as explorer.js shows them. */
(function () {
  "use strict";
  const live = (window.sparseattnLive ??= {});
  const folder = new URL("../live/", document.currentScript.src);
  const LONGEST = 60; // words that are read
  const SLICE = 60; // milliseconds of work at a time, so that typing never waits for longer
  const LAMS = [null, -10, -5, -3, -1, 0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9]; // null: softmax
  const KINDS = [
    { code: "attention", name: "Attention", symbol: "αᵢ", of: "attention" },
    { code: "loo", name: "Leave-one-out", symbol: "|ŷ − ŷ₋ᵢ|", of: "inputs" },
    { code: "product", name: "Gradient · embedding", symbol: "|Xᵢ · ∂f/∂Xᵢ|", of: "inputs" },
    { code: "influence", name: "Influence on hₚ", symbol: "‖∂‖hₚ‖/∂Xᵢ‖", of: "influence" },
  ];
  const PARTS = ["text", "classifier", "beside", "projection", "token"]; // of the address

  let explorer, spelled, percent, quoted; // of explorer.js, known only once all scripts are read

  const spelledLam = (lam) => (lam === null ? "softmax" : lam === 0 ? "sparsemax" : `sparsegen λ = ${lam}`.replace("-", "−"));
  const codeOf = (lam) => (lam === null ? "softmax" : lam === 0 ? "sparsemax" : `sparsegen${lam}`);
  const make = (...given) => window.sparseattn.make(...given);
  const listed = (words) => words.map(quoted).join(", ");

  const scripted = (name) => window.sparseattn.scripted(new URL(name, folder), `The file ${name} could not be loaded. Is the page online, or the book's folder whole?`);
  const loading = new Map(); // code → promise of a Classifier

  function classifierOf(entry) {
    if (!loading.has(entry.code)) {
      const words = live.words === undefined ? scripted("words.js") : null;
      const loaded = Promise.all([words, scripted(`${entry.code}.js`)]).then(() => {
        const classifier = new live.Classifier(live[entry.code], entry);
        delete live[entry.code]; // it is unpacked
        return classifier;
      });
      loaded.catch(() => loading.delete(entry.code)); // so that a later choice tries again
      loading.set(entry.code, loaded);
    }
    return loading.get(entry.code);
  }

  /* What one classifier makes of the text: its summary, strips and bars. */
  class Panel {
    constructor(page, second) {
      [this.page, this.second] = [page, second];
      this.title = make("p", { class: "live-title" });
      this.verdict = make("p", { class: "explorer-summary" });
      this.about = make("p", { class: "explorer-about" });
      this.strips = KINDS.map((kind) => this.strip(kind));
      this.bars = make("div", { class: "explorer-bars" });
      this.element = make("section", { class: "live-panel" }, this.title, this.verdict, this.about, ...this.strips.map(({ element }) => element),
        make("details", { class: "live-first", open: "" }, make("summary", {}, `The first ${explorer.FIRST} words by each`), this.bars));
    }

    strip(kind) {
      const strip = { kind, numbers: make("div", { class: "explorer-numbers" }), tokens: make("div", { class: "explorer-tokens", dir: "auto" }), value: make("p", { class: "explorer-value" }) };
      const top = make("div", { class: "explorer-top" }, make("div", {}, make("span", { class: "explorer-name" }, kind.name), " ", make("span", { class: "live-symbol" }, kind.symbol)));
      strip.element = make("section", { class: "explorer-strip", "data-of": kind.of, "data-kind": kind.code, "aria-label": kind.name }, top, strip.numbers, strip.tokens, strip.value);
      return strip;
    }

    /* Read the words anew; false where leave-one-out goes on. */
    read(classifier, entry, lam) {
      const { ids } = this.page;
      const same = this.classifier === classifier && this.ids === ids;
      if (!same) this.reading = classifier.read(ids);
      const painted = same && this.lam === lam && this.waiting; // all but leave-one-out
      [this.classifier, this.entry, this.ids, this.lam] = [classifier, entry, ids, lam];
      const done = this.reading.complete(SLICE);
      this.waiting = !done;
      if (done || !painted) this.paint();
      return done;
    }

    paint() {
      const { words, ids } = this.page;
      const seen = (this.seen = this.reading.under(this.lam));
      this.shares = { attention: [...seen.attention], loo: seen.loo && live.shares([...seen.loo]), product: live.shares([...seen.product]) };
      this.title.textContent = this.entry.name;
      const positive = seen.logit > 0;
      const sure = positive ? seen.probability : 1 - seen.probability;
      this.verdict.replaceChildren("Read as ", make("strong", {}, positive ? "positive" : "negative"), ` (probability ${sure > 0.994 ? "above 0.99" : spelled(sure)}).`);
      this.paintAbout();
      for (const { tokens } of this.strips.filter(({ tokens }) => tokens.words !== words)) {
        tokens.words = words;
        tokens.replaceChildren(...words.map((word, k) => this.token(word, k, ids[k] === live.UNKNOWN, tokens === this.strips[0].tokens)));
      }
      for (const strip of this.strips.slice(0, 3)) {
        this.shade(strip, this.shares[strip.kind.code]);
        this.paintNumbers(strip);
      }
      this.mark(this.page.state.token);
      this.bars.replaceChildren(...explorer.bars(KINDS.slice(0, 3), (code) => this.shares[code], words));
    }

    token(word, k, unknown, button) {
      const token = make(button ? "button" : "span", { class: "explorer-word", "data-at": k }, word);
      if (button) token.type = "button";
      if (unknown) {
        token.classList.add("unknown");
        token.title = "Not among the words this classifier knows";
      }
      return token;
    }

    shade(strip, shares) {
      strip.element.classList.toggle("waiting", !shares);
      explorer.shade(strip.tokens, shares);
    }

    paintNumbers({ kind, numbers }) {
      const { seen, shares } = this;
      const own = shares[kind.code];
      const effective = ["effective", own ? live.effective(own).toFixed(1) : "–"];
      const rows = kind.code === "attention"
        ? [["support", `${own.filter((share) => share > 0).length} of ${own.length}`], effective]
        : [["τ-b", own ? spelled(live.tau(seen.attention, seen[kind.code])) : "–"], ["at most", own ? spelled(live.ceiling(seen.attention, seen[kind.code])) : "–"], effective];
      numbers.replaceChildren(...explorer.numbered(rows));
    }

    /* Says what the slider did: the scores are the same, and were never trained for this. */
    paintAbout() {
      const { entry, lam } = this;
      this.about.replaceChildren(`Test accuracy ${entry.accuracy.toFixed(3)}, run ${entry.key}.`);
      if (lam === undefined || lam === this.page.lamOf(entry)) return;
      const trained = this.page.data.classifiers.find((one) => one.encoder === entry.encoder && this.page.lamOf(one) === lam);
      this.about.append(` These are its same scores, projected anew by ${spelledLam(lam)}: it was trained with ${spelledLam(this.page.lamOf(entry))}. `);
      if (!trained) this.about.append("None here was trained with that.");
      else if (this.page.state.beside === trained.code) this.about.append("The one trained with that stands beside.");
      else {
        const button = make("button", { type: "button", class: "live-button" }, "Show the one trained with that beside");
        button.addEventListener("click", () => this.page.choose({ beside: trained.code }));
        this.about.append(button);
      }
    }

    /* The chosen token, and what its hidden state owes to each. */
    mark(p) {
      if (!this.reading || !this.page.words.length) return;
      const influence = live.shares([...this.reading.influence(p)]);
      this.shares.influence = influence;
      const strip = this.strips[3];
      this.shade(strip, influence);
      strip.numbers.replaceChildren(make("span", {}, make("small", {}, `p = ${p + 1}, ${quoted(this.page.words[p])}; it owes to its own word`), make("b", {}, influence ? percent(influence[p]) : "–")));
      for (const { tokens, value, kind } of this.strips) {
        [...tokens.children].forEach((token, k) => {
          token.classList.toggle("chosen", k === this.page.state.token);
          token.classList.toggle("peek", k === p && k !== this.page.state.token);
          if (tokens !== this.strips[0].tokens) return;
          token.tabIndex = k === this.page.state.token ? 0 : -1;
          token.setAttribute("aria-pressed", String(k === this.page.state.token));
          const said = KINDS.slice(0, 3).map((one) => `${one.name} ${this.shares[one.code] ? percent(this.shares[one.code][k]) : "undefined"}`);
          token.setAttribute("aria-label", `${this.page.words[k]}${token.classList.contains("unknown") ? ", unknown" : ""}: ${said.join(", ")}`);
        });
        const shares = this.shares[kind.code];
        value.textContent = shares ? `“${this.page.words[p]}” ${percent(shares[p])}` : kind.code === "loo" && !this.seen.loo ? "Computing …" : "No word moves it: undefined.";
      }
    }

    said() {
      const first = explorer.ordered(this.shares.attention, 3);
      return `${this.entry.name}: ${this.verdict.textContent} Attention rests most on ${listed(first.map((k) => this.page.words[k]))}.`;
    }
  }

  class Page {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(root.querySelector(".live-data").textContent);
      this.state = { text: this.data.examples[0], classifier: this.data.classifiers[0].code, beside: null, lam: undefined, token: 0 };
      this.panels = [new Panel(this, false), new Panel(this, true)];
      this.build(root.querySelector(".live-page"));
      this.start();
      addEventListener("popstate", () => this.start());
      root.querySelector(".live-static").hidden = true;
      root.querySelector(".live-page").hidden = false;
    }

    entry(code) { return this.data.classifiers.find((one) => one.code === code); }
    lamOf(entry) { return entry.projection === "softmax" ? null : entry.lam; }

    build(place) {
      this.text = make("textarea", { name: "text", rows: 2, spellcheck: "false", autocomplete: "off", "aria-describedby": "live-note" });
      this.text.addEventListener("input", () => this.change({ text: this.text.value, token: null }));
      const examples = make("div", { class: "live-examples", role: "group", "aria-label": "Examples" });
      for (const example of this.data.examples) {
        const button = make("button", { type: "button", class: "live-button" }, example);
        button.addEventListener("click", () => this.choose({ text: example, token: null }));
        examples.append(button);
      }
      const choice = (name, title, none) => {
        const select = make("select", { name });
        if (none) select.append(new Option(none, ""));
        for (const one of this.data.classifiers) select.append(new Option(one.name, one.code));
        const changes = () => (name === "classifier" ? { classifier: select.value, lam: undefined } : { beside: select.value || null });
        select.addEventListener("change", () => this.choose(changes()));
        this[name] = select;
        return make("label", { class: "explorer-choice" }, make("span", {}, title), select);
      };
      this.slider = make("input", { type: "range", name: "projection", min: 0, max: LAMS.length - 1, step: 1, "aria-label": "Projection of the same scores" });
      this.slider.addEventListener("input", () => this.change({ lam: LAMS[this.slider.value] }));
      this.slider.addEventListener("change", () => this.remember(true));
      this.projection = make("output", { class: "explorer-stop" });
      this.note = make("p", { class: "live-note", id: "live-note", role: "status" });
      this.address = make("p", { class: "live-note", role: "status" });
      this.spoken = make("p", { class: "live-spoken", role: "status" });
      this.pace = make("p", { class: "explorer-about" });
      this.grid = make("div", { class: "live-panels" }, ...this.panels.map(({ element }) => element));
      place.append(
        make("label", { class: "live-text" }, make("span", {}, "Your sentence"), this.text), examples,
        make("div", { class: "explorer-controls live-controls" }, choice("classifier", "Classifier"), choice("beside", "Beside it", "no other")),
        make("div", { class: "explorer-projection" }, make("div", {}, make("span", {}, "The same scores, projected by"), this.projection), this.slider,
          make("div", { class: "explorer-ticks", "aria-hidden": "true" }, ...LAMS.map((lam) => make("span", {}, [null, 0, 0.6, 0.9].includes(lam) ? spelledLam(lam).replace("sparsegen ", "") : "")))),
        this.address, this.note, this.grid, this.spoken, this.pace);
      this.grid.addEventListener("mouseover", (event) => this.peek(event.target.closest("[data-at]")));
      this.grid.addEventListener("mouseleave", () => this.peek(null));
      this.grid.addEventListener("click", (event) => {
        const token = event.target.closest("[data-at]");
        if (token) this.choose({ token: Number(token.dataset.at) });
      });
      this.grid.addEventListener("keydown", (event) => this.steer(event));
    }

    /* -- what is chosen -- */
    choose(changes) {
      this.change(changes);
      this.remember(true);
    }

    change(changes) {
      Object.assign(this.state, changes);
      this.address.textContent = "";
      this.update();
      clearTimeout(this.saving);
      this.saving = setTimeout(() => this.remember(false), 300);
    }

    /* Write the state into the address; a choice, unlike a letter, is a step for Back to undo. */
    remember(step) {
      clearTimeout(this.saving);
      const { text, classifier, beside, lam, token } = this.state;
      const parts = { text: text.slice(0, this.kept), classifier };
      if (beside) parts.beside = beside;
      if (lam !== undefined) parts.projection = codeOf(lam);
      parts.token = token + 1;
      const fragment = "#" + new URLSearchParams(parts);
      if (fragment !== location.hash) history[step ? "pushState" : "replaceState"](null, "", fragment);
    }

    /* Take the state from the address, and say what in it is not ours. */
    start() {
      const asked = new URLSearchParams(location.hash.slice(1));
      const faults = explorer.strangers(location.hash.slice(1), PARTS);
      const lam = LAMS.find((one) => codeOf(one) === asked.get("projection"));
      if (asked.has("projection") && lam === undefined) faults.push(`no projection ${quoted(asked.get("projection"))}`);
      const codes = { classifier: this.data.classifiers[0].code, beside: null };
      for (const name of ["classifier", "beside"]) {
        if (!asked.has(name)) continue;
        if (this.entry(asked.get(name))) codes[name] = asked.get(name);
        else faults.push(`no classifier ${quoted(asked.get(name))}`);
      }
      const token = Number(asked.get("token") ?? 1) - 1;
      const whole = Number.isInteger(token) && token >= 0;
      if (!whole) faults.push(`no token ${quoted(asked.get("token"))}`);
      Object.assign(this.state, { text: asked.get("text") ?? this.data.examples[0], ...codes, lam, token: whole ? token : 0 });
      this.update();
      if (whole && this.words.length && token >= this.words.length) faults.push(`no token ${token + 1} among ${this.words.length}`);
      this.address.textContent = explorer.faulty(faults);
    }

    /* -- reading -- */
    take() {
      const all = live.split(this.state.text);
      const words = all.slice(0, LONGEST);
      if (words.join(" ") !== this.words?.join(" ")) this.words = words;
      this.kept = all.length > LONGEST ? this.end(LONGEST) : Math.min(this.state.text.length, 2000);
      this.cut = all.length > LONGEST ? `Only the first ${LONGEST} of ${all.length.toLocaleString("en")} words are read. ` : "";
      const { token } = this.state;
      this.state.token = Math.max(0, Math.min(token ?? this.words.length - 1, this.words.length - 1));
    }

    /* Where in the text so many words end. */
    end(count) {
      let [low, high] = [0, this.state.text.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (live.split(this.state.text.slice(0, middle)).length > count) high = middle;
        else low = middle + 1;
      }
      return Math.max(0, low - 1);
    }

    update() {
      const { state } = this;
      this.take();
      if (this.text.value !== state.text) this.text.value = state.text;
      this.classifier.value = state.classifier;
      this.beside.value = state.beside || "";
      const lam = state.lam === undefined ? this.lamOf(this.entry(state.classifier)) : state.lam;
      this.slider.value = LAMS.indexOf(lam);
      this.slider.setAttribute("aria-valuetext", spelledLam(lam));
      this.projection.textContent = spelledLam(lam);
      const wanted = [state.classifier, state.beside].filter(Boolean).map((code) => this.entry(code));
      this.root.dataset.ready = "no";
      const turn = (this.turn = {});
      if (wanted.every((entry) => entry.classifier)) return this.show(wanted, turn);
      this.note.textContent = `Loading ${wanted.filter((entry) => !entry.classifier).map((entry) => `${entry.name} (${(entry.bytes / 1e6).toFixed(1)} MB)`).join(" and ")} …`;
      Promise.all(wanted.map(async (entry) => (entry.classifier = await classifierOf(entry)))).then(
        () => this.turn === turn && this.show(wanted, turn),
        (error) => this.turn === turn && (this.note.textContent = error.message));
    }

    show(wanted, turn) {
      if (this.turn !== turn) return;
      const start = performance.now();
      if (this.known !== this.words) this.ids = live.ids(this.words);
      this.known = this.words;
      const none = !this.words.length;
      this.grid.hidden = none;
      this.note.textContent = this.remark();
      if (none) this.spoken.textContent = this.pace.textContent = "";
      let done = true;
      this.panels.forEach((panel, k) => {
        panel.element.hidden = !wanted[k];
        if (wanted[k] && !none) done = panel.read(wanted[k].classifier, wanted[k], k ? undefined : this.state.lam) && done;
      });
      this.grid.classList.toggle("two", wanted.length > 1);
      this.spent = (this.turnSpent === this.words ? this.spent : 0) + performance.now() - start;
      this.turnSpent = this.words;
      if (!done) return setTimeout(() => this.show(wanted, turn));
      this.turnSpent = null;
      this.root.dataset.milliseconds = this.spent.toFixed(1);
      this.root.dataset.ready = "yes";
      clearTimeout(this.speaking);
      if (none) return;
      this.pace.textContent = `Computed in this tab in ${Math.max(1, Math.round(this.spent))} ms. Nothing you type leaves it.`;
      this.speaking = setTimeout(() => (this.spoken.textContent = this.panels.filter(({ element }) => !element.hidden).map((panel) => panel.said()).join(" ")), 700);
    }

    /* What is to be known of the words themselves. */
    remark() {
      const { text } = this.state;
      if (!text.trim()) return "Type a sentence, or choose one of those above.";
      if (!this.words.length) return "There is no letter or digit in this, so there is no word to read.";
      const unknown = [...new Set(this.words.filter((_, k) => this.ids[k] === live.UNKNOWN))];
      if (!unknown.length) return this.cut;
      if (this.ids.every((id) => id === live.UNKNOWN)) return `${this.cut}No word of this is known to the classifiers, so all are the same word to them: what they say means nothing.`;
      const named = listed(unknown.slice(0, 5)) + (unknown.length > 5 ? ` and ${unknown.length - 5} more` : "");
      return `${this.cut}Unknown, and so all the same word to the classifiers: ${named}.`;
    }

    /* -- pointing -- */
    peek(token) {
      const p = token ? Number(token.dataset.at) : this.state.token;
      for (const panel of this.panels) if (!panel.element.hidden) panel.mark(p);
    }

    steer(event) {
      if (!event.target.matches("button")) return;
      const to = explorer.steered(event, this.state.token, this.words.length);
      if (to === undefined) return;
      this.change({ token: to });
      event.target.parentElement.children[to].focus();
    }
  }

  function start() {
    explorer = window.sparseattnTokens;
    ({ spelled, percent, quoted } = explorer);
    for (const root of document.querySelectorAll(".live")) new Page(root);
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
