/* The small classifiers of the page "Your own sentence", forwards and backwards, as
   `sparseattn.models.classifier` defines them: embedding → encoder → scores → attention → logit.
   A matrix is {data, rows, columns}, its numbers by rows; a text is a list of vectors, a vector a
   Float64Array. Nothing here knows of the page. */
(function () {
  "use strict";
  const live = (window.sparseattnLive ??= {});
  const [UNKNOWN, BEGIN, END, MARKERS] = [1, 2, 3, 4];
  const EPSILON = 1e-5; // of torch's LayerNorm

  /* -- vectors -- */
  function dot(x, y) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
    return sum;
  }

  function add(into, x, times = 1) {
    for (let i = 0; i < x.length; i++) into[i] += times * x[i];
    return into;
  }

  const vector = (values, entry) => Float64Array.from(values, entry);
  function relu(x) {
    for (let i = 0; i < x.length; i++) if (x[i] < 0) x[i] = 0;
    return x;
  }

  /* times x·y of each x. */
  function products(X, y, times) {
    const found = new Float64Array(X.length);
    for (let t = 0; t < X.length; t++) found[t] = times * dot(X[t], y);
    return found;
  }

  /* The sum of vectors by their weights. */
  function mean(weights, X) {
    const sum = new Float64Array(X[0].length);
    for (let t = 0; t < X.length; t++) if (weights[t]) add(sum, X[t], weights[t]);
    return sum;
  }

  const plus = (x, y) => add(x.slice(), y);
  const zeros = (like) => like.map((x) => new Float64Array(x.length));

  /* W x + b; four rows at once, which is about twice as fast. */
  function affine({ data, rows, columns }, x, b) {
    const y = b ? b.slice() : new Float64Array(rows);
    let row = 0;
    let at = 0;
    for (; row + 3 < rows; row += 4, at += 3 * columns) {
      let first = y[row];
      let second = y[row + 1];
      let third = y[row + 2];
      let fourth = y[row + 3];
      for (let i = 0; i < columns; i++, at++) {
        const value = x[i];
        first += data[at] * value;
        second += data[at + columns] * value;
        third += data[at + 2 * columns] * value;
        fourth += data[at + 3 * columns] * value;
      }
      y[row] = first;
      y[row + 1] = second;
      y[row + 2] = third;
      y[row + 3] = fourth;
    }
    for (; row < rows; row++) for (let i = 0; i < columns; i++, at++) y[row] += data[at] * x[i];
    return y;
  }

  /* Wᵀ y, the way back. */
  function transposed({ data, rows, columns }, y) {
    const x = new Float64Array(columns);
    for (let row = 0; row < rows; row++) if (y[row]) add(x, data.subarray(row * columns, (row + 1) * columns), y[row]);
    return x;
  }

  /* -- projections: lam is null for softmax, 0 for sparsemax -- */
  function project(scores, lam) {
    const weights = scores.slice();
    let most = -Infinity;
    for (let i = 0; i < weights.length; i++) {
      if (lam !== null) weights[i] /= 1 - lam;
      if (weights[i] > most) most = weights[i];
    }
    let sum = lam === null ? 0 : -1;
    if (lam === null) {
      for (let i = 0; i < weights.length; i++) sum += weights[i] = Math.exp(weights[i] - most);
      for (let i = 0; i < weights.length; i++) weights[i] /= sum;
      return weights;
    }
    let threshold = 0;
    for (let i = 0; i < weights.length; i++) weights[i] -= most;
    weights.slice().sort().reverse().forEach((a, k) => { // numbers, in a Float64Array
      sum += a;
      if ((k + 1) * a > sum) threshold = sum / (k + 1);
    });
    return weights.map((a) => Math.max(a - threshold, 0));
  }

  /* What a change of the weights is worth to the scores. */
  function projectBack(weights, slopes, lam) {
    if (lam === null) {
      const mean = dot(weights, slopes);
      return weights.map((a, i) => a * (slopes[i] - mean));
    }
    const support = weights.filter((a) => a > 0).length;
    const mean = slopes.reduce((sum, slope, i) => sum + (weights[i] > 0 ? slope : 0), 0) / support;
    return weights.map((a, i) => (a > 0 ? (slopes[i] - mean) / (1 - lam) : 0));
  }

  /* -- encoders: `encode` gives states h and what the way back needs; `without` the states of the
     text when the token in one place is deleted; `back` turns slopes at states into such at X -- */
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const tanh = (x) => 2 * sigmoid(2 * x) - 1; // faster than Math.tanh, and as good where nothing is divided by it

  class BiLSTM {
    constructor(weights) {
      this.ways = ["forwards", "backwards"].map((name) => {
        const part = (kind) => weights[`encoder.${name}.${kind}_l0`];
        return { input: part("weight_ih"), state: part("weight_hh"), bias: plus(part("bias_ih"), part("bias_hh")) };
      });
      this.size = this.ways[0].state.columns;
    }

    /* One direction, from the state before: of each step the gates i, f, g, o, the cell c, and h. */
    run(way, inputs, before) {
      const size = this.size;
      before ??= { c: new Float64Array(size), h: new Float64Array(size) };
      return inputs.map((input) => {
        const gates = affine(way.state, before.h, input);
        const c = new Float64Array(size);
        const h = new Float64Array(size);
        for (let k = 0; k < 4 * size; k++) gates[k] = k >= 2 * size && k < 3 * size ? tanh(gates[k]) : sigmoid(gates[k]);
        for (let k = 0; k < size; k++) {
          c[k] = gates[size + k] * before.c[k] + gates[k] * gates[2 * size + k];
          h[k] = gates[3 * size + k] * tanh(c[k]);
        }
        return (before = { gates, c, h, before });
      });
    }

    join(forwards, backwards) {
      const last = forwards.length - 1;
      return forwards.map(({ h }, t) => {
        const both = new Float64Array(2 * this.size);
        both.set(h);
        both.set(backwards[last - t].h, this.size);
        return both;
      });
    }

    encode(X) {
      const [there, back] = this.ways;
      const inputs = this.ways.map((way) => X.map((x) => affine(way.input, x, way.bias)));
      inputs[1].reverse();
      const steps = [this.run(there, inputs[0]), this.run(back, inputs[1])];
      return { X, inputs, steps, states: this.join(...steps) };
    }

    /* Each direction is as before until it comes to the deleted token. */
    without({ inputs, steps }, place) {
      const left = this.ways.map((way, d) => {
        const at = d ? inputs[d].length - 1 - place : place;
        return [...steps[d].slice(0, at), ...this.run(way, inputs[d].slice(at + 1), steps[d][at - 1])];
      });
      return this.join(...left);
    }

    back({ X, steps }, slopes) {
      const size = this.size;
      const result = zeros(X);
      this.ways.forEach((way, d) => {
        let [dh, dc] = [new Float64Array(size), new Float64Array(size)];
        for (let t = X.length - 1; t >= 0; t--) {
          const { gates, c, before } = steps[d][t];
          const place = d ? X.length - 1 - t : t;
          add(dh, slopes[place].subarray(d * size, (d + 1) * size));
          const dgates = new Float64Array(4 * size);
          for (let k = 0; k < size; k++) {
            const [i, f, g, o] = [gates[k], gates[size + k], gates[2 * size + k], gates[3 * size + k]];
            const out = tanh(c[k]);
            dc[k] += dh[k] * o * (1 - out * out);
            dgates[k] = dc[k] * g * i * (1 - i);
            dgates[size + k] = dc[k] * before.c[k] * f * (1 - f);
            dgates[2 * size + k] = dc[k] * i * (1 - g * g);
            dgates[3 * size + k] = dh[k] * out * o * (1 - o);
            dc[k] *= f;
          }
          add(result[place], transposed(way.input, dgates));
          dh = transposed(way.state, dgates);
        }
      });
      return result;
    }
  }

  class Transformer {
    constructor(weights) {
      const linear = (name) => ({ W: weights[`${name}.weight`], b: weights[`${name}.bias`] });
      const parts = ["qkv", "out", "norm1", "expand", "contract", "norm2"];
      this.input = linear("encoder.project");
      this.size = this.input.W.rows;
      this.positions = [];
      this.layers = [];
      for (let k = 0; weights[`encoder.layers.${k}.qkv.weight`]; k++)
        this.layers.push(Object.fromEntries(parts.map((part) => [part, linear(`encoder.layers.${k}.${part}`)])));
    }

    /* The sinusoids of Vaswani et al. (2017). */
    position(t) {
      return (this.positions[t] ??= Float64Array.from({ length: this.size }, (_, k) => {
        const angle = t * Math.exp((k - (k % 2)) * (-Math.log(10000) / this.size));
        return k % 2 ? Math.cos(angle) : Math.sin(angle);
      }));
    }

    encode(X) {
      const inputs = X.map((x) => affine(this.input.W, x, this.input.b));
      // Each token at its own place, and one earlier, where it is without a token before it.
      const [here, moved] = [0, 1].map((by) => inputs.map((x, t) => {
        const state = plus(x, this.position(Math.max(t - by, 0)));
        return { state, qkv: this.projected(0, state) };
      }));
      return { X, here, moved, ...this.encoded(here) };
    }

    projected(k, state) { return affine(this.layers[k].qkv.W, state, this.layers[k].qkv.b); }

    encoded(tokens) {
      let states = tokens.map(({ state }) => state);
      const tapes = this.layers.map((layer, k) => {
        const all = k ? states.map((state) => this.projected(k, state)) : tokens.map(({ qkv }) => qkv);
        const tape = this.forward(layer, states, all);
        states = tape.states;
        return tape;
      });
      return { tapes, states };
    }

    without({ here, moved }, place) { return this.encoded([...here.slice(0, place), ...moved.slice(place + 1)]).states; }

    /* LN(y + W₂ relu(W₁ y)), y = LN(x + O·softmax(QKᵀ/√d)V) */
    forward({ out, norm1, expand, contract, norm2 }, states, all) {
      const size = this.size;
      const [Q, K, V] = [0, 1, 2].map((k) => all.map((x) => x.subarray(k * size, (k + 1) * size)));
      const weights = Q.map((q) => project(products(K, q, 1 / Math.sqrt(size)), null));
      const mixed = weights.map((row) => mean(row, V));
      const first = mixed.map((x, t) => this.norm(norm1, add(affine(out.W, x, out.b), states[t])));
      const wide = first.map(({ y }) => relu(affine(expand.W, y, expand.b)));
      const second = wide.map((x, t) => this.norm(norm2, add(affine(contract.W, x, contract.b), first[t].y)));
      return { Q, K, V, weights, first, wide, second, states: second.map(({ y }) => y) };
    }

    norm({ W, b }, x) {
      const size = x.length;
      let mean = 0;
      for (let k = 0; k < size; k++) mean += x[k] / size;
      let variance = 0;
      for (let k = 0; k < size; k++) variance += (x[k] - mean) ** 2 / size;
      const scale = 1 / Math.sqrt(variance + EPSILON);
      const unit = new Float64Array(size);
      const y = new Float64Array(size);
      for (let k = 0; k < size; k++) y[k] = (unit[k] = (x[k] - mean) * scale) * W[k] + b[k];
      return { unit, scale, y };
    }

    normBack({ W }, { unit, scale }, slope) {
      const inner = slope.map((a, k) => a * W[k]);
      const mean = inner.reduce((sum, a) => sum + a, 0) / unit.length;
      const along = dot(inner, unit) / unit.length;
      return inner.map((a, k) => scale * (a - mean - unit[k] * along));
    }

    back({ tapes }, slopes) {
      for (let k = tapes.length - 1; k >= 0; k--) slopes = this.layerBack(this.layers[k], tapes[k], slopes);
      return slopes.map((slope) => transposed(this.input.W, slope));
    }

    layerBack({ qkv, out, norm1, expand, contract, norm2 }, { Q, K, V, weights, first, wide, second }, slopes) {
      const size = this.size;
      const dx = slopes.map((slope, t) => {
        const inner = this.normBack(norm2, second[t], slope);
        const hidden = transposed(contract.W, inner).map((a, k) => (wide[t][k] > 0 ? a : 0));
        return this.normBack(norm1, first[t], add(inner, transposed(expand.W, hidden)));
      });
      const all = dx.map(() => new Float64Array(3 * size));
      dx.forEach((slope, t) => {
        const mixed = transposed(out.W, slope);
        const scores = projectBack(weights[t], vector(V, (v) => dot(mixed, v)), null);
        V.forEach((_, u) => {
          const score = scores[u] / Math.sqrt(size);
          add(all[t].subarray(0, size), K[u], score);
          add(all[u].subarray(size, 2 * size), Q[t], score);
          add(all[u].subarray(2 * size), mixed, weights[t][u]);
        });
      });
      return dx.map((slope, t) => add(slope, transposed(qkv.W, all[t])));
    }
  }

  /* -- the whole -- */
  class Classifier {
    constructor(held, { encoder, lam, projection }) {
      const weights = unpacked(held);
      this.lam = projection === "softmax" ? null : lam;
      this.embedding = weights["embedding.weight"];
      this.encoder = encoder === "bilstm" ? new BiLSTM(weights) : new Transformer(weights);
      this.decoder = { w: weights["decoder.weight"].data, b: weights["decoder.bias"][0] };
      this.inner = { W: weights["alignment.inner.weight"], b: weights["alignment.inner.bias"] };
      this.outer = (weights["alignment.outer.weight"] || weights["alignment.weight.weight"]).data;
    }

    /* v·tanh(W h + b), or without W the scaled dot w·h/√m */
    score(h) { return this.inner.W ? dot(this.outer, affine(this.inner.W, h, this.inner.b).map(tanh)) : dot(this.outer, h) / Math.sqrt(h.length); }

    scoreBack(h) {
      if (!this.inner.W) return this.outer.map((w) => w / Math.sqrt(h.length));
      return transposed(this.inner.W, affine(this.inner.W, h, this.inner.b).map((a, k) => this.outer[k] * (1 - tanh(a) ** 2)));
    }

    /* Scores, and what a state says of the class: w·h. Markers are never attended to. */
    judged(states) {
      const own = states.slice(1, -1);
      return { scores: vector(own, (h) => this.score(h)), values: vector(own, (h) => dot(this.decoder.w, h)) };
    }

    logit({ scores, values }, lam) { return scores.length ? dot(project(scores, lam), values) + this.decoder.b : this.decoder.b; }

    /* Read a text of word ids; what does not depend on the projection is computed once. */
    read(ids) { return new Reading(this, ids); }
  }

  class Reading {
    constructor(classifier, ids) {
      const { data, columns } = classifier.embedding;
      this.classifier = classifier;
      this.tape = classifier.encoder.encode([BEGIN, ...ids, END].map((id) => data.subarray(id * columns, (id + 1) * columns)));
      this.judged = classifier.judged(this.tape.states);
      this.deleted = [];
      this.length = ids.length;
      this.owed = new Map();
    }

    /* Delete token after token, the costly part, for so many milliseconds; say whether all is done. */
    complete(milliseconds = Infinity) {
      const end = performance.now() + milliseconds;
      const { classifier, tape, deleted } = this;
      while (deleted.length < this.length && performance.now() < end)
        deleted.push(classifier.judged(classifier.encoder.without(tape, deleted.length + 1)));
      return deleted.length === this.length;
    }

    /* Attention, logit, and both importances under a projection of the same scores; leave-one-out
       is null until it is complete. */
    under(lam = this.classifier.lam) {
      const { classifier, tape, judged } = this;
      const attention = project(judged.scores, lam);
      const logit = classifier.logit(judged, lam);
      const inner = projectBack(attention, judged.values, lam);
      const slopes = zeros(tape.states);
      attention.forEach((weight, i) => {
        add(slopes[i + 1], classifier.decoder.w, weight);
        if (inner[i]) add(slopes[i + 1], classifier.scoreBack(tape.states[i + 1]), inner[i]);
      });
      const dX = classifier.encoder.back(tape, slopes).slice(1, -1);
      return {
        logit, attention, scores: judged.scores, probability: sigmoid(logit),
        loo: this.deleted.length < this.length ? null : vector(this.deleted, (without) => change(logit, classifier.logit(without, lam))),
        product: vector(dX, (slope, i) => Math.abs(dot(slope, tape.X[i + 1]))),
      };
    }

    /* ‖∂‖h_p‖/∂X_i‖: what the state of token p owes each input. */
    influence(p) {
      if (!this.owed.has(p)) {
        const slopes = zeros(this.tape.states);
        const h = this.tape.states[p + 1];
        const length = Math.sqrt(dot(h, h));
        if (length) add(slopes[p + 1], h, 1 / length);
        const dX = this.classifier.encoder.back(this.tape, slopes).slice(1, -1);
        this.owed.set(p, vector(dX, (slope) => Math.sqrt(dot(slope, slope))));
      }
      return this.owed.get(p);
    }
  }

  /* |σ(a) − σ(b)|, without the subtraction that loses the difference of probabilities near 0 or 1. */
  function change(a, b) {
    const log = (x) => (x > 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x)));
    const [high, low] = [Math.max(a, b), Math.min(a, b)];
    return Math.exp(log(high) + log(-low)) * -Math.expm1(low - high);
  }

  /* Weights as `report.live.script` wrote them: 8-bit rows with a float32 scale each, or vectors. */
  function unpacked({ data, parts }) {
    const { buffer } = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    let at = 0;
    const take = (Kind, count) => {
      const end = at + count * Kind.BYTES_PER_ELEMENT;
      const found = new Kind(buffer.slice(at, end));
      at = end;
      return found;
    };
    return Object.fromEntries(parts.map(([name, [rows, columns]]) => {
      if (columns === undefined) return [name, Float64Array.from(take(Float32Array, rows))];
      const scales = take(Float32Array, rows);
      const values = Float64Array.from(take(Int8Array, rows * columns));
      for (let k = 0; k < values.length; k++) values[k] = Math.fround(values[k] * scales[Math.floor(k / columns)]);
      return [name, { data: values, rows, columns }];
    }));
  }

  /* -- words, as `report.live.typed_words` -- */
  function split(text) {
    return text
      .replace(/(?<=[\p{L}\p{N}_])(n['’]t)(?![\p{L}\p{N}_])/giu, " $1")
      .replace(/-([lr])rb-/gi, (_, side) => (side.toLowerCase() === "l" ? "" : " "))
      .replace(/[^\p{L}\p{N}_]+/gu, " ").toLowerCase().split(" ").filter(Boolean);
  }

  let known = null;
  function ids(words) {
    known ??= new Map(live.words.split(" ").map((word, k) => [word, k + MARKERS]));
    return words.map((word) => known.get(word) ?? UNKNOWN);
  }

  /* -- numbers of one text -- */
  /* Kendall's τ-b; NaN where all tie, or there is one token. */
  function tau(x, y) {
    let [balance, untiedX, untiedY] = [0, 0, 0];
    for (let i = 0; i < x.length; i++) {
      for (let j = 0; j < i; j++) {
        const [a, b] = [Math.sign(x[i] - x[j]), Math.sign(y[i] - y[j])];
        balance += a * b; untiedX += a * a; untiedY += b * b;
      }
    }
    return balance / Math.sqrt(untiedX * untiedY);
  }

  /* The largest τ-b that the ties of both leave: both in one order. */
  const ceiling = (x, y) => tau(...[x, y].map((values) => values.slice().sort((a, b) => a - b)));

  function shares(values) {
    const most = Math.max(...values);
    const scaled = values.map((value) => value / most);
    const sum = scaled.reduce((a, b) => a + b, 0);
    return most > 0 ? scaled.map((value) => value / sum) : null;
  }

  /* As many tokens with equal shares would have the same entropy. */
  const effective = (share) => Math.exp(-share.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0));

  Object.assign(live, { Classifier, UNKNOWN, split, ids, tau, ceiling, shares, effective });
})();
