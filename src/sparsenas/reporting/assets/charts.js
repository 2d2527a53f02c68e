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
      if (touch) layout.dragmode = false;
      Plotly.react(box, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    }
  }
  draw();
  dark.addEventListener("change", draw);
})();
