// Documents of the served table that are near a question: the form, and what it asks.

import { Refusal, ask as post, base, hasKey } from "./api.js";
import { offerChoices, offerField, part } from "./dom.js";
import { questions } from "./examples.js";
import { dimensionChoices, dimensionsUpTo, firstDimension } from "./facts.js";
import { showRanks } from "./ranks.js";
import { curlOf, pythonOfSearch } from "./snippets.js";
import { say } from "./strings.js";

const PATH = "v1/search";

export function offer(model) {
  const { width, by } = model.table;
  const isExact = by === "memory"; // an index has the full width alone, and no funnel
  const sizes = isExact ? dimensionsUpTo(width, model) : [width];
  offerChoices(part("search-dimensions"), dimensionChoices(sizes), firstDimension(sizes));
  part("search-dimensions").onchange = () => offerFunnel(sizes);
  part("first-dimensions").onchange = offerCandidates;
  offerField(part("first-dimensions"), isExact);
  offerField(part("search-role"), model.has_roles);
  offerFunnel(sizes);
}

// A funnel nominates by fewer dimensions than rank.
function offerFunnel(sizes) {
  const select = part("first-dimensions"), former = select.value;
  const fewer = sizes.filter((size) => size < Number(part("search-dimensions").value));
  offerChoices(select, [["", say.noFunnel], ...fewer.map((size) => [size, say.funnelBy(size)])], former);
  offerCandidates();
}

function offerCandidates() {
  offerField(part("candidates"), part("first-dimensions").value !== "");
}

// Three to begin with: {label, values}. `own` are the operator's questions.
export function examples(own) {
  return (own.length ? own : questions).map((query) => ({ label: query, values: { query } }));
}

export async function ask(values, model) {
  if (!values.query) throw new Refusal(say.noQuestion);
  const dimensions = Number(values.dimensions);
  const first = numberOf(values.first_dimensions), candidates = numberOf(values.candidates);
  const exact = { model: model.id, query: values.query, input_type: values.role, k: numberOf(values.k) };
  const chosen = { ...exact, dimensions, first_dimensions: first, candidates };
  const isExact = dimensions === model.table.width && first === undefined;
  const [found, reference] = await Promise.all([post(PATH, chosen), isExact ? null : post(PATH, exact)]);
  const request = { path: PATH, body: chosen };
  const title = first ? say.throughFunnel(first, dimensions) : say.atDimensions(dimensions);
  return {
    show: () => showRanks(title, found, reference),
    said: (ms) => (found.data.length ? say.found(found.data.length, ms) : say.nothing),
    code: { curl: curlOf(request, base(), hasKey()), python: pythonOfSearch(request, base(), hasKey()) },
  };
}

const numberOf = (text) => (text === undefined ? undefined : Number(text));
