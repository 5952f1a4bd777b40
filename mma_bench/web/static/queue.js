// Asks the server for the queue of a page, again and again until it answers.
import { call, halt, halted } from "/static/outbox.js";

const FIRST = 500, SLOWEST = 10_000; // ms between two attempts

// A function that gets the queue and gives it to `take`; `ahead` says how many items to ask for.
export function refresher(ahead, take) {
  let running = false;
  let delay = FIRST;
  return async function refresh() {
    if (running || halted) return;
    running = true;
    try {
      const answer = await call(`/api/queue?ahead=${ahead()}`);
      if (!answer.ok) {
        if (halt(answer.status)) return;
        throw new Error(`status ${answer.status}`);
      }
      take(await answer.json());
      delay = FIRST;
    } catch {
      setTimeout(refresh, delay);
      delay = Math.min(2 * delay, SLOWEST);
    } finally {
      running = false;
    }
  };
}
