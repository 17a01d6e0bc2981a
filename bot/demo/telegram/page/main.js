// The page: people, up to two chats side by side, and the events that keep them up to date.

import { get, listen, post } from "./api.js";
import { Column } from "./column.js";
import { avatar, element } from "./dom.js";
import { followWorld } from "./world.js";

const REMEMBERED = "chat-people";
const ACTIVE = "chat-active";
const wide = matchMedia("(min-width: 860px)");
const bar = document.getElementById("people");
const main = document.getElementById("columns");
const dialog = document.getElementById("person-dialog");

const page = { bot: null, people: [], columns: [], active: 0, unread: new Map() };

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(REMEMBERED)) || [];
  } catch {
    return [];
  }
}

function remember() {
  localStorage.setItem(REMEMBERED, JSON.stringify(page.columns.map((column) => column.person.id)));
}

// Opens a person's chat: where it is shown already, in an empty place, or in place of the chat used last.
function open(person) {
  page.unread.delete(person.id);
  const places = wide.matches ? 2 : 1;
  let index = page.columns.findIndex((column) => column.person.id === person.id);
  if (index < 0 && page.columns.length < places) {
    const column = new Column(page.bot, person);
    const own = page.columns.push(column) - 1;
    column.root.addEventListener("focusin", () => use(own));
    column.root.addEventListener("pointerdown", () => use(own));
    main.append(column.root);
    index = own;
  } else if (index < 0) {
    index = Math.min(page.active, places - 1);
    page.columns[index].show(person);
  }
  activate(index);
  remember();
}

function activate(index) {
  page.active = index;
  main.dataset.active = String(index);
  showPeople();
}

function use(index) {
  localStorage.setItem(ACTIVE, page.columns[index].person.id);
  activate(index);
}

function showPeople() {
  const visible = page.columns.map((column) => column.person.id);
  const active = page.columns[page.active]?.person.id;
  bar.replaceChildren(...page.people.map((person) => {
    const unread = page.unread.get(person.id);
    return element("li", {}, element("button.chip", {
      type: "button",
      "data-testid": "person",
      "data-person": person.id,
      "aria-pressed": String(visible.includes(person.id)),
      "aria-current": person.id === active ? "true" : null,
      title: `${person.first_name}, id ${person.id}`,
      onclick: () => open(person),
    }, avatar(person.id, person.first_name), element("span.chip-name", { dir: "auto" }, person.first_name),
    unread ? element("span.badge", { "aria-label": `${unread} unread` }, String(unread)) : null));
  }));
}

async function loadPeople() {
  page.people = await get("people");
  for (const column of page.columns) {
    const person = page.people.find(({ id }) => id === column.person.id);
    if (person) {
      column.person = person;
      column.showTabs();
    }
  }
  const places = wide.matches ? 2 : 1;
  const wanted = [...remembered(), ...page.people.map(({ id }) => id)];
  for (const id of page.columns.length ? [] : new Set(wanted)) {
    const person = page.people.find((one) => one.id === id);
    if (person && page.columns.length < places) open(person);
  }
  if (page.columns.length) activate(Math.min(page.active, page.columns.length - 1));
  showPeople();
}

function countUnread(event) {
  if (!event.view?.message.from.is_bot || event.view.message.edit_date) return;
  const shown = page.columns.some((column) => column.chatId === event.chat_id);
  if (shown || event.chat_id < 0) return;
  page.unread.set(event.chat_id, (page.unread.get(event.chat_id) || 0) + 1);
  showPeople();
}

async function onEvent(event) {
  if (event.type === "people" || event.type === "reset") await loadPeople();
  if (event.type === "profile" || event.type === "reset") {
    page.bot = await get("bot");
    document.title = page.bot.first_name;
    for (const column of page.columns) {
      column.bot = page.bot;
      if (event.type === "reset") column.show(column.person, column.chatId);
      else column.reloadSoon();
    }
    return;
  }
  if (event.type === "message") countUnread(event);
  for (const column of page.columns) if (column.chatId === event.chat_id) pass(column, event);
}

function pass(column, event) {
  if (event.view) column.put(event.view);
  if (event.type === "message" && event.view?.message.from.is_bot) column.setStatus();
  if (event.type === "deleted") column.remove(event.message_id);
  if (event.type === "action") column.typing(event.action);
  if (event.type === "answer") column.answered(event);
  if (event.type === "chat") column.reloadSoon();
}

function prepareDialog() {
  const form = dialog.querySelector("form");
  const error = dialog.querySelector(".error");
  document.getElementById("add-person").addEventListener("click", () => {
    form.reset();
    error.textContent = "";
    dialog.showModal();
  });
  dialog.querySelector('[value="cancel"]').addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
    if (fields.id) fields.id = Number(fields.id);
    try {
      const person = await post("people", fields);
      dialog.close();
      await loadPeople();
      open(page.people.find(({ id }) => id === person.id));
    } catch (failed) {
      error.textContent = failed.message;
    }
  });
}

// A link that was opened elsewhere leads here with the payload for the bot, into the chat used last.
function followLink(last) {
  const payload = new URLSearchParams(location.search).get("start");
  if (!payload) return;
  history.replaceState(null, "", location.pathname);
  const index = Math.max(page.columns.findIndex(({ person }) => person.id === last), 0);
  activate(index);
  page.columns[index].follow(payload);
}

async function begin() {
  const last = Number(localStorage.getItem(ACTIVE));
  prepareDialog();
  followWorld();
  page.bot = await get("bot");
  document.title = page.bot.first_name;
  // From before the chats are read, so that nothing falls between reading and listening.
  const { revision } = page.bot;
  await loadPeople();
  followLink(last);
  wide.addEventListener("change", () => loadPeople());
  listen(revision, onEvent, (lost) => document.body.classList.toggle("lost", lost));
}

begin();
