// The browser of clips and answers. `rows.js` and `details/*.js` call the functions of `view`; all text is set as text,
// never as HTML, since ids, captions and answers come from others.
"use strict";

const PAGE = 100; // clips listed before "Show more"
const KINDS = {
  right: "right",
  "other modality": "wrong: what the other modality shows",
  caption: "wrong: what the caption says",
  "other class": "wrong: another class",
  unparseable: "names no single class",
  failed: "failed: no answer",
};

const filters = document.getElementById("filters");
const list = document.getElementById("clips");
const article = document.getElementById("clip");
const more = document.getElementById("more");
let rows = [];
let runs = [];
let shown = []; // numbers of the rows that pass the filters
let listed = 0; // how many of them are in the list
let current = null; // number of the row that is looked at

const plain = (name) => String(name ?? "").replaceAll("_", " ");
const called = (kind) => KINDS[kind] ?? plain(kind);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

// ---- Filters ---------------------------------------------------------------------------------------------------

function wanted() {
  return Object.fromEntries([...new FormData(filters)].filter(([, value]) => value !== ""));
}

// The answers of a run that the filters speak of, by what was asked.
function answersOf(row, run, want) {
  const found = new Map();
  for (const [protocol, question, seed, kind, answer] of row.answers?.[run] ?? []) {
    if ((want.protocol ?? protocol) === protocol && (want.question ?? question) === question)
      found.set(`${protocol} ${question} ${seed}`, { kind, answer });
  }
  return found;
}

function compares(row, want) {
  const [first, second] = [0, 1].map((run) => answersOf(row, run, want));
  return [...first].some(([asked, one]) => {
    const two = second.get(asked);
    if (two === undefined || one.kind === "failed" || two.kind === "failed") return false;
    const [left, right] = [one.kind === "right", two.kind === "right"];
    if (want.compare === "differ") return one.answer !== two.answer;
    if (want.compare === "first") return left && !right;
    if (want.compare === "second") return right && !left;
    return !left && !right;
  });
}

function passes(row, want) {
  if (want.condition && row.condition !== want.condition) return false;
  if (want.class && row.visual_class !== want.class && row.audio_class !== want.class) return false;
  if (want.text) {
    const answers = (row.answers ?? []).flat().map((answer) => answer[4]);
    const text = [row.id, row.visual_class, row.audio_class, row.caption, ...answers].map(plain).join(" ");
    const lower = text.toLowerCase();
    if (!plain(want.text).toLowerCase().split(/\s+/).every((word) => lower.includes(word))) return false;
  }
  if (want.protocol || want.question || want.kind) {
    const kinds = [...answersOf(row, Number(want.run ?? 0), want).values()].map((answer) => answer.kind);
    const is = (kind) => !want.kind || kind === want.kind || (want.kind === "wrong" && !["right", "failed"].includes(kind));
    if (!kinds.some(is)) return false;
  }
  return !want.compare || compares(row, want);
}

function refresh() {
  const want = wanted();
  shown = rows.flatMap((row, number) => (passes(row, want) ? [number] : []));
  listed = 0;
  list.replaceChildren();
  const clips = shown.length === 1 ? "1 clip" : `${shown.length.toLocaleString("en")} clips`;
  document.getElementById("found").textContent = `${clips} of ${rows.length.toLocaleString("en")}`;
  extend();
}

function extend() {
  for (const number of shown.slice(listed, listed + PAGE)) {
    const row = rows[number];
    const button = element("button", { type: "button" }, ...classes(row), element("small", {}, `${plain(row.condition)} · ${row.id}`));
    button.dataset.number = number;
    button.setAttribute("aria-current", String(number === current));
    list.append(element("li", {}, button));
  }
  listed = Math.min(shown.length, listed + PAGE);
  more.hidden = listed === shown.length;
}

function classes(row) {
  const seen = element("span", { className: "sight" }, plain(row.visual_class));
  if (row.visual_class === row.audio_class) return [seen];
  return [seen, " with ", element("span", { className: "sound" }, plain(row.audio_class))];
}

// ---- The clip --------------------------------------------------------------------------------------------------

