// The page: asks what is served, then searches its table, or compares texts; and keeps a question in a link.

import { Refusal, ask, hasKey, useKey } from "./api.js";
import * as compare from "./compare.js";
import { fillForm, make, part, readForm } from "./dom.js";
import { downloadOpenapi, showFacts } from "./facts.js";
import { makeLink, readLink } from "./link.js";
import { startRanks } from "./ranks.js";
import { share, startSharing } from "./share.js";
import { count, language, say } from "./strings.js";
import * as search from "./search.js";

const VIEWS = { search, compare };
const RESULTS = ["ranks", "matrix", "share"];
let model; // the one that is served
let questions = []; // the operator's examples
let latest = 0; // an answer that comes after a later question is not shown

const formOf = (view) => part(`${view}-form`);
const hasTable = () => Boolean(model.table);

function start() {
  document.documentElement.lang = language;
  document.querySelectorAll("[data-text]").forEach((node) => { node.textContent = say[node.dataset.text]; });
  on("key-form", (isLatest) => { useKey(part("key").value.trim()); return begin(isLatest); });
  for (const view of Object.keys(VIEWS)) {
    on(`${view}-form`, (isLatest) => answer(view, isLatest));
    formOf(view).addEventListener("change", (event) => askAgain(view, event.target));
    part(`${view}-tab`).addEventListener("click", () => { latest += 1; show(view); });
  }
  window.addEventListener("hashchange", () => { if (model) attempt(openLink); });
  startRanks();
  startSharing();
  part("openapi").addEventListener("click", (event) => {
    if (!hasKey()) return;
    event.preventDefault();
    attempt(downloadOpenapi);
  });
  attempt(begin);
}

function on(id, action) {
  part(id).addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(action);
  });
}

async function attempt(action) {
  const turn = ++latest;
  part("error").hidden = true;
  try {
    await action(() => turn === latest);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (turn === latest) showError(error);
  }
}

function showError(error) {
  part("status").textContent = "";
  part("error").textContent = error.message;
  part("error").hidden = !error.message;
  hideResults();
  if (!error.needsKey) return;
  for (const form of document.forms) form.hidden = form.id !== "key-form";
  for (const id of ["views", "examples"]) part(id).hidden = true;
  part("key").focus();
}

function hideResults() {
  for (const results of RESULTS) part(results).hidden = true;
}

async function begin(isLatest) {
  const served = (await ask("v1/models")).data;
  [model] = served; // a cross-encoder may follow
  questions = await ask("page/examples.json");
  part("about").textContent = say.about(model.id, model.version, hasTable() ? count(model.table.rows) : null);
  showFacts(served);
  part("facts").hidden = false;
  compare.offer(model);
  if (hasTable()) search.offer(model);
  show(hasTable() ? "search" : "compare");
  await openLink(isLatest);
}

// A view with its form, empty of answers, and with examples to begin with.
function show(view) {
  for (const form of document.forms) form.hidden = form !== formOf(view);
  for (const name of Object.keys(VIEWS)) part(`${name}-tab`).ariaPressed = `${name === view}`;
  part("views").hidden = !hasTable();
  part("status").textContent = "";
  part("error").hidden = true;
  hideResults();
  const offered = VIEWS[view].examples(questions).map(({ label, values }) => {
    const button = make("button", label, { type: "button", class: "plain" });
    button.addEventListener("click", () => {
      fillForm(formOf(view), { ...readForm(formOf(view)), ...values });
      formOf(view).requestSubmit();
    });
    return button;
  });
  part("example-list").replaceChildren(...offered);
  part("examples").hidden = false;
  formOf(view).querySelector("input, textarea").focus();
}

async function answer(view, isLatest) {
  const values = readForm(formOf(view));
  const begun = performance.now();
  part("examples").hidden = true;
  part("status").textContent = say.working;
  const { show: showAnswer, said, code } = await VIEWS[view].ask(values, model);
  if (!isLatest()) return;
  hideResults();
  showAnswer();
  share(makeLink(view, values), code);
  part("status").textContent = said(Math.round(performance.now() - begun));
}

// Another choice than that of the answer which is shown asks at once.
function askAgain(view, field) {
  if (field.matches("select") && !part("share").hidden) formOf(view).requestSubmit();
}

// Asks what the link keeps by which the page was opened.
async function openLink(isLatest) {
  const link = readLink();
  if (!Object.hasOwn(VIEWS, link?.view)) return;
  if (link.view === "search" && !hasTable()) throw new Refusal(say.linkUnfit(say.search));
  show(link.view);
  const missing = fillForm(formOf(link.view), link.values).map((name) => `${name}=${link.values[name]}`);
  if (missing.length) throw new Refusal(say.linkUnfit(missing.join(", ")));
  await answer(link.view, isLatest);
}

start();
