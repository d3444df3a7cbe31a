"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = [];
  window.sparsebench = { drawn, paint: (view) => paint(view) };

  // Tables: a row is kept if it has every word of the filter, or one of those joined by |; unknown numbers sort last both ways.
  const collator = new Intl.Collator("en", { numeric: true });

  function byColumn(at, sign) {
    const key = (row) => {
      const cell = row.cells[at];
      if (cell.dataset.key !== undefined) return Number(cell.dataset.key);
      return cell.classList.contains("number") ? null : cell.textContent.trim();
    };
    const keys = new Map();
    const of = (row) => {
      if (!keys.has(row)) keys.set(row, key(row));
      return keys.get(row);
    };
    return (a, b) => {
      const x = of(a), y = of(b);
      if (x === null || y === null) return (x === null) - (y === null);
      if (typeof x === "number" && typeof y === "number") return sign * (x - y);
      return sign * collator.compare(String(x), String(y));
    };
  }

  function enableSorting(table) {
    const body = table.tBodies[0];
    const asGiven = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, at) => head.querySelector(".sort")?.addEventListener("click", () => {
      const next = { undefined: "ascending", ascending: "descending" }[head.getAttribute("aria-sort") ?? undefined];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      const rows = next ? [...asGiven].sort(byColumn(at, next === "ascending" ? 1 : -1)) : asGiven;
      body.append(...rows);
    }));
  }

  function enableFilter(block) {
    const field = block.querySelector(".filter");
    if (!field) return;
    const rows = [...block.querySelector("tbody").rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const status = block.querySelector(".count");
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let kept = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => word.split("|").some((one) => one && texts[i].includes(one)));
        kept += row.hidden ? 0 : 1;
      });
      status.textContent = words.length ? `${kept} of ${rows.length} rows` : `${rows.length} rows`;
    });
  }

  async function copyText(button, text) {
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.body.appendChild(document.createElement("textarea"));
      field.value = text;
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = said; }, 1500);
  }

  const LATEX = { "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", $: "\\$", "&": "\\&", "#": "\\#", "%": "\\%", _: "\\_", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", "±": "$\\pm$", "−": "$-$", "–": "--", "µ": "$\\mu$", "†": "\\dag{}", "‡": "\\ddag{}", "§": "\\S{}", "¶": "\\P{}", "[": "{[}", "]": "{]}" };
  const asLatex = (text) => [...text].map((one) => LATEX[one] ?? one).join("");
  const asCsv = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  function copied(table, form) {
    const rows = [table.tHead.rows[0], ...[...table.tBodies[0].rows].filter((row) => !row.hidden)];
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
    if (form === "csv") return texts.map((row) => `${row.map(asCsv).join(",")}\n`).join("");
    const align = [...table.tHead.rows[0].cells].map((head) => (head.classList.contains("number") ? "r" : "l")).join("");
    const [head, ...body] = texts.map((row) => `${row.map(asLatex).join(" & ")} \\\\`);
    return [`\\begin{tabular}{@{}${align}@{}}`, "\\toprule", head, "\\midrule", ...body, "\\bottomrule", "\\end{tabular}", ""].join("\n");
  }

  function enableCopies(block) {
    block.querySelectorAll(".copy-table").forEach((button) => button.addEventListener("click", () => {
      copyText(button, copied(block.querySelector("table"), button.dataset.as));
    }));
  }

  // A shadow and an arrow say that a table goes on to the side.
  function showScrolling(block) {
    const scroll = block.querySelector(".scroll"), frame = block.querySelector(".frame");
    const show = () => {
      const left = scroll.scrollLeft > 2, right = scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 2;
      frame.dataset.more = `${left ? "left " : ""}${right ? "right" : ""}`;
    };
    scroll.addEventListener("scroll", show, { passive: true });
    new ResizeObserver(show).observe(scroll);
  }

  // Links into folded parts open them; a cell's link shows its trials.
  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const log = target.matches("span") ? target.parentElement.querySelector(`#${target.id} ~ details`) : target;
    for (let one = log; one; one = one.parentElement) if (one.matches("details")) one.open = true;
    target.scrollIntoView({ block: "center" });
  }

  function showTrials(event) {
    const field = document.querySelector("#trials .filter");
    const ids = event.currentTarget.dataset.trials.split(" ");
    if (!field || ids.length < 2) return;
    event.preventDefault();
    document.querySelector("#trials details").open = true;
    field.value = ids.join("|");
    field.dispatchEvent(new Event("input"));
    document.getElementById("trials").scrollIntoView();
  }

  // The part of the page that is being read is marked in the contents.
  function followReading() {
    const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
    const bar = document.querySelector("nav");
    const seen = new Set();
    const sections = [...document.querySelectorAll("main section[id]")].filter((one) => links.has(one.id));
    const observer = new IntersectionObserver((changes) => {
      changes.forEach((one) => (one.isIntersecting ? seen.add(one.target) : seen.delete(one.target)));
      const now = sections.find((one) => seen.has(one));
      if (!now) return;
      links.forEach((link) => link.removeAttribute("aria-current"));
      const link = links.get(now.id);
      link.setAttribute("aria-current", "true");
      bar.scrollLeft = link.offsetLeft - bar.clientWidth / 3;
    }, { rootMargin: "-15% 0px -60% 0px" });
    sections.forEach((one) => observer.observe(one));
  }

  // Charts: drawn one after the other while the page is idle, painted in the colours of the page.
  function colours() {
    const style = getComputedStyle(root);
    return Object.fromEntries(["ink", "quiet", "grid", "rule"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  const painters = {
    Axis: (c) => ({ axis_line_color: c.rule, major_tick_line_color: c.rule, minor_tick_line_color: null, major_label_text_color: c.quiet, axis_label_text_color: c.quiet }),
    Grid: (c) => ({ grid_line_color: c.grid }),
    Figure: (c) => ({ outline_line_color: c.grid }),
  };

  function tint(model, colour, names) {
    for (const name of names) {
      if (name in model.properties) model.setv({ [name]: colour });
    }
  }

  function paint(view) {
    const c = colours();
    for (const model of view.model.document.all_models) {
      const kind = Object.keys(painters).find((name) => model.type.endsWith(name));
      if (kind) model.setv(painters[kind](c));
      if (model.tags.includes("ink")) tint(model, c.quiet, ["line_color", "text_color"]);
      if (model.tags.includes("ink-outline")) tint(model, c.ink, ["line_color"]);
    }
  }

  function tagsOf(figure) {
    return [...figure.querySelectorAll('.key[aria-pressed="false"]')].map((key) => key.dataset.tag);
  }

  function showTagged(figure) {
    const hidden = tagsOf(figure);
    for (const view of drawn.filter((one) => figure.contains(one.target))) {
      for (const renderer of view.view.model.renderers) {
        renderer.visible = !renderer.glyph.tags.some((tag) => hidden.includes(tag));
      }
    }
  }

  async function draw(panel) {
    const target = panel.querySelector(".plot");
    const item = JSON.parse(panel.querySelector(".plot-data").textContent);
    const manager = await Bokeh.embed.embed_item(item, target);
    const view = [...manager][0];
    drawn.push({ target, view });
    paint(view);
    showTagged(panel.closest(".chart"));
  }

  const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 1));
  async function drawAll(panels) {
    for (const panel of panels) {
      await new Promise((go) => idle(go));
      await draw(panel);
    }
    root.dataset.charts = "drawn";
  }

  // The theme: the reader's system's, until the switch is pressed; paper is always light.
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  function repaint() {
    button.textContent = isDark() ? "Light theme" : "Dark theme";
    drawn.forEach((one) => paint(one.view));
  }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    repaint();
  });
  dark.addEventListener("change", repaint);
  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    document.querySelectorAll("details.printed").forEach((one) => { one.open = true; });
    repaint();
  });
  addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before;
    else delete root.dataset.theme;
    repaint();
  });

  document.querySelectorAll(".table").forEach((block) => {
    enableFilter(block);
    enableSorting(block.querySelector("table"));
    enableCopies(block);
    showScrolling(block);
  });
  document.querySelectorAll(".key").forEach((key) => key.addEventListener("click", () => {
    key.setAttribute("aria-pressed", String(key.getAttribute("aria-pressed") !== "true"));
    showTagged(key.closest(".chart"));
  }));
  document.querySelectorAll(".copy").forEach((copy) => copy.addEventListener("click", () => {
    copyText(copy, copy.previousElementSibling.textContent);
  }));
  document.querySelectorAll(".to-trials").forEach((link) => link.addEventListener("click", showTrials));
  addEventListener("hashchange", reveal);
  followReading();
  reveal();
  repaint();
  drawAll([...document.querySelectorAll(".panel")]);
})();
