"use strict";
// The model's single step, as in charlm.cells: the equations stand above each function.
// Weights are float32, sums are JavaScript's own numbers (float64).

class Generator {
  constructor(description) {
    const packed = Uint8Array.from(atob(description.weights), (c) => c.charCodeAt(0));
    this.weights = new Float32Array(packed.buffer);
    this.description = description;
    this.size = description.symbols.length;
    this.idOf = new Map(description.symbols.map((symbol, id) => [symbol, id]));
    this.restart();
  }

  restart() {
    this.layers = this.description.layers.map((layer) => ({
      ...layer,
      h: new Float32Array(layer.size),
      c: new Float32Array(layer.size),
      a: new Float32Array(layer.size * { rnn: 1, gru: 3, lstm: 4 }[layer.cell]),
      x: new Float32Array(layer.size * { rnn: 1, gru: 3, lstm: 4 }[layer.cell]),
    }));
  }

  // out[r] = (add[r] or 0) + Σ_k W[r, k] v[k], for rows `from` to `to` of the matrix at `start`.
  product(start, v, out, from, to) {
    const W = this.weights, K = v.length;
    for (let r = from; r < to; r++) {
      let at = start + r * K, s0 = 0, s1 = 0, s2 = 0, s3 = 0, k = 0;
      for (; k + 3 < K; k += 4, at += 4) {
        s0 += W[at] * v[k];
        s1 += W[at + 1] * v[k + 1];
        s2 += W[at + 2] * v[k + 2];
        s3 += W[at + 3] * v[k + 3];
      }
      for (; k < K; k++, at++) s0 += W[at] * v[k];
      out[r] = s0 + s1 + (s2 + s3);
    }
  }

  // Read one more character.
  read(id) {
    let below = null;
    for (const layer of this.layers) {
      const { x } = layer;
      if (below === null) {
        x.set(this.weights.subarray(layer.table + id * x.length, layer.table + (id + 1) * x.length));
      } else {
        this.product(layer.weight_ih, below, x, 0, x.length);
        for (let r = 0; r < x.length; r++) x[r] += this.weights[layer.bias + r];
      }
      this[layer.cell](layer);
      below = layer.h;
    }
  }

  // h' = φ(x + W_hh h)
  rnn({ weight_hh, nonlinearity, size, h, a, x }) {
    this.product(weight_hh, h, a, 0, size);
    for (let u = 0; u < size; u++) {
      const s = x[u] + a[u];
      h[u] = nonlinearity === "relu" ? Math.max(0, s) : Math.tanh(s);
    }
  }

  // r, z = σ(x + W h);  n = tanh(x_n + r (W_hn h + b_hn)) or tanh(x_n + W_hn (r h));
  // h' = (1 - z) n + z h
  gru({ weight_hh, reset_after, bias_hn, size: H, h, a, x }) {
    this.product(weight_hh, h, a, 0, reset_after ? 3 * H : 2 * H);
    if (!reset_after) {
      const gated = h.map((value, u) => sigmoid(x[u] + a[u]) * value);
      this.product(weight_hh, gated, a, 2 * H, 3 * H);
    }
    for (let u = 0; u < H; u++) {
      const r = sigmoid(x[u] + a[u]), z = sigmoid(x[H + u] + a[H + u]);
      const recurrent = reset_after ? r * (a[2 * H + u] + this.weights[bias_hn + u]) : a[2 * H + u];
      h[u] = (1 - z) * Math.tanh(x[2 * H + u] + recurrent) + z * h[u];
    }
  }

  // i, f, o = σ(x + W h);  g = tanh(x_g + W_hg h);  c' = f c + i g;  h' = o tanh(c')
  lstm({ weight_hh, size: H, h, c, a, x }) {
    this.product(weight_hh, h, a, 0, 4 * H);
    for (let u = 0; u < H; u++) {
      const i = sigmoid(x[u] + a[u]), f = sigmoid(x[H + u] + a[H + u]);
      const g = Math.tanh(x[2 * H + u] + a[2 * H + u]), o = sigmoid(x[3 * H + u] + a[3 * H + u]);
      c[u] = f * c[u] + i * g;
      h[u] = o * Math.tanh(c[u]);
    }
  }

  // Logits of the next character; <unk> (id 0) is none.
  logits() {
    const { output, readout } = this.description;
    let read = this.layers[this.layers.length - 1].h;
    if (readout === "concat") {
      read = new Float32Array(this.layers.reduce((sum, layer) => sum + layer.size, 0));
      let at = 0;
      for (const { h, size } of this.layers) { read.set(h, at); at += size; }
    }
    const logits = new Float32Array(this.size);
    this.product(output.weight, read, logits, 0, this.size);
    for (let v = 0; v < this.size; v++) logits[v] += this.weights[output.bias + v];
    logits[0] = -Infinity;
    return logits;
  }

  // The likeliest character at temperature 0 (the first of equals), else one that is drawn.
  choose(temperature, random = Math.random) {
    const logits = this.logits();
    let best = 1;
    for (let v = 2; v < this.size; v++) if (logits[v] > logits[best]) best = v;
    if (!temperature) return best;
    const weights = logits.map((logit) => Math.exp((logit - logits[best]) / temperature));
    let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
    for (let v = 1; v < this.size; v++) if ((left -= weights[v]) < 0) return v;
    return best;
  }

  // Characters that the model has never seen are left out, and returned.
  readText(text) {
    const unknown = new Set();
    for (const character of text) {
      const id = this.idOf.get(character);
      if (id > 0) this.read(id); else unknown.add(character);
    }
    return [...unknown];
  }

  next(temperature) {
    const id = this.choose(temperature);
    this.read(id);
    return this.description.symbols[id];
  }
}

function sigmoid(a) {
  return 1 / (1 + Math.exp(-a));
}
