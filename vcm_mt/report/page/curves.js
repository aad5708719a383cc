"use strict";
// R-P curves: a tab per score, a button per curve, in the page's colours.

(() => {
  const plots = findAll(".plot");
  if (!plots.length) return;
  const tabs = findAll("[role=tab]");
  const buttons = findAll(".legend button");
  const logRate = find("#log-rate");
  const coarse = matchMedia("(pointer: coarse)").matches; // a finger scrolls the page
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: coarse ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // none that sends data away
    plotlyServerURL: "",
  };
  let chosen = 0;

  const button = (curve) => buttons.find((one) => Number(one.dataset.curve) === curve);
  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function coloured(trace) {
    const own = getComputedStyle(find(".swatch", button(trace.meta))).color;
    const edge = { ...trace.marker.line, color: colour("card") };
    return {
      ...trace,
      visible: button(trace.meta).ariaPressed === "true",
      line: { ...trace.line, color: own },
      marker: { ...trace.marker, color: own, line: edge },
      hoverlabel: {
        align: "left",
        bgcolor: colour("card"),
        bordercolor: own,
        font: { color: colour("ink") },
      },
    };
  }

  function axis(base, scale) {
    const soft = colour("soft");
    const looks = { gridcolor: colour("rule"), linecolor: soft, tickcolor: soft };
    return { ...base, ...scale, ...looks, showline: true, ticks: "outside", ticklen: 4 };
  }

  /** Draw a plot, as wide and high as its panel or, for paper, as said. */
  function draw(index, size = {}) {
    const { data: traces, layout, scales } = data.figures[index];
    const soft = { color: colour("soft") };
    const font = { family: getComputedStyle(document.body).fontFamily, size: 13 };
    Plotly.react(plots[index], traces.map(coloured), {
      ...layout,
      ...size,
      paper_bgcolor: colour("card"),
      plot_bgcolor: colour("card"),
      font: { ...font, color: colour("ink") },
      dragmode: coarse ? false : "zoom",
      xaxis: axis(layout.xaxis, scales[logRate.checked ? "log" : "linear"]),
      yaxis: axis(layout.yaxis, {}),
      shapes: (layout.shapes || []).map((one) => ({ ...one, line: { ...one.line, ...soft } })),
      annotations: (layout.annotations || []).map((one) => ({ ...one, font: soft })),
    }, config);
  }

  function choose(index) {
    chosen = index;
    tabs.forEach((tab, i) => {
      tab.ariaSelected = String(i === index);
      tab.tabIndex = i === index ? 0 : -1;
      plots[i].hidden = i !== index;
    });
    const present = new Set(data.figures[index].data.map((trace) => trace.meta));
    for (const one of buttons) {
      const absent = !present.has(Number(one.dataset.curve));
      one.classList.toggle("absent", absent);
      one.title = absent ? "not measured by this score" : "";
    }
    draw(index);
  }

  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(index));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (index + step + tabs.length) % tabs.length;
      choose(next);
      tabs[next].focus();
    });
  });
  for (const one of buttons) {
    one.addEventListener("click", () => {
      one.ariaPressed = String(one.ariaPressed !== "true");
      draw(chosen);
    });
  }
  const redraw = () => draw(chosen);
  logRate.addEventListener("change", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => {
    plots.forEach((_, index) => draw(index, { width: 660, height: 320 }));
  });
  window.addEventListener("afterprint", redraw);
  choose(0);
})();
