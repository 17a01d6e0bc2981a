// Small helpers for elements.

// Telegram's apps draw every pictograph as a picture, also one that fonts would show as a sign of the text.
const pictographs = /(?![\u0000-\u22ff])\p{Extended_Pictographic}(?![\ufe0e\ufe0f\u200d]|\p{Emoji_Modifier})/gu;
export const pictured = (text) => text.replace(pictographs, "$&\ufe0f");

// element("button.key", {type: "button", onclick}, "text", child...)
export function element(description, fields = {}, ...children) {
  const [tag, ...classes] = description.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const paths = {
  send: "M4 12 20 4l-4 16-4-6-8-2Zm8 2 8-10",
  attach: "m20 11-8.500 8.500a5 5 0 0 1-7-7L13 4a3.400 3.400 0 0 1 4.800 4.800l-8.500 8.500a1.700 1.700 0 0 1-2.400-2.400L14.500 7.500",
  menu: "M4 7h16M4 12h16M4 17h10",
  keys: "M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
  copy: "M9 9h10v11H9zM5 15V4h10",
  link: "M8 16 16 8M9 8h7v7",
  reply: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  edit: "m4 20 1-4L16 5l3 3L8 19z",
  close: "M6 6l12 12M18 6 6 18",
  more: "M12 6h.01M12 12h.01M12 18h.01",
  down: "M6 10l6 6 6-6",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", paths[name]);
  svg.append(path);
  return svg;
}

export function avatar(id, name) {
  const made = element("span.avatar", { "aria-hidden": "true" }, [...(name.trim() || "?")][0].toUpperCase());
  made.dataset.tone = String(Math.abs(id) % 7);
  return made;
}

// Puts text on the clipboard, also where the clipboard interface is not there (plain http from afar).
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea.offscreen", { "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

export function sizeOf(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
