"""`lowcost-ft export`: the folder answers as the run does, or the reason is told."""

import contextlib
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from small_runs import call_recipe, flags
from tiny import ENCODERS, make_tiny

import lowcost_ft as ft
from lowcost_ft.commands.main import main
from lowcost_ft.export import measuring
from lowcost_ft.export.choosing import choose_float_layers
from lowcost_ft.export.graph import build_graph
from lowcost_ft.export.smaller import Layer, quantizable_layers, quantize, to_half
from lowcost_ft.export.telling import notes_on
from lowcost_ft.export.timing import Speed, time_in_turns
from lowcost_ft.models.loading import build_model, load_tokenizer
from lowcost_ft.models.merging import MERGE_TOLERANCE, parity_gap
from lowcost_ft.models.onnx_model import OnnxModel
from lowcost_ft.pipeline.comparing import Drift
from lowcost_ft.tasks.heads import find_head

HEADS = ("token", "sequence", "question_answering")
TEXTS = ("Where is my parcel from Oslo? I want my money back.", "Anna Berg ordered two lamps.")


def export(run, folder, *more):
    """The exit code of `lowcost-ft export`, and its JSON."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        code = main(["export", str(run), "--output-dir", str(folder), "--json", *more])
    return code, json.loads(told.getvalue() or "null")


def graph_and_model(family, head_name, tiny_model):
    """A model of a family with a head, as ONNX and as it is, and its inputs for some texts."""
    head = find_head(head_name)
    model_id = tiny_model(family)
    tokenizer = load_tokenizer(model_id)
    labels = ["red", "green", "blue"][: 2 if len(head.outputs) == 2 else 3]
    model = build_model(model_id, head=head_name, labels=labels, method="full").model.eval()
    encoded = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    attention = model.config._attn_implementation
    graph = build_graph(
        model,
        lambda model, inputs: {name: model(**inputs)[name] for name in head.outputs},
        inputs=list(encoded),
        outputs=head.outputs,
        per_text=head.outputs if head.per_text else (),
    )
    # As it is when it predicts: the export times it, too.
    assert model.config._attn_implementation == attention
    return graph, model, tokenizer


def gap(head_name, first, second, tokenizer, texts):
    """How far two models' logits lie apart; see `parity_gap`."""
    head, gaps = find_head(head_name), []
    inputs = tokenizer(list(texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        outputs = [model(**inputs) for model in (first, second)]
    for name in head.outputs:
        one, other = (getattr(found, name) for found in outputs)
        if not head.per_text:
            real = inputs["attention_mask"].bool()
            one, other = one[real], other[real]
        gaps.append(parity_gap(one, other))
    return max(gaps)


def check_family(family, head_name, tiny_model):
    graph, model, tokenizer = graph_and_model(family, head_name, tiny_model)
    exact = OnnxModel(graph.SerializeToString(), model.config, "fp32")
    # Other numbers of texts and tokens than those that the graph was made with.
    for texts in (TEXTS, TEXTS[:1], (*TEXTS, TEXTS[0] * 4, "a"), ("a",)):
        assert gap(head_name, model, exact, tokenizer, texts) <= MERGE_TOLERANCE
    head = find_head(head_name)
    onnx.checker.check_model(graph)
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.graph.input, *graph.graph.output)
    }
    both = ["batch_size", "sequence_length"]
    assert {"input_ids", "attention_mask"} <= set(axes)
    for name, found in axes.items():
        last = [] if name not in head.outputs or len(head.outputs) == 2 else [3]
        assert found == ([both[0]] if name in head.outputs and head.per_text else both) + last
    for smaller in (quantize(graph, quantizable_layers(graph)), to_half(graph)):
        onnx.checker.check_model(smaller)
        assert smaller.ByteSize() < graph.ByteSize()
        near = OnnxModel(smaller.SerializeToString(), model.config, "int8")
        assert 0 < gap(head_name, exact, near, tokenizer, TEXTS) < 0.7


def test_a_family_is_exported(tmp_path):
    # Its layers see a window of the text, and no other family's do.
    check_family(
        "modernbert", "sequence", lambda name: make_tiny(name, tmp_path, num_hidden_layers=2)
    )


