"use strict";

// The page of a server: asks /info for the models and /answers for what they say.
// Offsets of answers count characters (code points); a string of JavaScript counts UTF-16 units,
// so texts are cut as arrays of characters.

const $ = (id) => document.getElementById(id);
const FIELD_NAMES = { text: "Text", text_pair: "Second text", question: "Question", context: "Text that the question is about" };
let info = null;
let key = "";
let table = null;
const typed = {};
let running = false;
let stopped = false;

function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  for (const part of [].concat(content ?? [])) made.append(part);
  return made;
}

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

async function ask(path, body) {
  for (let attempt = 0; ; attempt += 1) {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const options = body === undefined ? { headers } : {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    };
    let response;
    try {
      response = await fetch(path, options);
    } catch {
      throw new Error("The server does not answer. Is it still running?");
    }
    if (response.ok) return response.json();
    if ((response.status === 429 || response.status === 503) && attempt < 20) {
      await pause(Number(response.headers.get("Retry-After")) || 1);
      continue;
    }
    const told = await response.json().catch(() => ({}));
    const error = new Error(told.error || `The server answers with ${response.status}.`);
    error.status = response.status;
    throw error;
  }
}

async function begin() {
  try {
    info = await ask("info");
    for (let waited = 0; !info.ready && waited < 300; waited += 1) {
      say("The server is loading its models …");
      await pause(1);
      info = await ask("info");
    }
  } catch (error) {
    $("key-form").hidden = error.status !== 401;
    const refused = key ? "This server does not know this key." : "This server asks for a key.";
    say(error.status === 401 ? refused : error.message, true);
    if (error.status === 401) $("key").focus();
    return;
  }
  $("key-form").hidden = true;
  if (!info.models.length) return say("No model is loaded.", true);
  const legend = $("models").querySelector("legend");
  $("models").replaceChildren(legend);
  info.models.forEach((model, number) => {
    const box = element("input", null, { type: "checkbox", name: "model", value: model.name });
    box.checked = number < 3;
    box.addEventListener("change", showFields);
    $("models").append(element("label", [box, `${model.name} (${model.task.replaceAll("_", " ")})`]));
  });
  $("ask").hidden = false;
  $("batch").hidden = false;
  showFields();
  say(info.models.length === 1 ? "One model is loaded." : `${info.models.length} models are loaded.`);
}

const chosen = () => [...document.querySelectorAll("input[name=model]:checked")]
  .map((box) => info.models.find((model) => model.name === box.value));

const neededFields = () => [...new Set(chosen().flatMap((model) => model.input_fields))];

function showFields() {
  for (const area of document.querySelectorAll("#fields textarea")) typed[area.name] = area.value;
  $("fields").replaceChildren();
  for (const name of neededFields()) {
    const id = `field-${name}`;
    const area = element("textarea", null, { id, name, rows: "3", spellcheck: "false" });
    const example = chosen().find((model) => model.input_fields.includes(name)).example[name];
    area.value = typed[name] ?? example ?? "";
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        $("ask").requestSubmit();
      }
    });
    $("fields").append(element("label", FIELD_NAMES[name] ?? name, { for: id, class: "field" }), area);
  }
  $("send").disabled = !chosen().length;
  showColumns();
}

// Models with other fields are asked in requests of their own.
async function answersFor(rows, models) {
  const groups = new Map();
  for (const model of models) {
    const fields = model.input_fields.join();
    groups.set(fields, [...(groups.get(fields) ?? []), model]);
  }
  const answers = {};
  const notes = {};
  await Promise.all([...groups.values()].map(async (group) => {
    const fields = group[0].input_fields;
    const inputs = rows.map((row) => (fields.length === 1 ? row[fields[0]] : Object.fromEntries(fields.map((name) => [name, row[name]]))));
    const found = await ask("answers", { inputs, models: group.map((model) => model.name) });
    Object.assign(answers, found.answers);
    Object.assign(notes, found.notes);
  }));
  return { answers, notes };
}

const percent = (score) => (score === null || score === undefined ? "" : `${(100 * score).toFixed(1)}%`);

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

