// The page of the demo. It shows the events of /events, and posts what its forms and switches change.
// What devices send is inserted as text, never as HTML.
"use strict";

const LINES = 200;
const POINTS = 60;

const $ = (id) => document.getElementById(id);

/** An element with a class and children: strings become text. */
function el(name, kind, ...children) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function setStatus(where, text, failed) {
  where.textContent = text;
  where.classList.toggle("failed", Boolean(failed));
}

/** Posts JSON. Returns the response, or throws with the reason. */
async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }).catch(() => { throw new Error("the demo does not answer"); });
  const text = await response.text();
  if (!response.ok) {
    let reason = text.trim();
    try { reason = JSON.parse(text).error || reason; } catch { /* not JSON */ }
    throw new Error(reason);
  }
  return JSON.parse(text);
}

/** Parses JSON; anything else is a string. So is a number that overflows: it would be sent as null, and delete. */
function value(text) {
  try {
    const read = JSON.parse(text);
    return Math.abs(read) === Infinity ? text : read;
  } catch { return text; }
}

/* Telemetry: a chart of the selected series. */

const series = new Map();

function telemetry(point) {
  const name = `${point.key} · ${point.device}`;
  if (!series.has(name)) {
    // A device may send any number of keys.
    if (series.size >= 50) return;
    series.set(name, []);
    $("series").append(new Option(name, name));
  }
  const points = series.get(name);
  points.push(point);
  if (points.length > POINTS) points.shift();
  if ($("series").value === name) draw();
}

function draw() {
  const points = series.get($("series").value) || [];
  const chart = $("chart");
  chart.replaceChildren();
  if (!points.length) return;
  const svg = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, set] of Object.entries(attributes)) made.setAttribute(key, set);
    if (text) made.textContent = text;
    chart.append(made);
  };
  const values = points.map((point) => Number(point.value));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [points[0].at, points[points.length - 1].at];
  const x = (at) => 40 + 350 * (last > first ? (at - first) / (last - first) : 1);
  const y = (number) => 130 - 115 * (high > low ? (number - low) / (high - low) : 0.5);
  svg("line", { x1: 40, x2: 390, y1: 130, y2: 130 });
  svg("line", { x1: 40, x2: 390, y1: 15, y2: 15 });
  svg("text", { x: 0, y: y(high) + 4 }, short(high));
  if (high > low) svg("text", { x: 0, y: y(low) + 4 }, short(low));
  svg("polyline", { points: points.map((point, i) => `${x(point.at).toFixed(1)},${y(values[i]).toFixed(1)}`).join(" ") });
  svg("circle", { cx: x(last), cy: y(values[values.length - 1]), r: 4 });
  const seconds = Math.round((last - first) / 1000);
  const span = seconds ? `, between ${low} and ${high} in ${seconds} s` : "";
  $("chart-text").textContent = `${$("series").value}: ${values[values.length - 1]}${span}, ${points.length} value${points.length > 1 ? "s" : ""}.`;
}

/** A number that fits beside the chart. */
function short(number) {
  const whole = String(number);
  return whole.length > 6 ? number.toPrecision(3) : whole;
}

$("series").addEventListener("change", draw);

/* Exchanges: a list of lines; a message opens to show its parts. */

let paused = false;
let waiting = [];
const calls = new Map();

const seconds = (ms) => `${(ms / 1000).toFixed(3)} s`;
const took = (ms) => (ms === null || ms === undefined ? "" : ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);

function head(line, hop, what, facts) {
  return [
    el("span", "time", seconds(line.ms)),
    el("span", "hopname", hop),
    what,
    el("span", "took", took(line.took)),
    facts ? el("span", "facts", facts) : null,
  ];
}

