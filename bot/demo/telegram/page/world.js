// The bar above everything: clock, links and notes of the world that this chat is part of, where there is one.

import { element } from "./dom.js";

const POLL_MS = 1000;
const ALONE_POLL_MS = 30000;
const bar = document.getElementById("world");
const now = document.getElementById("world-now");
const moves = document.getElementById("world-moves");
const links = document.getElementById("world-links");
const notes = document.getElementById("world-notes");
let shown = "";

export async function followWorld() {
  let wait = ALONE_POLL_MS;
  try {
    const response = await fetch("world");
    if (response.ok) {
      show(await response.json());
      wait = POLL_MS;
    }
    bar.hidden = !response.ok;
  } catch {
    wait = POLL_MS;
  }
  setTimeout(followWorld, wait);
}

function show(world) {
  showNow(world.now);
  const rest = JSON.stringify([world.moves, world.links, world.notes, world.busy]);
  if (rest === shown) return;
  shown = rest;
  bar.classList.toggle("busy", Boolean(world.busy));
  bar.setAttribute("aria-busy", String(Boolean(world.busy)));
  moves.replaceChildren(...(world.moves || []).map((by) => element("button.move", {
    type: "button", disabled: Boolean(world.busy), "data-testid": `move-${by}`, title: `Move the clock by one ${by}`,
    onclick: () => move(by),
  }, `+1 ${by}`)));
  links.replaceChildren(...(world.links || []).map(({ title, url }) => element("a", { href: url, target: "_blank", rel: "noopener" }, title)));
  notes.replaceChildren(...(world.notes || []).map((note) => element("span", {}, note)));
}

function showNow(instant) {
  const date = new Date(instant);
  now.dateTime = instant;
  const day = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }).format(date);
  now.textContent = `${day}, ${instant.slice(11, 16)} UTC`;
}

async function move(by) {
  bar.classList.add("busy");
  for (const button of moves.children) button.disabled = true;
  shown = "";
  const response = await fetch("world/move", {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ by }),
  }).catch(() => null);
  if (!response?.ok) notes.replaceChildren(element("span.error", {}, "The clock could not be moved."));
}
