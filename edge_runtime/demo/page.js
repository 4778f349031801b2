"use strict";
// Sends drawings and pictures to the program that serves this page, and shows what it answers.
// Nothing is classified here.

const $ = (id) => document.getElementById(id);
const settings = JSON.parse($("settings").textContent);
const percent = (p) => `${(100 * p).toFixed(1)} %`;

// --- Asking: only the newest question's answer is shown ------------------------------------------

let asked = 0;
let pending = null; // a question that waits for the one on its way
let busy = false;

function ask(path, body, type) {
  pending = { number: ++asked, path, body, type };
  if (!busy) send();
}

async function send() {
  const question = pending;
  pending = null;
  busy = true;
  try {
    if (question.body.size > settings.mostBytes) {
      throw new Error(`the picture is over the limit of ${settings.mostBytes >> 20} MiB`);
    }
    const response = await fetch(question.path, {
      method: "POST", body: question.body, headers: { "Content-Type": question.type },
    }).catch(() => {
      throw new Error("the program does not answer; is it still running?");
    });
    const found = await response.json();
    if (question.number === asked) {
      if (found.error) throw new Error(found.error);
      show(found);
    }
  } catch (error) {
    if (question.number === asked) complain(error.message);
  }
  busy = false;
  if (pending) send();
}

function forget() { // an answer on its way is not wanted any more
  asked++;
  pending = null;
  $("answer").hidden = true;
  $("error").hidden = true;
  $("waiting").hidden = false;
}

function complain(line) {
  $("error").textContent = line;
  $("error").hidden = false;
  $("answer").hidden = true;
  $("waiting").hidden = true;
}

// --- Showing an answer ---------------------------------------------------------------------------

function show(found) {
  $("error").hidden = $("waiting").hidden = true;
  $("answer").hidden = false;
  $("label").textContent = found.label;
  $("confidence").textContent = percent(found.confidence);
  $("alike").hidden = !found.alike;
  $("alike").textContent = `${found.alike}: ${percent(found.alike_confidence)}`;
  const doubtful = found.character === false;
  $("doubt").hidden = !doubtful;
  $("spoken").textContent =
    `${found.label}, ${percent(found.confidence)}${doubtful ? ", perhaps not a character" : ""}`;
  showBars(found.top);
  showInput(found.input);
  $("p-real-fill").style.width = percent(found.p_real).replace(" ", "");
  $("p-real-fill").classList.toggle("low", doubtful);
  $("meter").setAttribute("aria-valuenow", (100 * found.p_real).toFixed(1));
  $("threshold").hidden = found.threshold === null;
  let said = `p_real ${percent(found.p_real)}`;
  if (found.threshold !== null) {
    $("threshold").style.left = `${100 * found.threshold}%`;
    said += `; below ${percent(found.threshold)} it is perhaps no character`;
  }
  $("p-real").textContent = said;
  const ms = found.ms < 10 ? found.ms.toFixed(1) : Math.round(found.ms);
  $("cost").textContent = `from ${found.width}×${found.height} pixels, in ${ms} ms`;
}

function showBars(top) {
  $("bars").replaceChildren(...top.map(([symbol, probability]) => {
    const row = document.createElement("li");
    const parts = ["symbol", "track", "percent"].map((name) => {
      const part = document.createElement("span");
      part.className = name;
      return part;
    });
    parts[0].textContent = symbol;
    const fill = document.createElement("div");
    fill.className = "fill";
    fill.style.width = `${100 * probability}%`;
    parts[1].append(fill);
    parts[2].textContent = percent(probability);
    row.append(...parts);
    return row;
  }));
}

function showInput(levels) {
  const picture = new ImageData(32, 32);
  levels.forEach((level, i) => picture.data.set([level, level, level, 255], 4 * i));
  // Kept in memory, not on a graphics card: it is 4 kB.
  $("input").getContext("2d", { willReadFrequently: true }).putImageData(picture, 0, 0);
}

// --- Tabs ----------------------------------------------------------------------------------------

const tabs = [...document.querySelectorAll("[role=tab]")];

function choose(tab) {
  if (tab.getAttribute("aria-selected") === "true") return;
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (tab.id !== "tab-camera") stopCamera();
  forget();
  if (tab.id === "tab-draw") redraw();
  if (tab.id === "tab-picture") readPart();
}

tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(i + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
});

// --- Drawing -------------------------------------------------------------------------------------

const pad = $("pad");
const dark = matchMedia("(prefers-color-scheme: dark)");
let strokes = []; // [[[x, y], …], …], the pad being 1 × 1
let drawing = null; // the stroke under way
let lastAsked = 0;

