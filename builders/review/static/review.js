// The page on which clips are judged. Votes are kept and sent by outbox.js.
import { describe, forget, identifier, keep, kept, onOtherTab, outbox, post, send, waiting } from "/static/outbox.js";
import { refresher } from "/static/queue.js";
import { follow, prepare } from "/static/waveform.js";

const { annotator, version } = document.body.dataset;
const criteria = [...document.querySelectorAll("fieldset[data-criterion]")].map((box) => box.dataset.criterion);
const videos = [document.getElementById("video-a"), document.getElementById("video-b")];
const [bar, count, title, note, message, saved, hint, slow] = ["bar", "count", "class", "note", "message", "saved", "play-hint", "slow"]
  .map((id) => document.getElementById(id));
const states = ["loading", "judging", "done"]; // of the page; each is the id of what is shown

const DRAFTS = `mma-bench/${annotator}/draft/`;
const LOW = 5; // clips ahead before more are asked for
const BREAK = 180; // s between two votes that count as a break
const LATEST = 30; // votes that the pace is taken from
const LISTED = 5; // votes that are listed on this page

let ahead = []; // clips after the current one
let current = null;
let history = []; // clips judged, with answers, the latest last
let skipped = []; // ids put off, in that order
let done = 0;
let left = 0;
let pace = null; // s per clip
let times = []; // when clips were judged on this page, in ms

// ---- Talking to the server -------------------------------------------------------------------------------------

const refresh = refresher(() => Math.min(2000, 50 + skipped.length), take);

function take(queue) {
  // The server does not know yet of votes that wait here.
  const unsent = new Map(waiting().map((vote) => [vote.item, vote.passed !== undefined]));
  const offered = queue.ahead.filter(({ item }) => !unsent.get(item));
  const late = (clip) => skipped.indexOf(clip.item);
  ahead = offered.filter(({ item }) => item !== current?.item).sort((a, b) => late(a) - late(b));
  const unknown = queue.ahead.length - offered.length;
  done = queue.done + unknown;
  left = queue.left - unknown;
  pace = ownPace() ?? queue.seconds_per_clip;
  if (history.length === 0 && unsent.size === 0) history = queue.latest;
  if (current === null) {
    const drafts = new Set(kept(DRAFTS).map(([key]) => key.slice(DRAFTS.length)));
    const begun = ahead.findIndex(({ item }) => drafts.has(item));
    if (begun > 0) ahead.unshift(...ahead.splice(begun, 1));
    advance();
  } else {
    preload();
  }
  showProgress();
  showLatest();
}

outbox.addEventListener("change", () => describe(saved));
outbox.addEventListener("refused", ({ detail }) => {
  say(`A vote was refused (${detail}). You will be shown the clip again.`);
  refresh();
});
outbox.addEventListener("sent", () => {
  // A clip whose vote was undone comes again, and then the vote before it can be undone.
  if (current === null || history.length === 0) refresh();
});

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
  if (ahead.length === 0) return;
  load(videos[1], ahead[0]);
  prepare(source(ahead[0])).catch(() => {});
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

function setSpeed(rate) {
  videos[0].playbackRate = rate;
  slow.setAttribute("aria-pressed", String(rate < 1));
}

function enter(state) {
  for (const id of states) document.getElementById(id).hidden = id !== state;
}

function show(clip, given = {}) {
  current = clip;
  say("");
  enter("judging");
  window.scrollTo(0, 0); // on a phone the last answer was far below
  if (videos[1].dataset.item === clip.item) videos.reverse();
  const [front, back] = videos;
  back.pause();
  back.hidden = true;
  load(front, clip);
  front.hidden = false;
  front.currentTime = 0;
  setSpeed(1);
  follow(front, source(clip));
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
    finish();
  }
  if (ahead.length < LOW && left > ahead.length + (current ? 1 : 0)) refresh();
  showProgress();
}

function finish() {
  if (left > 0) {
    document.getElementById("loading").textContent = "Waiting for the next clip …";
    return enter("loading");
  }
  const heading = document.getElementById("done-heading");
  heading.textContent = done > 0 ? heading.dataset.all : heading.dataset.none;
  enter("done");
  heading.focus(); // what had the focus is gone
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
  history.push({ ...clip, answers: { ...given, passed } });
  skipped = skipped.filter((item) => item !== clip.item);
  done += 1;
  left -= 1;
  times = [...times.slice(-LATEST), Date.now()];
  pace = ownPace() ?? pace;
  advance();
  showLatest();
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
  showLatest();
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

function showLatest() {
  for (const list of document.querySelectorAll(".latest")) {
    list.parentElement.hidden = history.length === 0;
    list.replaceChildren(...history.slice(-LISTED).reverse().map(({ class_name: name, answers: { passed } }) => {
      const [row, verdict] = [document.createElement("li"), document.createElement("span")];
      verdict.className = passed ? "good" : "bad";
      verdict.textContent = passed ? "pass" : "fail";
      row.append(`${name}: `, verdict);
      return row;
    }));
  }
}

// ---- Keys and clicks -------------------------------------------------------------------------------------------

function toggle() {
  if (videos[0].paused) play();
  else videos[0].pause();
}

function seek(seconds) {
  videos[0].currentTime = Math.min(Math.max(0, videos[0].currentTime + seconds), videos[0].duration || 0);
}

const keys = {
  " ": toggle,
  r: () => { videos[0].currentTime = 0; play(); },
  s: () => setSpeed(videos[0].playbackRate < 1 ? 1 : 0.5),
  arrowleft: () => seek(-1),
  arrowright: () => seek(1),
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
  // Space works a control that has the focus, and arrows move within one.
  if (event.key === " " && event.target.closest("button, a, input, summary, video")) return;
  if (event.key.startsWith("Arrow") && event.target.closest("input, video")) return;
  const key = event.key.toLowerCase();
  const work = keys[key];
  if (work && (current || key === "u")) {
    event.preventDefault();
    work();
  }
});
for (const [id, work] of [["pass", keys.p], ["fail", keys.f], ["undo", undo], ["next", next], ["slow", keys.s]]) {
  document.getElementById(id).addEventListener("click", work);
}
document.getElementById("criteria").addEventListener("change", draft);
note.addEventListener("input", draft);
onOtherTab((vote) => {
  // Another tab has judged this clip.
  if (vote?.passed !== undefined) ahead = ahead.filter((clip) => clip.item !== vote?.item);
});

send();
