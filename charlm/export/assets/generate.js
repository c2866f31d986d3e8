"use strict";
// The model's single step, as in charlm.cells: the equations stand above each function.
// All numbers lie in one memory: the weights, then the vectors. The rows of a matrix, and so the
// vectors that it is multiplied with, are padded with zeros to a multiple of 8 numbers.

// out[r] = Σ_k W[r, k] v[k], four numbers at a time, assembled from product.wat.
const PRODUCT = "AGFzbQEAAAABCQFgBX9/f39/AAMCAQAFAwEAAQcUAgZtZW1vcnkCAAdwcm9kdWN0AAAKygEBxwECAX8CewJAA0AgA0UNAf0MAAAAAAAAAAAAAAAAAAAAACEG/QwAAAAAAAAAAAAAAAAAAAAAIQdBACEFAkADQCAFIARPDQEgBiAAIAVq/QAEACABIAVq/QAEAP3mAf3kASEGIAcgACAFav0ABBAgASAFav0ABBD95gH95AEhByAFQSBqIQUMAAsLIAYgB/3kASEGIAIgBv0fACAG/R8BkiAG/R8CIAb9HwOSkjgCACACQQRqIQIgACAEaiEAIANBAWshAwwACwsL";

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const padded = (count) => 8 * Math.ceil(count / 8);
const GATES = { rnn: 1, gru: 3, lstm: 4 };

// As the training text was normalised: see charlm.text.normalisation.
const NORMALISE = {
  letters: (text) => text.replace(/[^A-Za-z]+/g, " ").toLowerCase(),
  book: (text) => text.split("\n").map((line) => NORMALISE.letters(line).trim()).join(""),
  none: (text) => text.normalize("NFC"),
};

class Generator {
  constructor(description) {
    this.description = description;
    this.size = description.symbols.length;
    this.idOf = new Map(description.symbols.map((symbol, id) => [symbol, id]));
    const packed = bytesOf(description.weights), weights = packed.length / 4;
    const { layers, readout } = description;
    let room = padded(this.size) + padded(layers.reduce((sum, { size }) => sum + size, 0));
    for (const { cell, size } of layers) room += (3 + 2 * GATES[cell]) * padded(size) + 16;
    const buffer = this.allocate(4 * (padded(weights) + room));
    new Uint8Array(buffer).set(packed);
    this.weights = new Float32Array(buffer, 0, weights);
    let at = padded(weights);
    const vector = (count) => {
      const made = new Float32Array(buffer, 4 * at, count);
      at += padded(count);
      return made;
    };
    this.layers = layers.map((layer) => {
      const rows = layer.size * GATES[layer.cell];
      const [h, c, gated] = [0, 0, 0].map(() => vector(layer.size));
      return { ...layer, h, c, gated, a: vector(rows), x: vector(rows) };
    });
    this.scores = vector(this.size);
    this.joined = readout === "concat" ? vector(layers.reduce((sum, { size }) => sum + size, 0)) : null;
    this.restart();
  }

  // A memory that the assembled product can reach, or where it can't run, any.
  allocate(numBytes) {
    const code = bytesOf(PRODUCT);
    if (typeof WebAssembly === "undefined" || !WebAssembly.validate(code)) {
      this.multiply = null;
      return new ArrayBuffer(8 * Math.ceil(numBytes / 8));
    }
    const { memory, product } = new WebAssembly.Instance(new WebAssembly.Module(code)).exports;
    memory.grow(Math.ceil(numBytes / 65536));
    this.multiply = product;
    return memory.buffer;
  }

  // At the start of a text; of a document, after the mark before it.
  restart() {
    if (this.description.mark === null) this.forget(); else this.read(this.description.mark);
  }

  forget() {
    for (const { h, c } of this.layers) { h.fill(0); c.fill(0); }
  }

  // out[r] = Σ_k W[r, k] v[k], for rows `from` to `to` of the matrix at `start`.
  product(start, v, out, from, to) {
    const W = this.weights, K = padded(v.length);
    if (this.multiply) {
      this.multiply(4 * (start + from * K), v.byteOffset, out.byteOffset + 4 * from, to - from, 4 * K);
      return;
    }
    for (let r = from; r < to; r++) {
      let sum = 0;
      for (let k = 0, at = start + r * K; k < v.length; k++, at++) sum += W[at] * v[k];
      out[r] = sum;
    }
  }

  // Read one more character; with a mark, a document begins.
  read(id) {
    if (id === this.description.mark) this.forget();
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
  gru({ weight_hh, reset_after, bias_hn, size: H, h, gated, a, x }) {
    this.product(weight_hh, h, a, 0, reset_after ? 3 * H : 2 * H);
    if (!reset_after) {
      for (let u = 0; u < H; u++) gated[u] = sigmoid(x[u] + a[u]) * h[u];
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
    const { output } = this.description, logits = this.scores;
    let read = this.layers[this.layers.length - 1].h, at = 0;
    if (this.joined) {
      for (const { h, size } of this.layers) { this.joined.set(h, at); at += size; }
      read = this.joined;
    }
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

  // null at the document's end.
  next(temperature) {
    const id = this.choose(temperature);
    if (id === this.description.mark) return null;
    this.read(id);
    return this.description.symbols[id];
  }
}

function sigmoid(a) {
  return 1 / (1 + Math.exp(-a));
}