function message(line) {
  const hop = line.in ? `${line.device || "unregistered"} ─▶` : `${line.device || "unregistered"} ◀─`;
  const what = el("span", "what", el("b", "", `${line.type} ${line.code} ${line.name}`), " ", el("span", "mono", line.text));
  const facts = el("span", "", [
    line.mid === undefined ? "" : `Message ID ${line.mid}`,
    line.token ? `Token ${line.token}` : "",
    line.options,
    `${line.bytes} bytes, datagram ${line.datagram} bytes`,
  ].filter(Boolean).join(" · "));
  const note = line.note ? el("span", line.note === "retransmission" ? "note again" : "note", line.note) : "";
  const summary = el("summary", "", ...head(line, hop, what, null), el("span", "facts", note, note ? " " : "", facts));
  const details = el("details", "", summary);
  const item = el("li", line.success === false ? "bad" : "", details);
  const same = line.token ? `${line.session}/${line.token}` : "";
  item.dataset.same = same;
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(parts(line));
    mark(same, details.open);
  });
  return item;
}

/** Highlights the messages with the same token in the same session: one exchange, or one observation. */
function mark(same, on) {
  if (!same) return;
  for (const item of $("lines").children) {
    if (item.dataset.same === same) item.classList.toggle("same", on);
  }
}

function parts(line) {
  const rows = line.parts.map(([name, set, meaning, section]) => {
    const title = el("th", "", name);
    title.scope = "row";
    return el("tr", "", title, el("td", "mono", set), el("td", "", meaning), el("td", "", section));
  });
  const columns = ["Part", "Value", "Meaning", "RFC"].map((text) => {
    const title = el("th", "", text);
    title.scope = "col";
    return title;
  });
  const table = el("table", "", el("caption", "hidden", "The message, decoded"), el("thead", "", el("tr", "", ...columns)), el("tbody", "", ...rows));
  const raw = line.raw ? el("p", "mono", `CoAP bytes: ${line.raw}`) : "";
  return el("div", "", table, raw);
}

function call(line) {
  const answer = el("span", "", " … waiting");
  const what = el("span", "what", el("b", "", line.text), line.bytes ? ` ${line.bytes} bytes` : "", answer);
  const item = el("li", "call", el("div", "line", ...head(line, "─▶ ThingsBoard", what, line.purpose)));
  calls.set(line.call, { item, answer });
  if (calls.size > LINES) calls.delete(calls.keys().next().value);
  return item;
}

function callEnded(line) {
  const open = calls.get(line.call);
  if (!open) return;
  calls.delete(line.call);
  open.answer.textContent = `: ${line.text}`;
  open.answer.classList.toggle("bad", !line.success);
  open.item.querySelector(".took").textContent = took(line.took);
}

function show(line) {
  let item;
  if (line.kind === "call_ended") return callEnded(line);
  if (line.kind === "message") item = message(line);
  else if (line.kind === "call") item = call(line);
  else {
    const lost = line.kind === "lost";
    const hop = lost ? (line.in ? "device ─╳" : "╳─ gateway") : line.device || "unregistered";
    const text = lost ? `lost on the link: a datagram ${line.in ? "to the gateway" : "to a device"}, ${line.datagram} bytes` : line.text;
    item = el("li", line.kind, el("div", "line", ...head(line, hop, el("span", "what", text), null)));
  }
  item.dataset.device = line.device || "";
  item.hidden = hides(item);
  const list = $("lines");
  list.prepend(item);
  while (list.childElementCount > LINES) list.lastElementChild.remove();
}

function hides(item) {
  const wanted = $("shown").value;
  return Boolean(wanted && item.dataset.device && item.dataset.device !== wanted);
}

function line(data) {
  if (!paused) return show(data);
  waiting.push(data);
  if (waiting.length > 2 * LINES) waiting.shift();
}

$("shown").addEventListener("change", () => {
  for (const item of $("lines").children) item.hidden = hides(item);
});
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").textContent = paused ? "Resume" : "Pause";
  const kept = waiting;
  waiting = [];
  if (!paused) kept.forEach(show);
});
$("clear").addEventListener("click", () => {
  $("lines").replaceChildren();
  $("missed").textContent = "";
});

/* Switches. */

const switches = ["loss", "slow", "down"].map($);

for (const one of switches) {
  one.addEventListener("change", async () => {
    const on = one.checked;
    try {
      await post(one.id === "loss" ? "/link" : "/upstream", { [one.id]: on });
      const name = one.closest("label").querySelector("b").textContent;
      setStatus($("conditions-status"), `${name}: ${on ? "on" : "off"}.`);
    } catch (error) {
      one.checked = !on;
      setStatus($("conditions-status"), `Failed: ${error.message}`, true);
    }
  });
}

