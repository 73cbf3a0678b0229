// Texts compared with each other, or with others: the form, and what it asks.

import { Refusal, ask as post, base, hasKey } from "./api.js";
import { offerChoices, offerField, part } from "./dom.js";
import { comparisons } from "./examples.js";
import { dimensionChoices, dimensionsUpTo, firstDimension } from "./facts.js";
import { showMatrix } from "./matrix.js";
import { curlOf, pythonOfComparison } from "./snippets.js";
import { say } from "./strings.js";

const MOST = 50; // texts on a side: more are no matrix to read

export function offer(model) {
  const sizes = dimensionsUpTo(model.width, model);
  offerChoices(part("compare-dimensions"), dimensionChoices(sizes), firstDimension(sizes));
  for (const id of ["rows-role", "columns-role"]) offerField(part(id), model.has_roles);
}

// Three to begin with: {label, values}.
export const examples = () => comparisons;

export async function ask(values, model) {
  const [rows, columns] = readSides(values);
  const wanted = Number(values.dimensions);
  const asked = { model: model.id, dimensions: wanted < model.width ? wanted : undefined }; // undefined: all
  const requests = requestsOf(rows, columns, asked);
  const [left, right = left] = await Promise.all(requests.map(embed));
  const matrix = {
    title: say.matrix(model.id, left[0].length),
    rows: rows.texts,
    columns: columns.texts,
    cosines: left.map((vector) => right.map((other) => dot(vector, other))),
  };
  return {
    show: () => showMatrix(matrix),
    said: () => say.compared,
    code: {
      curl: requests.map((request) => curlOf(request, base(), hasKey())).join("\n"),
      python: pythonOfComparison([rows, columns], asked, base(), hasKey()),
    },
  };
}

// {texts, role} of the rows and of the columns. Throws a Refusal for none, or too many.
function readSides(values) {
  const rows = { texts: linesOf(values.rows), role: values.rows_role ?? "query" };
  const others = linesOf(values.columns);
  const columns = { texts: others.length ? others : rows.texts, role: values.columns_role ?? "query" };
  if (!rows.texts.length) throw new Refusal(say.noTexts);
  if (Math.max(rows.texts.length, columns.texts.length) > MOST) throw new Refusal(say.tooManyTexts(MOST));
  return [rows, columns];
}

// One for each side; for the rows alone where the columns are the same texts in the same role.
function requestsOf(rows, columns, { model, dimensions }) {
  const isSame = columns.texts === rows.texts && columns.role === rows.role;
  return (isSame ? [rows] : [rows, columns]).map(({ texts, role }) => ({
    path: "v1/embeddings",
    body: { model, input: texts, dimensions, input_type: role },
  }));
}

const embed = async ({ path, body }) => (await post(path, body)).data.map((entry) => entry.embedding);
const linesOf = (text = "") => text.split("\n").map((line) => line.trim()).filter(Boolean);
const dot = (one, other) => one.reduce((sum, value, place) => sum + value * other[place], 0);
