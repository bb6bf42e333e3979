"use strict";
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colored = value =>
  typeof value === "string" ? (value.startsWith("color:") ? style(value.replace("color:", "--")) : value)
  : Array.isArray(value) ? value.map(colored)
  : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, colored(v)]))
  : value;
const drawn = new Map();
const widths = new Map();
const resized = new ResizeObserver(entries => {
  for (const { target } of entries) {
    const width = target.clientWidth, before = widths.get(target);
    widths.set(target, width);
    if (width && before && width !== before) Plotly.relayout(target, { width });
  }
});
function draw(id) {
  const { data, layout } = drawn.get(id);
  const axis = { gridcolor: style("--line"), zerolinecolor: style("--line"), automargin: true,
    exponentformat: "power", minexponent: 5 };
  Plotly.react(id, colored(data), {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: style("--text"), size: 13 },
    margin: { l: 50, r: 10, t: 10, b: 40 }, showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    hoverlabel: { bgcolor: style("--background"), font: { color: style("--text") } },
    ...colored(layout), xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  }, { displaylogo: false, displayModeBar: false });
  resized.observe(document.getElementById(id));
}
for (const source of document.querySelectorAll("script[data-chart]")) {
  const id = source.dataset.chart, folded = document.getElementById(id).closest("details");
  drawn.set(id, JSON.parse(source.textContent));
  if (folded) folded.addEventListener("toggle", () => folded.open && draw(id)); else draw(id);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const id of drawn.keys()) if (!document.getElementById(id).closest("details:not([open])")) draw(id);
});
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.parentElement, body = head.closest("table").tBodies[0], column = head.cellIndex;
  const order = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order === 1 ? "ascending" : "descending");
  const key = row => row.cells[column].dataset.key, missing = text => text === "" || text === "null";
  const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  const rows = [...body.rows].sort((a, b) =>
    missing(key(a)) - missing(key(b)) || order * compare(key(a), key(b)));
  body.append(...rows);
});
