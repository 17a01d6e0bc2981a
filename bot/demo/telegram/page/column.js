// One person's chat: head, messages, composer, toasts and alerts.

import { get, post, upload } from "./api.js";
import { Composer } from "./composer.js";
import { avatar, copy, element, icon } from "./dom.js";
import { dayName, dayOf, messageElement } from "./message.js";

const TOAST_MS = 3500;
const TYPING_MS = 5500;
const SPIN_MS = 30000;
const NEAR_END_PX = 90;
const PHONE = "+15550100";
const doing = { typing: "typing", upload_document: "sending a file", upload_photo: "sending a picture" };

const same = (one, other) => JSON.stringify({ ...one, as_of: 0 }) === JSON.stringify({ ...other, as_of: 0 });

const dayMark = (made) => element("div.day", {}, dayName(made.dataset.day));

// Whose chat a link leads into, `https://t.me/NAME` or this page's own `/t.me/NAME`; empty for other links.
function usernameIn(url) {
  if (["t.me", "telegram.me"].includes(url.hostname)) return url.pathname.slice(1);
  const here = url.port === location.port && [location.hostname, "127.0.0.1", "localhost"].includes(url.hostname);
  return here ? url.pathname.match(/^\/t\.me\/(\w+)$/)?.[1] || "" : "";
}

export class Column {
  constructor(bot, person) {
    this.bot = bot;
    this.views = new Map();
    this.shown = new Map();
    this.timers = new Map();
    this.stuck = true; // the newest message is in sight, and stays so
    this.composer = new Composer({
      start: () => this.act("start"),
      send: (text, replyTo) => this.act("send", { text, reply_to: replyTo }),
      edit: (id, text) => this.act("edit", { message_id: id, text }),
      upload: (file) => this.upload(file),
      contact: () => this.contact(),
    });
    this.title = element("h2", { dir: "auto" });
    this.status = element("p.status", { "aria-live": "polite", "data-testid": "status" }, "bot");
    this.as = element("p.as");
    this.tabs = element("div.tabs", { role: "tablist", "aria-label": "Chats" });
    this.more = element("button.tool", { type: "button", "aria-label": "More", title: "More", "aria-haspopup": "menu", onclick: () => this.toggleMenu() }, icon("more"));
    this.menu = element("div.menu", { role: "menu", hidden: true });
    this.messages = element("div.messages", { role: "log", "aria-label": "Messages", tabindex: "0", "data-testid": "messages" });
    this.messages.addEventListener("scroll", () => this.scrolled());
    this.toEnd = element("button.to-end", { type: "button", "aria-label": "To the newest message", hidden: true, onclick: () => this.scrollToEnd(true) }, icon("down"));
    this.over = element("div.over", { "aria-live": "assertive" });
    this.avatar = element("div");
    this.head = element("header.head", {}, this.avatar, element("div.titles", {}, this.title, this.status), this.as, this.more, this.menu);
    this.root = element("section.column", { "data-testid": "column" }, this.head, this.tabs,
      element("div.log", {}, this.messages, this.toEnd, this.over), this.composer.root);
    // Pictures that arrive late and keyboards that come up must not push the newest message out of sight.
    this.grown = new ResizeObserver(() => this.stuck && this.scrollToEnd(false));
    this.grown.observe(this.messages);
    this.messages.addEventListener("load", () => this.stuck && this.scrollToEnd(false), true);
    this.show(person);
  }

  get inGroup() {
    return this.chatId < 0;
  }

  async show(person, chatId = person.id) {
    this.person = person;
    this.chatId = chatId;
    this.images = new Map();
    this.views.clear();
    this.shown.clear();
    this.gone = new Set(); // an answer from before the deletion must not bring a message back
    this.messages.replaceChildren();
    this.over.replaceChildren();
    this.root.setAttribute("aria-label", `Chat of ${person.first_name}`);
    this.root.dataset.person = person.id;
    this.as.replaceChildren("as ", element("b", { dir: "auto" }, person.first_name));
    this.showTabs();
    await this.load();
    this.scrollToEnd(false);
  }

  showTabs() {
    const { chats } = this.person;
    this.tabs.hidden = chats.length < 2;
    this.tabs.replaceChildren(...chats.map((chat) => element("button.tab", {
      type: "button", role: "tab", "aria-selected": String(chat.id === this.chatId), onclick: () => this.show(this.person, chat.id),
    }, chat.title || this.bot.first_name)));
  }

