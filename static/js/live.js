// Tells the page when something happened in its organization; HTMX then fetches the fragments anew.
// The socket carries no data, so a lost message costs nothing: the slow poll of each fragment catches up.

const PAUSE_MS = 700;
const BACKOFF_MS_MAX = 30000;
const lamp = document.querySelector("[data-live]");
let backoffMs = 1000;
let isWaiting = false;

function showState(isOpen) {
  if (!lamp) return;
  lamp.dataset.state = isOpen ? "open" : "closed";
  lamp.textContent = isOpen ? "Live" : "Refreshing every 15 s";
}

function announce() {
  if (isWaiting) return;
  isWaiting = true;
  setTimeout(() => {
    isWaiting = false;
    document.body.dispatchEvent(new CustomEvent("activity"));
  }, PAUSE_MS);
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws/live`);
  socket.addEventListener("open", () => {
    backoffMs = 1000;
    showState(true);
  });
  socket.addEventListener("message", announce);
  socket.addEventListener("close", () => {
    showState(false);
    setTimeout(connect, backoffMs);
    backoffMs = Math.min(backoffMs * 2, BACKOFF_MS_MAX);
  });
}

connect();
