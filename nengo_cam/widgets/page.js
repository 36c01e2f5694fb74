"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);
  const facts = JSON.parse(byId("facts").textContent);
  // Labels have maps; names belong to columns of logits, which may be more.
  const { images, labels, times, names } = facts;
  const [N, L, T, K] = [images.length, labels.length, times.length, names.length];
  const [rows, columns] = facts.shape;
  const SHOWN = ["#1b7837", "#762a83", "#b8860b", "#00868b", "#c51b7d", "#6b4423"];
  const RUNNER_UP = "#595959", NEXT_BEST = "#7f7f7f", OTHERS = "#c9c9c9", BAND = "#e5e5e5", MISSING = -128;
  // Beyond so many, lines make a gray slab that says nothing.
  const MOST_LINES = 20, DASHES = ["1 2", "5 2 1 2", "7 3"];
  // What of a signal's axes is left free above and below it, in parts of its range; grays of its channels.
  const MARGIN = 0.08, FIRST_GRAY = 0.4, LAST_GRAY = 0.75;

  function bytesOf(text) {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  }
  async function unpack(name, Kind) {
    const element = byId(`data-${name}`);
    if (!element) return null;
    const packed = new Blob([bytesOf(element.textContent)]).stream();
    const buffer = await new Response(packed.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
    element.remove();
    return new Kind(buffer);
  }

  if (typeof DecompressionStream === "undefined") {
    byId("message").textContent = "This browser is too old to unpack the maps. Update it, or open the page in another.";
    return;
  }
  const data = {};
  for (const [name, Kind] of [
    ["cells", Int8Array], ["peaks", Float32Array], ["reach", Float32Array], ["logits", Float32Array],
    ["low", Float32Array], ["high", Float32Array],
    ["rate-cells", Int8Array], ["rate-peaks", Float32Array], ["rate-logits", Float32Array],
    ["scores", Float32Array], ["pictures", Uint8Array],
  ]) data[name] = await unpack(name, Kind);
  const size = rows * columns;
  // Cells are stored as differences from step to step, which wrap around as Int8Array does.
  for (let film = 0; film < data.cells.length; film += T * size)
    for (let i = film + size; i < film + T * size; i++) data.cells[i] += data.cells[i - size];
  const colors = bytesOf(facts.colors);

  const state = { ...facts.start, playing: false };

  // What is chosen, as positions in the arrays.
  const film = (label) => (state.smoothing * N + state.image) * L + label;
  const moment = (step) => (state.smoothing * N + state.image) * T + step;
  const logit = (step, column) => data.logits[moment(step) * K + column];
  // One for all steps, or of moving images one for each.
  const R = facts.rate_steps;
  const rateStep = (step) => (R > 1 ? step : 0);
  const rateLogit = (step, label) => data["rate-logits"][(state.image * R + rateStep(step)) * L + label];
  const score = (step, label) => data.scores[(state.image * T + step) * L + label];
  const orLeast = (value) => (Number.isNaN(value) ? -Infinity : value);
  const nameOf = (label) => names[facts.columns[label]];
  function ranked(step, all) {
    return all.sort((a, b) => orLeast(logit(step, b)) - orLeast(logit(step, a)) || a - b);
  }
  function leaderAt(step) {
    let leader = 0;
    for (let column = 1; column < K; column++)
      if (orLeast(logit(step, column)) > orLeast(logit(step, leader))) leader = column;
    return leader;
  }
  const strongest = {};
  function shownLabels() {
    if (state.label >= 0) return [state.label];
    const choice = facts.choices[-2 - state.label];
    if (choice && choice.labels) return choice.labels;
    // Asked for many times a frame.
    const found = (strongest[[state.smoothing, state.image]] ??=
      ranked(T - 1, [...facts.columns]).map((column) => facts.columns.indexOf(column)));
    return found.slice(0, choice ? choice.top : 1);
  }
  function limits(peak) {
    if (state.scale === "given") return facts.given;
    const reach = {
      shared: facts.shared[state.smoothing],
      image: Math.max(...shownLabels().map((label) => data.reach[film(label)])),
      frame: peak > 0 ? peak : 1,
    }[state.scale];
    return [facts.heat ? 0 : -reach, reach];
  }
  function share(value, [low, high]) {
    const clipped = Math.min(Math.max(value, low), high);
    if (facts.heat) return (clipped - low) / (high - low);
    // Zero in the middle, and both sides equally steep.
    return (clipped / Math.max(Math.abs(low), Math.abs(high)) + 1) / 2;
  }
  const colorAt = (part) => 3 * Math.min(Math.floor(part * 256), 255);
  const number = (value) =>
    Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
      ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  const signed = (value) => number(value).replace("-", "\u2212");
  const timeText = (step) => `${times[step]} ms`;

  // Maps and images.
  const [pictureRows, pictureColumns, channels] = facts.pictures ? facts.pictures.shape.slice(2) : [0, 0, 0];
  const [left, right, bottom, top] = facts.whole;
  const scratch = document.createElement("canvas");

  function paint(canvas, width, height, color, alpha) {
    scratch.width = width;
    scratch.height = height;
    const pixels = scratch.getContext("2d").createImageData(width, height);
    color(pixels.data);
    scratch.getContext("2d").putImageData(pixels, 0, 0);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.globalAlpha = alpha;
    context.drawImage(scratch, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
  }
  const frameAt = (step) => state.image * facts.pictures.shape[1] + facts.pictures.frames[state.image][step];
  function paintPicture(canvas, step, lightened) {
    if (!facts.pictures) return;
    const start = frameAt(step) * pictureRows * pictureColumns * channels, pixels = data.pictures;
    paint(canvas, pictureColumns, pictureRows, (out) => {
      for (let i = 0; i < pictureRows * pictureColumns; i++) {
        const at = start + i * channels, [green, blue] = channels === 3 ? [at + 1, at + 2] : [at, at];
        // Under a map black is drawn as a medium gray, which leaves the map its colors.
        const gray = (0.299 * pixels[at] + 0.587 * pixels[green] + 0.114 * pixels[blue] + 255) / 2;
        out[4 * i] = lightened ? gray : pixels[at];
        out[4 * i + 1] = lightened ? gray : pixels[green];
        out[4 * i + 2] = lightened ? gray : pixels[blue];
        out[4 * i + 3] = 255;
      }
    }, 1);
  }
  // Which cells lie below each pixel along a side, and how much the second of two counts. Beyond the outermost cells
  // these are repeated: what was seen is not to end before the image does, which would look like a mistake.
  function cellsBelow(size, count, first, last, begin, end, smooth) {
    const found = { near: new Int32Array(size), far: new Int32Array(size), part: new Float32Array(size) };
    for (let i = 0; i < size; i++) {
      const place = begin + ((i + 0.5) / size) * (end - begin);
      const cell = Math.min(Math.max(((place - first) / (last - first)) * count - 0.5, 0), count - 1);
      found.near[i] = Math.round(cell);
      found.far[i] = found.near[i] > cell ? Math.floor(cell) : Math.ceil(cell);
      found.part[i] = smooth ? Math.abs(cell - found.near[i]) : 0;
    }
    return found;
  }
  const across = (width, smooth) => cellsBelow(width, columns, facts.extent[0], facts.extent[1], left, right, smooth);
  // Values of a map at the pixels of a canvas, row by row; NaN where its cell is missing.
  function sampled(cells, start, width, height) {
    const x = across(width, facts.smooth);
    const y = cellsBelow(height, rows, facts.extent[3], facts.extent[2], top, bottom, facts.smooth);
    const values = new Float32Array(width * height);
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++) {
        const here = cells[start + y.near[i] * columns + x.near[j]];
        // A neighbor that is missing says nothing.
        const at = (row, column) => {
          const cell = cells[start + row * columns + column];
          return cell === MISSING ? here : cell;
        };
        let value = here === MISSING ? NaN : here;
        if (x.part[j] || y.part[i]) {
          const upper = value + x.part[j] * (at(y.near[i], x.far[j]) - value);
          const lower = at(y.far[i], x.near[j]);
          value = upper + y.part[i] * (lower + x.part[j] * (at(y.far[i], x.far[j]) - lower) - upper);
        }
        values[i * width + j] = value;
      }
    return values;
  }
  function paintValues(canvas, values, width, height, unit, between, alpha) {
    paint(canvas, width, height, (out) => {
      for (let i = 0; i < width * height; i++) {
        const part = share(values[i] * unit, between), color = colorAt(part);
        if (Number.isNaN(values[i])) continue;
        out[4 * i] = colors[color];
        out[4 * i + 1] = colors[color + 1];
        out[4 * i + 2] = colors[color + 2];
        // A heat map fades in from zero, so that the image is seen where there is nothing.
        out[4 * i + 3] = facts.heat && alpha < 1 ? 255 * part : 255;
      }
    }, alpha);
  }
  function line(canvas, values, color, width, dashes) {
    const context = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
    context.beginPath();
    values.forEach(([x, value], i) => {
      const y = canvas.height * (1 - (value + MARGIN) / (1 + 2 * MARGIN));
      if (i > 0 && Number.isFinite(value) && Number.isFinite(values[i - 1][1])) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
    context.strokeStyle = color;
    context.lineWidth = width * ratio;
    context.setLineDash((dashes || []).map((dash) => dash * ratio));
    context.lineJoin = "round";
    context.stroke();
  }
  function drawSignal(canvas, step) {
    if (!facts.pictures) return;
    const start = frameAt(step) * pictureColumns * channels;
    for (let c = 0; c < channels; c++) {
      const shade = FIRST_GRAY + (channels > 1 ? ((LAST_GRAY - FIRST_GRAY) * c) / (channels - 1) : 0);
      const points = Array.from({ length: pictureColumns }, (_, i) => [
        ((i - left) / (right - left)) * canvas.width, data.pictures[start + i * channels + c] / 255]);
      line(canvas, points, `rgb(${255 * shade} ${255 * shade} ${255 * shade})`, 1);
    }
  }
  const clear = (canvas) => canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  function paintInput(canvas, step) {
    clear(canvas);
    if (facts.flat) drawSignal(canvas, step);
    else paintPicture(canvas, step, false);
  }
  function paintMap(canvas, cells, start, peak, step) {
    const between = limits(peak), unit = peak / 127, height = facts.flat ? 1 : canvas.height;
    clear(canvas);
    if (!facts.flat) paintPicture(canvas, step, true);
    const values = sampled(cells, start, canvas.width, height);
    paintValues(canvas, values, canvas.width, height, unit, between, facts.alpha);
    if (!facts.flat) return;
    // On the axes of the signal, with the color bar as its scale: a second axis would be read as that of the signal.
    drawSignal(canvas, step);
    const heightOf = (value) => (value - between[0]) / (between[1] - between[0]);
    line(canvas, [[0, heightOf(0)], [canvas.width, heightOf(0)]], "#000", 0.5, [1, 2]);
    line(canvas, Array.from(values, (value, i) => [i + 0.5, heightOf(value * unit)]), "#000", 1.5);
  }
  // Maps of a signal below each other, the first step on top.
  function paintHistory(canvas, label, step) {
    const key = [canvas.width, canvas.height, label, state.image, state.smoothing, state.scale, shownLabels()].join();
    if (canvas.dataset.key !== key) {
      const peaks = data.peaks.subarray(film(label) * T, (film(label) + 1) * T), x = across(canvas.width, false);
      // Colors are to be compared down the columns.
      const between = limits(peaks.reduce((a, b) => Math.max(a, b), 0));
      const values = new Float32Array(canvas.width * T);
      for (let t = 0; t < T; t++)
        for (let j = 0; j < canvas.width; j++) {
          const cell = data.cells[(film(label) * T + t) * columns + x.near[j]];
          values[t * canvas.width + j] = cell === MISSING ? NaN : (cell * peaks[t]) / 127;
        }
      canvas.kept = document.createElement("canvas");
      [canvas.kept.width, canvas.kept.height] = [canvas.width, canvas.height];
      // As opaque as the maps, so that the color bar is true of both.
      paintValues(canvas.kept, values, canvas.width, T, 1, between, facts.alpha);
      canvas.dataset.key = key;
    }
    const context = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
    clear(canvas);
    context.drawImage(canvas.kept, 0, 0);
    const y = ((step + 0.5) / T) * canvas.height;
    for (const [color, width] of [["#fff", 4], ["#000", 1.5]]) {
      context.fillStyle = color;
      context.fillRect(0, y - (width * ratio) / 2, canvas.width, width * ratio);
    }
  }
  const SIGNAL = 1 / 6, HISTORY = 1 / 4;
  function fit(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const slope = facts.flat
      ? (canvas.id.startsWith("history") ? HISTORY : SIGNAL) : (bottom - top) / (right - left);
    canvas.style.aspectRatio = `1 / ${slope}`;
    const height = Math.max(1, Math.round(width * slope));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  }
  function caption(canvas, text, description, full) {
    const element = canvas.closest("figure").querySelector("figcaption");
    element.textContent = text;
    element.title = full || "";
    canvas.setAttribute("aria-label", description || text);
  }
  function tickMarks(element, found, side) {
    // Names side by side would run into each other.
    const upright = side === "left" && found.some(([, name]) => name.length > 3 && Number.isNaN(Number(name)));
    element.classList.toggle("upright", upright);
    element.style.height = upright ? `${0.62 * Math.max(...found.map(([, name]) => name.length)) + 0.4}em` : "";
    element.replaceChildren(...found.map(([part, name]) => {
      const mark = document.createElement("span");
      mark.textContent = String(name).replace(/^-/, "\u2212");
      mark.style[side] = `${100 * part}%`;
      return mark;
    }));
  }

  function drawBar(peak) {
    const bar = byId("bar"), [low, high] = limits(peak);
    bar.width = 256;
    bar.height = 1;
    const context = bar.getContext("2d"), line = context.createImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      const part = share(low + ((i + 0.5) / 256) * (high - low), [low, high]), at = colorAt(part);
      // As the map looks on a medium gray of the image, or on the paper behind a signal.
      const alpha = facts.alpha * (facts.heat && facts.alpha < 1 ? part : 1), ground = facts.flat ? 255 : 191;
      for (let c = 0; c < 3; c++) line.data[4 * i + c] = alpha * colors[at + c] + (1 - alpha) * ground;
      line.data[4 * i + 3] = 255;
    }
    context.putImageData(line, 0, 0);
    let beyond = false;
    if (state.scale !== "frame") {
      const reach = (facts.heat ? high : Math.min(Math.abs(low), Math.abs(high))) * (1 + 1e-5);
      for (const label of shownLabels())
        for (let t = 0; t < T; t++) beyond = beyond || data.peaks[film(label) * T + t] > reach;
    }
    const [first, middle, last] = byId("bar-ticks").children;
    first.textContent = (beyond && !facts.heat ? "\u2264 " : "") + signed(low);
    last.textContent = (beyond ? "\u2265 " : "") + signed(high);
    // Zero stands where it is, unless an end is written there.
    const zero = -low / (high - low);
    middle.style.left = `${100 * zero}%`;
    middle.hidden = zero < 0.25 || zero > 0.75;
    const whose = shownLabels().length > 1 ? ", of the first spiking map" : ", of the spiking map";
    byId("bar-title").textContent =
      `CAM [${facts.units}]` + (facts.note ? `, ${facts.note}` : "") + (state.scale === "frame" ? whose : "");
    bar.setAttribute("aria-label", `Colors from ${signed(low)} to ${signed(high)} ${facts.units}`);
  }

  // Curves over time.
  const SVG = "http://www.w3.org/2000/svg";
  function add(parent, name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }
  function ticks(low, high, wanted) {
    const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step)
      found.push(Math.abs(value) < step * 1e-6 ? 0 : value);
    return found;
  }
  function drawChart(svg, curves, [low, high], name, band) {
    svg.replaceChildren();
    const width = svg.clientWidth, height = svg.clientHeight;
    const box = { left: 52, right: width - 16, top: 8, bottom: height - 38 };
    const begin = T > 1 ? Math.min(0, times[0]) : 0, end = T > 1 ? times[T - 1] : 2 * times[0];
    const x = (time) => box.left + ((time - begin) / (end - begin)) * (box.right - box.left);
    const y = (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);
    for (const value of ticks(low, high, Math.max(2, (box.bottom - box.top) / 35))) {
      add(svg, "line", { class: "grid", x1: box.left, x2: box.right, y1: y(value), y2: y(value) });
      add(svg, "text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, signed(value));
    }
    for (const value of ticks(begin, end, Math.max(2, (box.right - box.left) / 80)))
      add(svg, "text", { x: x(value), y: box.bottom + 16, "text-anchor": "middle" }, signed(value));
    add(svg, "text", { x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }, "time [ms]");
    const middle = (box.top + box.bottom) / 2;
    add(svg, "text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, name);
    if (band) {
      const known = band.low.flatMap((value, step) => (Number.isFinite(value) ? [step] : []));
      const corner = (values) => (step) => `${x(times[step]).toFixed(1)} ${y(values[step]).toFixed(1)}`;
      const outline = [...known.map(corner(band.low)), ...known.reverse().map(corner(band.high))];
      add(svg, "path", { class: "band", d: outline.length ? `M${outline.join("L")}Z` : "M0 0", fill: BAND });
    }
    for (const { lines, color, width: stroke, dashes } of curves) {
      let path = "";
      for (const values of lines) {
        let pen = "M";
        values.forEach((value, step) => {
          if (!Number.isFinite(value)) pen = "M";
          else {
            path += `${pen}${x(times[step]).toFixed(1)} ${y(value).toFixed(1)}`;
            pen = "L";
          }
        });
      }
      add(svg, "path", { d: path || "M0 0", stroke: color, "stroke-width": stroke, fill: "none",
        "stroke-dasharray": dashes || "none", "stroke-linejoin": "round" });
    }
    add(svg, "path", { class: "frame", d: `M${box.left} ${box.top}V${box.bottom}H${box.right}` });
    const cursor = add(svg, "line", { class: "cursor", y1: box.top, y2: box.bottom, stroke: "#000", "stroke-width": 1.5 });
    svg.moveCursor = (step) => {
      cursor.setAttribute("x1", x(times[step]));
      cursor.setAttribute("x2", x(times[step]));
    };
    svg.stepAt = (clientX) => {
      const share = (clientX - svg.getBoundingClientRect().left - box.left) / (box.right - box.left);
      const time = begin + share * (end - begin);
      let nearest = 0;
      times.forEach((other, step) => {
        if (Math.abs(other - time) < Math.abs(times[nearest] - time)) nearest = step;
      });
      return nearest;
    };
  }
  function legend(element, entries) {
    element.replaceChildren(...entries.map(({ text, color, line }) => {
      const entry = document.createElement("span");
      entry.textContent = text;
      entry.style.setProperty("--color", color);
      entry.style.setProperty("--line", line);
      return entry;
    }));
  }
  // From the smallest to the largest logit of columns, and of the labels that are in no column.
  function bandOf(of, steps) {
    const ends = (pick, kept) => steps.map((step) => {
      const values = of.map((column) => logit(step, column));
      if (kept) values.push(kept[moment(step)]);
      const known = values.filter(Number.isFinite);
      return known.length ? pick(...known) : NaN;
    });
    return { low: ends(Math.min, data.low), high: ends(Math.max, data.high) };
  }
  function drawCharts() {
    const steps = times.map((_, step) => step), shown = shownLabels(), chosen = shown.map((l) => facts.columns[l]);
    const color = (i) => SHOWN[i % SHOWN.length];
    const [second, ...rest] = ranked(T - 1, names.map((_, column) => column)).filter((c) => !chosen.includes(c));
    const curve = (of, stroke, width, dashes) =>
      ({ lines: of.map((column) => steps.map((step) => logit(step, column))), color: stroke, width, dashes });
    const curves = [], entries = [], later = [];
    let band = null;
    if (rest.length + facts.n_others > MOST_LINES) {
      const others = rest.slice(DASHES.length);
      band = bandOf(others, steps);
      DASHES.slice(0, rest.length).forEach((dashes, i) => {
        curves.push(curve([rest[i]], NEXT_BEST, 1.2, dashes));
        later.push({ text: `label ${names[rest[i]]}`, color: NEXT_BEST, line: `2px ${i < 1 ? "dotted" : "dashed"}` });
      });
      later.push({ text: `${others.length + facts.n_others} other labels`, color: BAND, line: "0.7em solid" });
    } else if (rest.length) {
      curves.push(curve(rest, OTHERS, 1));
      later.push({ text: "other labels", color: OTHERS, line: "2px solid" });
    }
    if (second !== undefined) curves.push(curve([second], RUNNER_UP, 1.5));
    shown.forEach((label, i) => {
      entries.push({ text: `label ${nameOf(label)}`, color: color(i), line: "3px solid" });
      if (facts.rate) {
        const lines = [steps.map((step) => rateLogit(step, label))];
        curves.push({ lines, color: color(i), width: 1.5, dashes: "6 4" });
        entries.push({ text: `label ${nameOf(label)}, rate`, color: color(i), line: "2px dashed" });
      }
    });
    if (second !== undefined)
      entries.push({ text: `label ${names[second]} (strongest other)`, color: RUNNER_UP, line: "2px solid" });
    entries.push(...later);
    chosen.forEach((column, i) => curves.push(curve([column], color(i), 2.5)));
    let low = Infinity, high = -Infinity;
    for (const value of [...curves.flatMap(({ lines }) => lines.flat()), ...(band ? [...band.low, ...band.high] : [])])
      if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    if (low > high) [low, high] = [-1, 1];
    const margin = 0.05 * (high - low) || 1;
    drawChart(byId("logits"), curves, [low - margin, high + margin], "logit", band);
    legend(byId("legend"), entries);
    if (facts.score) {
      const scores = shown.map((label, i) =>
        ({ lines: [steps.map((step) => score(step, label))], color: color(i), width: 2.5 }));
      drawChart(byId("scores"), scores, facts.score.limits, facts.score.name);
      const note = facts.score.notes[state.smoothing];
      const texts = shown.map((label) => `agreement of the maps of label ${nameOf(label)}`);
      if (note) texts[texts.length - 1] += `; ${note}`;
      legend(byId("score-legend"), texts.map((text, i) => ({ text, color: color(i), line: "3px solid" })));
    }
  }

  // A frame, and everything.
  const nth = (name, i) => (i ? `${name}-${i}` : name);
  function drawMaps(label, i, step) {
    const { kind, level } = facts.smoothings[state.smoothing], at = film(label), name = nameOf(label);
    const peak = data.peaks[at * T + step], plane = facts.plane ? `, ${facts.plane}` : "";
    paintMap(byId(nth("spiking", i)), data.cells, (at * T + step) * size, peak, step);
    caption(byId(nth("spiking", i)), `${kind}${plane}, label ${name}, ${level ? "at " : ""}${timeText(step)}`,
      `Spiking map of label ${name} at ${timeText(step)}, largest magnitude ${number(peak)} ${facts.units}`,
      labels[label]);
    if (facts.flat) {
      paintHistory(byId(nth("history", i)), label, step);
      caption(byId(nth("history", i)), `${kind}, label ${name}, time down [ms]`,
        `Spiking maps of label ${name} over time, a row for each step`, labels[label]);
    }
    if (facts.rate) {
      const index = (state.image * L + label) * R + rateStep(step);
      paintMap(byId(nth("rate", i)), data["rate-cells"], index * size, data["rate-peaks"][index], step);
      caption(byId(nth("rate", i)), `rate, label ${name}`, `Map of label ${name} of the rate network`, labels[label]);
    }
  }
  function reading(step) {
    const leader = leaderAt(step), values = [];
    let text = `At ${timeText(step)} label ${names[leader]} leads with a logit of ${signed(logit(step, leader))}`;
    // Of single steps, a label can lead that is none of those in the page.
    if (data.high && data.high[moment(step)] > logit(step, leader))
      text = `At ${timeText(step)} a label that is not in this page leads with ${signed(data.high[moment(step)])}`;
    for (const label of shownLabels())
      if (facts.columns[label] !== leader)
        values.push(`label ${nameOf(label)}: ${signed(logit(step, facts.columns[label]))}`);
    if (facts.score)
      for (const label of shownLabels())
        if (Number.isFinite(score(step, label)))
          values.push(`${facts.score.name} of label ${nameOf(label)}: ${signed(score(step, label))}`);
    return [text, ...values].join("; ");
  }
  function drawFrame() {
    const step = state.step, shown = shownLabels();
    byId("time").value = step;
    byId("time").setAttribute("aria-valuetext", timeText(step));
    byId("time-shown").textContent = timeText(step);
    shown.forEach((label, i) => drawMaps(label, i, step));
    if (facts.pictures) {
      const name = facts.image_names[state.image];
      paintInput(byId("input"), step);
      caption(byId("input"), `image ${name}`, `Input image ${name}`, images[state.image]);
    }
    const moving = facts.answers_by_step[state.smoothing][state.image];
    const answers = moving ? moving[step] : facts.answers[state.image];
    byId("answers").hidden = !answers;
    if (answers) byId("answers").textContent = `The spiking network answers ${answers[0]}, the CNN ${answers[1]}.`;
    drawBar(data.peaks[film(shown[0]) * T + step]);
    byId("logits").moveCursor(step);
    if (facts.score) byId("scores").moveCursor(step);
    const text = reading(step);
    byId("reading").textContent = `${text}.`;
    byId("logits").setAttribute("aria-label", `Logits over time. ${text}.`);
    byId("scores").setAttribute("aria-label", `Agreement of the maps over time. ${text}.`);
  }
  // A figure for each map; those of the first label are in the page, the others are copies of them.
  const KINDS = [["spiking", true], ["history", facts.flat], ["rate", facts.rate]].filter(([, there]) => there);
  const MOST_IN_ROW = 5;
  let arranged = 0;
  function arrange(count) {
    if (count === arranged) return;
    arranged = count;
    document.querySelectorAll("#maps .copy").forEach((copy) => copy.remove());
    for (let i = 1; i < count; i++)
      for (const [name] of KINDS) {
        const copy = byId(`${name}-figure`).cloneNode(true);
        copy.id = `${nth(name, i)}-figure`;
        copy.classList.add("copy");
        const canvas = copy.querySelector("canvas");
        canvas.id = nth(name, i);
        // What was painted is not copied.
        delete canvas.dataset.key;
        byId("bar-box").before(copy);
      }
    const several = count > 1 && !facts.flat, first = facts.pictures ? 1 : 0;
    const panels = facts.flat ? 1 : several ? Math.min(count, MOST_IN_ROW) + first : KINDS.length + first;
    byId("maps").style.setProperty("--columns", panels);
    byId("maps").classList.toggle("three", panels === 3 && !several);
    byId("maps").classList.toggle("several", several);
    for (let i = 0; i < count; i++)
      KINDS.forEach(([name], k) => {
        // Rate maps stand below several spiking ones.
        const row = 1 + k + KINDS.length * Math.floor(i / MOST_IN_ROW);
        byId(`${nth(name, i)}-figure`).style.gridArea = several ? `${row} / ${1 + first + (i % MOST_IN_ROW)}` : "";
      });
    byId("input-figure").style.gridArea = several ? "1 / 1" : "";
  }
  function drawAll() {
    arrange(shownLabels().length);
    for (const canvas of document.querySelectorAll("#maps figure:not([hidden]) canvas")) fit(canvas);
    drawCharts();
    drawFrame();
  }

  // Time.
  let began = 0, from = 0;
  function setStep(step) {
    state.step = Math.min(Math.max(step, 0), T - 1);
    [began, from] = [performance.now(), state.step];
    drawFrame();
  }
  function setPlaying(playing) {
    state.playing = playing;
    byId("play").textContent = playing ? "Pause" : "Play";
    if (!playing) return;
    setStep(state.step === T - 1 ? 0 : state.step);
    requestAnimationFrame(tick);
  }
  function tick(now) {
    if (!state.playing) return;
    const step = Math.min(from + Math.floor((Math.max(now - began, 0) * facts.fps) / 1000), T - 1);
    if (step !== state.step) {
      state.step = step;
      drawFrame();
    }
    if (step === T - 1) setPlaying(false);
    else requestAnimationFrame(tick);
  }

  function fill(id, options, value) {
    const select = byId(id);
    for (const [key, text] of options) select.append(new Option(text, key));
    select.value = value;
    // One choice is none.
    select.parentElement.hidden = select.options.length < 2;
    select.addEventListener("change", () => {
      state[id] = id === "scale" ? select.value : Number(select.value);
      drawAll();
    });
  }
  fill("image", images.map((name, i) => [i, name]), state.image);
  const several = facts.choices.map(({ text }, i) => [-2 - i, text]);
  fill("label", [[-1, facts.winner], ...several, ...labels.map((name, i) => [i, name])], state.label);
  fill("scale", facts.scales.map(({ name, text }) => [name, text]), state.scale);
  fill("smoothing", facts.smoothings.map(({ name }, i) => [i, name]), state.smoothing);
  byId("input-figure").hidden = !facts.pictures;
  byId("rate-figure").hidden = !facts.rate;
  byId("history-figure").hidden = !facts.flat;
  byId("score-section").hidden = !facts.score;
  byId("maps").classList.toggle("flat", facts.flat);
  if (labels.length < facts.n_labels)
    byId("kept").textContent = `This page holds the maps of ${labels.length} of ${facts.n_labels} labels: those that ` +
      "lead at some step, and the strongest in the end.";
  for (const figure of document.querySelectorAll("#maps figure")) {
    const ofTime = figure.id === "history-figure", down = facts.ticks.y || [];
    const rowsOfTime = ticks(0, Math.max(T - 1, 1), 5).filter(Number.isInteger).map((step) => [(step + 0.5) / T, times[step] ?? ""]);
    tickMarks(figure.querySelector(".below"), facts.ticks.x || [], "left");
    tickMarks(figure.querySelector(".beside"), ofTime ? rowsOfTime : down, "top");
  }
  byId("maps").classList.toggle("beside-ticks", facts.flat || Boolean(facts.ticks.y));

  byId("time").max = T - 1;
  byId("time").addEventListener("input", (event) => setStep(Number(event.target.value)));
  byId("play").addEventListener("click", () => setPlaying(!state.playing));
  function onDrag(element, follow) {
    element.addEventListener("pointerdown", follow);
    element.addEventListener("pointermove", (event) => event.buttons && follow(event));
  }
  for (const id of ["logits", "scores"]) onDrag(byId(id), (event) => setStep(byId(id).stepAt(event.clientX)));
  onDrag(byId("maps"), (event) => {
    if (!event.target.id.startsWith("history") || event.target.tagName !== "CANVAS") return;
    const box = event.target.getBoundingClientRect();
    setStep(Math.floor(((event.clientY - box.top) / box.height) * T));
  });
  document.addEventListener("keydown", (event) => {
    // Controls keep their own keys.
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
    if (event.key === " ") {
      if (event.target.closest("button")) return;
      setPlaying(!state.playing);
    } else {
      if (event.target.closest("input")) return;
      const step = { ArrowLeft: state.step - 1, ArrowRight: state.step + 1, Home: 0, End: T - 1 }[event.key];
      if (step === undefined) return;
      setStep(step);
    }
    event.preventDefault();
  });
  // In a notebook the frame around the page asks to be as high as the page; of a page elsewhere there is none to be seen.
  const frame = window.frameElement;
  if (frame && frame.dataset.fit !== undefined)
    new ResizeObserver(() => {
      frame.style.height = `${Math.ceil(document.body.getBoundingClientRect().height)}px`;
    }).observe(document.body);
  new ResizeObserver(drawAll).observe(byId("maps"));
  drawAll();
})().catch((error) => {
  document.getElementById("message").textContent = `The maps cannot be shown: ${error.message}`;
  throw error;
});
