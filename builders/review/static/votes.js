// The page of one's own votes: sends those that still wait in this browser, and then shows them.
import { describe, outbox, send, waiting } from "/static/outbox.js";

const saved = document.getElementById("saved");
outbox.addEventListener("change", () => describe(saved));
if (waiting().length > 0) outbox.addEventListener("sent", () => location.reload());
send();
