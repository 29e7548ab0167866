"""A folder that a recipe wrote works in plain peft and transformers, as its README says."""

import json
import re

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, AutoPeftModelForTokenClassification
from small_runs import call_recipe, flags
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

import lowcost_ft.pipeline.save
from lowcost_ft.pipeline.load_predictor import load_predictor

AUTO = {
    ("ner", "lora"): AutoPeftModelForTokenClassification,
    ("ner", "full"): AutoModelForTokenClassification,
    ("classification", "lora"): AutoPeftModelForSequenceClassification,
    ("classification", "full"): AutoModelForSequenceClassification,
}
CASES = [
    ("ner", "bert", "lora"),
    ("ner", "bert", "full"),
    ("ner", "llama", "lora"),
    ("single", "bert", "lora"),
    ("single", "gpt2", "lora"),
    ("single", "llama", "full"),
    ("multi", "bert", "lora"),
    ("number", "llama", "lora"),
]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request, tmp_path_factory, tiny_model, small_files):
    """A run of 3 steps: its folder, its record, and the model in memory as it was saved."""
    kind, family, method = request.param
    held = {}

    def save_model(model, tokenizer, folder, **options):
        held["model"] = model.eval()
        return save(model, tokenizer, folder, **options)

    save = lowcost_ft.pipeline.save.save_model
    folder = tmp_path_factory.mktemp("case") / "run"
    arguments = flags(
        model_id=tiny_model(family),
        output_dir=folder,
        method=method,
        max_steps=3,
        max_length=48,
        **small_files[kind],
    )
    name = "lora_ner" if kind == "ner" else "lora_classification"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lowcost_ft.pipeline.save, "save_model", save_model)
        assert call_recipe(name, *arguments) == 0
    return folder, json.loads((folder / "run.json").read_text()), held["model"]


def settings_of(run):
    """What an adapter folder, which has no config.json, must be told."""
    if run["method"] == "full":
        return {}
    labels = run["labels"]
    settings = {"num_labels": 1}
    if run["problem_type"] != "regression":
        settings = {
            "num_labels": len(labels),
            "id2label": dict(enumerate(labels)),
            "label2id": {label: index for index, label in enumerate(labels)},
        }
    if run["problem_type"]:
        settings["problem_type"] = run["problem_type"]
    if run["pad_token_id"] is not None:
        settings["pad_token_id"] = run["pad_token_id"]
    return settings


def test_weights_are_as_readable_as_the_other_files(trained_run):
    folder = trained_run("ner", "bert")
    modes = {file.stat().st_mode for file in folder.iterdir() if file.is_file()}
    assert len(modes) == 1


def test_plain_loading_gives_identical_logits(case):
    folder, run, trained = case
    auto = AUTO[run["task"], run["method"]]
    plain = auto.from_pretrained(str(folder), **settings_of(run)).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["where is my order ?", "chen wei lives in red river", "hello"]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    ours = load_predictor(folder, keep_adapter=True).model
    with torch.no_grad():
        expected = trained(**inputs).logits
        # The kernels round by where in memory a file's weights come to lie: not to the last bit.
        torch.testing.assert_close(plain(**inputs).logits, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(ours(**inputs).logits, expected, rtol=1e-5, atol=1e-6)
    # The weights are, though.
    weights = {n: p for n, p in trained.state_dict().items() if ".original_module." not in n}
    reloaded = plain.state_dict()
    assert [n for n, p in weights.items() if not torch.equal(p, reloaded[n])] == []


def test_the_code_in_the_model_card_runs(case, monkeypatch, capsys):
    folder, run, _ = case
    text = (folder / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "lowcost_ft" not in code
    monkeypatch.chdir(folder)
    namespace = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert capsys.readouterr().out
    predictor = load_predictor(folder)
    if run["task"] == "ner":
        words = namespace["words"]
        (answer,) = predictor([" ".join(words)])
        tags = [
            namespace["model"].config.id2label[namespace["tags"][index]]
            for index in range(len(words))
        ]
        begun = [(word, tag[2:]) for word, tag in zip(words, tags, strict=True) if tag[0] == "B"]
        found = [(entity["text"].split()[0], entity["label"]) for entity in answer["entities"]]
        assert found == begun
    else:
        scores = np.array(namespace["scores"].tolist()).reshape(-1)
        (answer,) = predictor(["Where is my parcel?"])
        if run["problem_type"] == "single_label_classification":
            assert answer["label"] == run["labels"][int(scores.argmax())]
            assert answer["score"] == pytest.approx(scores.max(), abs=1e-5)
        elif run["problem_type"] == "regression":
            assert answer["score"] == pytest.approx(scores[0], abs=1e-5)
        else:
            applying = scores[scores >= np.array(run["thresholds"])]
            assert answer["score"] == pytest.approx(sorted(applying)[::-1], abs=1e-5)


def test_a_pipeline_predicts_what_the_run_predicted(case):
    folder, run, _ = case
    if run["task"] == "ner":
        answers = pipeline("token-classification", str(folder), model_kwargs=settings_of(run))(
            "chen wei lives in red river"
        )
        labels = {"O", *run["labels"]}
        assert all(answer["entity"] in labels for answer in answers)
        return
    predict = pipeline("text-classification", str(folder), model_kwargs=settings_of(run))
    for line in (folder / "predictions.jsonl").read_text().splitlines()[:5]:
        row = json.loads(line)
        if run["problem_type"] == "multi_label_classification":
            found = predict(row["text"], top_k=None)
            least = dict(zip(run["labels"], run["thresholds"], strict=True))
            chosen = {i["label"]: i["score"] for i in found if i["score"] >= least[i["label"]]}
            expected = dict(zip(row["label"], row["score"], strict=True))
            assert chosen == pytest.approx(expected, abs=1e-5)
            continue
        (found,) = predict(row["text"])
        assert found["score"] == pytest.approx(row["score"], abs=1e-5)
        assert run["problem_type"] == "regression" or found["label"] == row["label"]


def test_a_model_folder_may_be_a_link_and_have_a_relative_path(
    tmp_path, tiny_model, small_files, monkeypatch
):
    link = tmp_path / "link"
    link.symlink_to(tiny_model("bert"))
    values = {"model_id": "./link/", "output_dir": tmp_path / "run", "max_length": 48}
    monkeypatch.chdir(tmp_path)
    assert call_recipe("lora_ner", *flags(**values, max_steps=2, **small_files["ner"])) == 0
    monkeypatch.chdir("/")
    link.unlink()
    assert load_predictor(tmp_path / "run")(["anna lives in oslo"])


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_training_without_dropout_does_not_switch_it_off_for_the_next(
    tmp_path, tiny_model, small_files, family
):
    """The saved configuration is that of the checkpoint, but for the labels."""
    own = AutoConfig.from_pretrained(tiny_model(family)).to_dict()
    values = {"model_id": tiny_model(family), "output_dir": tmp_path, "method": "full"}
    values |= {"max_steps": 1, "max_length": 48, "dropout": 0.0, **small_files["single"]}
    assert call_recipe("lora_classification", *flags(**values)) == 0
    saved = AutoConfig.from_pretrained(tmp_path).to_dict()
    told = {name for name in own if "drop" in name}
    assert len(told) > 2 and any(own[name] for name in told)
    assert {name: saved[name] for name in told} == {name: own[name] for name in told}