function listed(caption, names, rows, numbers = []) {
  const cell = (kind, value, index) => element(kind, value, numbers.includes(index) ? { class: "number" } : {});
  const head = element("tr", names.map((name, index) => {
    const made = cell("th", name, index);
    made.scope = "col";
    return made;
  }));
  return element("div", element("table", [
    element("caption", caption, { class: "meta" }),
    element("thead", head),
    element("tbody", rows.map((row) => element("tr", row.map((value, index) => cell("td", value, index))))),
  ]), { class: "wide" });
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

function answerShown(answer, row) {
  if (answer.entities) return entitiesShown(answer);
  if (answer.answer !== undefined && answer.start !== undefined) {
    const found = element("p", answer.answer || "The text does not answer this.", { class: "class" });
    const spans = answer.answer ? [{ start: answer.start, end: answer.end, label: "answer", score: answer.score }] : [];
    return [found, marked(row.context ?? "", spans)];
  }
  if (answer.label !== undefined || answer.score !== undefined) return classesShown(answer);
  return [element("pre", JSON.stringify(answer, null, 1))];
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  begin();
});

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  if ($("send").disabled) return; // Ctrl + Enter comes here without the button.
  const row = Object.fromEntries(neededFields().map((name) => [name, $(`field-${name}`).value]));
  $("send").disabled = true;
  say("Asking …");
  const began = performance.now();
  // One model that refuses the text does not hide what the others say.
  const models = chosen();
  const found = await Promise.allSettled(models.map((model) => answersFor([row], [model])));
  $("results").replaceChildren(...models.map((model, index) => {
    const title = element("h2", model.name);
    const result = found[index];
    if (result.status === "rejected") return element("article", [title, element("p", result.reason.message, { class: "bad" })]);
    const answer = result.value.answers[model.name][0];
    const notes = [...result.value.notes[model.name]];
    if (answer.unlike_training) notes.push("This text is unlike the texts that the model was trained on.");
    return element("article", [title, ...answerShown(answer, row), ...notes.map((note) => element("p", note, { class: "meta" }))]);
  }));
  $("send").disabled = !chosen().length;
  const failed = found.filter((result) => result.status === "rejected").length;
  say(failed ? `${failed} of ${models.length} models did not answer.` : `Answered in ${((performance.now() - began) / 1000).toFixed(2)} s.`, failed > 0);
});

// --- A whole file

function readCsv(text) {
  const first = text.slice(0, text.search(/\r|\n|$/));
  const counts = [",", ";", "\t"].map((mark) => [first.split(mark).length, mark]).sort((a, b) => b[0] - a[0]);
  const separator = counts[0][1];
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  for (let place = 0; place < text.length; place += 1) {
    const character = text[place];
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[place + 1] === '"') { cell += '"'; place += 1; } else quoted = false;
    } else if (character === '"' && cell === "") quoted = true;
    else if (character === separator) { row.push(cell); cell = ""; }
    else if (character === "\n" || character === "\r") {
      if (character === "\r" && text[place + 1] === "\n") place += 1;
      row.push(cell); rows.push(row); row = []; cell = "";
    } else cell += character;
  }
  if (quoted) throw new Error("A quote in the file is never closed.");
  if (cell !== "" || row.length) { row.push(cell); rows.push(row); }
  const filled = rows.filter((cells) => cells.some((value) => value !== ""));
  if (filled.length < 2) throw new Error("The file has no rows below its header.");
  const wrong = filled.findIndex((cells) => cells.length !== filled[0].length);
  if (wrong > 0) throw new Error(`Row ${wrong} has ${filled[wrong].length} cells; the header has ${filled[0].length}.`);
  return { names: filled[0], rows: filled.slice(1) };
}

const csvCell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
const csvLine = (cells) => cells.map((value) => csvCell(String(value ?? ""))).join(",");

$("csv").addEventListener("change", async () => {
  table = null;
  const file = $("csv").files[0];
  if (file) {
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
      table = readCsv(text);
      say(`${file.name}: ${table.rows.length} rows.`);
    } catch (error) {
      say(error instanceof TypeError ? "The file is not UTF-8: save it as UTF-8." : error.message, true);
    }
  }
  showColumns();
});

function showColumns() {
  const old = Object.fromEntries([...document.querySelectorAll("#columns select")].map((select) => [select.id, select.selectedOptions[0].textContent]));
  $("columns").replaceChildren();
  $("run").disabled = running || !table || !chosen().length;
  if (!table) return;
  for (const name of neededFields()) {
    const id = `column-${name}`;
    const select = element("select", table.names.map((column, index) => element("option", column, { value: String(index) })), { id });
    const same = table.names.findIndex((column) => column.trim().toLowerCase() === name);
    const before = table.names.indexOf(old[id]);
    select.value = String(Math.max(0, before < 0 ? same : before));
    $("columns").append(element("label", `Column for: ${FIELD_NAMES[name] ?? name}`, { for: id, class: "field" }), select);
  }
}

