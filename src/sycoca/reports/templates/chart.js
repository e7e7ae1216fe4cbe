"use strict";
// Draws every chart of the page anew on a canvas, where it answers mouse and keyboard; the picture stays for paper.
(() => {
  const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  const NOTHING = 1e-4;
  const FONT = "11px system-ui, -apple-system, sans-serif";
  const INTEGERS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
  const plots = [];

  const alphaOf = (one) => (one.isRaw ? 0.3 : 1);

  /** Return a number with three significant digits, as the library writes it. */
  function written(value) {
    if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
    const [mantissa, exponent] = value.toExponential(2).split("e");
    if (value === 0 || +exponent >= -4) return String(+value.toPrecision(3));
    return `${+mantissa} × 10${[...String(+exponent)].map((digit) => SUPERSCRIPTS[digit]).join("")}`;
  }

  /** Return a drawn value as it was logged. */
  function logged(data, value) {
    const plain = data.sign ? value : value / data.factor;
    return (Math.abs(plain) >= NOTHING * data.largest ? written(plain) : "0") + data.sign;
  }

  /** Return the index nearest to the cursor at which a series has a value in view; null where there is none. */
  function nearest(plot, series, index, step) {
    const [steps, values] = [plot.data[0], plot.data[series]];
    const { min, max } = plot.scales.x;
    let before = index, after = index;
    while (before >= 0 && values[before] == null) before--;
    while (after < values.length && values[after] == null) after++;
    const found = [before, after].filter((i) => i >= 0 && i < values.length && steps[i] >= min && steps[i] <= max);
    found.sort((a, b) => Math.abs(steps[a] - step) - Math.abs(steps[b] - step));
    return found.length ? found[0] : null;
  }

  function draw(figure) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const live = figure.querySelector(".live"), caption = figure.querySelector("figcaption");
    const keys = [...caption.querySelectorAll(".key")];
    const keyOf = (one) => keys.find((key) => key.dataset.label === one.label);
    const colorOf = (one) => getComputedStyle(keyOf(one), "::before").backgroundColor;
    const soft = () => getComputedStyle(caption).color;
    const rule = () => getComputedStyle(figure).borderTopColor;
    const atEnd = new Map(keys.map((key) => [key, key.querySelector(".at").textContent]));

    // The logged values lie behind the smoothed ones: drawn first, and without a point at the cursor.
    const drawn = data.series.flatMap((one) => [...(one.raw ? [{ ...one, values: one.raw, isRaw: true }] : []), one]);

    const [bar, step, whole] = ["span", "span", "button"].map((name) => document.createElement(name));
    bar.className = "step";
    whole.className = "whole";
    whole.type = "button";
    whole.textContent = "whole curve";
    whole.hidden = true;
    bar.append(step, whole);
    caption.append(bar);

    let view = data.range.x;
    const isWhole = () => view[0] <= data.range.x[0] && view[1] >= data.range.x[1];
    const setView = (_, low, high) => (view = [Math.max(low, data.range.x[0]), Math.min(high, data.range.x[1])]);

    function show(plot) {
      const at = plot.cursor.idx;
      step.textContent = at == null ? "at the end" : `step ${plot.data[0][at].toLocaleString("en-US")}`;
      for (const key of keys) {
        const found = drawn.flatMap((one, i) => {
          const index = one.isRaw || keyOf(one) !== key ? null : plot.cursor.idxs?.[i + 1];
          return index == null ? [] : [{ value: plot.data[i + 1][index], step: plot.data[0][index] }];
        });
        key.querySelector(".at").textContent = at == null ? atEnd.get(key) : valueText(found, plot.data[0][at]);
      }
    }

    /** Return the mean of the values; where they were not measured at the cursor's step, with the step where they were. */
    function valueText(found, step) {
      if (!found.length) return "–";
      const mean = found.reduce((sum, one) => sum + one.value, 0) / found.length;
      const other = found.every((one) => one.step === found[0].step) && found[0].step !== step;
      return logged(data, mean) + (other ? ` at ${found[0].step.toLocaleString("en-US")}` : "");
    }

    const axis = { stroke: soft, font: FONT, labelFont: FONT, labelSize: 18, ticks: { show: false } };
    const plot = new uPlot({
      ...size(live),
      padding: [8, 20, 0, 0],
      legend: { show: false },
      focus: { alpha: 0.25 },
      cursor: {
        y: false,
        sync: { key: "steps", setSeries: false },
        drag: { x: true, y: false, dist: 5 },
        dataIdx: nearest,
        points: {
          size: (_, i) => (drawn[i - 1].isRaw ? 0 : 9),
          width: (_, i) => (drawn[i - 1].isRaw ? 0 : 2),
          fill: (_, i) => colorOf(drawn[i - 1]),
        },
      },
      scales: {
        x: { time: false, range: setView },
        y: {
          range: (_, min, max) => {
            if (isWhole() || min == null) return data.range.y;
            const room = (max - min || Math.abs(max) || 1) * 0.08;
            return [min - room, max + room];
          },
        },
      },
      series: [{}, ...drawn.map((one) => ({
        label: one.label,
        stroke: () => colorOf(one),
        width: one.isRaw ? 1 : 2,
        alpha: alphaOf(one),
        dash: one.style === "no-caption" ? [5, 4] : undefined,
        spanGaps: true,
        points: one.isRaw ? { show: false } : { fill: () => colorOf(one), ...(one.has_dots && { show: true, size: 7 }) },
      }))],
      axes: [
        {
          ...axis, size: 26, gap: 3, label: "steps", incrs: INTEGERS, space: 56, grid: { show: false },
          values: (_, splits) => splits.map((value) => value.toLocaleString("en-US")),
        },
        {
          ...axis, gap: 6, space: 32, grid: { stroke: rule, width: 1 },
          label: (plot) => data.axis + (plot.scales.y.min === 0 ? "" : " (not from 0)"),
          size: (_, values) => 12 + 6.4 * Math.max(3, ...(values ?? []).map((value) => value.length)),
          values: (_, splits, __, ___, distance) => {
            const decimals = Math.max(0, -Math.floor(Math.log10(distance) + 1e-9));
            const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals + 1 };
            return splits.map((value) => value.toLocaleString("en-US", digits) + data.sign);
          },
        },
      ],
      hooks: {
        setCursor: [show],
        setScale: [(_, name) => { if (name === "x") whole.hidden = isWhole(); }],
      },
    }, [data.steps, ...drawn.map((one) => one.values)], live);

    const zoom = (low, high) => plots.forEach((one) => one.zoom(low, high));
    whole.addEventListener("click", () => zoom(-Infinity, Infinity));
    live.addEventListener("dblclick", () => zoom(-Infinity, Infinity));
    live.addEventListener("keydown", (event) => {
      const { min, max } = plot.scales.x, at = plot.cursor.idx ?? 0;
      const center = plot.cursor.idx == null ? (min + max) / 2 : plot.data[0][at];
      const within = (factor) => zoom(center - (center - min) * factor, center + (max - center) * factor);
      const keys = {
        ArrowRight: () => point(plot, Math.min(at + (plot.cursor.idx == null ? 0 : 1), plot.data[0].length - 1)),
        ArrowLeft: () => point(plot, Math.max(at - 1, 0)),
        "+": () => within(0.5),
        "-": () => within(2),
        Escape: () => zoom(-Infinity, Infinity),
      };
      if (!(event.key in keys)) return;
      keys[event.key]();
      event.preventDefault();
    });
    for (const key of keys) {
      key.tabIndex = 0;
      key.setAttribute("role", "button");
      key.setAttribute("aria-pressed", "true");
      key.title = "show or hide";
      const toggle = () => {
        const isShown = key.classList.contains("is-off");
        plots.forEach((one) => one.toggle(key.dataset.label, isShown));
      };
      key.addEventListener("click", toggle);
      key.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        toggle();
        event.preventDefault();
      });
      key.addEventListener("mouseenter", () => plots.forEach((one) => one.focus(key.dataset.label)));
      key.addEventListener("mouseleave", () => plots.forEach((one) => one.focus(null)));
    }
    new ResizeObserver(() => plot.setSize(size(live))).observe(live);
    const zoomThis = (low, high) => {
      plot.setScale("x", { min: Math.max(low, data.range.x[0]), max: Math.min(high, data.range.x[1]) });
    };
    zoomThis(-Infinity, Infinity);
    show(plot);
    return {
      redraw: () => plot.redraw(false),
      zoom: zoomThis,
      toggle: (label, isShown) => {
        drawn.forEach((one, i) => { if (one.label === label) plot.setSeries(i + 1, { show: isShown }, true, false); });
        for (const key of keys.filter((one) => one.dataset.label === label)) {
          key.classList.toggle("is-off", !isShown);
          key.setAttribute("aria-pressed", String(isShown));
        }
      },
      focus: (label) => {
        const isKnown = drawn.some((one) => one.label === label);
        drawn.forEach((one, i) => {
          plot.series[i + 1].alpha = isKnown && one.label !== label ? 0.15 : alphaOf(one);
        });
        plot.redraw(false);
      },
    };
  }

  /** Move the cursor to a step, in all charts. */
  function point(plot, index) {
    plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: 1 }, true, true);
  }

  function size(live) {
    const width = Math.max(160, Math.floor(live.getBoundingClientRect().width));
    return { width, height: Math.round(width * 0.5) };
  }

  for (const figure of document.querySelectorAll(".chart")) {
    figure.classList.add("is-live");
    figure.querySelector(".live").hidden = false;
    plots.push(draw(figure));
  }
  for (const hint of document.querySelectorAll(".with-script")) hint.hidden = false;
  const redraw = () => plots.forEach((one) => one.redraw());
  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
