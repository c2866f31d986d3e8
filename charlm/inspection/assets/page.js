const read = (id) => JSON.parse(by(id).textContent);
const data = read("data"), text = by("text");
const characters = read("characters");
const N = characters.length;
let values = null, places = [], current = -1, chosen = { part: "", unit: 0 };

async function unpack(base64) {
  const packed = Uint8Array.from(atob(base64.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Where the bytes of a unit's values begin: part by part, unit by unit, character by character.
function offset(part, index) {
  let before = 0;
  for (const each of data.parts) {
    if (each === part) return (before + index) * N;
    before += each.units.length;
  }
  return before * N;
}

const partOf = (name) => data.parts.find((part) => part.name === name);

// -1 to 1 for a unit (its largest value is 1), 0 to 1 for surprisal (8 bits are 1).
function strengths() {
  const part = partOf(chosen.part);
  if (!part) return Float32Array.from(data.millibits, (bits) => Math.min(1, bits / 8000));
  const start = offset(part, chosen.unit);
  const bytes = new Int8Array(values.buffer, start, N);
  if (part.name.endsWith("_gate")) return Float32Array.from(bytes, (b) => (2 * b * part.scales[chosen.unit]) / 127 - 1);
  return Float32Array.from(bytes, (b) => b / 127);
}

const number = (value) => (Math.abs(value) < 10 ? value.toFixed(2) : value.toFixed(1));

function colour() {
  const shown = strengths(), part = partOf(chosen.part);
  for (let n = 0; n < N; n++) {
    places[n].style.setProperty("--hue", `var(--${shown[n] < 0 ? "low" : "high"})`);
    places[n].style.setProperty("--strength", (0.85 * Math.abs(shown[n])).toFixed(2));
  }
  const isGate = part && part.name.endsWith("_gate");
  const top = part ? part.scales[chosen.unit] : 8;
  by("legend").classList.toggle("one-sided", !part);
  by("low").textContent = part ? (isGate ? "0 (closed)" : number(-top)) : "0 bits";
  by("high").textContent = part ? (isGate ? "1 (open)" : number(top)) : "8 bits or more";
  by("unit").disabled = !part;
  by("number").textContent = part ? part.units[chosen.unit] : "–";
  for (const button of by("found").querySelectorAll("button"))
    button.setAttribute("aria-pressed", button.dataset.unit === `${chosen.part}/${part ? part.units[chosen.unit] : ""}`);
  if (current >= 0) show(current);
}

function choose(name, unit) {
  const part = partOf(name);
  chosen = { part: name, unit: part ? Math.min(unit, part.units.length - 1) : 0 };
  by("part").value = name;
  by("unit").max = part ? part.units.length - 1 : 0;
  by("unit").value = chosen.unit;
  colour();
}

function find(feature) {
  by("found").replaceChildren();
  by("matches").hidden = !feature;
  if (!feature) return;
  const { matches, luck } = data.features[feature];
  by("luck").textContent = `Correlation with “${feature}” over the first half of the text, by which the units were found, and over the second half, which had no say. Luck alone reaches ${luck.toFixed(2)}.`;
  for (const match of matches) {
    const part = partOf(match.part), index = part ? part.units.indexOf(match.unit) : -1;
    const button = element("button", `${match.part} ${match.unit}`, element("li", "", by("found")));
    button.type = "button";
    button.dataset.unit = `${match.part}/${match.unit}`;
    element("small", `${match.chosen.toFixed(2)}, held out ${match.held_out.toFixed(2)}`, button);
    button.disabled = index < 0;
    button.addEventListener("click", () => choose(match.part, index));
  }
  const first = by("found").querySelector("button:enabled");
  if (first) first.click();
}

function reach(n) {
  for (const place of text.querySelectorAll("[style*='--back']")) place.style.removeProperty("--back");
  const { places: count, steps } = data.reach;
  if (!by("gradient").checked || n >= count) return 0;
  const start = values.length - count * steps + n * steps;
  let far = 0;
  for (let k = 0; k < steps && n - 1 - k >= 0; k++) {
    const share = values[start + k] / 255;
    if (share > 0.02) places[n - 1 - k].style.setProperty("--back", share.toFixed(2));
    if (share >= 0.1) far = k + 1;
  }
  return far;
}

function show(n) {
  if (current >= 0) places[current].classList.remove("on");
  current = n;
  places[n].classList.add("on");
  const card = by("card"), part = partOf(chosen.part);
  card.replaceChildren();
  const line = element("p", "", card);
  element("bdi", data.symbols[data.ids[n]], line);
  line.append(` · ${(data.millibits[n] / 1000).toFixed(2)} bits`);
  if (part) {
    const value = (new Int8Array(values.buffer, offset(part, chosen.unit), N)[n] * part.scales[chosen.unit]) / 127;
    line.append(` · ${titled(part)} ${part.units[chosen.unit]} after it: ${number(value)}`);
  }
  const far = reach(n);
  if (far) line.append(` · its loss reaches ${far} characters back (a tenth of the largest gradient)`);
  const list = element("ol", "", card);
  data.likeliest[n].forEach((id, k) => {
    const row = element("li", "", list, id === data.ids[n] ? "hit" : "");
    element("bdi", data.symbols[id], row);
    row.append(` ${data.percents[n][k].toFixed(1)} %`);
  });
}

async function start() {
  values = await unpack(by("numbers").textContent);
  const fragment = document.createDocumentFragment();
  characters.forEach((character, n) => {
    const place = element("i", character, fragment);
    place.dataset.n = n;
    places.push(place);
  });
  text.append(fragment);
  const options = [["surprisal", ""], ...data.parts.map((part) => [titled(part), part.name])];
  for (const [label, value] of options) element("option", label, by("part")).value = value;
  for (const feature of Object.keys(data.features)) element("option", feature, by("feature")).value = feature;
  by("part").addEventListener("change", () => choose(by("part").value, 0));
  by("unit").addEventListener("input", () => choose(chosen.part, Number(by("unit").value)));
  by("feature").addEventListener("change", () => find(by("feature").value));
  by("gradient").addEventListener("change", () => { if (current >= 0) show(current); });
  by("controls").addEventListener("submit", (event) => event.preventDefault());
  choosable(text, () => current, show);
  choose("", 0);
  document.body.dataset.ready = "yes";
}

start();
