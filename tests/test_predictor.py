"""A finished run, used from Python."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from small_runs import call_recipe, flags, text_rows, write_jsonl

from lowcost_ft import load_predictor
from lowcost_ft.commands.main import main
from lowcost_ft.commands.predict import _as_text
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.errors import UserError
from lowcost_ft.models.virtual_tokens import VirtualTokens


@pytest.fixture(scope="module")
def ner(trained_run):
    return load_predictor(trained_run("ner", "bert"))


@pytest.fixture(scope="module")
def single(trained_run):
    return load_predictor(trained_run("single", "bert"))


MERGED = ("bias", "layernorm", "rslora", "dora", "pissa", "olora", "adalora", "ia3", "oft")


@pytest.mark.parametrize(
    ("family", "changes", "stays"),
    [
        ("bert", {}, False),
        ("llama", {}, False),
        *(("bert", {"method": method}, False) for method in MERGED),
        ("bert", {"method": "prefix"}, True),
        ("bert", {"quantization": "nf4"}, True),
    ],
)
def test_an_adapter_is_merged_to_predict_where_that_is_exact(trained_run, family, changes, stays):
    # What other tests have trained is as good; the other adapters move in one epoch, too.
    folder = trained_run("ner", family, **changes, **({"epochs": 1} if changes else {}))
    merged, beside = (load_predictor(folder, keep_adapter=keep) for keep in (False, True))
    assert holds_adapter(beside.model)
    assert holds_adapter(merged.model) == stays
    ids = torch.tensor([[2, 40, 50, 3], [2, 60, 40, 50]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        expected = beside.model(**inputs).logits
        torch.testing.assert_close(merged.model(**inputs).logits, expected, rtol=1e-5, atol=1e-5)


def holds_adapter(model):
    return isinstance(model, VirtualTokens) or any(
        isinstance(module, BaseTunerLayer) for module in model.modules()
    )


@pytest.mark.parametrize("kind", ["ner", "single"])
def test_several_threads_may_predict_at_once(trained_run, kind):
    predictor = load_predictor(trained_run(kind, "bert"))
    asked = [
        [f"send order {i} to chen wei in oslo" + " please" * (i % part) for i in range(20)]
        for part in range(1, 7)
    ]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(predictor, asked))
    for texts, together in zip(asked, answers, strict=True):
        alone = predictor(texts)
        assert [without_scores(a) for a in together] == [without_scores(a) for a in alone]


def without_scores(answer):
    kept = {name: value for name, value in answer.items() if name != "score"}
    if "entities" in kept:
        kept["entities"] = [without_scores(entity) for entity in kept["entities"]]
    return kept


def recorded(run, split="test"):
    return run["evaluation"][split]


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_spans_point_into_the_text(trained_run, family):
    predictor = load_predictor(trained_run("ner", family))
    texts = ["Maria wants a refund", "  send the lamp to\tchen wei, in oslo  ", "?", "东京 oslo"]
    answers = predictor(texts)
    assert [answer["text"] for answer in answers] == texts
    entities = [(answer["text"], entity) for answer in answers for entity in answer["entities"]]
    assert entities
    for text, entity in entities:
        assert entity["text"] == text[entity["start"] : entity["end"]]
        assert entity["text"].strip() == entity["text"] != ""
        assert entity["label"] in ("person", "place")
        assert 0 < entity["score"] <= 1


@pytest.mark.parametrize("kind", ["ner", "single"])
def test_a_folder_without_its_tokenizer_is_refused(tmp_path, trained_run, kind):
    folder = shutil.copytree(trained_run(kind, "bert"), tmp_path / "run")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"lacks tokenizer\.json"):
        load_predictor(folder)


def test_what_was_learned_is_predicted(ner, single):
    (answer,) = ner(["chen wei lives in oslo"])
    found = [(entity["text"], entity["label"]) for entity in answer["entities"]]
    assert found == [("chen wei", "person"), ("oslo", "place")]
    (answer,) = single(["please refund my card"])
    assert answer["label"] == "refund"
    assert set(answer) == {"text", "label", "score"}


@pytest.mark.parametrize(
    ("kind", "family"),
    [("ner", "bert"), ("ner", "llama"), ("single", "bert"), ("multi", "bert"), ("number", "llama")],
)
def test_the_test_file_scores_as_in_the_run(trained_run, small_files, kind, family):
    predictor = load_predictor(trained_run(kind, family))
    scores = predictor.evaluate(small_files[kind]["test_file"])
    for name, value in recorded(predictor.run).items():
        expected = value if isinstance(value, dict) else pytest.approx(value, abs=1e-5)
        assert scores[name] == expected, name


def test_thresholds_are_those_of_the_validation_split_unless_one_is_given(trained_run, small_files):
    folder = trained_run("multi", "bert")
    predictor = load_predictor(folder)
    thresholds = dict(zip(predictor.run["labels"], predictor.run["thresholds"], strict=True))
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    answers = predictor.predict(predictor.read(small_files["multi"]["test_file"]))
    for answer, row in zip(answers, rows, strict=True):
        chosen = [name for name in thresholds if row["scores"][name] >= thresholds[name]]
        assert answer["label"] == row["label"] == chosen
        assert set(answer["scores"]) == set(thresholds)
        assert list(answer["scores"].values()) == sorted(answer["scores"].values(), reverse=True)
    file = small_files["multi"]["test_file"]
    everything = load_predictor(folder, threshold=0.0, top_k=1)
    (answer,) = everything(["hello"])
    assert answer["label"] == predictor.run["labels"]
    assert len(answer["scores"]) == 1
    assert everything.evaluate(file)["micro_f1"] < predictor.evaluate(file)["micro_f1"]
    assert all(epoch["loss"] > 0 for epoch in predictor.run["train"]["validation_history"])


def test_a_run_without_thresholds_decides_at_a_half(tmp_path, trained_run):
    folder = shutil.copytree(trained_run("multi", "bert"), tmp_path / "run")
    run = json.loads((folder / "run.json").read_text())
    del run["thresholds"]
    (folder / "run.json").write_text(json.dumps(run))
    assert load_predictor(folder).task.thresholds == [0.5] * len(run["labels"])


@pytest.mark.parametrize(
    ("kind", "family", "flags_", "message"),
    [
        ("ner", "bert", {"threshold": 0.5}, "--threshold is for text classification"),
        ("single", "bert", {"threshold": 0.5}, "--threshold is for multi-label"),
        ("multi", "bert", {"threshold": 1.5}, "--threshold 1.5 is not a score"),
        ("multi", "bert", {"threshold": float("nan")}, "is not a finite number"),
        ("ner", "bert", {"top_k": 2}, "--top-k is for text classification"),
        ("number", "llama", {"top_k": 2}, "--top-k is for labels with scores"),
        ("single", "bert", {"top_k": 0}, "--top-k 0 is too small"),
        ("single", "bert", {"top_k": "two"}, "--top-k must be a whole number"),
        ("single", "bert", {"text_pair": "x"}, "text_pair is for the command line; in Python call"),
        ("relation", "bert", {"ner": "runs/ner"}, "load the NER run too, and call"),
        ("single", "bert", {"treshold": 0.5}, "flags of text classification: text_pair, threshold"),
    ],
)
def test_thresholds_and_scores_of_labels_where_there_are_none(
    trained_run, kind, family, flags_, message
):
    with pytest.raises(UserError, match=message):
        load_predictor(trained_run(kind, family), **flags_)


def test_the_scores_of_the_best_labels(trained_run, capsys):
    folder = str(trained_run("single", "bert"))
    assert main(["predict", folder, "--text", "hello", "--json", "--top-k", "2"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["scores"]) == 2
    assert next(iter(answer["scores"])) == answer["label"]
    assert main(["predict", folder, "--text", "hello", "--top-k", "2"]) == 2
    assert "--top-k needs --json" in capsys.readouterr().err


def test_a_file_with_labels_that_the_model_does_not_know(tmp_path, single, ner):
    rows = text_rows(6)
    rows[1]["label"] = "new"
    single.notices.clear()
    scores = single.evaluate(write_jsonl(tmp_path / "a.jsonl", rows))
    assert scores["per_class"]["new"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert 'the label "new" is not a label of the trained model' in single.notices[0]
    with pytest.raises(UserError, match="neither is any other label"):
        single.evaluate(write_jsonl(tmp_path / "b.jsonl", [{"text": "x", "label": "new"}]))
    row = {"tokens": ["maria", "saw", "k2"], "tags": ["B-person", "O", "B-peak"]}
    scores = ner.evaluate(write_jsonl(tmp_path / "c.jsonl", [row]))
    assert scores["per_entity"]["peak"]["support"] == 1
    assert (scores["recall"], scores["per_entity"]["peak"]["recall"]) == (0.5, 0)


def test_predictions_are_those_of_the_run(trained_run, small_files, single):
    rows = single.read(small_files["single"]["test_file"])
    written = trained_run("single", "bert") / "predictions.jsonl"
    expected = [json.loads(line) for line in written.read_text().splitlines()]
    for answer, row in zip(single.predict(rows), expected, strict=True):
        assert answer == {name: row[name] for name in ("text", "label")} | {
            "score": pytest.approx(row["score"], abs=1e-5)
        }


def test_unlabelled_and_other_columns(tmp_path, single, ner):
    path = write_jsonl(tmp_path / "rows.jsonl", [{"body": "hello", "id": 1}])
    (answer,) = single.predict(single.read(path, reading=ReadingOptions(text_column="body")))
    assert answer["text"] == "hello"
    path = write_jsonl(tmp_path / "words.jsonl", [{"tokens": ["maria", "wants", "a", "refund"]}])
    (answer,) = ner.predict(ner.read(path))
    assert answer["text"] == "maria wants a refund"


def test_texts_longer_than_the_model_was_trained_for(ner, single):
    text = "hello " * 500 + "maria wants a refund"
    bias = ner.model.get_parameter("classifier.bias")
    outside = ner.task.labels.index("O")
    before = bias[outside].item()
    with torch.no_grad():
        bias[outside] = -100  # Each word is an entity, so that the last one is told.
        (answer,) = ner([text])  # Cut into windows.
        bias[outside] = before
    assert answer["entities"][-1]["end"] == len(text)
    (answer,) = single([text])  # Cut off.
    assert answer["text"] == text


def test_nothing_to_predict(ner, single):
    assert ner([]) == []
    assert single.predict([]) == []


def test_an_answer_does_not_depend_on_its_neighbours(single):
    texts = ["hello", "where is my parcel please please please", "i want a refund"]
    together = single(texts)
    for text, answer in zip(texts, together, strict=True):
        (alone,) = single([text])
        assert alone == answer | {"score": pytest.approx(answer["score"], abs=1e-5)}


@pytest.mark.parametrize(
    ("texts", "pairs", "message"),
    [
        (["a", None], None, "text 2 is missing"),
        (["\ud800"], None, "half a surrogate pair"),
        (["a"], ["b"], "trained on single texts"),
        (["a"], [""], "second text 1 is an empty text"),
        ([""], ["a"], "text 1 is an empty text"),
        (["a", *"123456789"], [""] * 10, "and 5 more"),
    ],
)
def test_texts_that_cannot_be_predicted(single, texts, pairs, message):
    with pytest.raises(UserError, match=message):
        single(texts, pairs)


@pytest.mark.parametrize(
    ("kind", "family", "empty"),
    [
        ("ner", "bert", {"entities": []}),
        ("single", "bert", {"label": None, "score": None}),
        ("multi", "bert", {"label": [], "score": []}),
        ("number", "llama", {"score": None}),
    ],
)
def test_a_blank_text_has_an_empty_answer_in_its_place(trained_run, kind, family, empty):
    predictor = load_predictor(trained_run(kind, family))
    texts = ["", "please refund my card", " \t", "chen wei lives in oslo", "\n"]
    answers = predictor(texts)
    assert [answer["text"] for answer in answers] == texts
    alone = predictor([texts[1], texts[3]])
    assert [without_scores(answers[i]) for i in (1, 3)] == [without_scores(a) for a in alone]
    for place in (0, 2, 4):
        assert answers[place] == {"text": texts[place], **empty}
    assert predictor([""]) == [{"text": "", **empty}]


def test_ner_takes_no_pairs(ner):
    with pytest.raises(UserError, match="NER takes one text"):
        ner(["a"], ["b"])


def test_a_model_of_pairs_wants_pairs(tmp_path, tiny_model):
    rows = [
        {"body": row["text"], "title": "hello", "kind": row["label"], "text": "unused"}
        for row in text_rows(40)
    ]
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    folder = tmp_path / "run"
    columns = {"text_column": "body", "text_pair_column": "title", "label_column": "kind"}
    arguments = flags(
        model_id=tiny_model("bert"), train_file=path, output_dir=folder, max_steps=1, **columns
    )
    assert call_recipe("lora_classification", *arguments) == 0
    predictor = load_predictor(folder)
    (answer,) = predictor(["where is my order"], ["hello"])
    assert answer["text_pair"] == "hello"
    assert _as_text(answer, predictor.task).endswith("  where is my order  |  hello")
    with pytest.raises(UserError, match="text: the model was trained on pairs of texts"):
        predictor(["where is my order"])
    single = write_jsonl(tmp_path / "single.jsonl", text_rows(3))
    with pytest.raises(UserError, match=r"single.jsonl:1: the model was trained on pairs"):
        predictor.evaluate(single)
    # The columns that the run was trained with, unless others are named.
    scores = predictor.evaluate(path)
    assert scores["examples"] == 40
    assert predictor.predict(predictor.read(path))[0]["text"] == rows[0]["body"]
    assert main(["evaluate", str(folder), "--test-file", path]) == 0
    swapped = predictor.read(
        path, reading=ReadingOptions(text_column="title", text_pair_column="body")
    )
    assert (swapped[0].text, swapped[0].text_pair) == ("hello", rows[0]["body"])


def test_labels_that_the_model_does_not_know(tmp_path, single):
    path = write_jsonl(tmp_path / "new.jsonl", [{"text": "hello", "label": "praise"}])
    with pytest.raises(UserError, match="praise"):
        single.evaluate(path)
