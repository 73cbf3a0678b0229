// Texts compared with each other, or with others, by one model or by two: the form, and what it asks.

import { Refusal, ask as post, base, hasKey } from "./api.js";
import { offerChoices, offerField, part } from "./dom.js";
import { comparisons } from "./examples.js";
import { dimensionChoices, dimensionsUpTo, firstDimension, isBaseOf } from "./facts.js";
import { showMatrices } from "./matrix.js";
import { curlOf, pythonOfComparison } from "./snippets.js";
import { say } from "./strings.js";

const MOST = 50; // texts on a side: more are no matrix to read

export function offer(models) {
  const [model, ...others] = models;
  const sizes = dimensionsUpTo(model.width, model);
  offerChoices(part("compare-dimensions"), dimensionChoices(sizes), firstDimension(sizes));

  const parent = others.find((other) => isBaseOf(model, other));
  const names = others.map((other) => [other.id, other === parent ? say.baseModel(other.id) : other.id]);
  offerChoices(part("beside"), [["", say.noModel], ...names], parent?.id);
  offerField(part("beside"), others.length > 0);

  const hasRoles = models.some((each) => each.has_roles !== false); // null: not known until it is loaded
  for (const id of ["rows-role", "columns-role"]) offerField(part(id), hasRoles);
}

// Three to begin with: {label, values}.
export const examples = () => comparisons;

export async function ask(values, models) {
  const [rows, columns] = readSides(values);
  const wanted = Number(values.dimensions);
  const asked = models
    .filter((model, place) => place === 0 || model.id === values.beside)
    .map((model) => ({ model: model.id, dimensions: dimensionsOf(model, wanted, models[0].width) }));
  const requests = asked.map((each) => requestsOf(rows, columns, each));
  const vectors = await Promise.all(requests.map((ofModel) => Promise.all(ofModel.map(embed))));
  const matrices = vectors.map(([left, right = left], place) => ({
    title: say.matrix(asked[place].model, left[0].length, wanted),
    rows: rows.texts,
    columns: columns.texts,
    cosines: left.map((vector) => right.map((other) => dot(vector, other))),
  }));
  return {
    show: () => showMatrices(matrices),
    said: () => say.compared,
    code: {
      curl: requests.flat().map((request) => curlOf(request, base(), hasKey())).join("\n"),
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

// Those that were chosen; undefined, which is all, where another model was not trained for them, or all were chosen.
function dimensionsOf(model, wanted, all) {
  const isTrained = !model.dimensions.length || model.dimensions.includes(wanted);
  return wanted < all && isTrained && wanted <= (model.width ?? wanted) ? wanted : undefined;
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
