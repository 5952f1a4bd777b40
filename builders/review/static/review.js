// The page on which clips are judged.
//
// A vote is first written to localStorage and only then sent, and it stays there until the server says that it has it.
// Every vote has an id of its own, so sending it twice counts once. Each vote and each draft is a key of its own:
// several tabs can write at once without undoing each other's.
"use strict";

const annotator = document.body.dataset.annotator;
const version = document.body.dataset.version;
const criteria = [...document.querySelectorAll("fieldset[data-criterion]")].map((box) => box.dataset.criterion);
const videos = [document.getElementById("video-a"), document.getElementById("video-b")];
const [bar, count, title, note, message, saved, hint] = ["bar", "count", "class", "note", "message", "saved", "play-hint"]
  .map((id) => document.getElementById(id));

const VOTES = `mma-bench/${annotator}/vote/`;
const DRAFTS = `mma-bench/${annotator}/draft/`;
const LOW = 5; // clips ahead before more are asked for
const BREAK = 180; // s between two votes that count as a break
const LATEST = 30; // votes that the pace is taken from
const SLOWEST = 10_000; // ms between two attempts to reach the server

let ahead = []; // clips after the current one
let current = null;
let history = []; // clips judged, with answers, the latest last
let skipped = []; // ids put off, in that order
let done = 0;
let left = 0;
let pace = null; // s per clip
let times = []; // when clips were judged on this page, in ms
let sending = false;
let refreshing = false;
let delay = 500;
let halted = ""; // why nothing can be sent until the page is reloaded

// ---- What is kept in the browser -------------------------------------------------------------------------------

const memory = new Map(); // where the browser allows no storage
let durable = true;

function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    durable = false;
    memory.set(key, value);
  }
}

function forget(key) {
  memory.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    durable = false;
  }
}

function kept(prefix) {
  const found = new Map(memory);
  try {
    for (let index = 0; index < localStorage.length; index += 1) {
      const key = localStorage.key(index);
      found.set(key, JSON.parse(localStorage.getItem(key)));
    }
  } catch {
    durable = false;
  }
  return [...found].filter(([key, value]) => key.startsWith(prefix) && value).sort(([a], [b]) => (a < b ? -1 : 1));
}

