let columns = [], stopping = null;

const bytes = (base64) => Int8Array.from(atob(base64), (c) => (c.charCodeAt(0) << 24) >> 24);

class Column {
  constructor(model, number) {
    this.model = number;
    this.events = [];
    this.unit = null;
    const section = element("section", "", by("models"));
    element("h2", model.name, section);
    this.parts = model.parts;
    this.at = -1;
    const choice = element("div", "", section, "choice");
    this.part = element("select", "", element("label", "Units of ", choice));
    model.parts.forEach((part, p) => (element("option", `${titled(part)} (${part.size})`, this.part).value = p));
    this.number = element("input", "", element("label", "Colour by unit ", choice));
    Object.assign(this.number, { type: "number", min: 0, placeholder: "none" });
    this.canvas = element("canvas", "", section);
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "The value of every unit after the latest character");
    this.text = element("div", "", section, "text");
    this.text.setAttribute("dir", "auto");
    this.text.setAttribute("role", "application");
    this.text.setAttribute("aria-label", `The text of ${model.name}; move with the arrow keys`);
    this.text.tabIndex = 0;
    this.here = element("p", "Choose a unit by its number, or in the picture; a character with the arrow keys, or by pointing.", section, "note");
    this.here.setAttribute("role", "status");
    this.status = element("p", "", section, "note");
    this.status.setAttribute("role", "status");
    this.list = element("ol", "", section);
    this.part.addEventListener("change", () => { this.choose(null); this.show(this.at); });
    this.number.addEventListener("input", () => this.choose(this.number.value === "" ? null : Number(this.number.value)));
    this.canvas.addEventListener("click", (event) => {
      const units = this.units(this.at);
      if (!units) return;
      const { columns: wide, rows } = this.grid(units.length);
      const x = Math.floor((event.offsetX / this.canvas.clientWidth) * wide);
      const y = Math.floor((event.offsetY / this.canvas.clientHeight) * rows);
      this.choose(y * wide + x);
    });
    choosable(this.text, () => this.at, (n) => this.point(n));
  }
  grid(count) { const rows = Math.max(1, Math.round(Math.sqrt(count / 12))); return { rows, columns: Math.ceil(count / rows) }; }
  units(n) { const event = this.events[n]; return event && (event.units[this.part.value] ??= bytes(event.u[this.part.value])); }
  clear() { this.events = []; this.at = -1; this.here.textContent = ""; this.text.replaceChildren(); this.list.replaceChildren(); this.status.textContent = ""; this.status.classList.remove("error"); }
  add(event) {
    event.units = {};
    this.events.push(event);
    const n = this.events.length - 1;
    const place = element("i", event.c, this.text, event.new ? "new" : "");
    place.dataset.n = n;
    this.colour(place, n);
    this.latest = n;
    requestAnimationFrame(() => { if (this.latest === n) this.show(n); });
  }
  colour(place, n) {
    if (this.unit === null) { place.style.removeProperty("--strength"); return; }
    const value = this.units(n)[this.unit] / 127;
    place.style.setProperty("--hue", `var(--${value < 0 ? "low" : "high"})`);
    place.style.setProperty("--strength", (0.85 * Math.abs(value)).toFixed(2));
  }
  // Colour the text by a unit; by none if it is null.
  choose(unit) {
    const last = this.parts[this.part.value].size - 1;
    this.unit = unit === null ? null : Math.max(0, Math.min(last, Math.trunc(unit)));
    this.number.value = this.unit ?? "";
    [...this.text.children].forEach((place, n) => this.colour(place, n));
    this.tell();
  }
  // Show a character that the reader has chosen, and say in words what is seen of it.
  point(n) { this.show(n); this.tell(); }
  tell() {
    const event = this.events[this.at];
    if (!event) return;
    const unit = this.unit === null ? "" : ` · ${titled(this.parts[this.part.value])} ${this.unit} after it: ${(this.units(this.at)[this.unit] / 127).toFixed(2)}`;
    this.here.textContent = `${event.c.trim() || "␣"} · ${event.bits.toFixed(2)} bits${unit}`;
  }
  show(n) {
    const event = this.events[n];
    if (!event) return;
    this.text.children[this.at]?.classList.remove("on");
    this.at = n;
    this.text.children[n].classList.add("on");
    this.draw(this.units(n));
    this.list.replaceChildren();
    for (const [symbol, percent] of event.p) {
      const row = element("li", "", this.list);
      element("bdi", symbol, row);
      element("span", "", row).style.width = `${Math.max(1, percent)}%`;
      element("span", `${percent.toFixed(1)} %`, row);
    }
  }
  draw(units) {
    const { columns: wide, rows } = this.grid(units.length);
    this.canvas.width = wide;
    this.canvas.height = rows;
    const style = getComputedStyle(document.documentElement);
    const hues = ["--low", "--high"].map((name) => style.getPropertyValue(name).trim().split(" ").map(Number));
    const picture = this.canvas.getContext("2d").createImageData(wide, rows);
    units.forEach((value, u) => picture.data.set([...hues[value < 0 ? 0 : 1], Math.round(255 * Math.abs(value) / 127)], 4 * u));
    this.canvas.getContext("2d").putImageData(picture, 0, 0);
  }
  async write(request, signal) {
    this.clear();
    const response = await fetch("/continue", {
      method: "POST", signal, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...request, model: this.model }),
    });
    if (!response.ok) { this.fail((await response.json()).error); return; }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const event = JSON.parse(line);
        if (event.error) { this.fail(event.error); return; }
        this.add(event);
      }
    }
    const bits = this.events.filter((event) => !event.new).map((event) => event.bits);
    if (bits.length) this.status.textContent = `The prefix costs ${(bits.reduce((a, b) => a + b) / bits.length).toFixed(2)} bits a character.`;
  }
  fail(reason) { this.status.textContent = reason; this.status.classList.add("error"); }
}

const numberOf = (id) => (by(id).value === "" ? null : Number(by(id).value));

async function write() {
  stopping?.abort();
  const mine = (stopping = new AbortController());
  const request = {
    prefix: by("prefix").value, temperature: numberOf("temperature"), top_k: numberOf("top_k"),
    num_characters: numberOf("num_characters") ?? 0, seed: numberOf("seed"),
  };
  by("stop").disabled = false;
  document.body.dataset.writing = "yes";
  await Promise.all(columns.map((column) => column.write(request, mine.signal).catch((error) => {
    if (error.name !== "AbortError") column.fail("The server is gone: start charlm serve again.");
  })));
  if (stopping !== mine) return;
  by("stop").disabled = true;
  delete document.body.dataset.writing;
}

async function start() {
  const models = await (await fetch("/models")).json();
  columns = models.map((model, number) => new Column(model, number));
  let waiting = null;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(write, 400); };
  by("controls").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(waiting); write(); });
  by("controls").addEventListener("input", () => {
    by("temperature-value").textContent = Number(by("temperature").value).toFixed(2);
    soon();
  });
  by("stop").addEventListener("click", () => stopping?.abort());
  document.body.dataset.ready = "yes";
}

start();
