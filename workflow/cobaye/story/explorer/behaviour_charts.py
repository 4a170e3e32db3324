"""What the explorer's page does, in JavaScript: its charts, and the start. After `behaviour`."""

CHARTS = r"""
function tip(handler, event, item, value) {
  $("tip").hidden = value == null;
  if (value == null) return;
  const lines = Object.entries(value).map(([name, said]) => `${name}  ${minus(String(said))}`);
  $("tip").textContent = lines.join("\n");
  const {offsetWidth, offsetHeight} = $("tip");
  $("tip").style.left = Math.min(event.clientX + 14, innerWidth - offsetWidth - 8) + "px";
  $("tip").style.top = Math.max(8, event.clientY - offsetHeight - 10) + "px";
}

for (const [name, drawing] of Object.entries(page.charts)) {
  const renderer = name === "scatter" ? "canvas" : "svg";
  // Errors alone are logged: a chart warns while it has no data yet.
  const options = {mode: "vega", renderer, actions: false, tooltip: tip, logLevel: 1};
  views[name] = (await vegaEmbed($(name), drawing, options)).view;
}
views.scatter.addEventListener("click", (event, item) => {
  if (item && item.datum && "k" in item.datum) choose(item.datum.k, true);
});

function draw(k) {
  const of = shown(), {curve} = of, best = [{place: of.places[of.best]}];
  const at = (values, line) => of.places.map((place, m) => ({place, lambda: of.labels[m], of: line,
    loss: values[m]})).filter(each => each.loss != null);
  const lines = Object.entries(of.losses).flatMap(([split, values]) => at(values[k], split));
  lines.push(...at(of.mean, "all classes, test"));
  for (const view of [views.losses, views.curve]) {
    view.signal("ticks", of.places).signal("labels", of.labels).data("best_lambda", best);
  }
  views.losses.data("losses", lines).runAsync();
  const ends = m => Object.entries(curve).map(([name, values]) => [name, values[k][m]]);
  const band = of.places
    .map((place, m) => ({place, lambda: of.labels[m], ...Object.fromEntries(ends(m))}))
    .filter(each => each.raw != null);
  views.curve.data("zero", [{place: 0}]).data("curve", band).runAsync();
  views.scatter.signal("chosen", k).runAsync();
}

function scatter() {
  const rows = state.rows.map(({made, search, ...values}) => values);
  views.scatter.signal("x_field", $("x-field").value).signal("y_field", $("y-field").value)
    .data("classes", rows).runAsync();
}

const option = ([value, textContent]) => element("option", {value, textContent});

function configure(number) {
  state.of = number;
  const of = shown(), each = of.classes;
  const against = each.against.find(text => text != null);
  const gained = `gain from λ = ${against} to the best λ (shrunk curve)`;
  const axes = AXES.map(([key, text]) => [key, text || gained])
    .filter(([key]) => new Set(each[key].filter(value => value != null)).size > 1);
  for (const [id, first] of [["x-field", "loss"], ["y-field", "effect"]]) {
    const before = $(id).value || first;
    $(id).replaceChildren(...axes.map(option));
    $(id).value = axes.some(([key]) => key === before) ? before : axes[0] && axes[0][0];
  }
  $("summary").textContent = `${page.names.length} classes of ${page.data}. Best weight decay `
    + `overall: λ = ${of.labels[of.best]}, test loss ${fixed(of.loss, 3)}${of.unit}, `
    + `accuracy ${fixed(100 * of.accuracy, 1)} %.`;
  $("compared").textContent = `(λ = ${against} against the best λ)`;
  document.querySelectorAll(".share").forEach(made => { made.textContent = of.share; });
  const lines = [["test", "test"], ["val", "dashed"], ["train", "dotted"]];
  const keys = [...lines.filter(([split]) => split in of.losses), ["all classes, test", "mean"],
    ["best λ", "best"]];
  $("losses-key").replaceChildren(...keys.map(([text, kind]) => element("span", {},
    element("span", {className: "line " + kind}), text)));
  $("beside").hidden = !of.rivals.length;
  const heads = ["rival, chosen on val", `gain${of.unit} (${of.share} interval)`, "verdict"];
  const rivals = of.rivals.map(rival => [rival.name, interval(rival.gain), rival.verdict]);
  $("rivals").replaceChildren(grid(heads, rivals));
  $("configuration").value = number;
  listRows();
  find();
}

$("configuration").replaceChildren(
  ...page.configurations.map((each, number) => option([number, title(each)])));
$("which").hidden = page.configurations.length < 2;
$("configuration").onchange = event => { configure(+event.target.value); choose(state.chosen); };
$("search").oninput = $("filter").onchange = find;
$("search").onkeydown = $("rows").onkeydown = step;
$("x-field").onchange = $("y-field").onchange = scatter;
document.onkeydown = event => {
  if (event.key !== "/" || /INPUT|SELECT/.test(event.target.tagName)) return;
  event.preventDefault();
  $("search").focus();
};
window.onhashchange = () => { const number = fromAddress(); if (number >= 0) choose(number); };
state.chosen = Math.max(0, fromAddress());
configure(state.of);
choose(state.chosen);
"""
