// Talks with the stand-in: requests, and the stream of events.

const prefix = document.querySelector('meta[name="telegram-prefix"]').content;

export const fileAddress = (fileId) => `${prefix}/client/files/${encodeURIComponent(fileId)}`;

async function answerOf(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || `The server answered ${response.status}.`);
  return body;
}

export async function get(path) {
  return answerOf(await fetch(`${prefix}/client/${path}`));
}

export async function post(path, fields = {}) {
  return answerOf(await fetch(`${prefix}/client/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(fields),
  }));
}

export async function upload(personId, fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return answerOf(await fetch(`${prefix}/client/people/${personId}/upload`, { method: "POST", body: form }));
}

// Calls `onEvent` for each event after a revision; `onLost` with true when the connection breaks, false when it is back.
// After a break everything may have changed, which a `reset` event says.
export function listen(revision, onEvent, onLost, broken = false) {
  let lost = broken;
  const source = new EventSource(`${prefix}/client/events?since=${revision}`);
  source.onmessage = ({ data }) => onEvent(JSON.parse(data));
  source.onopen = () => {
    onLost(false);
    if (lost) onEvent({ type: "reset" });
    lost = false;
  };
  source.onerror = () => {
    lost = true;
    onLost(true);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(revision, onEvent, onLost, true), 1000);
  };
}