function place(event, canvas) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function paintPad() {
  const pen = pad.getContext("2d");
  const side = pad.width;
  pen.clearRect(0, 0, side, side);
  pen.strokeStyle = color("--guide");
  pen.lineWidth = 2;
  for (const y of [0.2, 0.8]) {
    pen.beginPath();
    pen.moveTo(0.08 * side, y * side);
    pen.lineTo(0.92 * side, y * side);
    pen.stroke();
  }
  pen.strokeStyle = color("--ink");
  pen.lineWidth = 0.05 * side;
  pen.lineCap = pen.lineJoin = "round";
  for (const stroke of strokes) {
    pen.beginPath();
    stroke.forEach(([x, y], i) => pen[i ? "lineTo" : "moveTo"](x * side, y * side));
    if (stroke.length === 1) pen.lineTo(stroke[0][0] * side, stroke[0][1] * side);
    pen.stroke();
  }
  $("pad-hint").hidden = strokes.length > 0;
  $("undo").disabled = $("clear").disabled = strokes.length === 0;
}

function redraw() {
  paintPad();
  if (strokes.length === 0) return forget();
  lastAsked = performance.now();
  const rounded = strokes.map((s) => s.map((point) => point.map((v) => +v.toFixed(4))));
  ask("/draw", new Blob([JSON.stringify({ strokes: rounded })]), "application/json");
}

function extend(event) {
  const inside = (v) => Math.min(1, Math.max(0, v));
  const moves = event.getCoalescedEvents?.() ?? [];
  for (const move of moves.length ? moves : [event]) drawing.push(place(move, pad).map(inside));
}

pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || drawing) return;
  event.preventDefault();
  pad.setPointerCapture(event.pointerId);
  drawing = [];
  strokes.push(drawing);
  extend(event);
  paintPad();
});
pad.addEventListener("pointermove", (event) => {
  if (!drawing || !event.isPrimary) return;
  extend(event);
  if (performance.now() - lastAsked > 150) redraw(); else paintPad();
});
for (const end of ["pointerup", "pointercancel"]) {
  pad.addEventListener(end, () => {
    if (!drawing) return;
    drawing = null;
    redraw();
  });
}
$("undo").addEventListener("click", () => { strokes.pop(); redraw(); });
$("clear").addEventListener("click", () => { strokes = []; redraw(); });
dark.addEventListener("change", () => { paintPad(); paintPicture(); });
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !$("draw").hidden && strokes.length) {
    event.preventDefault();
    $("undo").click();
  }
});

// --- Pictures ------------------------------------------------------------------------------------

const shown = $("shown");
const readable = ["image/png", "image/jpeg", "image/bmp", ""]; // others the browser converts
let picture = null; // {file, bitmap}
let part = null; // [x0, y0, x1, y1] of the picture in its pixels; null is all of it
let corner = null; // where the drag began
let begun = 0; // pictures and parts; one that took longer than the next is dropped

async function openFile(file) {
  choose($("tab-picture"));
  const mine = ++begun;
  let bitmap = null;
  if (file.size <= settings.mostBytes) bitmap = await createImageBitmap(file).catch(() => null);
  if (mine !== begun) return;
  picture = { file, bitmap };
  part = null;
  shown.hidden = !bitmap;
  $("drop-hint").hidden = Boolean(bitmap);
  $("whole").disabled = true;
  paintPicture();
  readPart();
}

function layout() { // how the picture lies on its canvas
  const { width, height } = picture.bitmap;
  const scale = shown.width / Math.max(width, height);
  return { scale, x: (shown.width - width * scale) / 2, y: (shown.height - height * scale) / 2 };
}

function paintPicture() {
  if (!picture?.bitmap) return;
  const pen = shown.getContext("2d");
  const { scale, x, y } = layout();
  const { width, height } = picture.bitmap;
  pen.clearRect(0, 0, shown.width, shown.height);
  pen.imageSmoothingEnabled = scale < 4;
  pen.drawImage(picture.bitmap, x, y, width * scale, height * scale);
  if (!part) return;
  const box = [x + part[0] * scale, y + part[1] * scale,
    (part[2] - part[0]) * scale, (part[3] - part[1]) * scale];
  pen.fillStyle = "rgb(0 0 0 / 50%)";
  pen.beginPath();
  pen.rect(x, y, width * scale, height * scale);
  pen.rect(...box);
  pen.fill("evenodd");
  pen.strokeStyle = "#fff";
  pen.lineWidth = 4;
  pen.strokeRect(...box);
}

