// Text and entities to elements. Offsets count UTF-16 units, as JavaScript's strings do.

import { element, icon, pictured } from "./dom.js";

const blocks = new Set(["pre", "blockquote", "expandable_blockquote"]);
const simple = { bold: "strong", italic: "em", underline: "u", strikethrough: "s" };

// `on` has link(address), command(text) and copy(text).
export function rich(text, entities, on) {
  const whole = document.createDocumentFragment();
  const sorted = [...(entities || [])].sort((a, b) => a.offset - b.offset || b.length - a.length);
  fill(whole, text, 0, text.length, sorted, on);
  return whole;
}

function fill(parent, text, begin, end, entities, on) {
  let at = begin;
  for (let index = 0; index < entities.length; index += 1) {
    const entity = entities[index];
    const entityEnd = Math.min(entity.offset + entity.length, end);
    if (entity.offset < at || entityEnd <= entity.offset) continue;
    parent.append(pictured(text.slice(at, entity.offset)));
    const inner = entities.slice(index + 1).filter((other) => other.offset < entityEnd);
    parent.append(wrapped(entity, text, entityEnd, inner, on));
    // A block ends its line by itself.
    at = blocks.has(entity.type) && text[entityEnd] === "\n" ? entityEnd + 1 : entityEnd;
  }
  if (at < end) parent.append(pictured(text.slice(at, end)));
}

function wrapped(entity, text, end, inner, on) {
  const plain = text.slice(entity.offset, end);
  const made = outer(entity, plain, on);
  fill(made.inside || made, text, entity.offset, end, inner, on);
  return made;
}

function outer(entity, plain, on) {
  switch (entity.type) {
    case "code":
      return action("code", plain, "Copy", () => on.copy(plain));
    case "pre":
      return block(entity, plain, on);
    case "spoiler":
      return spoiler();
    case "blockquote":
      return element("blockquote");
    case "expandable_blockquote":
      return expandable();
    case "text_link":
      return link(entity.url, on);
    case "url":
      return link(/^[a-z]+:\/\//i.test(plain) ? plain : `http://${plain}`, on);
    case "email":
      return element("a", { href: `mailto:${plain}` });
    case "bot_command":
      return action("span.link", plain, "Send", () => on.command(plain));
    case "mention":
    case "hashtag":
    case "text_mention":
      return element("span.link");
    default:
      return element(simple[entity.type] || "span");
  }
}

function action(kind, plain, verb, act) {
  const made = element(kind, { role: "button", tabindex: "0", title: `${verb} ${plain}`, onclick: act });
  made.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      act();
    }
  });
  return made;
}

function block(entity, plain, on) {
  const code = element("code");
  const button = element(
    "button.copy", { type: "button", "aria-label": "Copy the code", onclick: () => on.copy(plain) },
    entity.language || "copy", icon("copy"),
  );
  const made = element("pre", { dir: "ltr" }, button, code);
  code.addEventListener("click", () => {
    if (!String(getSelection())) on.copy(plain);
  });
  made.inside = code;
  return made;
}

function spoiler() {
  const made = action("span.spoiler", "", "Show", () => {
    made.classList.add("open");
    made.removeAttribute("role");
  });
  made.title = "Show";
  return made;
}

function expandable() {
  const inside = element("div.short");
  const made = element("blockquote.expandable", {}, inside);
  made.inside = inside;
  made.addEventListener("click", () => inside.classList.toggle("short"));
  return made;
}

function link(address, on) {
  const made = element("a", { href: address, target: "_blank", rel: "noopener noreferrer" });
  made.addEventListener("click", (event) => {
    if (on.link(address)) event.preventDefault();
  });
  return made;
}
