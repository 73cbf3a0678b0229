// A matrix of cosines: a row for each text of one side, a column for each of the other.

import { make, part } from "./dom.js";
import { say, score } from "./strings.js";

// `rows` and `columns` are texts; `cosines` has a list for each row.
export function showMatrix({ title, rows, columns, cosines }) {
  const whole = make("section");
  const box = make("div", undefined, { class: "scroll", tabindex: 0, role: "region", "aria-label": title });
  const table = make("table"), head = make("thead"), top = make("tr"), body = make("tbody");
  top.append(make("td"), ...columns.map((text) => header(text, "col")));
  head.append(top);
  body.append(...rows.map((text, row) => line(text, cosines[row], columns === rows ? row : -1)));
  table.append(head, body);
  box.append(table);
  whole.append(make("h2", title), box);
  part("matrix").replaceChildren(whole);
  part("matrix").hidden = false;
}

// `itself` is the column that has the row's own text, which is no neighbour of itself.
function line(text, cosines, itself) {
  const others = cosines.filter((_, column) => column !== itself);
  const best = others.length > 1 ? Math.max(...others) : Infinity;
  const row = make("tr");
  row.append(header(text, "row"), ...cosines.map((value, column) => cell(value, column !== itself && value === best)));
  return row;
}

function header(text, scope) {
  const node = make("th", undefined, { scope });
  node.append(make("span", text, { title: text }));
  return node;
}

function cell(value, isBest) {
  const node = make("td");
  node.append(make(isBest ? "strong" : "span", score(value)));
  if (isBest) node.append(make("span", say.nearest, { class: "spoken" }));
  node.style.setProperty("--heat", Math.min(Math.max(value, 0), 1));
  return node;
}