async function cut(source, x, y, width, height) { // as a PNG, at its own size
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(source, x, y, width, height, 0, 0, width, height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

async function readPart() {
  if (!picture) return;
  const { file, bitmap } = picture;
  const mine = ++begun;
  let body = file;
  if (bitmap && part) {
    body = await cut(bitmap, part[0], part[1], part[2] - part[0], part[3] - part[1]);
  } else if (bitmap && !readable.includes(file.type)) {
    body = await cut(bitmap, 0, 0, bitmap.width, bitmap.height);
  }
  if (mine === begun) ask("/classify", body, "application/octet-stream");
}

function pixel(event) { // of the picture, under the pointer
  const { scale, x, y } = layout();
  const [u, v] = place(event, shown).map((t) => t * shown.width);
  const { width, height } = picture.bitmap;
  return [Math.min(width, Math.max(0, (u - x) / scale)), Math.min(height, Math.max(0, (v - y) / scale))];
}

shown.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  shown.setPointerCapture(event.pointerId);
  corner = pixel(event);
});
shown.addEventListener("pointermove", (event) => {
  if (!corner) return;
  const [x, y] = pixel(event);
  part = [Math.floor(Math.min(x, corner[0])), Math.floor(Math.min(y, corner[1])),
    Math.ceil(Math.max(x, corner[0])), Math.ceil(Math.max(y, corner[1]))];
  paintPicture();
});
for (const end of ["pointerup", "pointercancel"]) {
  shown.addEventListener(end, () => {
    if (!corner) return;
    corner = null;
    if (!part || part[2] - part[0] < 3 || part[3] - part[1] < 3) part = null;
    $("whole").disabled = !part;
    paintPicture();
    readPart();
  });
}
$("whole").addEventListener("click", () => {
  part = null;
  $("whole").disabled = true;
  paintPicture();
  readPart();
});
$("file").addEventListener("change", (event) => {
  if (event.target.files[0]) openFile(event.target.files[0]);
  event.target.value = "";
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) openFile(file);
  else complain("that was no file: drop a picture from this computer");
});
addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((f) => f.type.startsWith("image/"));
  if (file) openFile(file);
  else complain("there is no picture on the clipboard");
});

$("samples-part").hidden = settings.samples.length === 0;
$("samples").append(...settings.samples.map(({ said, png }) => {
  const item = document.createElement("li");
  const button = document.createElement("button");
  const image = document.createElement("img");
  button.type = "button";
  image.src = `data:image/png;base64,${png}`;
  image.alt = `Sample: ${said}`;
  button.append(image);
  button.addEventListener("click", () => {
    const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
    openFile(new File([bytes], "sample.png", { type: "image/png" }));
  });
  item.append(button);
  return item;
}));

// --- Camera --------------------------------------------------------------------------------------

const video = $("video");
let stream = null;
let timer = 0;

function layFrame() {
  $("frame").style.height = `${$("size").value}%`;
}

async function startCamera() {
  try {
    if (!navigator.mediaDevices) throw new Error("this browser gives no camera to this page");
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    return complain(`no camera: ${refused ? "the browser was told not to allow it" : error.message}`);
  }
  if ($("camera").hidden) return stopCamera();
  video.srcObject = stream;
  await video.play();
  $("start").textContent = "Stop the camera";
  $("frame").hidden = false;
  $("camera-hint").hidden = true;
  layFrame();
  readFrame();
}

function stopCamera() {
  clearTimeout(timer);
  stream?.getTracks().forEach((track) => track.stop());
  stream = video.srcObject = null;
  $("start").textContent = "Start the camera";
  $("frame").hidden = true;
  $("camera-hint").hidden = false;
}

async function readFrame() { // what lies within the frame, a few times a second
  if (!stream) return;
  const { videoWidth, videoHeight } = video;
  const side = Math.min(videoWidth, videoHeight); // the stage shows the middle square
  const height = Math.round(side * $("size").value / 100);
  const width = Math.round(height * 0.8);
  if (height > 0) {
    const left = Math.round((videoWidth - width) / 2);
    const top = Math.round((videoHeight - height) / 2);
    const body = await cut(video, left, top, width, height);
    if (stream) ask("/classify", body, "application/octet-stream");
  }
  timer = setTimeout(readFrame, 250);
}

$("start").addEventListener("click", () => (stream ? (stopCamera(), forget()) : startCamera()));
$("size").addEventListener("input", layFrame);

paintPad();
