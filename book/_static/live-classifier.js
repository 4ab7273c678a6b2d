/* The small classifiers of the page "Your own sentence", forwards and backwards, as
   `sparseattn.models.classifier` defines them: embedding → encoder → scores → attention → logit.
   A matrix is {data, rows, columns}, its numbers by rows in one Float64Array; a text is a matrix
   with a row a token. Nothing here knows of the page. */
(function () {
  "use strict";
  const live = (window.sparseattnLive ??= {});
  const [UNKNOWN, BEGIN, END, MARKERS] = [1, 2, 3, 4];
  const EPSILON = 1e-5; // of torch's LayerNorm

  /* -- vectors and matrices -- */
  const matrix = (rows, columns, data = numbers(rows * columns)) => ({ data, rows, columns });
  const rows = ({ data, columns }, from, to) => matrix(to - from, columns, data.subarray(from * columns, to * columns));
  const row = ({ data, columns }, t) => data.subarray(t * columns, (t + 1) * columns);

  /* New numbers are zeros; but what is made `again` writes over those it made the last time. */
  let [kept, taken] = [null, 0];
  function numbers(count) {
    if (!kept) return new Float64Array(count);
    const place = taken++;
    return kept[place]?.length === count ? kept[place] : (kept[place] = new Float64Array(count));
  }

  function again(room, making) {
    [kept, taken] = [room, 0];
    try { return making(); } finally { kept = null; }
  }

  function dot(x, y) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
    return sum;
  }

  function add(into, x, times = 1) {
    for (let i = 0; i < x.length; i++) into[i] += times * x[i];
    return into;
  }

  /* X Yᵀ + b: each row of X times each of Y. Two rows by four at once, which is three times as fast
     as one by one; where fewer are left, the last is done again. Every sum runs in the same order,
     so equal rows have equal products, to the bit. */
  function product(X, Y, b) {
    const x = X.data, y = Y.data, n = X.rows, m = Y.rows, size = X.columns;
    const Z = matrix(n, m), z = Z.data;
    for (let i0 = 0; i0 < n; i0 += 2) {
      const i1 = Math.min(i0 + 1, n - 1);
      for (let j0 = 0; j0 < m; j0 += 4) {
        const j1 = Math.min(j0 + 1, m - 1), j2 = Math.min(j0 + 2, m - 1), j3 = Math.min(j0 + 3, m - 1);
        let p0 = 0, p1 = 0, p2 = 0, p3 = 0;
        if (b) { p0 = b[j0]; p1 = b[j1]; p2 = b[j2]; p3 = b[j3]; }
        let q0 = p0, q1 = p1, q2 = p2, q3 = p3;
        for (let k = 0, xs = i0 * size, xt = i1 * size, ys = j0 * size, yt = j1 * size, yu = j2 * size, yv = j3 * size; k < size; k++) {
          const p = x[xs + k], q = x[xt + k], y0 = y[ys + k], y1 = y[yt + k], y2 = y[yu + k], y3 = y[yv + k];
          p0 += p * y0; p1 += p * y1; p2 += p * y2; p3 += p * y3;
          q0 += q * y0; q1 += q * y1; q2 += q * y2; q3 += q * y3;
        }
        const zs = i0 * m, zt = i1 * m;
        z[zs + j0] = p0; z[zs + j1] = p1; z[zs + j2] = p2; z[zs + j3] = p3;
        z[zt + j0] = q0; z[zt + j1] = q1; z[zt + j2] = q2; z[zt + j3] = q3;
      }
    }
    return Z;
  }

  function transposed(X) {
    const T = matrix(X.columns, X.rows);
    for (let i = 0; i < X.rows; i++) for (let j = 0; j < X.columns; j++) T.data[j * X.rows + i] = X.data[i * X.columns + j];
    return T;
  }

  const plus = (into, X) => (add(into.data, X.data), into);

  /* A text with, and one without, a row more. */
  function extended({ data, rows, columns }, x) {
    const longer = matrix(rows + 1, columns);
    longer.data.set(data);
    longer.data.set(x, data.length);
    return longer;
  }

  function less(X, t) {
    const shorter = matrix(X.rows - 1, X.columns);
    shorter.data.set(rows(X, 0, t).data);
    shorter.data.set(rows(X, t + 1, X.rows).data, t * X.columns);
    return shorter;
  }

  /* -- projections: lam is null for softmax, 0 for sparsemax -- */
  function softmax(x) { // in place
    let most = -Infinity;
    let sum = 0;
    for (let i = 0; i < x.length; i++) if (x[i] > most) most = x[i];
    for (let i = 0; i < x.length; i++) sum += x[i] = Math.exp(x[i] - most);
    for (let i = 0; i < x.length; i++) x[i] /= sum;
    return x;
  }

  function project(scores, lam) {
    if (lam === null) return softmax(scores.slice());
    const scaled = scores.map((score) => score / (1 - lam));
    const most = scaled.reduce((a, b) => Math.max(a, b));
    const weights = scaled.map((score) => score - most);
    let [sum, threshold] = [-1, 0];
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

  /* -- encoders: `encode` gives states and what the way back needs; `without` yields the states of
     the text as each token in turn is deleted, good until the next, and now and then nothing, where
     one may pause; `back` turns slopes at states into such at X -- */
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const tanh = (x) => 2 * sigmoid(2 * x) - 1; // faster than Math.tanh, and as good where nothing is divided by it

  class BiLSTM {
    constructor(weights) {
      this.ways = ["forwards", "backwards"].map((name) => {
        const part = (kind) => weights[`encoder.${name}.${kind}_l0`];
        return { input: part("weight_ih"), state: part("weight_hh"), bias: add(part("bias_ih").slice(), part("bias_hh")) };
      });
      this.size = this.ways[0].state.columns;
    }

    /* A token, read in one direction by as many texts as there are rows of c and h before it: of
       each the gates i, f, g, o, the cell c, and h. */
    step(way, input, before) {
      const { size } = this;
      const gates = product(before.h, way.state, input);
      const [c, h] = [matrix(gates.rows, size), matrix(gates.rows, size)];
      for (let t = 0, at = 0; t < gates.rows; t++) {
        const own = row(gates, t);
        for (let k = 0; k < 4 * size; k++) own[k] = k >= 2 * size && k < 3 * size ? tanh(own[k]) : sigmoid(own[k]);
        for (let k = 0; k < size; k++, at++) {
          c.data[at] = own[size + k] * before.c.data[at] + own[k] * own[2 * size + k];
          h.data[at] = own[3 * size + k] * tanh(c.data[at]);
        }
      }
      return { gates, c, h, before };
    }

    encode(X) {
      const { size } = this;
      const states = matrix(X.rows, 2 * size);
      const inputs = this.ways.map((way) => product(X, way.input, way.bias));
      const steps = this.ways.map((way, d) => {
        let last = { c: matrix(1, size), h: matrix(1, size) };
        return Array.from({ length: X.rows }, (_, k) => {
          const place = d ? X.rows - 1 - k : k;
          last = this.step(way, row(inputs[d], place), last);
          states.data.set(last.h.data, (2 * place + d) * size);
          return last;
        });
      });
      return { inputs, steps, states };
    }

    /* Each direction is as before until it comes to the deleted token; from there on all texts that
       lack an earlier token read the next at once, each from its own state. */
    *without({ inputs, steps, states }) {
      const { size } = this;
      const last = states.rows - 1;
      const texts = Array.from({ length: last - 1 }, (_, p) => less(states, p + 1));
      for (const [d, way] of this.ways.entries()) {
        let reading = { c: matrix(0, size), h: matrix(0, size) }; // a row a text
        for (let k = 1; k <= last; k++) {
          const place = d ? last - k : k;
          if (k > 1) reading = this.step(way, row(inputs[d], place), reading);
          const at = (2 * (d ? place : place - 1) + d) * size; // the text is a token shorter
          for (let p = 0; p < k - 1; p++) texts[d ? last - 2 - p : p].data.set(row(reading.h, p), at);
          const { c, h } = steps[d][k - 1];
          reading = { c: extended(reading.c, c.data), h: extended(reading.h, h.data) };
          yield null;
        }
      }
      yield* texts;
    }

    back({ steps }, slopes) {
      const { size } = this;
      const [there, back] = this.ways.map((way, d) => {
        const all = matrix(slopes.rows, 4 * size);
        const state = transposed(way.state);
        let [dh, dc] = [new Float64Array(size), new Float64Array(size)];
        for (let t = slopes.rows - 1; t >= 0; t--) {
          const { gates: { data: gates }, c: { data: c }, before } = steps[d][t];
          const place = d ? slopes.rows - 1 - t : t;
          const dgates = rows(all, place, place + 1);
          add(dh, row(slopes, place).subarray(d * size, (d + 1) * size));
          for (let k = 0; k < size; k++) {
            const [i, f, g, o] = [gates[k], gates[size + k], gates[2 * size + k], gates[3 * size + k]];
            const out = tanh(c[k]);
            dc[k] += dh[k] * o * (1 - out * out);
            dgates.data[k] = dc[k] * g * i * (1 - i);
            dgates.data[size + k] = dc[k] * before.c.data[k] * f * (1 - f);
            dgates.data[2 * size + k] = dc[k] * i * (1 - g * g);
            dgates.data[3 * size + k] = dh[k] * out * o * (1 - o);
            dc[k] *= f;
          }
          dh = product(dgates, state).data;
        }
        return product(all, transposed(way.input));
      });
      return plus(there, back);
    }
  }

  class Transformer {
    constructor(weights) {
      const linear = (name) => ({ W: weights[`${name}.weight`], b: weights[`${name}.bias`] });
      this.input = linear("encoder.project");
      this.size = this.input.W.rows;
      [this.layers, this.positions, this.room] = [[], [], []];
      for (let k = 0; weights[`encoder.layers.${k}.qkv.weight`]; k++) {
        const part = (name) => linear(`encoder.layers.${k}.${name}`);
        const rest = Object.fromEntries(["norm1", "expand", "contract", "norm2"].map((name) => [name, part(name)]));
        this.layers.push({ ...this.folded(part("qkv"), part("out")), ...rest });
      }
    }

    /* There is one head, so Q Kᵀ/√d = (X Wqᵀ Wk/√d) Xᵀ, and what is mixed may be O Wv X: of four
       products two are left. A row's scores all grow alike by the bias of K, which softmax undoes;
       those of V and O are added to the mean, for its weights sum to one. */
    folded(qkv, out) {
      const { size } = this;
      const biases = matrix(3, size, qkv.b);
      const [[Q, bQ], [K], [V, bV]] = [0, 1, 2].map((k) => [rows(qkv.W, k * size, (k + 1) * size), rows(biases, k, k + 1)]);
      const scaled = (X) => matrix(X.rows, X.columns, X.data.map((x) => x / Math.sqrt(size)));
      const query = { W: scaled(product(transposed(K), transposed(Q))), b: scaled(product(bQ, transposed(K))).data };
      return { query, value: { W: product(out.W, transposed(V)), b: product(bV, out.W, out.b).data } };
    }

    /* The sinusoids of Vaswani et al. (2017), added. */
    placed(X) {
      const Y = matrix(X.rows, X.columns);
      for (let t = 0, at = 0; t < X.rows; t++) {
        const position = (this.positions[t] ??= Float64Array.from({ length: this.size }, (_, k) => {
          const angle = t * Math.exp((k - (k % 2)) * (-Math.log(10000) / this.size));
          return k % 2 ? Math.cos(angle) : Math.sin(angle);
        }));
        for (let k = 0; k < this.size; k++, at++) Y.data[at] = X.data[at] + position[k];
      }
      return Y;
    }

    encode(X) {
      const inputs = product(X, this.input.W, this.input.b);
      return { inputs, ...this.encoded(inputs) };
    }

    encoded(inputs) {
      const tapes = [];
      for (const layer of this.layers) tapes.push(this.forward(layer, tapes.at(-1)?.second.Y ?? this.placed(inputs)));
      return { tapes, states: tapes.at(-1).second.Y };
    }

    *without({ inputs }) {
      for (let t = 1; t < inputs.rows - 1; t++) yield again(this.room, () => this.encoded(less(inputs, t)).states);
    }

    /* LN(Y + W₂ relu(W₁ Y)), Y = LN(X + softmax(Q Xᵀ) Vᵀ), with Q and V of `folded` */
    forward({ query, value, norm1, expand, contract, norm2 }, X) {
      const Q = product(X, query.W, query.b);
      const V = product(value.W, X); // a column a token
      const weights = product(Q, X);
      for (let t = 0; t < X.rows; t++) softmax(row(weights, t));
      const first = this.norm(norm1, plus(product(weights, V, value.b), X));
      const wide = product(first.Y, expand.W, expand.b);
      for (let k = 0; k < wide.data.length; k++) if (wide.data[k] < 0) wide.data[k] = 0;
      const second = this.norm(norm2, plus(product(wide, contract.W, contract.b), first.Y));
      return { X, Q, V, weights, first, wide, second };
    }

    norm({ W, b }, X) {
      const size = X.columns;
      const [unit, Y] = [matrix(X.rows, size), matrix(X.rows, size)];
      const scales = new Float64Array(X.rows);
      for (let t = 0; t < X.rows; t++) {
        const at = t * size;
        let mean = 0;
        let variance = 0;
        for (let k = 0; k < size; k++) mean += X.data[at + k] / size;
        for (let k = 0; k < size; k++) variance += (X.data[at + k] - mean) ** 2 / size;
        scales[t] = 1 / Math.sqrt(variance + EPSILON);
        for (let k = 0; k < size; k++) Y.data[at + k] = (unit.data[at + k] = (X.data[at + k] - mean) * scales[t]) * W[k] + b[k];
      }
      return { unit, scales, Y };
    }

    normBack({ W }, { unit, scales }, slopes) {
      const result = matrix(unit.rows, unit.columns);
      for (let t = 0; t < unit.rows; t++) {
        const here = row(unit, t);
        const inner = row(slopes, t).map((slope, k) => slope * W[k]);
        const mean = inner.reduce((a, b) => a + b) / inner.length;
        const along = dot(inner, here) / inner.length;
        row(result, t).set(inner.map((slope, k) => scales[t] * (slope - mean - here[k] * along)));
      }
      return result;
    }

    back({ tapes }, slopes) {
      for (let k = tapes.length - 1; k >= 0; k--) slopes = this.layerBack(this.layers[k], tapes[k], slopes);
      return product(slopes, transposed(this.input.W));
    }

    layerBack({ query, value, norm1, expand, contract, norm2 }, { X, Q, V, weights, first, wide, second }, slopes) {
      const inner = this.normBack(norm2, second, slopes);
      const hidden = product(inner, transposed(contract.W));
      hidden.data.forEach((_, k) => { if (!wide.data[k]) hidden.data[k] = 0; });
      const dX = this.normBack(norm1, first, plus(inner, product(hidden, transposed(expand.W))));
      const scores = product(dX, transposed(V));
      for (let t = 0; t < X.rows; t++) row(scores, t).set(projectBack(row(weights, t), row(scores, t), null));
      const dV = product(transposed(weights), transposed(dX));
      const dQ = product(scores, transposed(X));
      const parts = [product(dV, transposed(value.W)), product(dQ, transposed(query.W)), product(transposed(scores), transposed(Q))];
      return parts.reduce(plus, dX);
    }
  }

  /* -- the whole -- */
  class Classifier {
    constructor(held, { encoder, lam, projection }) {
      const weights = unpacked(held);
      this.lam = projection === "softmax" ? null : lam;
      this.embedding = weights["embedding.weight"];
      this.encoder = encoder === "bilstm" ? new BiLSTM(weights) : new Transformer(weights);
      this.decoder = { w: weights["decoder.weight"], b: weights["decoder.bias"][0] };
      this.inner = { W: weights["alignment.inner.weight"], b: weights["alignment.inner.bias"] };
      const dotted = weights["alignment.weight.weight"];
      this.outer = dotted ? matrix(1, dotted.columns, dotted.data.map((w) => w / Math.sqrt(dotted.columns))) : weights["alignment.outer.weight"];
    }

    /* Scores v·tanh(W h + b), or the scaled dot w·h/√m; and what a state says of the class, w·h.
       Markers are never attended to. */
    judged(states) {
      const own = rows(states, 1, states.rows - 1);
      const read = this.inner.W ? product(own, this.inner.W, this.inner.b) : own;
      if (this.inner.W) for (let k = 0; k < read.data.length; k++) read.data[k] = tanh(read.data[k]);
      return { read, scores: product(read, this.outer).data, values: product(own, this.decoder.w).data };
    }

    /* The slopes at the states, of those at scores and values. */
    judgedBack({ read }, scores, values) {
      const column = (slopes) => matrix(slopes.length, 1, slopes);
      const slopes = product(column(scores), transposed(this.outer));
      if (this.inner.W) slopes.data.forEach((slope, k) => (slopes.data[k] = slope * (1 - read.data[k] ** 2)));
      const own = plus(product(column(values), transposed(this.decoder.w)), this.inner.W ? product(slopes, transposed(this.inner.W)) : slopes);
      const states = matrix(own.rows + 2, own.columns);
      states.data.set(own.data, own.columns);
      return states;
    }

    logit({ scores, values }, lam) { return scores.length ? dot(project(scores, lam), values) + this.decoder.b : this.decoder.b; }

    /* Read a text of word ids; what does not depend on the projection is computed once. */
    read(ids) { return new Reading(this, ids); }
  }

  class Reading {
    constructor(classifier, ids) {
      this.classifier = classifier;
      this.X = matrix(ids.length + 2, classifier.embedding.columns);
      [BEGIN, ...ids, END].forEach((id, t) => row(this.X, t).set(row(classifier.embedding, id)));
      this.tape = classifier.encoder.encode(this.X);
      this.judged = classifier.judged(this.tape.states);
      this.deleting = classifier.encoder.without(this.tape);
      this.deleted = [];
      this.length = ids.length;
      this.owed = new Map();
    }

    /* Delete token after token, the costly part, for so many milliseconds; say whether all is done. */
    complete(milliseconds = Infinity) {
      const end = performance.now() + milliseconds;
      while (this.deleted.length < this.length && performance.now() < end) {
        const { value: states } = this.deleting.next();
        if (states) this.deleted.push(this.classifier.judged(states));
      }
      return this.deleted.length === this.length;
    }

    /* Attention, logit, and both importances under a projection of the same scores; leave-one-out
       is null until it is complete. */
    under(lam = this.classifier.lam) {
      const { classifier, judged } = this;
      const attention = project(judged.scores, lam);
      const logit = classifier.logit(judged, lam);
      const slopes = classifier.judgedBack(judged, projectBack(attention, judged.values, lam), attention);
      return {
        logit, attention, scores: judged.scores, probability: sigmoid(logit),
        loo: this.deleted.length < this.length ? null : Float64Array.from(this.deleted, (without) => change(logit, classifier.logit(without, lam))),
        product: this.back(slopes, (slope, x) => Math.abs(dot(slope, x))),
      };
    }

    /* ‖∂‖h_p‖/∂X_i‖: what the state of token p owes each input. */
    influence(p) {
      if (!this.owed.has(p)) {
        const slopes = matrix(this.tape.states.rows, this.tape.states.columns);
        const h = row(this.tape.states, p + 1);
        const length = Math.sqrt(dot(h, h));
        if (length) add(row(slopes, p + 1), h, 1 / length);
        this.owed.set(p, this.back(slopes, (slope) => Math.sqrt(dot(slope, slope))));
      }
      return this.owed.get(p);
    }

    /* Of each token, a number made of the slopes at its embedding and of that. */
    back(slopes, number) {
      const dX = this.classifier.encoder.back(this.tape, slopes);
      return Float64Array.from({ length: this.length }, (_, i) => number(row(dX, i + 1), row(this.X, i + 1)));
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
      return [name, matrix(rows, columns, values)];
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
