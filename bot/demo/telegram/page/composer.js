// The lower end of a chat: what a person types, attaches, or picks from keyboards and the command list.

import { element, icon } from "./dom.js";

// `on` has start(), send(text, replyTo), edit(id, text), upload(file) and contact().
export class Composer {
  constructor(on) {
    this.on = on;
    this.commands = [];
    this.replyTo = null;
    this.editing = null;
    this.text = element("textarea", {
      rows: "1", placeholder: "Message", "aria-label": "Message", dir: "auto", maxlength: "4096", "data-testid": "input",
      oninput: () => this.typed(), onkeydown: (event) => this.pressed(event),
    });
    this.file = element("input", { type: "file", hidden: true, "data-testid": "file", onchange: () => this.attached() });
    this.menu = this.tool("menu", "Commands", () => this.toggleList(), "commands");
    this.keysButton = this.tool("keys", "Keyboard", () => this.toggleKeys(), "keyboard-toggle");
    this.attach = this.tool("attach", "Attach a file", () => this.file.click(), "attach");
    this.sendButton = this.tool("send", "Send", () => this.send(), "send");
    this.sendButton.classList.add("send");
    this.list = element("ul.commands", { role: "listbox", "aria-label": "Commands", "data-testid": "command-list", hidden: true });
    this.keys = element("div.reply-keys", { role: "group", "aria-label": "Keyboard of the bot", "data-testid": "reply-keyboard", hidden: true });
    this.about = element("div.about-reply", { hidden: true });
    this.line = element("div.line", {}, this.menu, this.text, this.file, this.attach, this.keysButton, this.sendButton);
    this.startButton = element("button.start", { type: "button", "data-testid": "start", onclick: () => on.start() }, "Start");
    this.root = element("div.composer", {}, this.list, this.about, this.line, this.startButton, this.keys);
  }

  tool(name, label, act, testid) {
    return element("button.tool", { type: "button", "aria-label": label, title: label, "data-testid": testid, onclick: act }, icon(name));
  }

  // Shows what the chat allows: a Start button, or the text line with commands and keys.
  show(chat) {
    const mustStart = chat.info.type === "private" && (!chat.started || chat.blocked);
    this.startButton.hidden = !mustStart;
    this.startButton.textContent = chat.blocked ? "Unblock and restart" : "Start";
    this.line.hidden = mustStart;
    this.commands = chat.commands;
    this.menu.hidden = !chat.commands.length;
    const shown = JSON.stringify(chat.keyboard);
    if (shown !== this.shownKeys) {
      this.shownKeys = shown;
      this.showKeys(chat.keyboard);
    }
    if (mustStart) this.keys.hidden = true;
    this.fillList();
  }

  showKeys(keyboard) {
    const rows = keyboard?.keyboard || [];
    this.text.placeholder = keyboard?.input_field_placeholder || "Message";
    this.keysButton.hidden = !rows.length;
    this.keys.hidden = !rows.length;
    this.keys.replaceChildren(...rows.map((row) => element("div.row", {}, ...row.map((key) => this.key(key)))));
    if (keyboard?.force_reply) this.text.focus();
  }

  key(key) {
    const act = key.request_contact ? () => this.on.contact() : () => this.on.send(key.text, null);
    return element("button.key", { type: "button", dir: "auto", onclick: act }, key.text);
  }

  toggleKeys() {
    this.keys.hidden = !this.keys.hidden;
  }

  toggleList() {
    const open = this.list.hidden;
    this.fillList(open);
    this.list.hidden = !open || !this.list.children.length;
  }

  // Commands that fit what is typed; all of them when asked for by the button.
  fillList(all = false) {
    const typed = this.text.value;
    const typing = /^\/[a-z0-9_]*$/i.test(typed);
    const wanted = all ? "" : typed.slice(1).toLowerCase();
    const fitting = this.commands.filter(({ command }) => command.startsWith(wanted));
    this.list.hidden = !(all || typing) || !fitting.length;
    this.list.replaceChildren(...fitting.map(({ command, description }) => element("li", {
      role: "option", tabindex: "0", "data-testid": "command", "data-command": command,
      onclick: () => this.pick(command),
      onkeydown: (event) => this.pressedInList(event, command),
    }, element("b", {}, `/${command}`), element("span", { dir: "auto" }, description))));
  }

  pick(command) {
    this.text.value = "";
    this.list.hidden = true;
    this.on.send(`/${command}`, null);
    this.text.focus();
  }

  pressedInList(event, command) {
    const items = [...this.list.children];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" || event.key === " ") this.pick(command);
    else if (event.key === "Escape") this.text.focus();
    else if (step) items.at((items.indexOf(event.currentTarget) + step) % items.length).focus();
    else return;
    event.preventDefault();
    if (event.key === "Escape") this.list.hidden = true;
  }

  typed() {
    this.text.style.height = "auto";
    this.text.style.height = `${Math.min(this.text.scrollHeight, 180)}px`;
    this.sendButton.classList.toggle("ready", Boolean(this.text.value.trim()));
    this.fillList();
  }

  pressed(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.send();
    } else if (event.key === "Escape") {
      this.list.hidden = true;
      this.forget();
    } else if (event.key === "ArrowDown" && !this.list.hidden) {
      event.preventDefault();
      this.list.firstElementChild?.focus();
    }
  }

  send() {
    const text = this.text.value.trim();
    if (!text) return;
    if (this.editing) this.on.edit(this.editing, text);
    else this.on.send(text, this.replyTo);
    this.forget();
    this.text.value = "";
    this.typed();
    this.text.focus();
  }

  attached() {
    const [file] = this.file.files;
    if (file) this.on.upload(file);
    this.file.value = "";
  }

  reply(message) {
    this.editing = null;
    this.replyTo = message.message_id;
    this.tell("Reply to", message);
  }

  edit(message) {
    this.replyTo = null;
    this.editing = message.message_id;
    this.tell("Edit", message);
    this.text.value = message.text;
    this.typed();
  }

  tell(what, message) {
    const close = element("button.tool", { type: "button", "aria-label": "Cancel", onclick: () => this.forget() }, icon("close"));
    const shown = (message.text || message.caption || "message").slice(0, 80);
    this.about.replaceChildren(element("b", {}, what), element("span", { dir: "auto" }, shown), close);
    this.about.hidden = false;
    this.text.focus();
  }

  forget() {
    if (this.editing) this.text.value = "";
    this.replyTo = null;
    this.editing = null;
    this.about.hidden = true;
  }
}
