// Two ranked lists side by side, and how documents move between them. Texts go in as text, never as HTML.

import { make, part } from "./dom.js";
import { cosine, say } from "./strings.js";

const SHOWN = 280;
const SVG = "http://www.w3.org/2000/svg";

export function startRanks() {
  new ResizeObserver(drawLines).observe(part("ranks"));
  part("ranks").addEventListener("pointerover", (event) => markTwins(event.target.closest("[data-id]")?.dataset.id));
  part("ranks").addEventListener("pointerleave", () => markTwins(undefined));
}

// `chosen` and `exact` are answers of the API, the second by all dimensions; null where the first is that already.
export function showRanks(title, chosen, exact) {
  const exactTitle = say.atFullWidth((exact ?? chosen).dimensions);
  part("chosen-title").textContent = exact ? title : exactTitle;
  part("chosen-note").textContent = exact ? say.note(exact.data.length) : "";
  part("chosen").replaceChildren(...entries(chosen, exact));
  part("full-part").hidden = !exact;
  part("ranks").classList.toggle("alone", !exact);
  if (exact) {
    part("full-title").textContent = exactTitle;
    part("full-note").textContent = say.note(chosen.data.length);
    part("full").replaceChildren(...entries(exact, chosen));
  }
  part("ranks").hidden = false;
  drawLines();
}

function entries(answer, other) {
  const places = new Map(other?.data.map((found, place) => [found.id, place]));
  return answer.data.map((found, place) => {
    const entry = make("li", undefined, { "data-id": found.id });
    const head = make("div", undefined, { class: "head" });
    const rank = make("span", `${place + 1}`, { class: "rank", "aria-hidden": "true" });
    head.append(rank, make("span", found.id, { class: "id" }));
    if (other) head.append(movement(places.get(found.id), place, other));
    entry.append(head, make("p", details(found), { class: "quiet" }), ...texts(found));
    return entry;
  });
}

function details(found) {
  const { text, ...rest } = found.fields ?? {};
  const values = Object.values(rest).filter((value) => value !== null);
  return [say.score(cosine(found.score)), ...(found.row_id ? [say.chunk(found.row_id)] : []), ...values].join(" · ");
}

function movement(elsewhere, place, other) {
  const moved = elsewhere - place;
  const isThere = elsewhere !== undefined;
  const sign = moved > 0 ? `+${moved}` : moved < 0 ? `−${-moved}` : say.same;
  const words = isThere ? say.moved(moved) : say.absent(other.data.length);
  const kind = !isThere ? "absent" : moved > 0 ? "up" : moved < 0 ? "down" : "level";
  const badge = make("span", undefined, { class: `move ${kind}`, title: words });
  badge.append(make("span", isThere ? sign : say.outside, { "aria-hidden": "true" }));
  badge.append(make("span", words, { class: "spoken" }));
  return badge;
}

function texts(found) {
  const { text, language } = found.fields ?? {};
  if (!text) return [];
  const lang = /^[a-z]{2,3}$/.test(language ?? "") ? { lang: language } : {};
  const letters = [...text];
  if (letters.length <= SHOWN) return [make("p", text, lang)];
  const whole = make("details");
  whole.append(make("summary", say.wholeText), make("p", text, lang));
  whole.addEventListener("toggle", drawLines);
  return [make("p", `${letters.slice(0, SHOWN).join("")}…`, lang), whole];
}

// A line from each document's place in one list to its place in the other; where lists lie below each other, none.
function drawLines() {
  const box = part("lines"), area = box.getBoundingClientRect();
  const ends = new Map([...part("full").children].map((entry) => [entry.dataset.id, middle(entry, area)]));
  box.replaceChildren();
  if (!area.width || part("full-part").hidden) return;
  [...part("chosen").children].forEach((entry) => {
    const start = middle(entry, area), end = ends.get(entry.dataset.id);
    if (end === undefined) return;
    const line = document.createElementNS(SVG, "path"), half = area.width / 2;
    line.setAttribute("d", `M0 ${start}C${half} ${start} ${half} ${end} ${area.width} ${end}`);
    line.setAttribute("class", entry.querySelector(".move").classList[1]);
    line.dataset.id = entry.dataset.id;
    box.append(line);
  });
}

function middle(entry, area) {
  const head = entry.querySelector(".head").getBoundingClientRect();
  return Math.round(head.top + head.height / 2 - area.top);
}

// The same document in both lists, and its line, stand out under the pointer.
function markTwins(id) {
  for (const node of part("ranks").querySelectorAll("[data-id]")) node.classList.toggle("twin", node.dataset.id === id);
}
