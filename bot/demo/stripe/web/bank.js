"use strict";

const buttons = [...document.querySelectorAll("[data-approve]")];
const alertBox = document.getElementById("alert");

async function answer(button) {
  buttons.forEach((other) => { other.disabled = true; other.hidden = other !== button; });
  const body = JSON.stringify({approve: button.dataset.approve === "true"});
  try {
    const response = await fetch(location.href, {
      method: "POST", headers: {"Content-Type": "application/json"}, body,
    });
    const data = await response.json();
    if (data.redirect) {
      location.assign(data.redirect);
      return;
    }
    alertBox.textContent = data.message;
    button.hidden = true;
  } catch {
    alertBox.textContent = "The connection was lost. Try again.";
    buttons.forEach((other) => { other.disabled = false; other.hidden = false; });
  }
  alertBox.hidden = false;
}

buttons.forEach((button) => button.addEventListener("click", () => answer(button)));
