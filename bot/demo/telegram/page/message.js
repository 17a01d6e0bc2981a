// One message as an element.

import { fileAddress } from "./api.js";
import { element, icon, pictured, sizeOf } from "./dom.js";
import { rich } from "./rich.js";

const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

export const dayOf = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);

export function dayName(day) {
  const date = new Date(`${day}T00:00:00Z`);
  return new Intl.DateTimeFormat("en", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" }).format(date);
}

// `view` is what the stand-in gives; `context` says who looks (`personId`, `inGroup`) and what follows a click (`on`).
export function messageElement(view, context) {
  const { message } = view;
  const service = serviceText(message);
  if (service) {
    return element("div.service", { "data-testid": "service", "data-id": message.message_id }, service);
  }
  const own = message.from.id === context.personId;
  const made = element(`article.message${own ? ".own" : ""}`, {
    "data-testid": "message",
    "data-id": message.message_id,
    "data-from": message.from.is_bot ? "bot" : "person",
    "aria-label": `${own ? "You" : message.from.first_name}, ${clock(message.date)}`,
  });
  made.append(bubble(view, context, own));
  const rows = message.reply_markup?.inline_keyboard;
  if (rows) made.append(keyboard(view, rows, context));
  return made;
}

function serviceText(message) {
  if (message.pinned_message) {
    return `pinned “${(message.pinned_message.text || message.pinned_message.caption || "a message").slice(0, 60)}”`;
  }
  if (message.forum_topic_created) return `topic “${message.forum_topic_created.name}” was created`;
  const paid = message.successful_payment;
  if (paid) return `⭐ ${paid.total_amount} paid`;
  const back = message.refunded_payment;
  return back ? `⭐ ${back.total_amount} given back` : "";
}

function bubble(view, context, own) {
  const { message } = view;
  const made = element("div.bubble");
  if (context.inGroup && !own) made.append(element("b.sender", { dir: "auto" }, message.from.first_name));
  const topic = context.topics?.[message.message_thread_id];
  if (topic) made.append(element("span.topic", { dir: "auto" }, `# ${topic.name}`));
  if (message.forward_origin) {
    made.append(element("span.origin", {}, `Forwarded from ${message.forward_origin.sender_user?.first_name || "someone"}`));
  }
  if (message.reply_to_message) made.append(quoted(message.reply_to_message));
  if (message.photo) made.append(picture(message.photo.at(-1), context, view));
  if (message.document) made.append(document_(message.document));
  if (message.contact) made.append(element("div.text", { dir: "auto" }, `☎ ${message.contact.first_name} ${message.contact.phone_number}`));
  if (message.invoice) made.append(invoice(message.invoice));
  const text = message.text ?? message.caption;
  if (text) {
    const entities = message.entities || message.caption_entities;
    made.append(element("div.text", { dir: "auto", "data-testid": "text" }, rich(text, entities, context.on)));
  }
  made.append(foot(view, context, own));
  return made;
}

function quoted(reply) {
  return element("div.quoted", {},
    element("b", { dir: "auto" }, reply.from.first_name),
    element("span", { dir: "auto" }, (reply.text || reply.caption || reply.document?.file_name || "Picture").slice(0, 90)));
}

function picture(photo, context, view) {
  let image = context.images.get(photo.file_id);
  if (!image) {
    image = element("img", {
      src: fileAddress(photo.file_id),
      alt: view.message.caption || "Picture",
      width: photo.width,
      height: photo.height,
      "data-testid": "photo",
    });
    context.images.set(photo.file_id, image);
  }
  return element("a.photo", { href: fileAddress(photo.file_id), target: "_blank", "aria-label": "Open the picture" }, image);
}

function document_(file) {
  return element("a.document", {
    href: fileAddress(file.file_id),
    download: file.file_name,
    "data-testid": "document",
  }, element("span.sheet", { "aria-hidden": "true" }, icon("file")),
  element("span.about", {}, element("b", { dir: "auto" }, file.file_name), element("small", {}, `${sizeOf(file.file_size)} · download`)));
}

function invoice(given) {
  return element("div.invoice", {}, element("b", { dir: "auto" }, given.title),
    element("p", { dir: "auto" }, given.description), element("span.stars", {}, `⭐ ${given.total_amount}`));
}

function foot(view, context, own) {
  const { message } = view;
  const made = element("footer");
  for (const reaction of view.reactions) made.append(element("span.reaction", {}, reaction.emoji || "★"));
  made.append(element("button.act", {
    type: "button", "aria-label": "Reply", title: "Reply", onclick: () => context.on.reply(message),
  }, icon("reply")));
  if (own && message.text) {
    made.append(element("button.act", {
      type: "button", "aria-label": "Edit", title: "Edit", onclick: () => context.on.edit(message),
    }, icon("edit")));
  }
  if (message.edit_date) made.append(element("span.edited", { "data-testid": "edited" }, "edited"));
  made.append(element("time", { datetime: new Date(message.date * 1000).toISOString() }, clock(message.date)));
  return made;
}

function keyboard(view, rows, context) {
  const made = element("div.keyboard", { role: "group", "aria-label": "Buttons of the message" });
  for (const row of rows) made.append(element("div.row", {}, ...row.map((button) => key(view, button, context))));
  return made;
}

function key(view, button, context) {
  const label = element("span", { dir: "auto" }, pictured(button.text));
  const classes = button.style ? `.key.${button.style}` : ".key";
  const shared = { "data-testid": "button", "data-text": button.text };
  if (button.url) {
    const made = element(`a${classes}`, {
      ...shared, href: button.url, target: "_blank", rel: "noopener noreferrer",
    }, label, icon("link"));
    made.addEventListener("click", (event) => {
      if (context.on.link(button.url)) event.preventDefault();
    });
    return made;
  }
  if (button.copy_text) {
    return element(`button${classes}`, {
      ...shared, type: "button", onclick: () => context.on.copy(button.copy_text.text),
    }, label, icon("copy"));
  }
  if (button.pay) {
    return element(`button${classes}`, { ...shared, type: "button", onclick: () => context.on.pay(view.message) }, label);
  }
  const spinning = view.spinning.includes(button.callback_data);
  return element(`button${classes}${spinning ? ".spinning" : ""}`, {
    ...shared,
    type: "button",
    "data-data": button.callback_data,
    "aria-busy": spinning ? "true" : "false",
    disabled: !button.callback_data,
    onclick: () => context.on.tap(view.message, button.callback_data),
  }, label, element("i.spinner", { "aria-hidden": "true" }));
}
