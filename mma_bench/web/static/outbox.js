// Votes, or answers, on their way to the server, for every page with accounts. The page's body says where they are sent
// (data-address) and what they are called (data-noun); here they are votes.
//
// A vote is first written to localStorage and only then sent, and it stays there until the server says that it has it.
// Every vote has an id of its own, so sending it twice counts once. Each vote and each draft is a key of its own:
// several tabs can write at once without undoing each other's.

const { annotator, address, noun } = document.body.dataset;
const VOTES = `mma-bench/${annotator}/vote/`;
const SLOWEST = 10_000; // ms between two attempts to reach the server
const memory = new Map(); // where the browser allows no storage
let durable = true;
let sending = false;
let delay = 500;

/** Tells of "change" (what `describe` would say), "refused" (detail: why) and "sent" (nothing waits any more). */
export const outbox = new EventTarget();

/** Why nothing can be sent until the page is reloaded; else empty. */
export let halted = "";

// ---- What is kept in the browser -------------------------------------------------------------------------------

export function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    durable = false;
    memory.set(key, value);
  }
}

export function forget(key) {
  memory.delete(key);
  try {
    localStorage.removeItem(key);
  } catch {
    durable = false;
  }
}

export function kept(prefix) {
  const found = new Map(memory);
  try {
    for (let index = 0; index < localStorage.length; index += 1) {
      const key = localStorage.key(index);
      if (key.startsWith(prefix)) found.set(key, JSON.parse(localStorage.getItem(key)));
    }
  } catch {
    durable = false;
  }
  return [...found].filter(([key, value]) => key.startsWith(prefix) && value).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Votes that the server is not known to have, in the order in which they were cast. */
export function waiting() {
  return kept(VOTES).map(([, vote]) => vote);
}

// ---- Talking to the server -------------------------------------------------------------------------------------

export async function call(path, options = {}) {
  const headers = { "X-Annotator": annotator, ...options.headers };
  return fetch(path, { ...options, headers, signal: AbortSignal.timeout(15_000) });
}

/** Whether an answer's status means that nothing can be sent until the page is reloaded. */
export function halt(status) {
  halted = { 401: "Your session has expired.", 409: "Another annotator has logged in with this browser." }[status] ?? "";
  if (halted) changed();
  return halted !== "";
}

export function identifier() {
  // crypto.randomUUID is only there under https and on localhost
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function post(vote) {
  const order = `${Date.now().toString(36).padStart(10, "0")}${Math.round(performance.now()).toString(36).padStart(9, "0")}`;
  keep(`${VOTES}${order}-${identifier()}`, vote);
  send();
}

export async function send() {
  if (sending || halted) return;
  sending = true;
  try {
    for (let left = kept(VOTES); left.length > 0; left = kept(VOTES)) {
      const [key, vote] = left[0];
      changed();
      const headers = { "Content-Type": "application/json" };
      // keepalive: a vote reaches the server also if the page is left meanwhile
      const answer = await call(address, { method: "POST", headers, body: JSON.stringify(vote), keepalive: true });
      if (answer.ok) {
        forget(key);
        delay = 500;
      } else if ([413, 415, 422].includes(answer.status)) {
        forget(key);
        const { error } = await answer.json().catch(() => ({ error: answer.statusText }));
        outbox.dispatchEvent(new CustomEvent("refused", { detail: error }));
      } else if (halt(answer.status)) {
        break;
      } else {
        throw new Error(`status ${answer.status}`);
      }
    }
  } catch {
    setTimeout(send, delay);
    delay = Math.min(2 * delay, SLOWEST);
  } finally {
    sending = false;
    changed();
  }
  if (kept(VOTES).length === 0) outbox.dispatchEvent(new Event("sent"));
}

/** Calls `work` when another tab of this browser has cast or sent a vote, with the vote or null. */
export function onOtherTab(work) {
  window.addEventListener("storage", ({ key, newValue }) => {
    if (!key?.startsWith(VOTES)) return;
    work(newValue && JSON.parse(newValue));
    changed();
  });
}

// ---- What people are told --------------------------------------------------------------------------------------

function changed() {
  outbox.dispatchEvent(new Event("change"));
}

/** Say in an element whether all votes are saved. */
export function describe(line) {
  const count = kept(VOTES).length;
  const votes = count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
  line.className = count > 0 || halted ? "waiting" : "";
  if (halted) {
    const link = document.createElement("a");
    link.href = "/login";
    link.textContent = "Log in again";
    line.replaceChildren(`${halted} ${count > 0 ? `${votes} in this browser will be sent after you log in.` : ""} `, link);
  } else if (count > 0) {
    line.textContent = durable ? `${votes} not sent yet, kept in this browser.` : `${votes} not sent yet: keep this page open.`;
  } else {
    line.textContent = `All ${noun}s are saved.`;
  }
}

window.addEventListener("online", send);
