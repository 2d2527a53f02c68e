"""How the page looks, light and dark, and the few lines that draw its charts."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; --back: #f4f6f8;
  --card: #fff; --text: #1b2330; --dim: #5c6878; --line: #dfe4ea; --soft: #eef1f5; --accent: #2f66cf;
  --on-accent: #fff; --good: #147a3d; --bad: #c0281c; --open: #8a6d00; }
@media (prefers-color-scheme: dark) { :root { --back: #11151b; --card: #1a2028; --text: #e5e9ef; --dim: #9aa6b5;
  --line: #2e3743; --soft: #232b35; --accent: #7aa7ff; --on-accent: #0d1420; --good: #5fd38a; --bad: #ff8a7d;
  --open: #e5c558; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); overflow-wrap: anywhere;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 20px 16px 48px; }
header p { margin: 0; color: var(--dim); font-size: 14px; }
h1 { font-size: clamp(22px, 3.4vw, 32px); line-height: 1.2; margin: 4px 0 16px; letter-spacing: -0.01em;
  text-wrap: balance; }
h2 { font-size: 19px; margin: 0 0 10px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 16px 0; font-size: 14px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px;
  margin: 16px 0; }
section > p { margin: 0 0 10px; max-width: 78ch; }
figcaption, .dim { color: var(--dim); font-size: 14px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px;
  margin-bottom: 14px; }
.tile { background: var(--soft); border-radius: 10px; padding: 10px 14px; }
.tile b { display: block; font-size: 25px; line-height: 1.25; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--dim); font-size: 13px; }
.findings { list-style: none; margin: 0; padding: 0; }
.findings li { position: relative; padding: 3px 0 3px 28px; }
.findings li::before { position: absolute; left: 4px; font-weight: 700; }
.findings .good::before { content: "\\2713"; color: var(--good); }
.findings .bad::before { content: "\\2717"; color: var(--bad); }
.findings .bad { font-weight: 600; }
.findings .open::before { content: "\\25CB"; color: var(--open); }
.missing { color: var(--dim); font-style: italic; }
.good b { color: var(--good); }
.bad b { color: var(--bad); }
.scroll { overflow-x: auto; margin-bottom: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: normal; }
th { color: var(--dim); font-weight: 600; font-size: 13px; vertical-align: bottom; }
.number { text-align: right; }
td.number { white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
#settings td { padding-top: 2px; padding-bottom: 2px; border: 0; }
td small { color: var(--dim); }
td code { overflow-wrap: anywhere; }
.place { display: inline-flex; align-items: center; gap: 8px; justify-content: flex-end; }
.bar { display: inline-block; width: 72px; height: 8px; border-radius: 4px; background: var(--soft);
  overflow: hidden; }
.fill { display: block; height: 100%; background: var(--accent); }
code, pre { font-family: var(--mono); font-size: 13.5px; }
pre { background: var(--soft); border-radius: 8px; padding: 10px 14px; overflow-x: auto; margin: 6px 0 12px;
  overflow-wrap: normal; }
details { margin-top: 10px; }
summary { cursor: pointer; color: var(--accent); font-size: 14.5px; margin-bottom: 6px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 8px 24px; }
.pair > * { min-width: 0; }
figure { margin: 0; min-width: 0; }
.samples { display: flex; flex-wrap: wrap; gap: 10px; margin: 12px 0; text-align: center; }
.samples img { width: 64px; height: 64px; object-fit: contain; image-rendering: pixelated; border-radius: 6px; }
.chart { width: 100%; }
.chain { display: flex; flex-wrap: wrap; align-items: center; row-gap: 14px; }
.chain svg { flex: none; max-width: 100%; height: auto; }
.chain text { font: 12px var(--mono); text-anchor: middle; fill: var(--dim); }
.chain text.name { font-weight: 600; fill: var(--text); }
.chain .end { fill: var(--text); stroke: none; }
.chain rect { fill: var(--card); stroke: var(--line); }
.chain rect.end { fill: var(--soft); }
.chain .frame { fill: var(--soft); stroke: var(--line); }
.chain .kept rect { fill: var(--accent); stroke: var(--accent); }
.chain .kept text { fill: var(--on-accent); font-weight: 600; }
.chain path { fill: none; stroke: var(--accent); stroke-width: 2; }
.chain path.open { stroke: var(--line); stroke-dasharray: 4 4; }
footer { color: var(--dim); font-size: 13px; }
@media (max-width: 600px) { section { padding: 14px 12px; border-radius: 10px; } .tile b { font-size: 21px; }
  .tiles { grid-template-columns: 1fr 1fr; } th, td { padding: 5px 7px; } }
@media print { section { break-inside: avoid; } }
"""

DRAW = """
"use strict";
(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  function draw() {
    const style = getComputedStyle(document.documentElement);
    const text = style.getPropertyValue("--text").trim();
    const grid = style.getPropertyValue("--line").trim();
    for (const box of document.querySelectorAll(".chart")) {
      const figure = JSON.parse(box.nextElementSibling.textContent);
      const layout = Object.assign(figure.layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" });
      layout.font = { color: text, family: getComputedStyle(document.body).fontFamily, size: 13 };
      for (const axis of [layout.xaxis, layout.yaxis]) { axis.gridcolor = grid; axis.linecolor = grid; }
      for (const trace of figure.data) { if (trace.type === "heatmap") trace.textfont = { color: text }; }
      if (touch) layout.dragmode = false;
      Plotly.react(box, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    }
  }
  draw();
  dark.addEventListener("change", draw);
})();
"""

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""The browser itself is told to load nothing."""
