// What is known of the served model: its dimensions, and a list to read.

import { ask } from "./api.js";
import { make, part } from "./dom.js";
import { count, say, score } from "./strings.js";

// Trained dimensions up to a width; of a stock model, which takes any, halves of the width.
export function dimensionsUpTo(width, model) {
  const halves = [];
  for (let size = width; size >= 8; size = Math.floor(size / 2)) halves.push(size);
  const all = model.dimensions.length ? model.dimensions.filter((size) => size <= width) : halves;
  return [...new Set([width, ...all])].sort((one, other) => other - one);
}

// Where a comparison is worth a look: few dimensions, but not so few that nothing is left of the meaning.
export function firstDimension(sizes) {
  const [nearest] = sizes.slice(1).sort((one, other) => Math.abs(one - 64) - Math.abs(other - 64));
  return nearest ?? sizes[0];
}

export function dimensionChoices(sizes) {
  return sizes.map((size, place) => [size, place ? `${size}` : say.fullWidth(size)]);
}

// For a server with keys, as a link carries none.
export async function downloadOpenapi() {
  const text = JSON.stringify(await ask("openapi.json"), null, 2);
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  make("a", undefined, { href: url, download: "openapi.json" }).click();
  URL.revokeObjectURL(url);
}

export function showFacts(models) {
  const [model, ...others] = models;
  const lines = [
    [say.factName, named(model)],
    [say.factFingerprint, model.fingerprint],
    [say.factDimensions, dimensions(model)],
    [say.factTokens, count(model.max_input_tokens)],
    [say.factPooling, model.pooling.join(", ") || say.none],
    [say.factPrompts, prompts(model)],
    ...training(model),
    ...table(model),
    ...others.map((other) => [say.factReranker, named(other)]),
  ];
  part("fact-list").replaceChildren(...lines.flatMap(([name, text]) => [make("dt", name), make("dd", text)]));
}

const named = (model) => `${model.id}, ${say.version(model.version)}`;

function dimensions(model) {
  return model.trained ? say.trainedFor(dimensionsUpTo(model.width, model)) : say.untrained(model.width);
}

function prompts(model) {
  const given = Object.entries(model.prompts).filter(([, text]) => text);
  return given.map(([name, text]) => `${name}: “${text}”`).join("; ") || say.none;
}

function training(model) {
  if (!model.training) return [[say.factTraining, say.stock]];
  const { parent, parent_model: source, dataset, dev } = model.training;
  const base = [source, parent].filter(Boolean).join(" · ");
  const lines = [[say.factBase, base], [say.factDataset, dataset]];
  const scores = Object.entries(dev).map(([name, value]) => [...name.split("/"), value]);
  for (const metric of new Set(scores.map(([name]) => name))) {
    const values = scores.filter(([name]) => name === metric).sort((one, other) => other[1] - one[1]);
    lines.push([say.dev(metric), values.map(([, size, value]) => say.at(score(value), size)).join(" · ")]);
  }
  return lines;
}

function table({ table: facts }) {
  if (!facts) return [[say.factTable, say.none]];
  const kept = facts.fields.length ? facts.fields.join(", ") : say.none;
  return [[say.factTable, say.tableOf(count(facts.rows), facts.version, facts.width)], [say.factFields, kept]];
}
