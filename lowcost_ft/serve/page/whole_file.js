// A whole file: the chosen models answer each row of a CSV file.

import { $, element, listed, say } from "./elements.js";
import { answersFor, chosen, FIELD_NAMES, neededFields, server } from "./asking.js";
import { csvLine, readCsv } from "./csv.js";

let table = null;
let running = false;
let stopped = false;

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

export function showColumns() {
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
  const most = Math.max(1, Math.min(server.info.max_client_batch_size, 64));
  const bytes = server.info.max_body_bytes / 4;
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
