// The page on which questions are answered. Answers are kept and sent by outbox.js.
import { describe, identifier, onOtherTab, outbox, post, send, waiting } from "/static/outbox.js";
import { refresher } from "/static/queue.js";

const [bar, count, video, form, before, finding, search, list, none, after, message, saved, hint] =
  ["bar", "count", "video", "form", "before", "finding", "search", "options", "none", "after", "message", "saved", "play-hint"]
    .map((id) => document.getElementById(id));
const states = ["loading", "asking", "done"]; // of the page; each is the id of what is shown

const LOW = 10; // questions ahead before more are asked for
const FEW = 9; // options that need no search; each has a key

let ahead = []; // questions after the current one
let current = null;
let history = []; // questions answered, with the option, the latest last
let skipped = []; // ids put off, in that order
const answered = new Set(); // ids answered on this page; a queue that is on its way may still have them
const shownAt = new Map(); // item → when it was first shown on this page, ms
let done = 0;
let left = 0;

// ---- Talking to the server -------------------------------------------------------------------------------------

const refresh = refresher(() => Math.min(100, 20 + skipped.length), take);

function take(queue) {
  const unsent = new Set(waiting().map(({ item }) => item)); // of which the server does not know yet
  const offered = queue.ahead.filter(({ item }) => !unsent.has(item) && !answered.has(item));
  const late = ({ item }) => skipped.indexOf(item);
  ahead = offered.filter(({ item }) => item !== current?.item).sort((a, b) => late(a) - late(b));
  const unknown = queue.ahead.length - offered.length;
  done = queue.done + unknown;
  left = queue.left - unknown;
  if (history.length === 0 && unsent.size === 0) history = queue.latest;
  if (current === null) advance();
  showProgress();
}

outbox.addEventListener("change", () => describe(saved));
outbox.addEventListener("refused", ({ detail }) => {
  say(`An answer was refused (${detail}). You will be asked again.`);
  answered.clear();
  refresh();
});
outbox.addEventListener("sent", () => {
  if (current === null || history.length === 0) refresh();
});

// ---- The question ----------------------------------------------------------------------------------------------

function enter(state) {
  for (const id of states) document.getElementById(id).hidden = id !== state;
}

function play() {
  video.play().then(
    () => { hint.hidden = true; },
    (error) => { hint.hidden = error.name !== "NotAllowedError"; },
  );
}

video.addEventListener("error", () => {
  const item = current?.item;
  setTimeout(() => {
    if (!item || current?.item !== item) return;
    video.src = `/media/${item}`;
    play();
  }, 2000);
});

function show(question, option = null) {
  current = question;
  say("");
  enter("asking");
  window.scrollTo(0, 0);
  video.src = `/media/${question.item}`;
  play();
  before.textContent = question.before;
  after.textContent = question.after;
  const few = question.options.length <= FEW;
  finding.hidden = few;
  search.value = "";
  list.replaceChildren(...question.options.map((name, index) => row(name, few ? index + 1 : null, name === option)));
  filter();
  shownAt.set(question.item, shownAt.get(question.item) ?? performance.now());
  document.body.dataset.item = question.item;
  if (matchMedia("(pointer: fine)").matches && !few) search.focus(); // on a phone its keyboard would hide the clip
  else document.activeElement?.blur();
  if (ahead.length > 0) fetch(`/media/${ahead[0].item}`).catch(() => {}); // into the browser's cache
}

function row(name, key, chosen) {
  const [label, input] = [document.createElement("label"), document.createElement("input")];
  Object.assign(input, { type: "radio", name: "option", value: name, checked: chosen });
  label.append(input, ` ${name.replaceAll("_", " ")}`);
  if (key !== null) {
    const shortcut = document.createElement("kbd");
    shortcut.textContent = key;
    label.append(" ", shortcut);
  }
  return label;
}

function advance() {
  const question = ahead.shift();
  if (question) {
    show(question);
  } else {
    current = null;
    video.pause();
    delete document.body.dataset.item;
    enter(left > 0 ? "loading" : "done");
    if (left === 0) document.getElementById("done-heading").focus(); // what had the focus is gone
  }
  if (ahead.length < LOW && left > ahead.length + (current ? 1 : 0)) refresh();
  showProgress();
}

// ---- Options ---------------------------------------------------------------------------------------------------

const visible = () => [...list.querySelectorAll("label:not([hidden]) input")];
const chosen = () => list.querySelector("label:not([hidden]) input:checked"); // one that is filtered out is not chosen

function filter() {
  const wanted = search.value.trim().toLowerCase();
  for (const label of list.children) label.hidden = !label.textContent.toLowerCase().includes(wanted);
  none.hidden = visible().length > 0;
}

function answer() {
  if (!current) return;
  const option = chosen();
  if (!option) {
    const [first] = visible();
    if (search.value.trim() === "" || !first) return say("Choose an option first.");
    first.checked = true;
    first.closest("label").scrollIntoView({ block: "nearest" });
    return say("");
  }
  const again = history.some(({ item }) => item === current.item);
  const seconds = (performance.now() - shownAt.get(current.item)) / 1000;
  post({ answer_id: identifier(), item: current.item, option: option.value, seconds });
  history = [...history.filter(({ item }) => item !== current.item), { ...current, option: option.value }];
  skipped = skipped.filter((item) => item !== current.item);
  answered.add(current.item);
  if (!again) {
    done += 1;
    left -= 1;
  }
  advance();
}

function back() {
  const place = current ? history.findIndex(({ item }) => item === current.item) : -1;
  const previous = history[(place < 0 ? history.length : place) - 1];
  if (!previous) return say("There is no answer to go back to.");
  if (current) ahead.unshift(current);
  ahead = ahead.filter(({ item }) => item !== previous.item);
  show(previous, previous.option);
}

function later() {
  if (ahead.length === 0) return say("This is the last question.");
  skipped = [...skipped.filter((item) => item !== current.item), current.item];
  ahead.push(current);
  advance();
}

// ---- Messages, keys and clicks ---------------------------------------------------------------------------------

function say(text) {
  message.textContent = text;
}

function showProgress() {
  bar.max = Math.max(1, done + left);
  bar.value = done;
  count.textContent = `${done} of ${done + left}`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  answer();
});
search.addEventListener("input", filter);
search.addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown") return;
  event.preventDefault();
  (chosen() ?? visible()[0])?.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !current || event.target === search) return;
  const option = finding.hidden && visible()[Number(event.key) - 1];
  if (option) {
    option.checked = true;
  } else if (event.key === "Enter" && !event.target.closest("button, a, input")) {
    answer();
  }
});
document.getElementById("back").addEventListener("click", back);
document.getElementById("later").addEventListener("click", later);
onOtherTab((sent) => {
  if (sent) ahead = ahead.filter(({ item }) => item !== sent.item); // answered in another tab
});

send();
