"use strict";
// What the page's scripts share, and the buttons that copy a command.

const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector, root = document) => root.querySelector(selector);
const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element with properties and children; text goes in as text, never as markup. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** An element of a drawing. */
function svg(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

function number(value, digits = 0) {
  const places = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return value.toLocaleString("en", places);
}

async function copyCommand(event) {
  const code = find("code", event.target.parentElement);
  try {
    await navigator.clipboard.writeText(code.textContent);
    event.target.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(code); // not allowed: one key press is left to the reader
    event.target.textContent = "selected";
  }
  setTimeout(() => { event.target.textContent = "copy"; }, 1500);
}

for (const button of findAll(".copy")) button.addEventListener("click", copyCommand);
