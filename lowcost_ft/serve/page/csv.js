// Files of comma-separated values.

export function readCsv(text) {
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
export const csvLine = (cells) => cells.map((value) => csvCell(String(value ?? ""))).join(",");
