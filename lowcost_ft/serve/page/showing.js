// Answers of the models as parts of the page.
// Offsets of answers count characters (code points); a string of JavaScript counts UTF-16 units,
// so texts are cut as arrays of characters.

import { element, listed, percent } from "./elements.js";

// Labels get hues in the order in which they appear, each far from those before it.
const hues = new Map();
function hueOf(label) {
  if (!hues.has(label)) hues.set(label, Math.round(210 + 137.5 * hues.size) % 360);
  return hues.get(label);
}

function marked(text, spans) {
  const characters = Array.from(text);
  const shown = element("p", null, { class: "shown" });
  let place = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    if (span.start < place) continue;
    shown.append(characters.slice(place, span.start).join(""));
    const mark = element("mark", characters.slice(span.start, span.end).join(""));
    mark.style.setProperty("--hue", hueOf(span.label));
    mark.append(element("span", `${span.label} ${percent(span.score)}`, { class: "tag" }));
    shown.append(mark);
    place = span.end;
  }
  shown.append(characters.slice(place).join(""));
  return shown;
}

function entitiesShown(answer) {
  const parts = [marked(answer.text, answer.entities)];
  parts.push(answer.entities.length
    ? listed("Entities", ["Type", "Text", "Score", "Characters"], answer.entities.map((one) => [one.label ?? "", one.text, percent(one.score), `${one.start}–${one.end}`]), [2, 3])
    : element("p", "No entities.", { class: "meta" }));
  if (answer.relations) {
    const named = Object.fromEntries(answer.entities.map((one) => [one.id, one.text]));
    parts.push(answer.relations.length
      ? listed("Relations", ["From", "Relation", "To", "Score"], answer.relations.map((one) => [named[one.head], one.label, named[one.tail], percent(one.score)]), [3])
      : element("p", "No relations.", { class: "meta" }));
  }
  return parts;
}

function classesShown(answer) {
  if (answer.label === undefined) return [element("p", answer.score === null ? "No answer." : String(Number(answer.score.toPrecision(6))), { class: "class" })];
  const labels = [].concat(answer.label ?? []);
  const scores = [].concat(answer.score ?? []);
  if (!labels.length) return [element("p", "No label.", { class: "meta" })];
  return labels.flatMap((label, index) => [
    element("p", label, { class: "class" }),
    element("p", percent(scores[index]), { class: "meta" }),
    element("meter", null, { min: "0", max: "1", value: String(scores[index]), "aria-label": `score of ${label}` }),
  ]);
}

export function answerShown(answer, row) {
  if (answer.entities) return entitiesShown(answer);
  if (answer.answer !== undefined && answer.start !== undefined) {
    const found = element("p", answer.answer || "The text does not answer this.", { class: "class" });
    const spans = answer.answer ? [{ start: answer.start, end: answer.end, label: "answer", score: answer.score }] : [];
    return [found, marked(row.context ?? "", spans)];
  }
  if (answer.label !== undefined || answer.score !== undefined) return classesShown(answer);
  return [element("pre", JSON.stringify(answer, null, 1))];
}
