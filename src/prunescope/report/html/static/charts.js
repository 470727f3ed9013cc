// What do the figures look like? Observable Plot draws each <div data-chart> as SVG.
// Colours are the style sheet's variables, so that a theme needs no drawing anew.
function drawCharts(figures, language) {
  "use strict";
  const WIDTH = 1020;
  const say = (key) => figures.words[key][language];
  const percent = (value) => `${(100 * value).toFixed(1)} %`;
  const layerTicks = (layers) => {
    const step = Math.ceil(layers.length / 40);
    return layers.filter((_, index) => index % step === 0);
  };

  function layers(model) {
    const numbers = model.layers.map(([layer]) => layer);
    return Plot.plot({
      width: WIDTH, height: 288, marginLeft: 55, marginBottom: 46, marginTop: 28,
      ariaLabel: say("sparsity"),
      x: { type: "band", label: say("layer"), ticks: layerTicks(numbers), tickSize: 0, padding: 0.25 },
      y: { label: say("sparsity"), grid: true, nice: true, tickFormat: ".2f",
           domain: [0, Math.max(0.01, ...model.layers.map((d) => d[1]), ...model.lines.map((d) => d[0])) * 1.08] },
      marks: [
        Plot.ruleY([0]),
        Plot.barY(model.layers, { x: "0", y: "1", fill: "var(--accent)", tip: true,
          channels: { layer: { value: "0", label: say("layer") } }, title: (d) => `${say("layer")} ${d[0]}: ${d[1].toFixed(4)}` }),
        Plot.ruleY(model.lines, { y: "0", stroke: "var(--contrast)", strokeWidth: 2,
          strokeDasharray: "7 5" }),
        // The whole model's at the right, the target at the left: they may be all but equal.
        ...model.lines.map((line, index) => Plot.text([line], { y: "0", text: (d) => d[1][language], dy: -9,
          frameAnchor: index ? "left" : "right", fill: "var(--contrast)", stroke: "var(--ground)", strokeWidth: 4,
          fontWeight: 600, fontSize: 13 })),
      ],
      style: { fontSize: "13px" },
    });
  }

  function heat(model) {
    const numbers = model.layers.map(([layer]) => layer);
    const cells = model.heat.flatMap(([layer, ...found]) =>
      found.flatMap((value, index) => (value === null ? [] : [[layer, model.modules[index], value]])));
    const most = Math.max(0.01, ...cells.map((d) => d[2]));
    const hasRoom = numbers.length <= 40;
    // Names of modules are capitals of 13 pixels.
    const longest = Math.max(...model.modules.map((name) => name.length));
    return Plot.plot({
      width: WIDTH, height: 30 * model.modules.length + 66, marginLeft: Math.max(60, 12 + 10 * longest), marginBottom: 46,
      ariaLabel: say("report_heat"),
      x: { type: "band", label: say("layer"), ticks: layerTicks(numbers), tickSize: 0, padding: 0.04 },
      y: { type: "band", domain: model.modules, label: null, tickSize: 0, padding: 0.06 },
      color: { type: "linear", scheme: "cividis", domain: [0, most], label: say("sparsity"), legend: true, tickFormat: ".2f", marginLeft: 16, marginRight: 16 },
      marks: [
        Plot.cell(cells, { x: "0", y: "1", fill: "2" }),
        hasRoom && Plot.text(cells, { x: "0", y: "1", text: (d) => Math.round(100 * d[2]),
          fill: (d) => (d[2] > 0.55 * most ? "#000" : "#fff"), fontSize: 11.5 }),
        Plot.tip(cells, Plot.pointer({ x: "0", y: "1",
          title: (d) => `${d[1]} · ${say("layer")} ${d[0]}: ${d[2].toFixed(4)}` })),
      ],
      style: { fontSize: "13px" },
    });
  }

  function kept(model) {
    const spaces = document.createElement("div");
    spaces.className = "spaces";
    for (const space of model.kept) {
      const width = space.units / space.stretches;
      const cells = space.layers.flatMap(([layer, shares]) =>
        (shares ?? []).map((share, index) => ({ layer, share, first: index * width - 0.5, last: (index + 1) * width - 0.5 })));
      const unknown = space.layers.filter(([, shares]) => shares === null);
      const title = document.createElement("h4");
      title.textContent = `${space.space[language]} (${space.units.toLocaleString("en")})`;
      const numbers = space.layers.map(([layer]) => layer);
      const name = (d) => (width === 1 ? d.first + 0.5 : `${Math.ceil(d.first)}–${Math.ceil(d.last) - 1}`);
      const chart = Plot.plot({
        width: 330, height: Math.max(110, 10 * numbers.length + 60), marginLeft: 40, marginBottom: 44, marginTop: 6, marginRight: 10,
        ariaLabel: space.space[language],
        x: { type: "linear", domain: [-0.5, space.units - 0.5], label: say("report_unit"), tickSize: 3,
             ticks: d3.ticks(0, space.units - 1, space.units > 999 ? 4 : 6).filter(Number.isInteger), tickFormat: (d) => d.toLocaleString("en") },
        y: { type: "band", domain: numbers, label: say("layer"), tickSize: 0, padding: 0.12,
             ticks: numbers.filter((_, index) => index % Math.ceil(numbers.length / 16) === 0) },
        marks: [
          Plot.barX(cells, { x1: "first", x2: "last", y: "layer", fill: "var(--accent)", fillOpacity: "share",
            stroke: "var(--line)", strokeWidth: 0.6, inset: 0.2,
            title: (d) => `${say("layer")} ${d.layer} · ${name(d)}: ${percent(d.share)} ${say("report_kept")}` }),
          Plot.text(cells.filter((d) => d.share === 0), { x: (d) => (d.first + d.last) / 2, y: "layer",
            text: () => "×", fill: "var(--contrast)", fontSize: 10, pointerEvents: "none" }),
          Plot.text(unknown, { y: "0", text: (d) => `${d[2].toLocaleString("en")} / ${space.units.toLocaleString("en")}`,
            fill: "var(--faint)", fontSize: 9.5 }),
        ],
        opacity: { type: "identity" },
        style: { fontSize: "12px" },
      });
      const box = document.createElement("div");
      box.append(title, chart);
      spaces.append(box);
    }
    return spaces;
  }

  function bytes(model) {
    const GIB = 2 ** 30;
    const sides = [say("report_original"), say("report_pruned")];
    const bars = model.bytes.flatMap(([component, before, after]) =>
      [before, after].map((value, side) => ({ component: component[language], side: sides[side], value: value / GIB })));
    const order = model.bytes.map(([component]) => component[language]);
    return Plot.plot({
      width: WIDTH, height: 156, marginLeft: 75, marginBottom: 46,
      ariaLabel: say("report_bytes_gb"),
      x: { label: say("report_bytes_gb"), grid: true },
      y: { type: "band", domain: sides, label: null, tickSize: 0, padding: 0.2 },
      color: { domain: order, range: ["#0072b2", "#e69f00", "#56b4e9", "#999999", "#cc79a7", "#d55e00"], legend: true },
      marks: [
        Plot.barX(bars, Plot.stackX({ x: "value", y: "side", fill: "component", order, inset: 0.5, tip: true,
          title: (d) => `${d.component}: ${d.value.toFixed(2)} GB` })),
        Plot.ruleX([0]),
      ],
      style: { fontSize: "13px" },
    });
  }

  function front() {
    const points = figures.front;
    const best = points.filter((point) => point.best).sort((a, b) => a.parameters - b.parameters);
    // Pruning without recovery takes perplexity through decades.
    const [low, high] = d3.extent(points, (point) => point.perplexity);
    const isWide = low > 0 && high > 8 * low;
    return Plot.plot({
      width: WIDTH, height: 360, marginLeft: 65, marginBottom: 45, marginTop: 30, marginRight: 90,
      ariaLabel: say("report_perplexity"), grid: true,
      x: { label: say("size_parameters"), nice: true, tickFormat: "~s", inset: 25 },
      y: { label: say("report_perplexity"), nice: true, inset: 15, type: isWide ? "log" : "linear", tickFormat: isWide ? "~s" : undefined },
      marks: [
        Plot.line(best, { x: "parameters", y: "perplexity", stroke: "var(--accent)", strokeWidth: 2, curve: "step-after" }),
        Plot.dot(points, { x: "parameters", y: "perplexity", r: 7, stroke: "var(--accent)", strokeWidth: 2,
          symbol: "circle", fill: (d) => (d.best ? "var(--accent)" : "var(--ground)"), tip: true,
          title: (d) => `${d.name}\n${say("size_parameters")} ${d.parameters.toLocaleString("en")}\n${say("report_perplexity")} ${d.perplexity.toFixed(2)}` }),
        Plot.text(points, { x: "parameters", y: "perplexity", text: "name", dy: -15, fontSize: 12.5,
          stroke: "var(--ground)", strokeWidth: 4, fill: "var(--ink)" }),
      ],
      style: { fontSize: "13px" },
      color: { type: "identity" },
    });
  }

  const drawings = { layers, heat, kept, bytes, front };
  for (const place of document.querySelectorAll("[data-chart]")) {
    const model = figures.models[Number(place.dataset.model)];
    place.replaceChildren(drawings[place.dataset.chart](model));
  }
}