  // Reads the chat anew; elements of messages that did not change stay as they are.
  async load() {
    const { person: { id }, chatId } = this;
    const chat = await get(`chats/${chatId}?person=${id}`);
    if (id !== this.person.id || chatId !== this.chatId) return;
    this.chat = chat;
    const name = this.inGroup ? chat.info.title : this.bot.first_name;
    this.title.textContent = name;
    this.avatar.replaceChildren(avatar(this.inGroup ? chatId : this.bot.id, name));
    this.setStatus();
    this.composer.show(chat);
    const there = new Set(chat.messages.map(({ message }) => message.message_id));
    for (const [number, view] of [...this.views]) {
      if (!there.has(number) && view.as_of <= chat.revision) this.remove(number);
    }
    for (const view of chat.messages) this.put(view);
    this.showEmpty();
  }

  reloadSoon() {
    clearTimeout(this.reload);
    this.reload = setTimeout(() => this.load().catch((error) => this.toast(error.message)), 30);
  }

  showEmpty() {
    this.empty?.remove();
    if (this.views.size) return;
    this.empty = element("div.empty", {}, element("b", {}, `What can ${this.bot.first_name} do?`),
      element("p", { dir: "auto" }, this.bot.description || "Press Start to begin."));
    this.messages.append(this.empty);
  }

  put(view) {
    const { message_id: id } = view.message;
    const known = this.views.get(id);
    if (this.gone.has(id) || known?.as_of > view.as_of || (known && same(known, view))) return;
    const atEnd = this.stuck;
    this.empty?.remove();
    this.views.set(id, view);
    const made = messageElement(view, this.context());
    made.dataset.day = dayOf(view.message.date);
    if (this.shown.has(id)) this.shown.get(id).replaceWith(made);
    else this.insert(made);
    this.shown.set(id, made);
    this.spinOnlySoLong(id, view);
    if (!known) made.classList.add("new");
    if (atEnd || view.message.from.id === this.person.id) this.scrollToEnd(false);
    else if (!known) this.toEnd.hidden = false;
  }

  context() {
    const on = {
      link: (address) => this.opened(address),
      command: (text) => this.act("send", { text }),
      copy: (text) => this.copy(text),
      tap: (message, data) => this.tap(message, data),
      pay: (message) => this.pay(message),
      reply: (message) => this.composer.reply(message),
      edit: (message) => this.composer.edit(message),
    };
    return { personId: this.person.id, inGroup: this.inGroup, topics: this.chat?.topics, images: this.images, on };
  }

  // Events overtake one another, so a message goes to its place by number, not to the end.
  insert(made) {
    const number = Number(made.dataset.id);
    const last = this.messages.lastElementChild;
    const isNewest = !last || Number(last.dataset.id) < number;
    const later = isNewest ? null : [...this.messages.querySelectorAll("[data-id]")].find((other) => Number(other.dataset.id) > number);
    if (later) {
      later.before(made);
      this.markDays();
      return;
    }
    if (last?.dataset.day !== made.dataset.day) this.messages.append(dayMark(made));
    this.messages.append(made);
  }

  // One line with the date before the first message of each day.
  markDays() {
    for (const mark of this.messages.querySelectorAll(".day")) mark.remove();
    let day = "";
    for (const made of [...this.messages.querySelectorAll("[data-id]")]) {
      if (made.dataset.day !== day) made.before(dayMark(made));
      day = made.dataset.day;
    }
  }

  remove(id) {
    this.gone.add(id);
    this.views.delete(id);
    this.shown.get(id)?.remove();
    this.shown.delete(id);
    this.markDays();
    this.showEmpty();
  }

  // A tap that is never answered stops spinning by itself, as in the real client.
  spinOnlySoLong(id, view) {
    clearTimeout(this.timers.get(id));
    if (!view.spinning.length) return;
    this.timers.set(id, setTimeout(() => {
      const now = this.views.get(id);
      if (now) this.put({ ...now, spinning: [] });
    }, SPIN_MS));
  }

  async act(name, fields = {}) {
    try {
      const view = await post(`people/${this.person.id}/${name}`, { chat_id: this.chatId, ...fields });
      if (view.message) this.put(view);
      return view;
    } catch (error) {
      this.toast(error.message);
      return null;
    }
  }

