"""`lowcost-ft compress --layers`: what was cut learns from what it was before."""

import json
import shutil

import pytest
from small_runs import call_recipe, flags, relation_rows, text_rows, write_jsonl

import lowcost_ft as ft
from lowcost_ft.commands.main import main
from lowcost_ft.record.run_file import load_run


def changed_run(run, folder, **changes):
    """A copy of a run with another record."""
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text()) | changes
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize("kind", ["single", "ner", "relation"])
def test_a_model_that_is_cut_learns_from_the_whole_one(
    kind, trained_run, small_files, tmp_path, capsys
):
    run, target = trained_run(kind, "bert"), tmp_path / "small"
    rows = [{"text": "refund my card"}, {"text": "hello"}]
    texts = write_jsonl(tmp_path / "texts.jsonl", relation_rows(2) if kind == "relation" else rows)
    capsys.readouterr()
    arguments = ["compress", str(run), "--output-dir", str(target), "--json", "--layers", "1"]
    assert main([*arguments, "--unlabelled-file", texts]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    healing = report["healing"]
    assert not report["to_train"] and len(report["layers"]) == 1
    assert healing["score_after"] == report["drift"]["score_after"] > healing["score_before"]
    assert healing["unlabelled_texts"] == 2 and healing["rows"] > 0 < healing["epochs"]
    assert f"healing: {healing['metric']} {healing['score_before']:.4f} on the" in printed.err
    # The folder answers as was told, and is a model like any other.
    record = json.loads((target / "run.json").read_text())
    assert record["compress"]["healing"] == healing
    assert record["evaluation"]["validation"][healing["metric"]] == healing["score_after"]
    assert record["calibration"].get("reason") != "the model was cut since"
    found = ft.load_predictor(target).evaluate(small_files[kind]["validation_file"])
    assert found[healing["metric"]] == pytest.approx(healing["score_after"])
    card = (target / "README.md").read_text()
    assert str(tmp_path) not in card
    assert f"- Trained again on {healing['rows']:,} rows and 2 texts, with the model before" in card
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small", "texts.jsonl"]


def test_a_model_that_is_asked_by_a_prompt_learns_by_the_same_prompt(
    tiny_model, small_files, tmp_path, monkeypatch, capsys
):
    base, run = tmp_path / "base", tmp_path / "run"
    shutil.copytree(tiny_model("llama"), base)
    file = base / "tokenizer_config.json"
    chat = {"chat_template": "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n"}
    chat["chat_template"] += "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    file.write_text(json.dumps(json.loads(file.read_text()) | chat))
    prompt = {"prompt_template": "{source} Topic:", "chat_template": "plain"}
    short = {"batch_size": 8, "num_train_epochs": 1, "max_length": 48, **small_files["single"]}
    first = flags(model_id=base, output_dir=run, **prompt, **short)
    assert call_recipe("lora_classification", *first) == 0
    read = []

    def noted(folder):
        read.append(load_run(folder))
        return read[-1]

    monkeypatch.setattr("lowcost_ft.compress.healing.load_run", noted)
    arguments = ["compress", str(run), "--output-dir", str(tmp_path / "small"), "--layers", "2"]
    assert main(arguments) == 0
    healed = json.loads((tmp_path / "small" / "run.json").read_text())
    assert read[0]["prompt"] == load_run(run)["prompt"] == healed["prompt"]
    assert healed["compress"]["healing"]["rows"] == 80
    # The recipe, too, goes on with the teacher's head if it reads the same prompt.
    options = flags(teacher=run, output_dir=tmp_path / "student", **short)
    options += ["--prompt-template", prompt["prompt_template"]]
    capsys.readouterr()
    assert call_recipe("distill_classification", *options) == 2
    assert "add --chat-template 'plain'" in " ".join(capsys.readouterr().err.split())
    assert call_recipe("distill_classification", *options, "--chat-template", "plain") == 0
    assert "already has a head (score): training goes on" in capsys.readouterr().out


def test_healing_is_the_same_each_time(trained_run, tmp_path):
    short = {"num_train_epochs": 1}
    run = trained_run("single", "bert")
    record = json.loads((run / "run.json").read_text())
    run = changed_run(run, tmp_path / "run", config=record["config"] | short)
    for name in ("one", "two"):
        ft.compress_run(run, tmp_path / name, layers=1, say=lambda line: None)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_what_cannot_be_healed_is_refused_before_anything_is_cut(trained_run, tmp_path, capsys):
    run, target = trained_run("single", "bert"), tmp_path / "out"
    words = ["--output-dir", str(target), "--layers", "1"]
    number = changed_run(run, tmp_path / "number", problem_type="regression")
    assert main(["compress", str(number), *words]) == 2
    assert "choices between classes, and this run makes none; add --no-heal" in (
        capsys.readouterr().err
    )
    record = json.loads((run / "run.json").read_text())
    short = {"num_train_epochs": 1}
    files = dict.fromkeys(("train_file", "validation_file", "test_file"))
    data = {"data": record["data"] | {"in_python": True}}
    own = changed_run(run, tmp_path / "own", config=record["config"] | files | short, **data)
    assert main(["compress", str(own), *words]) == 2
    assert "train=rows, validation=rows" in capsys.readouterr().err
    missing = ["--unlabelled-file", str(tmp_path / "none.txt")]
    assert main(["compress", str(run), *words, *missing]) == 2
    assert "none.txt: no such file" in capsys.readouterr().err
    assert not target.exists()
    rows = {"train": text_rows(24), "validation": text_rows(12, seed=1)}
    report = ft.compress_run(own, target, layers=2, **rows, say=lambda line: None)
    assert report.healing is not None and report.healing.rows == 24


def test_scores_before_the_cut_are_by_the_thresholds_of_the_run(trained_run, tmp_path, capsys):
    run = trained_run("multi", "bert")
    record = json.loads((run / "run.json").read_text())
    # At these, the run gives every label to every text; the healed model chooses others.
    short = record["config"] | {"num_train_epochs": 1}
    run = changed_run(run, tmp_path / "run", config=short, thresholds=[0.0, 0.0, 0.0])
    report = ft.compress_run(run, tmp_path / "small", layers=2, say=lambda line: None)
    healed = json.loads((tmp_path / "small" / "run.json").read_text())
    assert healed["thresholds"] != [0.0, 0.0, 0.0]
    given = ft.load_predictor(run).evaluate(record["config"]["validation_file"])
    assert report.drift.score_before == pytest.approx(given["micro_f1"])
    assert report.drift.changed > 0
    assert report.healing.score_after == healed["evaluation"]["validation"]["micro_f1"]


def test_a_model_without_choices_is_not_sent_to_distillation(trained_run, tmp_path, capsys):
    target = tmp_path / "small"
    capsys.readouterr()
    words = ["--output-dir", str(target), "--layers", "2", "--no-heal"]
    assert main(["compress", str(trained_run("number", "bert")), *words]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"any recipe of the task with --model-id {target} --method full" in told
    assert "distillation" not in told