function identifier() {
  // crypto.randomUUID is only there under https and on localhost
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// ---- Talking to the server -------------------------------------------------------------------------------------

async function call(path, options = {}) {
  const headers = { "X-Annotator": annotator, ...options.headers };
  return fetch(path, { ...options, headers, signal: AbortSignal.timeout(15_000) });
}

function halt(status) {
  halted = { 401: "Your session has expired.", 409: "Another annotator has logged in with this browser." }[status] ?? "";
  return halted !== "";
}

function later(work) {
  setTimeout(work, delay);
  delay = Math.min(2 * delay, SLOWEST);
}

function post(vote) {
  const order = `${Date.now().toString(36).padStart(10, "0")}${Math.round(performance.now()).toString(36).padStart(9, "0")}`;
  keep(`${VOTES}${order}-${vote.vote_id}`, vote);
  send();
}

async function send() {
  if (sending || halted) return;
  sending = true;
  try {
    for (let waiting = kept(VOTES); waiting.length > 0; waiting = kept(VOTES)) {
      const [key, vote] = waiting[0];
      showSaved();
      const headers = { "Content-Type": "application/json" };
      const answer = await call("/api/vote", { method: "POST", headers, body: JSON.stringify(vote) });
      if (answer.ok) {
        forget(key);
        delay = 500;
      } else if ([413, 415, 422].includes(answer.status)) {
        forget(key);
        const { error } = await answer.json().catch(() => ({ error: answer.statusText }));
        say(`A vote was refused (${error}). You will be shown the clip again.`);
        await refresh();
      } else if (halt(answer.status)) {
        break;
      } else {
        throw new Error(`status ${answer.status}`);
      }
    }
  } catch {
    later(send);
  } finally {
    sending = false;
    showSaved();
  }
  // A clip whose vote was undone comes again, and then the vote before it can be undone.
  if (kept(VOTES).length === 0 && (current === null || history.length === 0)) await refresh();
}

async function refresh() {
  if (refreshing || halted) return;
  refreshing = true;
  try {
    const answer = await call(`/api/queue?ahead=${Math.min(2000, 50 + skipped.length)}`);
    if (!answer.ok) {
      if (halt(answer.status)) return;
      throw new Error(`status ${answer.status}`);
    }
    take(await answer.json());
    delay = 500;
  } catch {
    later(refresh);
  } finally {
    refreshing = false;
    showSaved();
  }
}

function take(queue) {
  // The server does not know yet of votes that wait here.
  const waiting = new Map(kept(VOTES).map(([, vote]) => [vote.item, vote.passed !== undefined]));
  const offered = queue.ahead.filter(({ item }) => !waiting.get(item));
  const late = (clip) => skipped.indexOf(clip.item);
  ahead = offered.filter(({ item }) => item !== current?.item).sort((a, b) => late(a) - late(b));
  const unknown = queue.ahead.length - offered.length;
  done = queue.done + unknown;
  left = queue.left - unknown;
  pace = ownPace() ?? queue.seconds_per_clip;
  if (history.length === 0 && queue.last && !waiting.has(queue.last.item)) history.push(queue.last);
  if (current === null) {
    const drafts = new Set(kept(DRAFTS).map(([key]) => key.slice(DRAFTS.length)));
    const begun = ahead.findIndex(({ item }) => drafts.has(item));
    if (begun > 0) ahead.unshift(...ahead.splice(begun, 1));
    advance();
  } else {
    preload();
  }
  showProgress();
}

// ---- The clip --------------------------------------------------------------------------------------------------

function source(clip) {
  return `/media/${clip.item}`;
}

function load(video, clip) {
  if (video.dataset.item === clip.item) return;
  video.dataset.item = clip.item;
  video.src = source(clip);
}

function preload() {
  if (ahead.length > 0) load(videos[1], ahead[0]);
}

for (const video of videos) {
  video.addEventListener("error", () => {
    const { item } = video.dataset;
    setTimeout(() => {
      if (video.dataset.item === item) video.src = source({ item });
      if (video === videos[0]) play();
    }, 2000);
  });
}

function play() {
  videos[0].play().then(
    () => { hint.hidden = true; },
    (error) => { hint.hidden = error.name !== "NotAllowedError"; },
  );
}

function show(clip, given = {}) {
  current = clip;
  say("");
  if (videos[1].dataset.item === clip.item) videos.reverse();
  const [front, back] = videos;
  back.pause();
  back.hidden = true;
  load(front, clip);
  front.hidden = false;
  front.currentTime = 0;
  play();
  preload();
  title.textContent = clip.class_name;
  for (const key of criteria) {
    const box = document.querySelector(`[data-criterion="${key}"]`);
    box.querySelector(".question").textContent = box.dataset.question.replace("{name}", clip.class_name);
    setAnswer(key, given[key]);
  }
  note.value = given.note ?? "";
  document.body.dataset.item = clip.item;
}

function advance() {
  const clip = ahead.shift();
  if (clip) {
    const draft = kept(DRAFTS).find(([key]) => key === DRAFTS + clip.item);
    show(clip, draft ? draft[1] : {});
  } else {
    current = null;
    for (const video of videos) video.pause();
    delete document.body.dataset.item;
    title.textContent = left > 0 ? "Waiting for the next clip …" : "You have judged all clips. Thank you!";
  }
  if (ahead.length < LOW && left > ahead.length + (current ? 1 : 0)) refresh();
  showProgress();
}

// ---- Answers ---------------------------------------------------------------------------------------------------

function answer(key) {
  const chosen = document.querySelector(`input[name="${key}"]:checked`);
  return chosen ? chosen.value === "yes" : undefined;
}

function setAnswer(key, value) {
  for (const input of document.querySelectorAll(`input[name="${key}"]`)) {
    input.checked = value !== undefined && value !== null && (input.value === "yes") === value;
  }
}

function answers() {
  return { ...Object.fromEntries(criteria.map((key) => [key, answer(key)])), note: note.value };
}

function draft() {
  if (current) keep(DRAFTS + current.item, answers());
}

function vote(passed) {
  if (!current) return;
  const given = answers();
  const open = criteria.filter((key) => given[key] === undefined).map((key) => criteria.indexOf(key) + 1);
  const no = criteria.some((key) => given[key] === false);
  if (open.length > 0) return say(`Answer ${open.join(", ")} first.`);
  if (passed && no) return say("A clip can pass only if all three answers are yes.");
  if (!passed && !no && !note.value.trim()) return say("All three answers are yes: explain in the note why the clip fails.");
  const clip = current;
  post({ vote_id: identifier(), item: clip.item, guideline_version: version, passed, ...given });
  forget(DRAFTS + clip.item);
  history.push({ ...clip, answers: given });
  skipped = skipped.filter((item) => item !== clip.item);
  done += 1;
  left -= 1;
  times = [...times.slice(-LATEST), Date.now()];
  pace = ownPace() ?? pace;
  advance();
}

function undo() {
  const last = history.pop();
  if (!last) return say("There is no vote to undo.");
  post({ vote_id: identifier(), item: last.item, guideline_version: version });
  if (current) ahead.unshift(current);
  done -= 1;
  left += 1;
  show({ item: last.item, class_name: last.class_name }, last.answers);
  draft();
  showProgress();
}

function next() {
  if (!current) return;
  if (ahead.length === 0) return say("This is the last clip.");
  skipped = [...skipped.filter((item) => item !== current.item), current.item];
  ahead.push(current);
  advance();
}

// ---- Messages and progress -------------------------------------------------------------------------------------

function say(text) {
  message.textContent = text;
}

function ownPace() {
  const gaps = times.slice(1).map((time, index) => (time - times[index]) / 1000).filter((gap) => gap < BREAK);
  return gaps.length > 0 ? gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)] : null;
}

