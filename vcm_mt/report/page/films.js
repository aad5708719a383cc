"use strict";
// Videos frame by frame: versions side by side, who is followed, and what each frame costs.

(() => {
  const { tasks, films } = data.player;
  if (!films.length) return;
  const player = find("#player");
  const panes = find("#panes");
  const slider = find("#frame");
  const play = find("#play");
  const boxes = find("#film-boxes");
  const speed = find("#film-speed");
  const sizes = find("#sizes");
  const TRUTH = "truth";
  const hidden = new Set(); // titles of versions, with their levels
  const pictures = new Map(); // by version
  let current = 0;
  let timer = 0;

  const film = () => films[current];
  const frame = () => Number(slider.value);
  const title = (version) => [version.title, version.level].filter(Boolean).join(", ");
  const shown = () => film().versions.filter((version) => !hidden.has(title(version)));

  // ---- frames -----------------------------------------------------------------------------------

  /** All frames of a version, in one picture; they are drawn once it is there. */
  function picture(version) {
    if (!pictures.has(version)) {
      const image = make("img", { src: version.picture });
      pictures.set(version, image);
      image.decode().then(drawFrames);
    }
    return pictures.get(version);
  }

  function drawFrame(pane, version) {
    const { tile: [width, height], columns } = film();
    const [row, column] = [Math.floor(frame() / columns), frame() % columns];
    const canvas = find("canvas", pane);
    const image = picture(version);
    if (!image.complete) return;
    canvas.getContext("2d").drawImage(
      image, column * width, row * height, width, height, 0, 0, width, height);
  }

  /** Numbers that follow each other get colours far from each other. */
  function colour(one, task) {
    if (one.track !== null) return `hsl(${Math.round(one.track * 137.5) % 360} 95% 62%)`;
    return task ? `var(--curve-${task.colour})` : "var(--truth)";
  }

  function drawnBox(one, task) {
    const [x1, y1, x2, y2] = one.box;
    const look = { style: `--colour: ${colour(one, task)}`, class: task ? "found" : "truth" };
    const text = one.track === null ? one.label : `${one.track} ${one.label}`;
    return [
      svg("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, ...look }),
      svg("text", { x: x1, y: y1, dy: "-0.3em", ...look }, text),
    ];
  }

  function drawBoxes(pane, version) {
    const task = tasks.find((one) => one.name === boxes.value);
    const told = boxes.value === TRUTH ? film().truth : version.found[boxes.value];
    const drawn = (told?.[frame()] || []).flatMap((one) => drawnBox(one, task));
    find("svg", pane).replaceChildren(...drawn);
  }

  function drawFrames() {
    shown().forEach((version, index) => {
      const pane = panes.children[index];
      if (!pane) return;
      drawFrame(pane, version);
      drawBoxes(pane, version);
    });
  }

  function fillPanes() {
    const { tile: [width, height], width: wide, height: high } = film();
    const made = shown().map((version) => {
      const canvas = make("canvas", { width, height });
      const drawing = svg("svg", { viewBox: `0 0 ${wide} ${high}`, "aria-hidden": "true" });
      const layer = make("div", { className: "layer" }, drawing);
      const rate = version.bytes === null ? "" : ` · ${version.bpp.toFixed(3)} bpp`;
      return make("figure", { className: "pane" },
        make("div", { className: "screen" }, canvas, layer),
        make("figcaption", {}, title(version), make("span", {}, rate)));
    });
    panes.replaceChildren(...made);
    fit();
  }

  /** Labels keep their size on the screen. */
  function fit() {
    for (const pane of panes.children) {
      const scale = film().width / (find("canvas", pane).clientWidth || film().width);
      find("svg", pane).style.fontSize = `${11 * scale}px`;
    }
  }

  // ---- what they cost ---------------------------------------------------------------------------

  const coded = () => shown().filter((version) => version.bytes !== null);

  /** A version's bytes by frame, or the mean of its file where a codec does not tell them. */
  function chart(version, most) {
    const count = film().frames;
    const look = { viewBox: `0 0 ${count} 1`, preserveAspectRatio: "none", "aria-hidden": "true" };
    const now = svg("rect", { class: "now", x: 0, y: 0, width: 1, height: 1 });
    const bars = version.sizes.map((bytes, index) => svg("rect", {
      class: version.keys[index] ? "key-frame" : "follows",
      x: index + 0.12, y: 1 - bytes / most, width: 0.76, height: bytes / most,
    }));
    const mean = Math.max(1 - version.bytes / count / most, 0.02);
    const line = svg("path", { class: "mean", d: `M0 ${mean}H${count}` });
    const drawing = svg("svg", look);
    drawing.append(now, ...(bars.length ? bars : [line]));
    return drawing;
  }

  function fillSizes() {
    const known = coded().flatMap((version) => version.sizes);
    const means = coded().map((version) => version.bytes / film().frames);
    const most = Math.max(...known, ...(known.length ? [] : means), 1);
    const rows = coded().map((version) => make("div", { className: "row" },
      make("span", { className: "name" }, title(version),
        make("small", {}, ` ${number(version.bytes)} bytes`)),
      chart(version, most)));
    const sign = (name, text) => make("span", {}, make("i", { className: name }), text);
    const legend = make("p", { className: "small signs" },
      sign("key-frame", "stands by itself"), sign("follows", "predicted"),
      sign("mean", "mean of the file, whose frames are not told"),
      make("span", {}, `full height ${number(most)} bytes`));
    sizes.replaceChildren(...rows, ...(rows.length ? [legend] : []));
  }

  function readout() {
    const cells = (texts) => texts.map((textContent) => make("td", { textContent }));
    const body = shown().map((version) => {
      const bytes = version.sizes?.[frame()];
      const kind = version.keys?.[frame()] ? "by itself" : "predicted";
      return make("tr", {}, make("th", { scope: "row", textContent: title(version) }), ...cells([
        bytes === undefined ? "–" : `${number(bytes)}, ${kind}`,
        version.bytes === null ? "not coded" : number(version.bytes),
        version.bytes === null ? "24" : number(version.bpp, 4),
        version.psnr ? `${number(version.psnr, 2)} dB` : "–",
      ]));
    });
    const head = ["", "bytes of the frame", "of the file", "bits per pixel", "PSNR"];
    find("#film-readout").replaceChildren(
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", {}, text)))),
      make("tbody", {}, ...body));
  }

  // ---- time -------------------------------------------------------------------------------------

  function go(to) {
    const { frames } = film();
    slider.value = (to + frames) % frames;
    show();
  }

  function show() {
    find("#frame-value").textContent = `${frame() + 1} of ${film().frames}`;
    for (const now of findAll(".now", sizes)) now.setAttribute("x", frame());
    drawFrames();
    readout();
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "play";
    play.ariaPressed = "false";
  }

  function start() {
    timer = setInterval(() => go(frame() + 1), 1000 / Number(speed.value));
    play.textContent = "pause";
    play.ariaPressed = "true";
  }

  function toggle() {
    if (timer) stop();
    else start();
  }

  function pressed(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    const own = event.target.tagName;
    if (event.key in steps && own !== "SELECT") {
      stop();
      go(frame() + steps[event.key]);
    } else if (event.key === " " && own !== "BUTTON" && own !== "SELECT") {
      toggle();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** The frame below a pointer on the bars. */
  function seek(event) {
    const drawing = event.target.closest("svg");
    if (!drawing || (event.type === "pointermove" && !event.buttons)) return;
    const { left, width } = drawing.getBoundingClientRect();
    const share = (event.clientX - left) / width;
    stop();
    go(Math.max(0, Math.min(film().frames - 1, Math.floor(share * film().frames))));
  }

  // ---- choices ----------------------------------------------------------------------------------

  function open(index) {
    stop();
    current = index;
    slider.max = film().frames - 1;
    slider.value = 0;
    findAll("#film-thumbs button").forEach((one, number) => {
      one.ariaPressed = String(number === index);
    });
    const buttons = film().versions.map((version) => {
      const button = make("button", { ariaPressed: String(!hidden.has(title(version))) });
      button.textContent = title(version);
      button.addEventListener("click", () => choose(button, title(version)));
      return button;
    });
    find("#film-versions").replaceChildren(make("div", {}, ...buttons));
    refill();
  }

  /** Show or hide a version; the last one stays. */
  function choose(button, name) {
    if (hidden.has(name)) hidden.delete(name);
    else if (shown().length > 1) hidden.add(name);
    button.ariaPressed = String(!hidden.has(name));
    refill();
  }

  function refill() {
    fillPanes();
    fillSizes();
    show();
  }

  /** The first frame, cut out of the picture with all of them. */
  function thumb(one) {
    const { tile: [width, height] } = one;
    const canvas = make("canvas", { width, height });
    const image = make("img", { src: one.versions[0].picture });
    pictures.set(one.versions[0], image);
    image.decode().then(() => {
      canvas.getContext("2d").drawImage(image, 0, 0, width, height, 0, 0, width, height);
      drawFrames();
    });
    return canvas;
  }

  films.forEach((one, index) => {
    const button = make("button", { title: one.name }, thumb(one), make("span", {}, one.name));
    button.addEventListener("click", () => open(index));
    find("#film-thumbs").append(button);
  });
  boxes.replaceChildren(make("option", { value: "" }, "none"), ...tasks.map((task) =>
    make("option", { value: task.name }, task.title)), make("option", { value: TRUTH }, "truth"));
  speed.replaceChildren(...[1, 0.5, 0.25].map((share) =>
    make("option", { value: films[0].fps * share }, number(films[0].fps * share, share < 1 ? 1 : 0))));
  boxes.value = tasks.length ? tasks[0].name : "";
  play.addEventListener("click", toggle);
  slider.addEventListener("input", () => {
    stop();
    show();
  });
  boxes.addEventListener("change", drawFrames);
  speed.addEventListener("change", () => {
    if (!timer) return;
    stop();
    start();
  });
  sizes.addEventListener("pointerdown", seek);
  sizes.addEventListener("pointermove", seek);
  player.addEventListener("keydown", pressed);
  window.addEventListener("resize", fit);
  open(0);
})();
