const card = by("card");
let current = null, pinned = false;

function percent(probability) {
  return (100 * probability).toFixed(probability < 0.001 ? 3 : 1) + " %";
}

function hide() {
  if (current) current.classList.remove("on");
  current = null;
  pinned = false;
  card.hidden = true;
}

function show(place) {
  hide();
  current = place;
  place.classList.add("on");
  const { data, places } = texts.get(place.parentElement);
  const at = places.get(place), bits = data.millibits[at] / 1000;
  card.replaceChildren();
  element("b", data.symbols[data.ids[at]], card);
  element("span", " · " + bits.toFixed(2) + " bits", card);
  element("p", "the model gave it " + percent(2 ** -bits), card);
  const list = element("ol", "", card);
  for (let k = at * data.k; k < (at + 1) * data.k; k++) {
    const id = data.top[k], share = data.probabilities[k] / 1e5;
    const row = element("li", "", list, id === data.ids[at] ? "hit" : "");
    element("bdi", data.symbols[id], row);
    element("meter-bar", "", row).style.width = Math.max(1, 100 * share) + "%";
    element("span", percent(share), row);
  }
  card.hidden = false;
  const box = place.getClientRects()[0] ?? place.getBoundingClientRect();
  const below = box.bottom + 8 + card.offsetHeight < innerHeight;
  const left = Math.min(box.left, document.documentElement.clientWidth - card.offsetWidth - 8);
  card.style.left = scrollX + Math.max(8, left) + "px";
  card.style.top = scrollY + (below ? box.bottom + 8 : box.top - 8 - card.offsetHeight) + "px";
}

const texts = new Map();
for (const section of document.querySelectorAll("section")) {
  const text = section.querySelector(".text");
  const data = JSON.parse(section.querySelector("script").textContent);
  texts.set(text, { data, places: new Map([...text.children].map((place, at) => [place, at])) });
  text.addEventListener("mouseover", ({ target }) => {
    if (!pinned && target !== text) show(target);
  });
  text.addEventListener("mouseleave", () => { if (!pinned) hide(); });
  text.addEventListener("click", ({ target }) => {
    if (target === text) return;
    const again = pinned && target === current;
    show(target);
    pinned = !again;
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const at = texts.get(text).places.get(current) ?? -1;
    const next = text.children[placeAfter(event.key, at, text.children.length)];
    if (!next) return;
    event.preventDefault();
    next.scrollIntoView({ block: "nearest" });
    show(next);
    pinned = true;
  });
}
