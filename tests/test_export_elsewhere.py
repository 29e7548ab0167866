"""Exported folders in transformers.js under Node, and in Optimum; `make peers` installs both."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from small_runs import call_recipe, flags
from transformers import AutoTokenizer

import lowcost_ft as ft
from lowcost_ft.commands.main import main
from lowcost_ft.models.onnx_model import load_exported
from lowcost_ft.tasks.heads import find_head

pytestmark = pytest.mark.slow

PEERS = Path(__file__).resolve().parents[1] / "benchmarks" / "peers"
TEXTS = ["anna lives in oslo", "Send the lamp to David Okoye in Nairobi!", "ça va ? 你好"]
CLOSE = {"fp32": 1e-4, "int8": 0.05}
"""How far answers may differ: other versions of ONNX Runtime add in another order, and where a sum
lies between two codes, int8 then takes the other one."""
CASES = {
    # The four kinds of tokenizers.
    "ner-bert": ("ner", "bert"),
    "ner-roberta": ("ner", "roberta"),
    "ner-xlm-roberta": ("ner", "xlm-roberta"),
    "ner-modernbert": ("ner", "modernbert"),
    "text-bert": ("single", "bert"),
    "relation-bert": ("relation", "bert"),
    "question-bert": ("question", "bert"),
}


@pytest.fixture(scope="module", params=CASES)
def exported(request, tmp_path_factory, trained_run, tiny_model, small_files):
    """An exported folder, in float32 and int8."""
    kind, family = CASES[request.param]
    place = tmp_path_factory.mktemp("exported")
    if kind == "question":
        run = place / "run"
        values = {"model_id": tiny_model(family), "output_dir": run, "num_train_epochs": 1}
        values |= {"max_length": 48, "batch_size": 8, **small_files[kind]}
        assert call_recipe("lora_qa", *flags(**values)) == 0
    else:
        run = trained_run(kind, family, epochs=2)
    arguments = ["export", str(run), "--output-dir", str(place / "model")]
    arguments += ["--precision", "fp32,int8", "--max-drift", "1", "--min-speedup", "0"]
    arguments += ["--max-score-drop", "1"]
    assert main(arguments) == 0
    return place / "model"


def run_of(folder):
    return json.loads((folder / "run.json").read_text())


def head_of(folder):
    return find_head(ft.load_predictor(folder).task.head)


def expected_logits(folder, precision, text):
    """Logits of our own reading of the folder, by output."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load_exported(folder, run_of(folder), precision=precision)
    parts = text if isinstance(text, list) else [text]
    inputs = tokenizer(*parts, return_tensors="pt")
    return {name: value[0] for name, value in vars(model(**inputs)).items()}


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "fp32"), ("int8", "q8")])
def test_transformers_js_answers_alike(exported, precision, dtype):
    if not (PEERS / "node_modules").is_dir():
        pytest.skip("transformers.js is not installed: make peers")
    head = head_of(exported)
    texts = TEXTS if len(head.outputs) == 1 else [["Where does Anna live?", "Anna lives in Oslo."]]
    command = ["node", "transformers_js.mjs", str(exported), head.pipeline, dtype]
    done = subprocess.run(
        [*command, json.dumps(texts)], cwd=PEERS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    labels = run_of(exported)["labels"]
    for text, answer in zip(texts, answers, strict=True):
        logits = expected_logits(exported, precision, text)
        if len(head.outputs) == 2:
            assert {"answer", "score"} <= set(answer)
            assert answer["answer"] and answer["answer"].lower() in text[1].lower()
            continue
        scores = logits["logits"].softmax(-1)
        if head.per_text:
            found = {one["label"]: one["score"] for one in answer}
            assert found == pytest.approx(
                dict(zip(labels, scores.tolist(), strict=True)), abs=CLOSE[precision]
            )
            continue
        # Words come back lower-cased and re-spaced, without offsets; tokens without a word, such as
        # special and unknown ones, are left out.
        best = scores.max(-1)
        for token in answer:
            assert token["entity"] == labels[int(best.indices[token["index"]])]
            assert token["score"] == pytest.approx(
                float(best.values[token["index"]]), abs=CLOSE[precision]
            )
        tokenizer = AutoTokenizer.from_pretrained(exported)
        ids, special = tokenizer(text)["input_ids"], set(tokenizer.all_special_ids)
        left_out = set(range(len(ids))) - {token["index"] for token in answer}
        for place in left_out:
            assert ids[place] in special or not tokenizer.decode([ids[place]]).strip()


@pytest.mark.parametrize("file", ["onnx/model.onnx", "onnx/model_quantized.onnx"])
def test_optimum_answers_alike(exported, file):
    python = PEERS / ".venv" / "bin" / "python"
    if not python.is_file():
        pytest.skip("Optimum is not installed: make peers")
    head = head_of(exported)
    kind = head.auto_class.replace("AutoModel", "ORTModel")
    texts = TEXTS if len(head.outputs) == 1 else [["Where does Anna live?", "Anna lives in Oslo."]]
    command = [str(python), "optimum_onnx.py", str(exported), kind, file, json.dumps(texts)]
    environment = {"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=PEERS, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    precision = "fp32" if file == "onnx/model.onnx" else "int8"
    for text, answer in zip(texts, json.loads(done.stdout.splitlines()[-1]), strict=True):
        expected = expected_logits(exported, precision, text)
        assert set(answer) == set(expected)
        for name, logits in expected.items():
            gap = (torch.tensor(answer[name]) - logits).abs().max()
            assert gap <= CLOSE[precision]
