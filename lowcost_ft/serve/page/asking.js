// What is asked of the server, and which models are asked.

export const server = { info: null, key: "" };

export const FIELD_NAMES = { text: "Text", text_pair: "Second text", question: "Question", context: "Text that the question is about" };

export const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

export async function ask(path, body) {
  for (let attempt = 0; ; attempt += 1) {
    const headers = server.key ? { Authorization: `Bearer ${server.key}` } : {};
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

export const chosen = () => [...document.querySelectorAll("input[name=model]:checked")]
  .map((box) => server.info.models.find((model) => model.name === box.value));

export const neededFields = () => [...new Set(chosen().flatMap((model) => model.input_fields))];

// Models with other fields are asked in requests of their own.
export async function answersFor(rows, models) {
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
