// The page: asks what is served, then searches its table, or compares two texts where there is none.

import { Refusal, ask, useKey } from "./api.js";
import { drawLines, make, markTwins, showRanks } from "./ranks.js";
import { cosine, count, language, say } from "./strings.js";

const DOCUMENTS = 10;
const part = (id) => document.getElementById(id);
let model = null;
let latest = 0; // an answer that comes after a later question is not shown

function start() {
  document.documentElement.lang = language;
  document.querySelectorAll("[data-text]").forEach((node) => { node.textContent = say[node.dataset.text]; });
  on("key-form", async () => { useKey(part("key").value.trim()); await begin(); });
  on("search-form", search);
  on("compare-form", compare);
  new ResizeObserver(drawLines).observe(part("ranks"));
  part("ranks").addEventListener("pointerover", (event) => markTwins(event.target.closest("[data-id]")?.dataset.id));
  part("ranks").addEventListener("pointerleave", () => markTwins(undefined));
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
  show("key-form");
  part("key").focus();
}

function show(id) {
  for (const form of document.forms) form.hidden = form.id !== id;
  hideResults();
}

function hideResults() {
  for (const results of ["ranks", "cosines"]) part(results).hidden = true;
}

async function begin() {
  [model] = (await ask("v1/models")).data;
  part("about").textContent = say.about(model.id, model.version, model.table ? count(model.table.rows) : null);
  show(model.table ? "search-form" : "compare-form");
  if (model.table) offerDimensions();
  part(model.table ? "question" : "first").focus();
}

// Trained dimensions; of a stock model, which takes any, halves of its width.
function dimensionsUpTo(width) {
  const halves = [];
  for (let size = width; size >= 8; size = Math.floor(size / 2)) halves.push(size);
  const all = model.dimensions.length ? model.dimensions.filter((size) => size <= width) : halves;
  return [...new Set([width, ...all])].sort((one, other) => other - one);
}

function offerDimensions() {
  const { width, by } = model.table;
  const sizes = by === "index" ? [width] : dimensionsUpTo(width);
  const options = sizes.map((size) => make("option", size === width ? say.fullWidth(size) : `${size}`, { value: size }));
  part("search-dimension").replaceChildren(...options);
  // Where two lists are worth comparing: few dimensions, but not so few that nothing is left of the meaning.
  const [nearest] = sizes.filter((size) => size < width).sort((one, other) => Math.abs(one - 64) - Math.abs(other - 64));
  part("search-dimension").value = nearest ?? width;
}

async function search(isLatest) {
  const query = part("question").value, dimensions = Number(part("search-dimension").value);
  const begun = performance.now();
  part("status").textContent = say.working;
  const asked = { query, k: DOCUMENTS, model: model.id };
  const [chosen, full] = await Promise.all([
    ask("v1/search", { ...asked, dimensions }),
    dimensions === model.table.width ? null : ask("v1/search", asked),
  ]);
  if (!isLatest()) return;
  const found = chosen.data.length;
  part("status").textContent = found ? say.found(found, Math.round(performance.now() - begun)) : say.nothing;
  showRanks(chosen, full);
}

async function compare(isLatest) {
  part("status").textContent = say.comparing;
  const input = [part("first").value, part("second").value];
  const answer = await ask("v1/embeddings", { input, model: model.id });
  if (!isLatest()) return;
  const [one, other] = answer.data.map((entry) => entry.embedding);
  const rows = dimensionsUpTo(model.width).map((size) => {
    const value = similarity(one.slice(0, size), other.slice(0, size));
    const row = make("tr"), cell = make("td");
    cell.append(make("meter", undefined, { min: 0, max: 1, value: Math.max(0, value), "aria-hidden": "true" }));
    row.append(make("th", size === model.width ? say.fullWidth(size) : `${size}`, { scope: "row" }), make("td", cosine(value)), cell);
    return row;
  });
  part("cosine-rows").replaceChildren(...rows);
  part("cosines").hidden = false;
  part("status").textContent = say.done;
}

function similarity(one, other) {
  const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
  return dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
}

start();
