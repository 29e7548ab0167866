"""Tasks that the package has never seen: everything works for them without a change to it."""

import json

import find_task
import pytest
import reply_task
from small_runs import same_weights, trained, write_jsonl

import lowcost_ft as ft
from lowcost_ft.commands.main import main
from lowcost_ft.config.tasks import task_names, task_settings
from lowcost_ft.data.feature_cache import feature_key
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class

TASKS = {
    "find": ("bert", find_task.find_rows),
    "reply": ("llama", reply_task.reply_rows),
}
LIMITS = {"max_steps": 6, "batch_size": 4, "max_length": 24, "learning_rate": 1e-2}


def config_of(name, tiny_model, tmp_path, **changes):
    family, make = TASKS[name]
    files = {
        "train_file": write_jsonl(tmp_path / "train.jsonl", make(20)),
        "test_file": write_jsonl(tmp_path / "test.jsonl", make(6, 1)),
    }
    values = {"output_dir": str(tmp_path / "run")} | LIMITS | files | changes
    return ft.RunConfig(task=name, model_id=tiny_model(family), **values)


@pytest.mark.parametrize("name", list(TASKS))
def test_a_run_is_planned_trained_saved_used_scored_and_merged(tmp_path, tiny_model, name, capsys):
    folder, record = trained(config_of(name, tiny_model, tmp_path))
    planned, measured = (record["train"][f"{kind}peak_memory_bytes"] for kind in ("predicted_", ""))
    assert planned == pytest.approx(measured, rel=0.005, abs=6000)
    assert record["metric"] == task_class(name).metric
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and all(any(key.startswith("true_") for key in row) for row in lines)
    capsys.readouterr()
    assert main(["predict", str(folder), "--file", str(tmp_path / "test.jsonl"), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 6
    test_file = ["--test-file", str(tmp_path / "test.jsonl"), "--json"]
    assert main(["evaluate", str(folder), *test_file]) == 0
    scores = json.loads(capsys.readouterr().out)
    metric = record["metric"]
    assert scores[metric] == pytest.approx(record["evaluation"]["test"][metric], abs=1e-4)
    report = ft.merge_run(folder, tmp_path / "merged", max_drift=1.0)
    assert report.parity_gap < 1e-4
    page = tmp_path / "report.md"
    assert main(["report", str(folder), "--output", str(page)]) == 0
    assert metric in page.read_text().replace("\\", "")
    assert task_settings(name).title in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", list(TASKS))
def test_a_cached_run_and_one_in_pieces_train_the_same(tmp_path, tiny_model, name):
    plain = {"trainable_layers": 1, "dropout": 0.0}
    folder, _ = trained(config_of(name, tiny_model, tmp_path, **plain))
    for number, changes in enumerate(
        ({"cache_frozen_layers": True}, {"gradient_accumulation_steps": 4})
    ):
        out = str(tmp_path / f"other{number}")
        other, _ = trained(
            config_of(name, tiny_model, tmp_path, **plain, **changes, output_dir=out)
        )
        assert same_weights(folder, other)


@pytest.mark.parametrize("name", list(TASKS))
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, tiny_model, name, monkeypatch):
    folder, _ = trained(config_of(name, tiny_model, tmp_path, checkpoint_every_steps=2))
    changes = {"output_dir": str(tmp_path / "stopped"), "checkpoint_every_steps": 2}

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(task_class(name), "score", stop)
        trained(config_of(name, tiny_model, tmp_path, **changes))
    again, record = trained(config_of(name, tiny_model, tmp_path, **changes, resume=True))
    assert record["train"]["optimizer_steps"] == 6
    assert same_weights(folder, again, tolerance=0)


def test_a_task_brings_flags_of_predict(tmp_path, tiny_model, capsys, trained_run):
    folder = str(trained(config_of("find", tiny_model, tmp_path))[0])
    text = ["predict", folder, "--text", "lamp desk chair", "--json"]
    capsys.readouterr()
    assert main([*text, "--wanted", "desk", "--second", folder]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["wanted"] == "desk" and answer["second"] == answer["first"]
    assert main([*text[:2], "--wanted", "desk"]) == 2
    assert "--wanted needs --text" in capsys.readouterr().err
    assert main([*text, "--wanted", "desk", "--file", "x.jsonl"]) == 2
    assert main([*text, "--top-k", "2"]) == 2
    told = capsys.readouterr().err
    assert "--top-k is for text classification; this run is finding: leave it out" in told
    other = str(trained_run("ner", "bert"))
    assert main(["predict", other, "--text", "hello", "--wanted", "desk"]) == 2
    assert "--wanted is for finding; this run is NER" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    told = capsys.readouterr().out
    assert "finding options" in told and "The word to find in --text." in told
    with pytest.raises(SystemExit):  # It brings none to this one.
        main(["evaluate", folder, "--test-file", "x", "--wanted", "desk"])


def test_no_two_data_sets_have_one_key(tiny_model):
    tokenizer = ft.load_tokenizer(tiny_model("bert"))
    task = find_task.FindTask()
    keys = set()
    for wanted in ("lamp", "desk"):
        example = find_task.FindExample(wanted=wanted, passage="lamp desk", place=0, source="test")
        keys.add(feature_key(task, [example], tokenizer, max_length=16))
    assert len(keys) == 2


def test_the_head_of_a_language_model_stays_frozen(tiny_model):
    built = ft.build_model(tiny_model("llama"), head="causal_lm", labels=[])
    assert built.head_names == ()
    assert not any("lm_head" in n for n, p in built.model.named_parameters() if p.requires_grad)


def test_an_unknown_task_names_the_known_ones():
    assert set(task_names()) >= {"ner", "classification", "find", "reply"}
    with pytest.raises(UserError, match=r"'summary' is unknown; known: ner, classification"):
        ft.RunConfig(task="summary")