function open(number) {
  if (current === number) return;
  current = number;
  for (const button of list.querySelectorAll("button"))
    button.setAttribute("aria-current", String(Number(button.dataset.number) === number));
  const row = rows[number];
  const facts = element("dl");
  const fact = (name, ...value) => facts.append(element("dt", {}, name), element("dd", {}, ...value));
  fact("Seen", element("span", { className: "sight" }, plain(row.visual_class)));
  fact("Heard", element("span", { className: "sound" }, plain(row.audio_class)));
  if (row.caption) fact("Caption says", plain(row.caption));
  fact("Condition", plain(row.condition));
  fact("Clip", row.base_id);
  if (row.donor_id) fact("Sound of", row.donor_id);
  const video = element("video", { controls: true, src: `media/${row.media}`, preload: "auto" });
  video.setAttribute("aria-label", `Clip ${row.id}`);
  const note = row.condition === "audio_dropped" ? element("p", { className: "muted" }, "Models get this clip without its silent track.") : null;
  article.replaceChildren(element("h2", { tabIndex: -1 }, row.id), video, ...[note].filter(Boolean), facts, element("div", { id: "prompts" }, "Loading…"));
  document.head.append(element("script", { src: `details/${number}.js`, onload: (event) => event.target.remove(), onerror: missing }));
  remember();
}

function missing() {
  document.getElementById("prompts").textContent = "The prompts of this clip cannot be read: is the server still running?";
}

function answerBox(answer, run) {
  const box = element("div", { className: "answer" });
  const name = element("small", {}, runs.length > 1 ? `Run ${run + 1}: ${runs[run].name}` : runs[run].name);
  box.append(element("p", {}, name));
  if (answer === null) {
    box.append(element("p", { className: "muted" }, "not asked"));
    return box;
  }
  const right = answer.kind === "right";
  box.append(element("p", {}, element("span", { className: right ? "good" : "bad" }, plain(answer.answer ?? "–")), ` ${called(answer.kind)}`));
  if (answer.error) box.append(element("pre", { tabIndex: 0 }, answer.error));
  if (answer.raw !== undefined && answer.raw !== answer.answer) box.append(element("pre", { tabIndex: 0 }, answer.raw));
  if (answer.likeliest) {
    const text = answer.likeliest.map(([option, value]) => `${plain(option)} ${value}`).join(", ");
    box.append(element("p", {}, element("small", {}, `Log-likelihoods: ${text}`)));
  }
  return box;
}

function showDetails(found) {
  if (found.number !== current) return; // another clip was chosen meanwhile
  const parts = found.prompts.flatMap((prompt) => {
    const seed = found.prompts.some((other) => other.seed !== prompt.seed) ? `, seed ${prompt.seed}` : "";
    const title = `${plain(prompt.protocol)}: ${prompt.question === "visual" ? "what is seen" : "what is heard"}${seed}`;
    const right = element("p", {}, "Right answer: ", element("b", {}, plain(prompt.expected)));
    const text = prompt.text === null
      ? element("p", { className: "muted" }, "The runs were given other words than this release would use, or different ones.")
      : element("pre", { tabIndex: 0 }, prompt.text);
    const answers = element("div", { className: "answers" }, ...prompt.answers.map(answerBox));
    return [element("h3", {}, title), right, text, answers];
  });
  document.getElementById("prompts").replaceChildren(...parts);
}

// ---- Addresses and events --------------------------------------------------------------------------------------

function remember() {
  const kept = new URLSearchParams(wanted());
  if (current !== null) kept.set("clip", rows[current].id);
  history.replaceState(null, "", `#${kept}`);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const field of filters.elements)
    if (field.name && kept.has(field.name)) field.value = kept.get(field.name);
  refresh();
  const number = rows.findIndex((row) => row.id === kept.get("clip"));
  if (number >= 0) open(number);
}

function step(by) {
  const place = shown.indexOf(current);
  const next = shown[place < 0 ? 0 : Math.max(0, Math.min(shown.length - 1, place + by))];
  if (next === undefined) return;
  while (listed <= shown.indexOf(next)) extend();
  open(next);
  list.querySelector('[aria-current="true"]').scrollIntoView({ block: "nearest" });
}

function options(name, values, text = plain) {
  filters.elements[name]?.append(...values.map((value) => element("option", { value }, text(value))));
}

filters.addEventListener("input", () => { refresh(); remember(); });
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => setTimeout(() => { refresh(); remember(); }));
more.addEventListener("click", extend);
list.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  open(Number(button.dataset.number));
  if (matchMedia("(max-width: 800px)").matches) article.scrollIntoView();
});
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, video") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j") step(1);
  if (event.key === "k") step(-1);
});

const view = {
  rows(found) {
    ({ rows, runs } = found);
    const distinct = (values) => [...new Set(values)].filter((value) => value !== undefined);
    const answers = rows.flatMap((row) => (row.answers ?? []).flat());
    options("condition", distinct(rows.map((row) => row.condition)));
    options("class", distinct(rows.flatMap((row) => [row.visual_class, row.audio_class])).sort());
    options("protocol", distinct(answers.map(([protocol]) => protocol)));
    options("kind", distinct(answers.map((answer) => answer[3])).sort(), called);
    recall();
  },
  details: showDetails,
};