@pytest.mark.slow
@pytest.mark.parametrize("head_name", HEADS)
@pytest.mark.parametrize("family", ENCODERS)
def test_every_family_is_exported_with_every_head(family, head_name, tiny_model):
    check_family(family, head_name, tiny_model)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, trained_run):
    """Folder, report and run of an export in all precisions."""
    run = trained_run("ner", "bert")
    folder = tmp_path_factory.mktemp("exported") / "ner-onnx"
    (folder / "onnx").mkdir(parents=True)  # With what is not the export's, and stays.
    (folder / "onnx" / "notes.txt").write_text("mine")
    precision = ("--precision", "fp32,fp16,int8", "--max-drift", "0.2", "--min-speedup", "0")
    precision = (*precision, "--max-score-drop", "1")
    code, report = export(run, folder, *precision)
    assert code == 0
    return folder, report, run


@pytest.fixture
def graph_is_there(exported, monkeypatch):
    """Lets the next export of the same model take its graph from the folder: that saves seconds."""
    graph = onnx.load(exported[0] / "onnx" / "model.onnx")
    monkeypatch.setattr(measuring, "build_graph", lambda *_, **__: graph)


def test_an_exported_folder_answers_as_the_run_does(exported, small_files, capsys):
    folder, report, run = exported
    assert report["parity_gap"] <= MERGE_TOLERANCE
    files = {one["precision"]: one for one in report["files"]}
    assert files["fp32"]["drift"]["changed"] == 0
    assert set(files) == {"fp32", "fp16", "int8"}
    assert files["int8"]["bytes"] < files["fp16"]["bytes"] < files["fp32"]["bytes"]
    assert report["cpu"] and report["threads"] and files["int8"]["texts_per_second"] > 0
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        *("onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_quantized.onnx", "onnx/notes.txt"),
        *("config.json", "tokenizer.json", "tokenizer_config.json", "run.json", "README.md"),
    }
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    record = json.loads((folder / "run.json").read_text())
    assert record["export"]["files"] == report["files"]
    texts = ["anna lives in oslo", "", "where is my order ?"]
    expected = ft.load_predictor(run)(texts)
    found = ft.load_predictor(folder)(texts)
    assert [[e["text"] for e in a["entities"]] for a in found] == [
        [e["text"] for e in a["entities"]] for a in expected
    ]
    for one, other in zip(found, expected, strict=True):
        for mine, theirs in zip(one["entities"], other["entities"], strict=True):
            assert mine | {"score": 0} == theirs | {"score": 0}
            assert mine["score"] == pytest.approx(theirs["score"], abs=1e-4)
    test_file = small_files["ner"]["test_file"]
    printed = []
    for place in (run, folder):
        assert main(["evaluate", str(place), "--test-file", test_file, "--json"]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert printed[0] == printed[1]
    assert main(["predict", str(folder), "--text", texts[0], "--precision", "int8"]) == 0
    assert texts[0] in capsys.readouterr().out


def test_the_card_loads_the_folder_without_the_package(exported, monkeypatch, capsys):
    folder, report, _ = exported
    card = (folder / "README.md").read_text()
    assert "\n# ner-onnx\n" in card and "\n- name: ner-onnx\n" in card
    (code,) = re.findall(r"^```python\n(.*?)^```$", card, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(folder)
    exec(code, {})
    assert "Lovelace" in capsys.readouterr().out
    assert report["cpu"] in card and "`onnx/model_quantized.onnx`" in card
    assert 'pipeline("token-classification", "RUN", { dtype: "fp32" })' in card


def test_an_exported_folder_is_not_a_run_to_go_on_with(exported, tmp_path, capsys):
    folder, _, run = exported
    for command in ("merge", "export"):
        assert main([command, str(folder), "--output-dir", str(tmp_path / "out")]) == 2
        assert "is an exported folder" in capsys.readouterr().err
    assert export(run, folder)[0] == 2
    assert "already holds an exported model" in capsys.readouterr().err
    assert main(["predict", str(run), "--text", "hello", "--precision", "int8"]) == 2
    assert "is not an exported folder" in capsys.readouterr().err
    arguments = ["predict", str(folder), "--text", "hello", "--base-model", "elsewhere"]
    assert main(arguments) == 2
    assert "needs no other" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_or_lacking_file_is_told(exported, tmp_path, capsys):
    folder, _, _ = exported
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "onnx" / "model.onnx").write_bytes(b"not a graph")
    assert main(["predict", str(copy), "--text", "hello"]) == 2
    assert "model.onnx: is damaged" in capsys.readouterr().err
    (copy / "onnx" / "model_fp16.onnx").unlink()
    assert main(["predict", str(copy), "--text", "hello", "--precision", "fp16"]) == 2
    assert "holds fp32, int8" in capsys.readouterr().err
    (copy / "config.json").unlink()
    assert main(["predict", str(copy), "--text", "hello", "--precision", "int8"]) == 2
    assert "config.json is missing or damaged" in capsys.readouterr().err


def test_another_cpu_is_told_where_int8_was_measured(exported, monkeypatch):
    folder, _, _ = exported
    there = json.loads((folder / "run.json").read_text())["export"]["int8_instructions"]
    other = None if there else "some"
    monkeypatch.setattr("lowcost_ft.pipeline.load_predictor.int8_instructions", lambda: other)
    (notice,) = ft.load_predictor(folder, precision="int8").notices
    assert "answers and speed may be others here" in notice
    assert not ft.load_predictor(folder).notices


def test_int8_that_does_not_pay_is_not_written(
    trained_run, graph_is_there, tmp_path, monkeypatch, capsys
):
    run = trained_run("ner", "bert")
    speeds = {"run": 90, "fp32": 100, "fp16": 50, "int8": 93}
    monkeypatch.setattr(
        measuring,
        "time_in_turns",
        lambda models, texts: {
            name: Speed(texts_per_second=speeds[name], milliseconds=1.0) for name in models
        },
    )
    target = tmp_path / "slow"
    arguments = ["export", str(run), "--output-dir", str(target), "--precision", "fp16,int8"]
    assert main([*arguments, "--max-drift", "0.2", "--max-score-drop", "1"]) == 0
    told = capsys.readouterr().out
    assert "int8 was not written: on this CPU" in told and "0.93 times as fast" in told
    assert re.search(rf"next: .*lowcost-ft predict {target} --text \"", told)
    files = {path.name for path in (target / "onnx").iterdir()}
    assert files == {"model.onnx", "model_fp16.onnx"}
    # float32 is kept, which nobody asked for, so that there is something to use.
    record = json.loads((target / "run.json").read_text())["export"]["files"]
    assert [one["precision"] for one in record if one["file"]] == ["fp32", "fp16"]


def test_layers_are_left_in_float32_until_few_predictions_change():
    layers = [Layer(node=f"n{i}", weight=f"w{i}", title=f"t{i}") for i in range(9)]
    costs = (0.3, 0.01, 0.02, 0.2, 0.0, 0.005, 0.1, 0.0, 0.03)
    cost = dict(zip(layers, costs, strict=True))
    tried = []

    def left(limit):
        def holds(rounded):
            tried.append(len(rounded))
            return sum(cost[layer] for layer in rounded) <= limit

        found = choose_float_layers(layers, holds=holds, error_of=cost.__getitem__)
        return [layer.title for layer in found]

    assert left(1.0) == [] and left(0.1) == ["t0", "t3", "t6"]
    assert left(0.05) == ["t0", "t3", "t6", "t8"]
    assert len(left(0.0)) == 7
    assert len(left(-1.0)) == 9
    assert len(tried) < 25


def test_the_limits_say_which_of_them_is_broken():
    limits = measuring.Limits(max_drift=0.01, max_score_drop=0.005)
    drift = Drift(
        changed=1, predictions=100, drift=0.01, score_before=0.5, score_after=0.4949, metric="f1"
    )
    assert "the validation f1 falls by 0.0051, more than --max-score-drop" in limits.broken_by(
        drift
    )
    assert limits.broken_by(replace(drift, score_after=0.9)) is None
    assert "2.00% of the predictions change" in limits.broken_by(replace(drift, drift=0.02))


def test_what_an_exported_model_does_not_do_is_told():
    assert not notes_on({}) and not notes_on({"novelty": {"threshold": None, "reason": "few"}})
    (note,) = notes_on({"novelty": {"threshold": 3.0}})
    assert "does not flag texts unlike the training data" in note


def test_time_is_taken_in_turns():
    order = []
    models = {name: (lambda name=name: order.append(name), [lambda: None]) for name in "ab"}
    speeds = time_in_turns(models, texts=3)
    assert set(speeds) == {"a", "b"} and speeds["a"].texts_per_second > 0
    assert order[:4] == ["b", "a", "a", "b"]


def test_what_cannot_be_exported_is_refused_with_the_reason(
    trained_run, tiny_model, tmp_path, capsys
):
    decoder = tmp_path / "llama"
    decoder.mkdir()
    shutil.copy(trained_run("ner", "bert") / "run.json", decoder)
    shutil.copy(Path(tiny_model("llama")) / "config.json", decoder)
    (decoder / "model.safetensors").touch()
    assert main(["export", str(decoder), "--output-dir", str(tmp_path / "out")]) == 2
    assert "Llama is a decoder, and only encoders are exported" in capsys.readouterr().err
    shutil.rmtree(decoder)
    decoder.mkdir()
    record = json.loads((trained_run("ner", "bert") / "run.json").read_text())
    (decoder / "run.json").write_text(json.dumps(record | {"task": "translation"}))
    assert main(["export", str(decoder), "--output-dir", str(tmp_path / "out")]) == 2
    assert "writes its answer token by token" in capsys.readouterr().err
    for flag, value, words in (
        ("--precision", "int4,fp32", "--precision int4: not known"),
        ("--precision", "", "--precision is empty"),
        ("--max-drift", "2", "is not a share"),
        ("--max-score-drop", "-1", "--max-score-drop -1.0: give a number"),
        ("--min-speedup", "-1", "give a number that is 0 or more"),
    ):
        arguments = ["export", str(decoder), "--output-dir", str(tmp_path / "out"), flag, value]
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_drift_of_float32_itself_leaves_nothing(
    trained_run, graph_is_there, tmp_path, capsys, monkeypatch
):
    run = trained_run("ner", "bert")
    monkeypatch.setattr(
        "lowcost_ft.tasks.ner.task.NerTask.changed", lambda *_: np.array([True, False])
    )
    assert main(["export", str(run), "--output-dir", str(tmp_path / "out")]) == 2
    assert "50.00% of the predictions on the validation split changed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_the_libraries_it_says_what_to_install(trained_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    run = trained_run("ner", "bert")
    assert main(["export", str(run), "--output-dir", str(tmp_path / "out")]) == 2
    assert "pip install 'lowcost_ft[export]'" in capsys.readouterr().err


SLOW = [
    pytest.param(kind, family, marks=pytest.mark.slow)
    for kind, family in (("single", "roberta"), ("multi", "bert"), ("relation", "bert"))
]
SLOW.append(pytest.param("pooled", "bert", marks=pytest.mark.slow))


@pytest.mark.parametrize(("kind", "family"), [("question", "bert"), *SLOW])
def test_other_tasks_answer_as_the_run_does(
    kind, family, tmp_path, tiny_model, trained_run, small_files
):
    if kind == "question":
        run = tmp_path / "run"
        values = {"model_id": tiny_model(family), "output_dir": run, "num_train_epochs": 1}
        values |= {"max_length": 48, "batch_size": 8, **small_files[kind]}
        assert call_recipe("lora_qa", *flags(**values)) == 0
    elif kind == "pooled":
        run, kind = tmp_path / "run", "single"
        values = {"model_id": tiny_model(family), "output_dir": run, "num_train_epochs": 1}
        values |= {"pooling": "mean", "max_length": 48, "batch_size": 8, **small_files[kind]}
        assert call_recipe("lora_classification", *flags(**values)) == 0
    else:
        run = trained_run(kind, family)
    folder = tmp_path / "exported"
    code, report = export(run, folder)
    assert code == 0 and report["parity_gap"] <= MERGE_TOLERANCE
    assert report["files"][0]["drift"]["changed"] == 0
    test_file = small_files[kind]["test_file"]
    (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
    ends = "QuestionAnswering" if kind == "question" else "SequenceClassification"
    assert architecture.endswith(f"For{ends}")
    answers = []
    for place in (run, folder):
        predictor = ft.load_predictor(place)
        answers.append(predictor.predict(predictor.read(test_file)))
    for one, other in zip(*answers, strict=True):
        for key in ("label", "answer", "start", "end", "id"):
            assert one.get(key) == other.get(key)
    assert [path.name for path in Path(folder / "onnx").iterdir()] == ["model.onnx"]
