// What to take away from an answer: a link to it, and its requests for a shell and for Python.

import { copyText, part } from "./dom.js";
import { say } from "./strings.js";

let snippets = {};

export function startSharing() {
  for (const language of ["curl", "python"]) {
    part(`${language}-tab`).addEventListener("click", () => showSnippet(language));
  }
  part("copy-link").addEventListener("click", () => copy(part("link").href));
  part("copy-snippet").addEventListener("click", () => copy(part("snippet").textContent));
}

// `code` is {curl, python}.
export function share(link, code) {
  snippets = code;
  part("link").href = link;
  part("copied").textContent = "";
  showSnippet(part("python-tab").ariaPressed === "true" ? "python" : "curl");
  part("share").hidden = false;
}

function showSnippet(chosen) {
  for (const language of ["curl", "python"]) part(`${language}-tab`).ariaPressed = `${language === chosen}`;
  part("snippet").textContent = snippets[chosen];
}

async function copy(text) {
  part("copied").textContent = (await copyText(text)) ? say.copied : say.notCopied;
}