function showProgress() {
  const total = done + left;
  bar.max = Math.max(1, total);
  bar.value = done;
  const minutes = pace === null ? null : Math.ceil((left * pace) / 60);
  const time = minutes === null || left === 0 ? "" : minutes < 90 ? `, about ${minutes} min left` : `, about ${Math.round(minutes / 60)} h left`;
  count.textContent = `${done} of ${total}${time}`;
}

function showSaved() {
  const waiting = kept(VOTES).length;
  const votes = waiting === 1 ? "1 vote" : `${waiting} votes`;
  saved.className = waiting > 0 || halted ? "waiting" : "";
  if (halted) {
    saved.innerHTML = '<span></span> <a href="/login">Log in again</a>';
    saved.firstChild.textContent = `${halted} ${waiting > 0 ? `${votes} in this browser will be sent after you log in.` : ""}`;
  } else if (waiting > 0) {
    saved.textContent = durable ? `${votes} not sent yet, kept in this browser.` : `${votes} not sent yet: keep this page open.`;
  } else {
    saved.textContent = "All votes are saved.";
  }
}

// ---- Keys and clicks -------------------------------------------------------------------------------------------

function toggle() {
  if (videos[0].paused) play();
  else videos[0].pause();
}

const keys = {
  " ": toggle,
  r: () => { videos[0].currentTime = 0; play(); },
  p: () => vote(true),
  f: () => vote(false),
  u: undo,
  n: next,
  m: () => note.focus(),
};
criteria.forEach((key, index) => {
  keys[String(index + 1)] = () => { setAnswer(key, answer(key) !== true); draft(); };
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target === note) {
    if (event.key === "Escape") note.blur();
    return;
  }
  // Space works a control that has the focus.
  if (event.key === " " && event.target.closest("button, a, input, summary, video")) return;
  const work = keys[event.key.toLowerCase()];
  if (work) {
    event.preventDefault();
    work();
  }
});
for (const [id, work] of [["pass", keys.p], ["fail", keys.f], ["undo", undo], ["next", next]]) {
  document.getElementById(id).addEventListener("click", work);
}
document.getElementById("criteria").addEventListener("change", draft);
note.addEventListener("input", draft);
window.addEventListener("online", () => { send(); refresh(); });
window.addEventListener("storage", ({ key, newValue }) => {
  if (!key?.startsWith(VOTES)) return;
  if (newValue) {
    const { item, passed } = JSON.parse(newValue); // another tab has judged it
    if (passed !== undefined) ahead = ahead.filter((clip) => clip.item !== item);
  }
  showSaved();
});

send();
