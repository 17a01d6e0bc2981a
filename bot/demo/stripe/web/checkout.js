"use strict";

const form = document.getElementById("form");
const go = document.getElementById("go");
const word = go.querySelector(".word");
const alertBox = document.getElementById("alert");
const brand = document.getElementById("brand");
const label = word.textContent;

const BRANDS = [
  [/^4/, "Visa"], [/^(5[1-5]|2[2-7])/, "Mastercard"], [/^3[47]/, "Amex"], [/^6(011|5|4[4-9])/, "Discover"],
  [/^3(0|6|8)/, "Diners"], [/^35/, "JCB"], [/^62/, "UnionPay"],
];

const digits = (text) => text.replace(/\D/g, "");

function spaced(number) {
  const groups = /^3[47]/.test(number) ? [4, 6, 5] : [4, 4, 4, 4, 3];
  const parts = [];
  let at = 0;
  for (const size of groups) {
    if (at < number.length) parts.push(number.slice(at, at + size));
    at += size;
  }
  return parts.join(" ");
}

function isLuhn(number) {
  let sum = 0;
  [...number].reverse().forEach((digit, n) => {
    const value = Number(digit) * (1 + n % 2);
    sum += value > 9 ? value - 9 : value;
  });
  return sum % 10 === 0;
}

function mark(field, message) {
  document.querySelector(`[data-for="${field}"]`).textContent = message || "";
  form.elements[field].classList.toggle("bad", Boolean(message));
  form.elements[field].setAttribute("aria-invalid", String(Boolean(message)));
}

function say(message) {
  alertBox.textContent = message;
  alertBox.hidden = !message;
}

function showBrand() {
  const number = digits(form.elements.number.value);
  const found = BRANDS.find(([pattern]) => pattern.test(number));
  brand.textContent = found ? found[1] : "";
}

form.elements.number.addEventListener("input", (event) => {
  event.target.value = spaced(digits(event.target.value).slice(0, 19));
  showBrand();
  mark("number", "");
});

form.elements.number.addEventListener("blur", (event) => {
  // A message that appears under the pointer would move the button away from the click that is under way.
  if (event.relatedTarget === go) return;
  const number = digits(event.target.value);
  if (number.length >= 12 && !isLuhn(number)) mark("number", "Your card number is invalid.");
});

form.elements.expiry.addEventListener("input", (event) => {
  let text = digits(event.target.value).slice(0, 4);
  if (/^[2-9]/.test(text)) text = `0${text}`;
  if (text.length > 2 || (text.length === 2 && event.inputType !== "deleteContentBackward")) {
    text = `${text.slice(0, 2)} / ${text.slice(2, 4)}`;
  }
  event.target.value = text;
  mark("expiry", "");
});

form.elements.cvc.addEventListener("input", (event) => {
  event.target.value = digits(event.target.value).slice(0, 4);
  mark("cvc", "");
});

for (const field of ["name", "email"]) form.elements[field].addEventListener("input", () => mark(field, ""));

for (const hint of document.querySelectorAll(".hint")) {
  hint.addEventListener("click", () => {
    const number = hint.dataset.number;
    form.elements.number.value = spaced(number);
    form.elements.expiry.value = "12 / 34";
    form.elements.cvc.value = /^3[47]/.test(number) ? "1234" : "123";
    if (!form.elements.name.value) form.elements.name.value = "Ada Lovelace";
    if (!form.elements.email.value) form.elements.email.value = "ada@example.com";
    for (const field of ["number", "expiry", "cvc", "name", "email"]) mark(field, "");
    showBrand();
    say("");
    go.focus();
  });
}

function busy(on) {
  go.disabled = on;
  go.setAttribute("aria-busy", String(on));
  word.textContent = on ? "Processing…" : label;
}

function showWrong(fields) {
  for (const [field, message] of Object.entries(fields)) mark(field, message);
  const first = ["email", "number", "expiry", "cvc", "name"].find((field) => fields[field]);
  if (first) form.elements[first].focus();
}

async function send() {
  const values = Object.fromEntries(new FormData(form));
  const answer = await fetch(location.pathname, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(values),
  });
  const data = await answer.json();
  if (data.redirect) {
    word.textContent = "Done";
    go.classList.add("done");
    location.assign(data.redirect);
    return true;
  }
  if (data.reload) location.reload();
  if (data.fields) showWrong(data.fields);
  say(data.message || "");
  return false;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (go.disabled) return;
  say("");
  busy(true);
  try {
    if (await send()) return;
  } catch {
    say("The connection was lost. Nothing was sent twice: try again.");
  }
  busy(false);
});

// A page that comes back from the browser's history must not stay on "Processing".
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
