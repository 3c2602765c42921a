// The orchestrator's API: Connect, as JSON. https://connectrpc.com/docs/protocol

const url = (service, method) => `/freeflow.v1.${service}/${method}`;

// Failure is an error that the API answered with, or that it did not answer.
export class Failure extends Error {
  constructor(code, message) { super(message); this.code = code; }
  get loggedOut() { return this.code === "unauthenticated"; }
}

async function failure(answer) {
  try {
    const body = await answer.json();
    return new Failure(body.code, body.message || answer.statusText);
  } catch {
    return new Failure("unknown", `${answer.status} ${answer.statusText}`);
  }
}

const away = (e) => (e instanceof Failure || e.name === "AbortError" ? e : new Failure("unavailable", "The orchestrator does not answer."));

// call asks once.
export async function call(service, method, body = {}, signal) {
  let answer;
  try {
    answer = await fetch(url(service, method), { method: "POST", headers: { "Content-Type": "application/json", "Connect-Protocol-Version": "1" }, body: JSON.stringify(body), signal });
  } catch (e) {
    throw away(e);
  }
  if (!answer.ok) throw await failure(answer);
  return answer.json();
}

// envelope is one message of a stream: a byte of flags, its length in four bytes, the JSON.
function envelope(body) {
  const text = new TextEncoder().encode(JSON.stringify(body));
  const out = new Uint8Array(5 + text.length);
  new DataView(out.buffer).setUint32(1, text.length);
  out.set(text, 5);
  return out;
}

// stream calls take with each message, until the stream or signal ends; it throws when the stream ends.
export async function stream(service, method, body, take, signal) {
  let answer;
  try {
    answer = await fetch(url(service, method), { method: "POST", headers: { "Content-Type": "application/connect+json", "Connect-Protocol-Version": "1" }, body: envelope(body), signal });
  } catch (e) {
    throw away(e);
  }
  if (!answer.ok) throw await failure(answer);
  const reader = answer.body.getReader();
  let held = new Uint8Array(0);
  for (;;) {
    let part;
    try { part = await reader.read(); } catch (e) { throw away(e); }
    if (part.done) throw new Failure("unavailable", "The stream has ended.");
    const joined = new Uint8Array(held.length + part.value.length);
    joined.set(held);
    joined.set(part.value, held.length);
    held = joined;
    for (;;) {
      if (held.length < 5) break;
      const size = new DataView(held.buffer, held.byteOffset).getUint32(1);
      if (held.length < 5 + size) break;
      const message = JSON.parse(new TextDecoder().decode(held.subarray(5, 5 + size)));
      if (held[0] & 2) {
        if (message.error) throw new Failure(message.error.code, message.error.message || "The stream has ended.");
        throw new Failure("unavailable", "The stream has ended.");
      }
      held = held.slice(5 + size);
      take(message);
    }
  }
}

const pause = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
});

const visible = (signal) => new Promise((done) => {
  if (!document.hidden || signal.aborted) return done();
  const look = () => { if (!document.hidden || signal.aborted) { document.removeEventListener("visibilitychange", look); done(); } };
  document.addEventListener("visibilitychange", look);
  signal.addEventListener("abort", look, { once: true });
});

// live calls take with what goes on, again and again, until signal: by a stream, or, where none comes through, by asking. tell hears how it goes:
// "live", "poll", "off". A page that nobody sees asks for nothing.
export async function live(body, take, tell, signal) {
  let failures = 0;
  while (!signal.aborted) {
    await visible(signal);
    const one = new AbortController();
    const stop = () => one.abort();
    const hide = () => { if (document.hidden) one.abort(); };
    signal.addEventListener("abort", stop, { once: true });
    document.addEventListener("visibilitychange", hide);
    try {
      if (failures < 3) {
        await stream("UsageService", "WatchLive", body, (m) => { failures = 0; tell("live"); take(m); }, one.signal);
      } else {
        take(await call("UsageService", "Live", body, one.signal));
        tell("poll");
        await pause(3000, one.signal);
      }
    } catch (e) {
      if (signal.aborted) return;
      if (e.name !== "AbortError") {
        failures++;
        tell("off", e);
        if (e.loggedOut || e.code === "permission_denied") return;
        await pause(Math.min(500 * failures, 5000), signal);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      document.removeEventListener("visibilitychange", hide);
    }
  }
}

// repeat asks the same again and again, until signal.
export async function repeat(ms, ask, take, tell, signal) {
  while (!signal.aborted) {
    await visible(signal);
    if (signal.aborted) return;
    try {
      take(await ask(signal));
      tell("live");
    } catch (e) {
      if (signal.aborted || e.name === "AbortError") return;
      tell("off", e);
      if (e.loggedOut || e.code === "permission_denied" || e.code === "not_found") return;
    }
    await pause(ms, signal);
  }
}
