// Parts of the page.

export const $ = (id) => document.getElementById(id);

export function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  for (const part of [].concat(content ?? [])) made.append(part);
  return made;
}

export function say(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

export const percent = (score) => (score === null || score === undefined ? "" : `${(100 * score).toFixed(1)}%`);

export function listed(caption, names, rows, numbers = []) {
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