/* Commands and attributes. */

$("command").addEventListener("submit", async (event) => {
  event.preventDefault();
  const status = $("command-status");
  setStatus(status, "Sent …");
  try {
    const params = $("params").value.trim();
    const body = { device: $("command-device").value, method: $("method").value, params: params ? value(params) : {} };
    const answer = await post("/command", body);
    const text = answer.reply === null ? answer.text : `Reply: ${answer.reply}`;
    setStatus(status, `${text} (${took(answer.took)})`, answer.reply === null);
  } catch (error) {
    setStatus(status, `Failed: ${error.message}`, true);
  }
});

let attributes = {};

async function set(device, key, to) {
  try {
    await post("/attributes", { device, key, value: to });
    setStatus($("attribute-status"), to === null ? `${key} deleted.` : `${key} set.`);
  } catch (error) {
    setStatus($("attribute-status"), `Failed: ${error.message}`, true);
  }
}

function list() {
  const device = $("attribute-device").value;
  // The rows are replaced; the keyboard focus stays at the same position.
  const at = [...$("attributes").children].findIndex((row) => row.contains(document.activeElement));
  const rows = Object.entries(attributes[device] || {}).map(([key, held]) => {
    const button = el("button", "", "Delete");
    button.type = "button";
    button.setAttribute("aria-label", `Delete ${key}`);
    button.addEventListener("click", () => set(device, key, null));
    return el("li", "", el("code", "", `${key} = ${JSON.stringify(held)}`), button);
  });
  $("attributes").replaceChildren(...rows);
  if (at >= 0) (rows[Math.min(at, rows.length - 1)]?.lastElementChild || $("key")).focus();
}

$("attribute").addEventListener("submit", (event) => {
  event.preventDefault();
  set($("attribute-device").value, $("key").value, value($("value").value));
});
$("attribute-device").addEventListener("change", list);

/* Commands to paste. */

function paste(some) {
  const lines = some.lines.map((text, i) => {
    const which = some.lines.length > 1 ? `${i + 1} of ${some.lines.length}, ` : "";
    const button = el("button", "", "Copy");
    button.type = "button";
    button.setAttribute("aria-label", `Copy the command: ${which}${some.purpose}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        setStatus($("copied"), "Copied.");
      } catch {
        setStatus($("copied"), "The browser does not let this page copy: select the line instead.", true);
      }
    });
    return el("div", "paste", el("code", "", text), button);
  });
  return el("div", "", el("h3", "", some.purpose), ...lines);
}

/* Events. */

let known = false;

function hello(data) {
  for (const one of switches) one.disabled = false;
  setStatus($("connection"), "connected");
  $("loss-percent").textContent = data.loss_percent;
  $("upstream").textContent = data.upstream;
  // After a reconnection the page has the rest already, and the results of earlier calls are lost.
  if (known) {
    for (const { answer } of calls.values()) answer.textContent = ": result lost";
    calls.clear();
    return;
  }
  known = true;
  for (const select of document.querySelectorAll(".devices")) {
    select.append(...data.devices.map((device) => new Option(device, device)));
  }
  $("shown").append(...data.devices.map((device) => new Option(device, device)));
  $("client").textContent = data.client;
  $("commands").append(...data.commands.map(paste));
  data.telemetry.forEach(telemetry);
}

const events = new EventSource("/events");
const on = (name, handle) => events.addEventListener(name, (event) => handle(JSON.parse(event.data)));
on("hello", hello);
on("line", line);
on("telemetry", telemetry);
on("switches", (data) => { for (const one of switches) one.checked = data[one.id]; });
on("attributes", (data) => { attributes = data; list(); });
on("missed", (count) => setStatus($("missed"), `${count} events were missed: the browser was too slow.`, true));
events.addEventListener("error", () => {
  for (const one of switches) one.disabled = true;
  // The browser reconnects after an interruption, but not after an error response.
  const refused = events.readyState === EventSource.CLOSED;
  setStatus($("connection"), refused
    ? "The demo is open on too many pages: close one, then reload this one."
    : "The demo does not answer. Is it still running?", true);
});
