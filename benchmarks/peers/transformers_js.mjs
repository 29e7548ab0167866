// Predicts texts with an exported folder in transformers.js: node transformers_js.mjs FOLDER TASK
// DTYPE TEXTS, where TEXTS is a JSON list. Prints one JSON list: what the pipeline answers to each.
import { basename, dirname, resolve } from "node:path";
import { env, pipeline } from "@huggingface/transformers";

const [folder, task, dtype, texts] = process.argv.slice(2);
env.localModelPath = dirname(resolve(folder));
env.allowRemoteModels = false;
const predict = await pipeline(task, basename(resolve(folder)), { dtype });
const options = {
  "token-classification": { ignore_labels: [] },
  "text-classification": { top_k: null },
}[task];
const answers = [];
for (const text of JSON.parse(texts)) {
  answers.push(Array.isArray(text) ? await predict(...text) : await predict(text, options));
}
console.log(JSON.stringify(answers));
