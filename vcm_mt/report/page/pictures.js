"use strict";
// Two versions of a picture in one frame, what was found in them, and where their bits went.

(() => {
  const { assets, roles, sources, tasks, samples, cell, heatColours } = data.browser;
  if (!samples.length) return;
  const SIDES = ["left", "right"];
  const OTHER = { left: "right", right: "left" };
  const NEAREST = "nearest"; // a rate that follows the other side's
  const ORIGINAL = -1;
  const stage = find("#stage");
  const split = find("#split");
  const threshold = find("#threshold");
  const heat = find("#heat");
  const layers = new Set(); // "box det", "mask det"; "box " are the truth's

  const first = (role) => sources.findIndex((source) => source.role === role);
  const state = {
    sample: 0,
    left: { source: first("ours"), rate: "" },
    right: { source: first("anchor"), rate: NEAREST },
  };

  // ---- what is shown ----------------------------------------------------------------------------

  const sample = () => samples[state.sample];
  const versions = (source) => sample().versions.filter((one) => one.source === source);
  const key = (version) => String(version.quality);

  /** The version on a side; null for the original. */
  function versionOn(side) {
    const { source, rate } = state[side];
    const all = versions(source);
    if (!all.length) return null;
    if (rate !== NEAREST) return all.find((one) => key(one) === rate) || all[all.length >> 1];
    const wanted = versionOn(OTHER[side]);
    if (!wanted) return all[all.length - 1];
    const distance = (one) => Math.abs(Math.log(one.bpp / wanted.bpp));
    return all.reduce((best, one) => (distance(one) < distance(best) ? one : best));
  }

  function level(version) {
    return `${sources[version.source].qualityName} ${version.quality}`;
  }

  function title(version) {
    return version ? `${sources[version.source].title}, ${level(version)}` : "original";
  }

  /** The instances of a task, or of the truth; undefined where it did not look. */
  function instancesOn(side, task) {
    if (!task.name) return sample().truth;
    const found = (versionOn(side) || sample()).found[task.name];
    return found?.filter((one) => one.score === null || one.score >= Number(threshold.value));
  }

  // ---- the frame --------------------------------------------------------------------------------

  const taskColour = (task) => (task.name ? `var(--curve-${task.colour})` : "var(--truth)");

  /** Labels of different tasks on the same thing keep out of each other's way. */
  function labelPlace([x1, y1, x2, y2], index) {
    if (index === 0) return { x: x2, y: y1, dx: "0.3em", dy: "0.8em" };
    if (index % 2) return { x: x1, y: y1, dy: "-0.3em" };
    return { x: x1, y: y2, dy: "1em" };
  }

  function drawn(one, task, index) {
    const look = { style: `--colour: ${taskColour(task)}`, class: task.name ? "found" : "truth" };
    const parts = [];
    if (layers.has(`mask ${task.name}`) && one.rings.length) {
      const outline = one.rings.map((ring) => `M${ring.join(" ")}Z`).join("");
      parts.push(svg("path", { d: outline, "fill-rule": "evenodd", ...look }));
    }
    if (layers.has(`box ${task.name}`)) {
      const [x1, y1, x2, y2] = one.box;
      parts.push(svg("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, ...look }));
      const text = one.score === null ? one.label : `${one.label} ${one.score.toFixed(2)}`;
      parts.push(svg("text", { ...labelPlace(one.box, index), ...look }, text));
    }
    return parts;
  }

  function drawInstances(side) {
    const drawing = find(`.${side} svg`, stage);
    drawing.setAttribute("viewBox", `0 0 ${sample().width} ${sample().height}`);
    drawing.replaceChildren(...tasks.flatMap((task, index) =>
      (instancesOn(side, task) || []).flatMap((one) => drawn(one, task, index))));
  }

  function drawSide(side) {
    const version = versionOn(side);
    const { width, height, original } = sample();
    find(`.${side} .picture`, stage).src = assets[version ? version.picture : original];
    const overlay = find(`.${side} .heat`, stage);
    overlay.hidden = !(heat.checked && version?.heat);
    if (!overlay.hidden) {
      overlay.src = assets[version.heat.picture];
      overlay.style.width = `${(100 * cell * version.heat.columns) / width}%`;
      overlay.style.height = `${(100 * cell * version.heat.rows) / height}%`;
    }
    const rate = version ? ` · ${version.bpp.toFixed(3)} bpp` : "";
    find(`#${side}-badge`).textContent = title(version) + rate;
    drawInstances(side);
  }

  /** Large enough to see, never higher than the window; labels keep their size on the screen. */
  function fit() {
    const { width, height } = sample();
    const most = (0.74 * Math.max(window.innerHeight, 600) * width) / height;
    stage.style.aspectRatio = `${width} / ${height}`;
    find(".browser").style.setProperty("--stage", `${Math.round(most)}px`);
    const scale = width / (stage.clientWidth || width);
    for (const drawing of findAll("svg", stage)) drawing.style.fontSize = `${11 * scale}px`;
  }

  function moveSplit() {
    stage.style.setProperty("--split", `${split.value}%`);
  }

  function dragTo(event) {
    const { left, width } = stage.getBoundingClientRect();
    split.value = (100 * (event.clientX - left)) / width;
    moveSplit();
  }

  // ---- figures beside it ------------------------------------------------------------------------

  function bytes(version, reference) {
    if (!version) return number(3 * sample().width * sample().height);
    if (!reference) return number(version.bytes);
    const more = 100 * (version.bytes / reference.bytes - 1);
    return `${number(version.bytes)} (${more < 0 ? "−" : "+"}${Math.abs(more).toFixed(1)} %)`;
  }

  function readout() {
    const both = SIDES.map(versionOn);
    const cells = (tag, texts) => texts.map((textContent) => make(tag, { textContent }));
    const row = (name, texts) =>
      make("tr", {}, make("th", { scope: "row", textContent: name }), ...cells("td", texts));
    const each = (told) => both.map((version) => (version && told(version)) || "–");
    const rows = [
      row("bits per pixel", both.map((one) => (one ? number(one.bpp, 4) : "24, not coded"))),
      row("bytes", [bytes(both[0]), bytes(both[1], both[0])]),
      row("PSNR", each((one) => one.psnr !== null && `${number(one.psnr, 2)} dB`)),
      row("estimated bits", each((one) => one.heat && number(one.heat.bits))),
    ];
    for (const task of tasks.filter((one) => one.name)) {
      const counts = SIDES.map((side) => instancesOn(side, task)?.length ?? "–");
      rows.push(row(`${task.title} finds, of ${sample().truth.length}`, counts));
    }
    const head = make("tr", {}, make("td"), ...cells("th", both.map(title)));
    find("#readout").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  }

  function heatScale() {
    const scale = find("#heat-scale");
    scale.hidden = !heat.checked;
    find(".ramp", scale).style.background = `linear-gradient(90deg, ${heatColours.join(", ")})`;
    const shares = [0, 0.25, 0.5, 0.75, 1]; // the colour goes with the square root of the bits
    const ticks = shares.map((share) => number(sample().mostBits * share * share));
    find(".ticks", scale).replaceChildren(...ticks.map((text) => make("span", {}, text)));
    const lacking = SIDES.map(versionOn).filter((one) => one && !one.heat).map(title);
    find("#heat-note").textContent =
      `bits on ${cell}×${cell} pixels, one scale for all versions of this picture` +
      (lacking.length ? `; not known for ${lacking.join(" and ")}` : "");
  }

  // ---- choices ----------------------------------------------------------------------------------

  function fillSources(side) {
    const groups = Object.keys(roles).map((role) => {
      const options = sources.flatMap((source, index) =>
        source.role === role ? [make("option", { value: index }, source.title)] : []);
      return make("optgroup", { label: roles[role] }, ...options);
    });
    find(`#${side}-source`).replaceChildren(
      make("option", { value: ORIGINAL }, "original"),
      ...groups.filter((group) => group.children.length),
    );
  }

  function fillRates(side) {
    const options = versions(state[side].source).map((one) =>
      make("option", { value: key(one) }, `${level(one)} · ${one.bpp.toFixed(3)} bpp`));
    const select = find(`#${side}-rate`);
    select.disabled = !options.length;
    select.replaceChildren(make("option", { value: NEAREST }, "nearest rate"), ...options);
    const current = versionOn(side);
    select.value = current && state[side].rate !== NEAREST ? key(current) : NEAREST;
  }

  /** Change a side's choice; only one side can follow the other. */
  function choose(side, change) {
    const before = versionOn(OTHER[side]);
    Object.assign(state[side], change);
    if (SIDES.every((one) => state[one].rate === NEAREST)) {
      state[OTHER[side]].rate = before ? key(before) : "";
    }
    show();
  }

  function addThumbs() {
    samples.forEach((one, index) => {
      const image = make("img", { src: assets[one.original], alt: "" });
      const button = make("button", { title: one.name }, image, make("span", {}, one.name));
      button.addEventListener("click", () => {
        state.sample = index;
        show();
      });
      find("#thumbs").append(button);
    });
  }

  function layerCheck(kind, task) {
    if (kind === "mask" && !task.masks) return "";
    const name = { ariaLabel: `${kind} of ${task.title}`, value: `${kind} ${task.name}` };
    const check = make("input", { type: "checkbox", ...name });
    check.addEventListener("change", () => {
      if (check.checked) layers.add(check.value);
      else layers.delete(check.value);
      SIDES.forEach(drawInstances);
    });
    return check;
  }

  function addLayers() {
    const kinds = tasks.some((task) => task.masks) ? ["box", "mask"] : ["box"];
    const titles = { box: "boxes", mask: "masks" };
    const head = kinds.map((kind) => make("th", { scope: "col" }, titles[kind]));
    const rows = tasks.map((task) => {
      const sign = make("span", { className: task.name ? "key" : "key truth" });
      if (task.name) sign.style.setProperty("--colour", taskColour(task));
      const checks = kinds.map((kind) => make("td", {}, layerCheck(kind, task)));
      return make("tr", {}, make("th", { scope: "row" }, sign, task.title), ...checks);
    });
    find("#layers").replaceChildren(
      make("thead", {}, make("tr", {}, make("td"), ...head)),
      make("tbody", {}, ...rows),
    );
  }

  function show() {
    for (const side of SIDES) {
      find(`#${side}-source`).value = state[side].source;
      fillRates(side);
      drawSide(side);
    }
    findAll("#thumbs button").forEach((one, index) => {
      one.ariaPressed = String(index === state.sample);
    });
    readout();
    heatScale();
    fit();
  }

  for (const side of SIDES) {
    fillSources(side);
    find(`#${side}-source`).addEventListener("change", (event) =>
      choose(side, { source: Number(event.target.value) }));
    find(`#${side}-rate`).addEventListener("change", (event) =>
      choose(side, { rate: event.target.value }));
  }
  split.addEventListener("input", moveSplit);
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    split.focus({ preventScroll: true }); // the arrow keys go on from here
    dragTo(event);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) dragTo(event);
  });
  threshold.addEventListener("input", () => {
    find("#threshold-value").textContent = Number(threshold.value).toFixed(2);
    SIDES.forEach(drawInstances);
    readout();
  });
  heat.addEventListener("change", () => {
    SIDES.forEach(drawSide);
    heatScale();
  });
  window.addEventListener("resize", fit);

  addThumbs();
  addLayers();
  moveSplit();
  show();
})();