function flat(answer) {
  const kept = Object.entries(answer).filter(([name]) => !["text", "text_pair", "question", "scores"].includes(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, value !== null && typeof value === "object" ? JSON.stringify(value) : value]));
}

// The answers to some rows, and whether a text lost its end. A row that a model refuses says why;
// the others are answered.
async function answeredRows(rows, models) {
  try {
    const { answers, notes } = await answersFor(rows, models);
    const found = rows.map((_, index) => models.map((model) => flat(answers[model.name][index])));
    return { found, cut: Object.values(notes).some((own) => own.length) };
  } catch (error) {
    if (error.status !== 413 && error.status !== 422) throw error;
    if (rows.length === 1 && models.length === 1) return { found: [[{ error: error.message }]], cut: false };
    const parts = [];
    if (models.length > 1) {
      for (const model of models) parts.push(await answeredRows(rows, [model]));
      return { found: rows.map((_, index) => parts.map((part) => part.found[index][0])), cut: parts.some((part) => part.cut) };
    }
    for (const row of rows) parts.push(await answeredRows([row], models));
    return { found: parts.flatMap((part) => part.found), cut: parts.some((part) => part.cut) };
  }
}

// Pieces that fit into one request.
function* pieces(rows) {
  const most = Math.max(1, Math.min(info.max_client_batch_size, 64));
  const bytes = info.max_body_bytes / 4;
  let piece = [];
  let size = 0;
  for (const row of rows) {
    const own = 8 + 3 * Object.values(row).join("").length;
    if (piece.length && (piece.length >= most || size + own > bytes)) {
      yield piece;
      piece = [];
      size = 0;
    }
    piece.push(row);
    size += own;
  }
  if (piece.length) yield piece;
}

$("run").addEventListener("click", async () => {
  // What is chosen meanwhile is for the next time.
  const asked = table;
  const models = chosen();
  const fields = neededFields();
  const columns = Object.fromEntries(fields.map((name) => [name, Number($(`column-${name}`).value)]));
  const rows = asked.rows.map((cells) => Object.fromEntries(fields.map((name) => [name, cells[columns[name]]])));
  const found = [];
  let cut = false;
  running = true;
  stopped = false;
  $("run").disabled = true;
  $("stop").hidden = false;
  $("download").hidden = true;
  $("progress").value = 0;
  $("progress").hidden = false;
  try {
    for (const piece of pieces(rows)) {
      if (stopped) break;
      const answered = await answeredRows(piece, models);
      found.push(...answered.found);
      cut ||= answered.cut;
      $("progress").value = found.length / rows.length;
      say(`${found.length} of ${rows.length} rows answered.`);
    }
    offer(asked, models, found);
    const refused = found.filter((row) => row.some((answer) => answer.error !== undefined)).length;
    const told = [stopped ? `Stopped after ${found.length} of ${rows.length} rows.` : `All ${rows.length} rows answered.`];
    if (refused) told.push(`Refused: ${refused}, see the column error.`);
    if (cut) told.push("Some texts were too long and lost their end.");
    say(told.join(" "), refused > 0);
  } catch (error) {
    offer(asked, models, found);
    say(`After ${found.length} rows: ${error.message}`, true);
  }
  running = false;
  $("stop").hidden = true;
  $("progress").hidden = true;
  $("run").disabled = !table || !chosen().length;
});

$("stop").addEventListener("click", () => { stopped = true; });

function offer(asked, models, found) {
  if (!found.length) return;
  const columns = models.flatMap((model, index) => [...new Set(found.flatMap((row) => Object.keys(row[index])))].map((name) => [index, name]));
  const heads = columns.map(([index, name]) => (models.length === 1 ? name : `${models[index].name}_${name}`));
  const names = [...asked.names, ...heads.map((head) => (asked.names.includes(head) ? `predicted_${head}` : head))];
  const lines = found.map((row, number) => [...asked.rows[number], ...columns.map(([index, name]) => row[index][name])]);
  const text = [names, ...lines].map(csvLine).join("\r\n") + "\r\n";
  URL.revokeObjectURL($("download").href);
  $("download").href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  $("download").download = "answers.csv";
  $("download").hidden = false;
  const shown = lines.slice(0, 20).map((cells) => cells.map((value) => String(value ?? "").slice(0, 200)));
  $("preview").hidden = false;
  $("preview").replaceChildren(listed(`The first ${shown.length} rows`, names, shown));
}

begin();
