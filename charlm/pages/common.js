"use strict";
const by = (id) => document.getElementById(id);

function element(name, content, parent, className) {
  const made = document.createElement(name);
  made.textContent = content;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

const titled = (part) => part.name.replace("_", " ");

// Let the reader choose a character of `text`, by pointing or by keys: `choose` is called with its place.
function choosable(text, at, choose) {
  // Not mouseover, which also comes from a text that scrolls under a mouse at rest.
  for (const name of ["mousemove", "click"])
    text.addEventListener(name, ({ target }) => {
      if (target.dataset.n && Number(target.dataset.n) !== at()) choose(Number(target.dataset.n));
    });
  text.addEventListener("keydown", (event) => {
    const next = placeAfter(event.key, at(), text.children.length), place = text.children[next];
    if (!place) return;
    event.preventDefault();
    place.scrollIntoView({ block: "nearest" });
    choose(next);
  });
}

// The place that a key leads to in a text of `count` characters; undefined for any other key.
function placeAfter(key, at, count) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 40, ArrowUp: -40, Home: -count, End: count };
  return steps[key] && Math.max(0, Math.min(count - 1, at + steps[key]));
}
