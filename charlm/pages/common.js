"use strict";
const by = (id) => document.getElementById(id);

function element(name, content, parent, className) {
  const made = document.createElement(name);
  made.textContent = content;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

// The place that a key leads to in a text of `count` characters; undefined for any other key.
function placeAfter(key, at, count) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 40, ArrowUp: -40, Home: -count, End: count };
  return steps[key] && Math.max(0, Math.min(count - 1, at + steps[key]));
}
