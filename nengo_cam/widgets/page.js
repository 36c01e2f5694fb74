"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);
  const facts = JSON.parse(byId("facts").textContent);
  const { images, labels, times } = facts;
  const [N, L, T] = [images.length, labels.length, times.length];
  const [rows, columns] = facts.shape;
  const SHOWN = "#1b7837", RUNNER_UP = "#595959", OTHERS = "#c9c9c9", MISSING = -128;

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
  const film = () => (state.smoothing * N + state.image) * L + shownLabel();
  const logit = (step, label) => data.logits[((state.smoothing * N + state.image) * T + step) * L + label];
  // One for all steps, or of moving images one for each.
  const R = facts.rate_steps;
  const rateStep = (step) => (R > 1 ? step : 0);
  const rateLogit = (step, label) => data["rate-logits"][(state.image * R + rateStep(step)) * L + label];
  const score = (step) => data.scores[(state.image * T + step) * L + shownLabel()];
  function ranked(step) {
    const value = (l) => (Number.isNaN(logit(step, l)) ? -Infinity : logit(step, l));
    return labels.map((_, l) => l).sort((a, b) => value(b) - value(a) || a - b);
  }
  const winners = {};
  function shownLabel() {
    if (state.label >= 0) return state.label;
    // Asked for many times a frame; there may be a thousand labels to sort.
    return (winners[[state.smoothing, state.image]] ??= ranked(T - 1)[0]);
  }
  function limits(peak) {
    if (state.scale === "given") return facts.given;
    const reach = { shared: facts.shared[state.smoothing], image: data.reach[film()], frame: peak > 0 ? peak : 1 };
    return [-reach[state.scale], reach[state.scale]];
  }
  function colorOf(value, [low, high]) {
    const reach = Math.max(Math.abs(low), Math.abs(high));
    const clipped = Math.min(Math.max(value, low), high);
    return 3 * Math.min(Math.floor((clipped / reach + 1) * 128), 255);
  }
  const number = (value) =>
    Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
      ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  const signed = (value) => number(value).replace("-", "\u2212");
  const timeText = (step) => `${times[step]} ms`;

  // Maps and images.
  const [pictureRows, pictureColumns, channels] = facts.pictures ? facts.pictures.shape.slice(2) : [0, 0, 0];
  const [left, right, bottom, top] =
    facts.pictures ? [-0.5, pictureColumns - 0.5, pictureRows - 0.5, -0.5] : facts.extent;
  const scratch = document.createElement("canvas");

  function paint(canvas, width, height, color, extent, alpha) {
    scratch.width = width;
    scratch.height = height;
    const pixels = scratch.getContext("2d").createImageData(width, height);
    for (let i = 0; i < width * height; i++) color(i, pixels.data, 4 * i);
    scratch.getContext("2d").putImageData(pixels, 0, 0);
    const context = canvas.getContext("2d");
    const x = canvas.width / (right - left), y = canvas.height / (bottom - top);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = alpha;
    context.drawImage(scratch, (extent[0] - left) * x, (extent[3] - top) * y,
      (extent[1] - extent[0]) * x, (extent[2] - extent[3]) * y);
  }
  function paintPicture(canvas, step, lightened) {
    if (!facts.pictures) return;
    const frame = facts.pictures.frames[state.image][step];
    const start = (state.image * facts.pictures.shape[1] + frame) * pictureRows * pictureColumns * channels;
    const pixel = (i, c) => data.pictures[start + i * channels + (channels === 3 ? c : 0)];
    paint(canvas, pictureColumns, pictureRows, (i, out, at) => {
      const gray = 0.299 * pixel(i, 0) + 0.587 * pixel(i, 1) + 0.114 * pixel(i, 2);
      // Under a map black is drawn as a medium gray, which leaves the map its colors.
      for (let c = 0; c < 3; c++) out[at + c] = lightened ? (gray + 255) / 2 : pixel(i, c);
      out[at + 3] = 255;
    }, [left, right, bottom, top], 1);
  }
  function paintMap(canvas, cells, start, peak, step) {
    const between = limits(peak);
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    paintPicture(canvas, step, true);
    paint(canvas, columns, rows, (i, out, at) => {
      const cell = cells[start + i];
      const color = colorOf((cell * peak) / 127, between);
      for (let c = 0; c < 3; c++) out[at + c] = colors[color + c];
      out[at + 3] = cell === MISSING ? 0 : 255;
    }, facts.extent, facts.alpha);
  }
  function fit(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.style.aspectRatio = `${right - left} / ${bottom - top}`;
    const height = Math.max(1, Math.round((width * (bottom - top)) / (right - left)));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  }
  function caption(canvas, text, description) {
    canvas.nextElementSibling.textContent = text;
    canvas.setAttribute("aria-label", description || text);
  }

  function drawBar(peak) {
    const bar = byId("bar"), [low, high] = limits(peak);
    bar.width = 256;
    bar.height = 1;
    const context = bar.getContext("2d"), line = context.createImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      const at = colorOf(low + ((i + 0.5) / 256) * (high - low), [low, high]);
      // As the map looks on a medium gray of the image.
      for (let c = 0; c < 3; c++) line.data[4 * i + c] = facts.alpha * colors[at + c] + (1 - facts.alpha) * 191;
      line.data[4 * i + 3] = 255;
    }
    context.putImageData(line, 0, 0);
    let beyond = false;
    if (state.scale !== "frame") {
      const reach = Math.min(Math.abs(low), Math.abs(high)) * (1 + 1e-5);
      const start = film() * T;
      for (let t = 0; t < T; t++) beyond = beyond || data.peaks[start + t] > reach;
    }
    const [first, middle, last] = byId("bar-ticks").children;
    first.textContent = (beyond ? "\u2264 " : "") + signed(low);
    last.textContent = (beyond ? "\u2265 " : "") + signed(high);
    // Zero stands where it is, unless an end is written there.
    const share = -low / (high - low);
    middle.style.left = `${100 * share}%`;
    middle.hidden = share < 0.25 || share > 0.75;
    byId("bar-title").textContent = `CAM [${facts.units}]` + (state.scale === "frame" ? ", of the spiking map" : "");
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
  function drawChart(svg, curves, [low, high], name) {
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
  function drawCharts() {
    const steps = times.map((_, step) => step), shown = shownLabel();
    const [second, ...rest] = ranked(T - 1).filter((label) => label !== shown);
    const curve = (of, color, width) =>
      ({ lines: of.map((label) => steps.map((step) => logit(step, label))), color, width });
    const curves = [curve(rest, OTHERS, 1)];
    const entries = [{ text: `label ${labels[shown]}`, color: SHOWN, line: "3px solid" }];
    if (second !== undefined) curves.push(curve([second], RUNNER_UP, 1.5));
    if (facts.rate) {
      curves.push({ lines: [steps.map((step) => rateLogit(step, shown))], color: SHOWN, width: 1.5, dashes: "6 4" });
      entries.push({ text: `label ${labels[shown]}, rate`, color: SHOWN, line: "2px dashed" });
    }
    if (second !== undefined)
      entries.push({ text: `label ${labels[second]} (strongest other)`, color: RUNNER_UP, line: "2px solid" });
    if (rest.length) entries.push({ text: "other labels", color: OTHERS, line: "2px solid" });
    curves.push(curve([shown], SHOWN, 2.5));
    let low = Infinity, high = -Infinity;
    for (const value of curves.flatMap(({ lines }) => lines.flat()))
      if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    if (low > high) [low, high] = [-1, 1];
    const margin = 0.05 * (high - low) || 1;
    drawChart(byId("logits"), curves, [low - margin, high + margin], "logit");
    legend(byId("legend"), entries);
    if (facts.score) {
      drawChart(byId("scores"), [{ lines: [steps.map(score)], color: SHOWN, width: 2.5 }], facts.score.limits,
        facts.score.name);
      const note = facts.score.notes[state.smoothing], text = `agreement of the maps of label ${labels[shown]}`;
      legend(byId("score-legend"), [{ text: note ? `${text}; ${note}` : text, color: SHOWN, line: "3px solid" }]);
    }
  }

  // A frame, and everything.
  function drawFrame() {
    const step = state.step, shown = shownLabel(), label = labels[shown], at = film();
    const { kind, level } = facts.smoothings[state.smoothing], peak = data.peaks[at * T + step];
    byId("time").value = step;
    byId("time").setAttribute("aria-valuetext", timeText(step));
    byId("time-shown").textContent = timeText(step);
    paintMap(byId("spiking"), data.cells, (at * T + step) * size, peak, step);
    caption(byId("spiking"), `${kind}, label ${label}, ${level ? "at " : ""}${timeText(step)}`,
      `Spiking map of label ${label} at ${timeText(step)}, largest magnitude ${number(peak)} ${facts.units}`);
    if (facts.rate) {
      const index = (state.image * L + shown) * R + rateStep(step);
      paintMap(byId("rate"), data["rate-cells"], index * size, data["rate-peaks"][index], step);
      caption(byId("rate"), `rate, label ${label}`, `Map of label ${label} of the rate network`);
    }
    if (facts.pictures) {
      paintPicture(byId("input"), step, false);
      caption(byId("input"), `image ${images[state.image]}`, `Input image ${images[state.image]}`);
    }
    const moving = facts.answers_by_step[state.smoothing][state.image];
    const answers = moving ? moving[step] : facts.answers[state.image];
    byId("answers").hidden = !answers;
    if (answers) byId("answers").textContent = `The spiking network answers ${answers[0]}, the CNN ${answers[1]}.`;
    drawBar(peak);
    byId("logits").moveCursor(step);
    const leader = ranked(step)[0];
    let text = `At ${timeText(step)} label ${labels[leader]} leads with a logit of ${signed(logit(step, leader))}`;
    if (leader !== shown) text += `; label ${label}: ${signed(logit(step, shown))}`;
    if (facts.score) {
      byId("scores").moveCursor(step);
      if (Number.isFinite(score(step))) text += `; ${facts.score.name} of label ${label}: ${signed(score(step))}`;
    }
    byId("reading").textContent = `${text}.`;
    byId("logits").setAttribute("aria-label", `Logits over time. ${text}.`);
    byId("scores").setAttribute("aria-label", `Agreement of the maps over time. ${text}.`);
  }
  function drawAll() {
    for (const id of ["input", "rate", "spiking"]) if (!byId(`${id}-figure`).hidden) fit(byId(id));
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
  fill("label", [[-1, facts.winner], ...labels.map((name, i) => [i, name])], state.label);
  fill("scale", facts.scales.map(({ name, text }) => [name, text]), state.scale);
  fill("smoothing", facts.smoothings.map(({ name }, i) => [i, name]), state.smoothing);
  byId("input-figure").hidden = !facts.pictures;
  byId("rate-figure").hidden = !facts.rate;
  byId("score-section").hidden = !facts.score;
  const panels = 1 + Boolean(facts.pictures) + Boolean(facts.rate);
  byId("maps").style.setProperty("--columns", panels);
  byId("maps").classList.toggle("three", panels === 3);

  byId("time").max = T - 1;
  byId("time").addEventListener("input", (event) => setStep(Number(event.target.value)));
  byId("play").addEventListener("click", () => setPlaying(!state.playing));
  for (const id of ["logits", "scores"]) {
    const chart = byId(id), follow = (event) => setStep(chart.stepAt(event.clientX));
    chart.addEventListener("pointerdown", follow);
    chart.addEventListener("pointermove", (event) => event.buttons && follow(event));
  }
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
