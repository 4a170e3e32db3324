"""What the explorer's page does, in JavaScript: a table to search, and charts of one class.

Names of classes reach the page as text alone, never as markup.
"""

BEHAVIOUR = r"""
const page = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const views = {}, state = {of: 0, chosen: -1, key: "k", down: false, rows: []};
const AXES = [
  ["loss", "test loss at the best λ"],
  ["accuracy", "test accuracy at the best λ (%)"],
  ["effect", ""],
  ["gain", "gain from its own λ (shrunk curve)"],
  ["size", "training images"],
];
const COLUMNS = [
  ["name", "Class", "its name"],
  ["accuracy", "Acc. %", "test accuracy at the best λ overall"],
  ["loss", "Loss", "mean test loss at the best λ overall"],
  ["own", "Own λ", "the lowest of its shrunk curve on val"],
  ["effect", "Gain", "test loss saved by the best λ, by shrunk curves"],
];
const SURELY = {helped: "surely helped", harmed: "surely harmed"};
const MARKS = {"surely helped": [" ▲", "helped"], "surely harmed": [" ▼", "harmed"]};

function element(tag, given = {}, ...children) {
  const made = Object.assign(document.createElement(tag), given);
  made.append(...children);
  return made;
}
const minus = text => text.replace("-", "−");
// Without a sign where it rounds to 0.
const rounded = (value, digits) => (Number(value.toFixed(digits)) || 0).toFixed(digits);
const fixed = (value, digits) => value == null ? "–"
  : minus(rounded(value, Math.abs(value) < 100 ? digits : 0));
const signed = (value, digits) => (value > 0 ? "+" : "") + fixed(value, digits);
const plain = text => text.normalize("NFC").toLowerCase();
const named = number => element("span", {className: "name", textContent: page.names[number]});
const shown = () => page.configurations[state.of];
const title = each => each.model + " · " + each.optimizer;
const interval = gain => gain && gain[0] != null
  ? signed(gain[0], 3) + " (" + signed(gain[1], 3) + " to " + signed(gain[2], 3) + ")" : "";
const probability = p => p > 0.999 ? "> 0.999" : "= " + p.toFixed(3);

function thumb(number, place, size) {
  const images = shown().images, made = element("span", {className: "thumb"});
  const strip = images && images.strips[number];
  if (!strip || place >= images.predicted[number].length) return null;
  const count = images.predicted[number].length;
  Object.assign(made.style, {
    width: size + "px",
    height: size + "px",
    backgroundImage: `url(data:image/webp;base64,${strip})`,
    backgroundSize: `${size * count}px ${size}px`,
    backgroundPosition: `${-place * size}px 0`,
  });
  return made;
}

function listRows() {
  const {classes} = shown();
  state.rows = page.names.map((name, k) => {
    const numbers = ["accuracy", "loss", "own", "effect", "gain", "size", "elsewhere"];
    const row = Object.fromEntries(numbers.map(key => [key, classes[key][k]]));
    if (row.accuracy != null) row.accuracy *= 100;
    const sign = SURELY[classes.surely[k]] || "not sure";
    return {...row, k, name, sign, found: true, search: plain(name)};
  });
  for (const row of state.rows) row.made = listRow(row);
  sortRows();
}

function listRow(row) {
  const [mark, className] = MARKS[row.sign] || ["\u2003", ""];
  const made = element("tr", {role: "row", title: row.name, onclick: () => choose(row.k, true)},
    element("td", {}, thumb(row.k, 0, 24) || "", named(row.k)),
    element("td", {textContent: fixed(row.accuracy, 0)}),
    element("td", {textContent: fixed(row.loss, 2)}),
    element("td", {textContent: row.own == null ? "–" : row.own}),
    element("td", {}, signed(row.effect, 2), element("b", {textContent: mark, className})));
  made.setAttribute("aria-selected", "false");
  return made;
}

function sortRows() {
  const {key, down} = state, {labels} = shown();
  const value = row => key === "own" ? labels.indexOf(row.own) : row[key];
  state.rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x == null || y == null) return (x == null) - (y == null) || a.k - b.k;
    return ((x > y) - (x < y)) * (down ? -1 : 1) || a.k - b.k;
  });
  $("body").replaceChildren(...state.rows.map(row => row.made));
  $("heads").replaceChildren(...COLUMNS.map(column => headOf(...column)));
}

function headOf(name, text, title) {
  const {key, down} = state, mark = name === key ? (down ? " ▾" : " ▴") : "";
  const button = element("button", {textContent: text + mark, title});
  button.dataset.key = name;
  button.onclick = () => {
    state.down = name === key ? !down : name !== "name";
    state.key = name;
    sortRows();
    $("heads").querySelector(`[data-key=${name}]`).focus();
  };
  const head = element("th", {role: "columnheader"}, button);
  head.setAttribute("aria-sort", mark ? (down ? "descending" : "ascending") : "none");
  return head;
}

function find() {
  const wanted = plain($("search").value.trim()), kind = $("filter").value;
  for (const row of state.rows) {
    const asked = !kind || (kind === "elsewhere" ? row.elsewhere : row.sign === "surely " + kind);
    row.found = row.search.includes(wanted) && Boolean(asked);
    row.made.hidden = !row.found;
  }
  const found = state.rows.filter(row => row.found);
  $("count").textContent = `${found.length} of ${state.rows.length}`;
  const exact = found.find(row => row.search === wanted);
  const first = exact || !found.some(row => row.k === state.chosen) && found[0];
  if (first) choose(first.k);
  // After the class, which was asked for.
  clearTimeout(state.later);
  state.later = setTimeout(scatter, 50);
}

function step(event) {
  const found = state.rows.filter(row => row.found);
  const at = found.findIndex(row => row.k === state.chosen);
  const to = {ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 15, PageUp: at - 15, Home: 0,
    End: found.length - 1}[event.key];
  const typing = event.target === $("search");
  if (to === undefined || !found.length || typing && ["Home", "End"].includes(event.key)) return;
  event.preventDefault();
  choose(found[Math.max(0, Math.min(found.length - 1, to))].k);
}

function address(push) {
  const asked = new URLSearchParams({class: page.names[state.chosen]});
  if (page.configurations.length > 1) asked.set("of", title(shown()));
  try {
    history[push ? "pushState" : "replaceState"](null, "", "#" + asked);
  } catch (refused) { /* A page inside another may have no address of its own. */ }
}

function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const of = page.configurations.findIndex(each => title(each) === asked.get("of"));
  if (of >= 0 && of !== state.of) configure(of);
  return page.names.indexOf(asked.get("class"));
}

function choose(number, push) {
  const before = state.rows.find(row => row.k === state.chosen);
  if (before) before.made.setAttribute("aria-selected", "false");
  state.chosen = number;
  const row = state.rows.find(each => each.k === number);
  row.made.setAttribute("aria-selected", "true");
  if (!row.made.hidden) row.made.scrollIntoView({block: "nearest"});
  address(push);
  describe(number);
  draw(number);
}

function describe(k) {
  const of = shown();
  $("name").textContent = page.names[k];
  $("facts").textContent = facts(of, of.classes, k).join(" ");
  const kinds = ["typical", "highest loss"];
  $("images").replaceChildren(...kinds.map((text, odd) => pictures(k, text, odd)).filter(Boolean));
  const none = element("p", {className: "key", textContent: "No other class, at the best λ."});
  const others = of.confused[k].map(([other, n]) => taken(other, n, of.tested[k]));
  $("confused").replaceChildren(...(others.length ? others : [none]));
  const one = of.labels[of.best], gain = way => !way.gains || way.lambdas[k] == null ? ""
    : way.lambdas[k] === one ? "none: the same λ" : interval(way.gains[k]);
  const ways = of.ways.map(way => [way.name, way.lambdas[k] || "–", gain(way)]);
  ways.unshift(["one λ for all classes", one, ""]);
  $("ways").replaceChildren(grid(["way", "λ", "gain" + of.unit], ways));
}

function facts(of, each, k) {
  if (each.loss[k] == null) return ["No test images."];
  const said = [`At the best λ: accuracy ${fixed(100 * each.accuracy[k], 0)} %, loss `
    + `${fixed(each.loss[k], 2)}${of.unit}, over ${each.images[k]} test images.`];
  if (each.effect[k] == null || each.against[k] === of.labels[of.best]) return said;
  const helps = each.effect[k] >= 0, p = helps ? each.helped[k] : 1 - each.helped[k];
  const sure = each.surely[k] in SURELY ? SURELY[each.surely[k]] : "not sure";
  said.push(`From λ = ${each.against[k]} to the best λ its loss ${helps ? "falls" : "rises"} by `
    + `${fixed(Math.abs(each.effect[k]), 2)}${of.unit}: ${sure} `
    + `(P(${helps ? "helped" : "harmed"}) ${probability(p)}).`);
  return said;
}

function pictures(k, text, odd) {
  const images = shown().images, shots = [];
  for (let place = odd; images && place < images.predicted[k].length; place += 2) {
    const other = images.predicted[k][place], right = other === k;
    const below = right ? element("span", {textContent: "✓"}) : named(other);
    const title = right ? "predicted right" : "taken for " + page.names[other];
    shots.push(element("div", {className: "shot", title}, thumb(k, place, 52), below));
  }
  const caption = element("figcaption", {textContent: text});
  return shots.length ? element("figure", {}, caption, element("div", {}, ...shots)) : null;
}

function taken(other, n, total) {
  const href = "#" + new URLSearchParams({class: page.names[other]});
  const onclick = event => { event.preventDefault(); choose(other, true); };
  const link = element("a", {href, onclick}, named(other));
  const bar = element("div", {className: "bar"});
  bar.style.width = 100 * n / total + "%";
  return element("div", {className: "taken"}, thumb(other, 0, 26) || element("span"), link,
    element("div", {}, bar), element("span", {textContent: `${n} of ${total}`}));
}

function grid(heads, rows) {
  const cell = tag => textContent => element(tag, {textContent});
  const line = (tag, cells) => element("tr", {}, ...cells.map(cell(tag)));
  return element("table", {}, element("thead", {}, line("th", heads)),
    element("tbody", {}, ...rows.map(cells => line("td", cells))));
}
"""
