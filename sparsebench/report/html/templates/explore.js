"use strict";
(() => {
  // Any column against any other, drawn by one of four empty figures: an axis cannot change its scale.
  const block = document.getElementById("explore");
  const { columns, n, words, palette, chosen, drivers } = JSON.parse(document.getElementById("explore-cells").textContent);
  const figures = Object.fromEntries([...block.querySelectorAll(".explore-figure")].map((one) => [one.dataset.scales, one.textContent]));
  const plot = block.querySelector(".plot");
  const choice = (name) => block.querySelector(`[data-choice="${name}"]`);
  const log = (name) => block.querySelector(`[data-log="${name}"]`);
  const UNITS = {
    bytes: [[2 ** 50, "PiB"], [2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]],
    seconds: [[3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]],
    fraction: [[0, "%", 100]],
    count: [[1e9, "G"], [1e6, "M"], [1e3, "k"]],
  };

  function shown(column, value) {
    if (column.names) return column.names[value] ?? "";
    const [size, unit, factor] = (UNITS[column.kind] ?? []).find(([least]) => Math.abs(value) >= least) ?? [1, ""];
    return `${+(factor ? value * factor : value / (size || 1)).toPrecision(4)} ${unit}`.trim();
  }

  function fill(name, keep) {
    const select = choice(name);
    Object.entries(columns).filter(keep).forEach(([key, column]) => select.add(new Option(column.title, key)));
    if ([...select.options].some((one) => one.value === chosen[name])) select.value = chosen[name];
    select.addEventListener("change", () => {
      if (log(name)) log(name).checked = false;
      draw();
    });
    log(name)?.addEventListener("change", draw);
  }

  const positive = (column) => !column.names && column.values.every((one) => one === null || one > 0);

  let turn = 0;
  async function draw() {
    const mine = ++turn;
    const [across, up] = ["x", "y"].map((name) => columns[choice(name).value]);
    const colour = columns[choice("color").value];
    [["x", across], ["y", up]].forEach(([name, column]) => {
      log(name).disabled = !positive(column);
      log(name).checked &&= positive(column);
    });
    const scales = ["x", "y"].map((name) => (log(name).checked ? "log" : "linear")).join(" ");
    window.sparsebench.ticks = { x: (tick) => shown(across, tick), y: (tick) => shown(up, tick) };
    plot.replaceChildren();
    const manager = await Bokeh.embed.embed_item(JSON.parse(figures[scales]), plot);
    if (mine !== turn) return;
    const view = [...manager][0], model = view.model;
    const known = across.values.map((_, i) => i).filter((i) => across.values[i] !== null && up.values[i] !== null);
    const tones = colour ? [...new Set(known.map((i) => colour.values[i]))].sort((a, b) => a - b) : [];
    const tone = (i) => palette[Math.max(0, tones.indexOf(colour?.values[i])) % palette.length];
    const pick = (of) => known.map(of);
    model.document.get_model_by_name("marks").data = {
      x: pick((i) => across.values[i]), y: pick((i) => up.values[i]), color: pick(tone), cell: pick((i) => words[i]),
      across: pick((i) => shown(across, across.values[i])), up: pick((i) => shown(up, up.values[i])), n: pick((i) => n[i]),
    };
    model.document.get_model_by_name("lines").data = lines(known, across, up, tone);
    model.below[0].axis_label = across.title;
    model.left[0].axis_label = up.title;
    window.sparsebench.paint(view);
    keys(colour, tones);
    block.dataset.drawn = `${choice("x").value} ${choice("y").value} ${scales}`;
  }

  function lines(known, across, up, tone) {
    const over = [across.name, ...(drivers[across.name] ?? [])];
    const data = { xs: [], ys: [], color: [] };
    if (!across.parameter && over.length === 1) return data;
    const fixed = Object.values(columns).filter((one) => one.parameter && !over.includes(one.name));
    const parts = Map.groupBy ? Map.groupBy(known, (i) => fixed.map((one) => one.values[i]).join("\u0000")) : new Map();
    for (const part of parts.values()) {
      part.sort((a, b) => across.values[a] - across.values[b]);
      data.xs.push(part.map((i) => across.values[i]));
      data.ys.push(part.map((i) => up.values[i]));
      data.color.push(tone(part[0]));
    }
    return data;
  }

  function keys(colour, tones) {
    const row = block.querySelector(".keys > div");
    row.replaceChildren(...tones.map((value, at) => {
      const key = Object.assign(document.createElement("span"), { className: "key" });
      const dot = Object.assign(document.createElement("i"), { textContent: "● ", style: `color:${palette[at % palette.length]};font-style:normal` });
      key.append(dot, colour.names ? colour.names[value] : shown(colour, value));
      return key;
    }));
  }

  fill("x", () => true);
  fill("y", ([, column]) => !column.names && !column.parameter);
  fill("color", ([, column]) => column.parameter);
  log("x").checked = chosen.log_x && positive(columns[choice("x").value]);
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    observer.disconnect();
    draw();
  }, { rootMargin: "400px" }).observe(block);
  document.getElementById("theme").addEventListener("click", () => { if (turn) draw(); });
})();
