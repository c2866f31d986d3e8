"""The style and the script of the surprisal page, and its colours.

One colour a level of surprisal. From level to level the light page grows darker and the dark page
brighter, so that the order survives every kind of colour blindness, and grey too.
"""

LIGHT = ("#fffdf8", "#fdf1cd", "#fbdd9b", "#f6bd6d", "#ec9658", "#cf6a5c", "#963d66", "#56205c")
DARK = ("#16151c", "#2a1f3d", "#452558", "#6f3567", "#a04a68", "#cf6f60", "#ee9d5e", "#fbdd9b")


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, 0 to 1 (WCAG 2.2)."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink(colour: str) -> str:
    """What can be read on a colour: black or white, whichever stands out more."""
    return max("#111111", "#ffffff", key=lambda candidate: contrast(candidate, colour))


def _shades(colours: tuple[str, ...]) -> str:
    return "\n".join(
        f".s{level}{{background:{colour};color:{ink(colour)}}}"
        for level, colour in enumerate(colours)
    )


STYLE = f"""
:root{{color-scheme:light dark;--paper:#fffdf8;--ink:#1c1a22;--soft:#6a6470;--line:#e4ddd2;
--card:#ffffff;--bar:#c9c1d6;--hit:#963d66}}
{_shades(LIGHT)}
@media (prefers-color-scheme:dark){{
:root{{--paper:#16151c;--ink:#ece8f0;--soft:#a39cae;--line:#37333f;--card:#221f2b;--bar:#55496b;
--hit:#ee9d5e}}
{_shades(DARK)}
}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}}
main{{max-width:60rem;margin:0 auto;padding:2.5rem 1.5rem 6rem}}
h1{{font-size:1.5rem;font-weight:650;margin:0 0 .25rem;letter-spacing:-.01em}}
h2{{font-size:1.125rem;font-weight:600;margin:0 0 .75rem;overflow-wrap:anywhere}}
p{{margin:.25rem 0;color:var(--soft);max-width:46rem}}
section{{margin-top:2.5rem}}
dl{{display:flex;flex-wrap:wrap;gap:.25rem 2.5rem;margin:0 0 1rem}}
dl div{{display:flex;flex-direction:column-reverse}}
dt{{font-size:.8125rem;color:var(--soft)}}
dd{{margin:0;font-size:1.375rem;font-weight:600;font-variant-numeric:tabular-nums}}
.legend{{display:grid;grid-template-columns:repeat(8,1fr);max-width:46rem;margin:1.5rem 0 0;
padding:0;list-style:none;border:1px solid var(--line);border-radius:6px;overflow:hidden;
font-size:.8125rem;text-align:center;font-variant-numeric:tabular-nums}}
.legend li{{padding:.375rem 0}}
p.unit{{font-size:.8125rem}}
svg{{display:block;width:100%;height:4rem;color:var(--bar)}}
figure{{margin:0 0 1.25rem}}
figcaption{{font-size:.8125rem;color:var(--soft);display:flex;justify-content:space-between}}
.mean{{stroke:var(--ink);stroke-dasharray:3 4;vector-effect:non-scaling-stroke}}
.text{{font:1.0625rem/2 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
white-space:pre-wrap;overflow-wrap:anywhere;border-top:1px solid var(--line);padding-top:1rem;
outline-offset:.5rem}}
.text i{{font-style:normal;padding:.22em 0;cursor:default}}
.text i.u{{text-decoration:underline wavy}}
.text i.on{{outline:2px solid var(--ink);outline-offset:-1px;border-radius:2px}}
#card{{position:absolute;width:16rem;padding:.75rem .875rem;background:var(--card);
border:1px solid var(--line);border-radius:10px;box-shadow:0 8px 28px #0003;font-size:.875rem;
pointer-events:none;z-index:1}}
#card[hidden]{{display:none}}
#card b{{font-size:1rem}}
#card p{{margin:0 0 .5rem;font-size:.8125rem}}
#card ol{{list-style:none;margin:0;padding:0}}
#card li{{display:grid;grid-template-columns:2.75rem 1fr 4rem;align-items:center;gap:.5rem;
font-variant-numeric:tabular-nums;line-height:1.6}}
#card li>:first-child{{font-family:ui-monospace,Menlo,Consolas,monospace}}
#card li>:last-child{{text-align:right;white-space:nowrap}}
#card meter-bar{{display:block;height:.5rem;border-radius:3px;background:var(--bar)}}
#card .hit{{font-weight:650}}
#card .hit meter-bar{{background:var(--hit)}}
"""

SCRIPT = """
"use strict";
const card = document.getElementById("card");
let current = null, pinned = false;

function element(name, content, parent, className) {
  const made = document.createElement(name);
  made.textContent = content;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

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
    const id = data.favourites[k], share = data.probabilities[k] / 1e5;
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
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    if (event.key === "Escape") hide();
    if (!step) return;
    event.preventDefault();
    const inside = current && current.parentElement === text;
    const next = inside ? current[step] : text.firstElementChild;
    if (!next) return;
    next.scrollIntoView({ block: "nearest" });
    show(next);
    pinned = true;
  });
}
"""