  tap(message, data) {
    const view = this.views.get(message.message_id);
    if (view && !view.spinning.includes(data)) this.put({ ...view, spinning: [...view.spinning, data] });
    this.act("tap", { message_id: message.message_id, data });
  }

  async pay(message) {
    const { title, total_amount: stars } = message.invoice;
    if (!(await this.ask(`Pay ⭐ ${stars} for “${title}”?`, "Pay"))) return;
    const paid = await this.act("pay", { message_id: message.message_id });
    if (paid && !paid.ok) this.alert(paid.error);
  }

  async contact() {
    if (await this.ask(`Share the phone number ${PHONE} with ${this.bot.first_name}?`, "Share")) this.act("contact", { phone: PHONE });
  }

  async upload(file) {
    try {
      const kind = /^image\/(png|jpeg|gif)$/.test(file.type) ? "photo" : "document";
      await upload(this.person.id, { chat_id: this.chatId, kind, file });
    } catch (error) {
      this.toast(error.message);
    }
  }

  // Whether an address is a link into this chat, which is then followed here.
  opened(address) {
    const url = URL.canParse(address) ? new URL(address) : null;
    if (!url || usernameIn(url).toLowerCase() !== this.bot.username.toLowerCase()) return false;
    this.follow(url.searchParams.get("start") || "");
    return true;
  }

  async follow(payload) {
    if (this.inGroup) await this.show(this.person);
    if (payload || !this.chat.started) await this.act("start", { payload });
  }

  async copy(text) {
    await copy(text);
    this.toast("Copied.");
  }

  // An answer to a tap: a toast, an alert, or a link to open.
  answered(event) {
    if (event.person_id !== this.person.id) return;
    if (event.url) this.opened(event.url);
    if (event.text && event.show_alert) this.alert(event.text);
    else if (event.text) this.toast(event.text);
  }

  typing(action) {
    const words = doing[action] || "busy";
    this.status.replaceChildren(words, element("i.dots", { "aria-hidden": "true" }));
    this.status.classList.add("active");
    clearTimeout(this.typingTimer);
    this.typingTimer = setTimeout(() => this.setStatus(), TYPING_MS);
  }

  setStatus() {
    clearTimeout(this.typingTimer);
    this.status.classList.remove("active");
    const blocked = this.chat?.blocked ? "blocked" : "bot";
    this.status.textContent = this.inGroup ? "group" : blocked;
  }

  toast(text) {
    const made = element("div.toast", { role: "status", dir: "auto", "data-testid": "toast" }, text);
    this.over.append(made);
    setTimeout(() => made.remove(), TOAST_MS);
  }

  alert(text) {
    return this.box(text, [["OK", true, "strong"]]);
  }

  ask(text, yes) {
    return this.box(text, [["Cancel", false, "plain"], [yes, true, "strong"]]);
  }

  // A box over this chat only; the other column stays usable.
  box(text, choices) {
    return new Promise((resolve) => {
      const buttons = choices.map(([label, value, look]) => element(`button.${look}`, {
        type: "button", onclick: () => done(value),
      }, label));
      const made = element("div.box", {
        role: "alertdialog", "aria-label": text, "data-testid": "alert",
        onkeydown: (event) => event.key === "Escape" && done(false),
      }, element("div.card", {}, element("p", { dir: "auto" }, text), element("menu", {}, ...buttons)));
      const done = (value) => {
        made.remove();
        this.composer.text.focus();
        resolve(value);
      };
      this.over.append(made);
      buttons.at(-1).focus();
    });
  }

  toggleMenu() {
    this.menu.hidden = !this.menu.hidden;
    const blocked = this.chat?.blocked;
    const item = (label, act) => element("button", { type: "button", role: "menuitem", onclick: () => { this.menu.hidden = true; act(); } }, label);
    const items = this.inGroup ? [] : [item(blocked ? "Unblock the bot" : "Block the bot", () => this.act(blocked ? "unblock" : "block"))];
    items.push(item("Copy my Telegram id", () => this.copy(String(this.person.id))));
    this.menu.replaceChildren(...items);
    if (!this.menu.hidden) items[0].focus();
  }

  atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.messages;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  scrolled() {
    this.stuck = this.atEnd();
    if (this.stuck) this.toEnd.hidden = true;
  }

  scrollToEnd(smooth) {
    this.stuck = true;
    this.toEnd.hidden = true;
    this.messages.scrollTo({ top: this.messages.scrollHeight, behavior: smooth ? "smooth" : "instant" });
  }
}
