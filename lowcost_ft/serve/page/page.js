// The page of a server: asks for its models, and shows what they say about a text.

import { $, element, say } from "./elements.js";
import { answersFor, ask, chosen, FIELD_NAMES, neededFields, pause, server } from "./asking.js";
import { answerShown } from "./showing.js";
import { showColumns } from "./whole_file.js";

const typed = {};

async function begin() {
  try {
    server.info = await ask("info");
    for (let waited = 0; !server.info.ready && waited < 300; waited += 1) {
      say("The server is loading its models …");
      await pause(1);
      server.info = await ask("info");
    }
  } catch (error) {
    $("key-form").hidden = error.status !== 401;
    const refused = server.key ? "This server does not know this key." : "This server asks for a key.";
    say(error.status === 401 ? refused : error.message, true);
    if (error.status === 401) $("key").focus();
    return;
  }
  $("key-form").hidden = true;
  if (!server.info.models.length) return say("No model is loaded.", true);
  const legend = $("models").querySelector("legend");
  $("models").replaceChildren(legend);
  server.info.models.forEach((model, number) => {
    const box = element("input", null, { type: "checkbox", name: "model", value: model.name });
    box.checked = number < 3;
    box.addEventListener("change", showFields);
    $("models").append(element("label", [box, `${model.name} (${model.task.replaceAll("_", " ")})`]));
  });
  $("ask").hidden = false;
  $("batch").hidden = false;
  showFields();
  say(server.info.models.length === 1 ? "One model is loaded." : `${server.info.models.length} models are loaded.`);
}

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

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  server.key = $("key").value.trim();
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

begin();
