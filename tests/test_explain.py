"""`lowcost-ft explain`: which words made an answer, and how exact that is."""

import json
import random
import shutil

import numpy as np
import pytest
from question_rows import question_rows
from small_runs import call_recipe, flags, forget_precision, write_jsonl

from lowcost_ft import load_predictor
from lowcost_ft.commands.main import main
from lowcost_ft.errors import UserError
from lowcost_ft.explain.answer import _in_a_line, told_in_words
from lowcost_ft.explain.explanations import Options, check_task, explain
from lowcost_ft.explain.gradients import integrated_gradients
from lowcost_ft.explain.summary import summary_of

FILLER = """please send the lamp and the chair to our office in the city on monday or friday because
we need them for a large table that came last week with a note about the price"""
RARE = {"password": "alarm", "coupon": "gift"}


def planted_rows(count, *, seed=0):
    """Texts of 15 words or more, whose label hangs on a rare word at a random place, or on none.

    Without texts that have none, a model need not look at the words of one label at all.
    """
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        words = draw.choices(FILLER.split(), k=draw.randint(15, 20))
        rare = [*RARE, None][number % (len(RARE) + 1)]
        if rare is not None:
            words.insert(draw.randint(0, len(words)), rare)
        rows.append({"text": " ".join(words), "label": RARE.get(rare, "other")})
    return rows


def train(folder, task, model, rows, **more):
    files = {
        f"{split}_file": write_jsonl(folder.parent / f"{folder.name}-{split}.jsonl", own)
        for split, own in rows.items()
    }
    values = {"model_id": model, "output_dir": folder, "num_train_epochs": 8, "batch_size": 8}
    values |= {"learning_rate": 3e-3, "max_length": 48, "dropout": 0.0, **files, **more}
    assert call_recipe(f"lora_{task}", *flags(**values)) == 0
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory, tiny_model):
    rows = {"train": planted_rows(240), "validation": planted_rows(30, seed=1)}
    folder = tmp_path_factory.mktemp("planted") / "run"
    return train(folder, "classification", tiny_model("bert"), rows | {"test": rows["validation"]})


@pytest.fixture(scope="module")
def questions(tmp_path_factory, tiny_model):
    rows = {split: question_rows(60, seed=n) for n, split in enumerate(("train", "validation"))}
    folder = tmp_path_factory.mktemp("questions") / "run"
    rows["test"] = rows["validation"]
    return train(folder, "qa", tiny_model("bert"), rows, max_length=40, num_train_epochs=4)


class Polynomial:
    """The value of `2 a^3 + steep(b)` for two tokens: known slopes, and a steep place."""

    tokens = 2

    def __init__(self, steepness):
        self.steepness = steepness

    def values(self, shares):
        return 2 * shares[:, 0] ** 3 + np.tanh(self.steepness * (shares[:, 1] - 0.3))

    def slopes(self, shares):
        steep = self.steepness / np.cosh(self.steepness * (shares[:, 1] - 0.3)) ** 2
        return np.stack([6 * shares[:, 0] ** 2, steep], axis=1)


@pytest.mark.parametrize("steepness", [1, 30, 200])
def test_steps_are_added_where_the_way_is_steep(steepness):
    found = integrated_gradients(Polynomial(steepness), tolerance=1e-3, max_steps=2000)
    expected = np.tanh(steepness * 0.7) + np.tanh(steepness * 0.3)
    np.testing.assert_allclose(found.scores, [2, expected], rtol=2e-3)
    assert found.error <= 1e-3 and found.converged
    assert (found.steps > 16) == (steepness > 1)
    stopped = integrated_gradients(Polynomial(steepness), tolerance=1e-9, max_steps=40)
    assert stopped.steps <= 40


def test_planted_words_are_found_first(planted):
    forget_precision()
    predictor = load_predictor(planted)
    rows = planted_rows(42, seed=7)
    examples = [e for row in rows for e in predictor.task.read_texts([row["text"]], None)]
    texts = explain(predictor, examples, Options(occlusion=True, faithfulness=True))
    right = [
        (one, row)
        for one, row in zip(texts, rows, strict=True)
        if one.answer["label"] == row["label"] != "other"
    ]
    assert len(right) > 14, "the model has not learned the words"
    first = []
    for one, _ in right:
        (found,) = one.explanations
        best = max(found.words, key=lambda word: word.score)
        first.append(found.texts["text"][best.start : best.end] in RARE)
    assert np.mean(first) >= 0.95
    summary = summary_of(texts)
    assert summary["convergence_error"]["median"] < 0.01
    assert summary["convergence_error"]["p95"] < 0.05
    assert summary["comprehensiveness"]["mean"] > 2 * summary["comprehensiveness"]["random"]
    assert summary["sufficiency"]["mean"] < summary["sufficiency"]["random"]
    assert summary["occlusion"]["same_first_word"] > 0.6


@pytest.mark.parametrize(
    ("kind", "family", "method", "quantization"),
    [
        ("single", "bert", "lora", "none"),
        ("multi", "bert", "lora", "none"),
        ("number", "llama", "lora", "none"),
        ("single", "gpt2", "lora", "none"),
        ("ner", "bert", "lora", "nf4"),
        ("ner", "bert", "lora", "8bit"),
        ("ner", "bert", "lora", "int8"),
        ("multi", "gpt2", "lora", "int8"),
        ("ner", "llama", "lora", "none"),
        ("single", "bert", "prefix", "none"),
        ("relation", "bert", "lora", "none"),
    ],
)
def test_every_kind_of_model_is_explained_exactly(
    trained_run, small_files, kind, family, method, quantization
):
    forget_precision()
    predictor = load_predictor(trained_run(kind, family, method, quantization))
    examples = predictor.read(small_files[kind]["test_file"])[:3]
    texts = explain(predictor, examples, Options(occlusion=True))
    every = [one for text in texts for one in text.explanations]
    assert every
    calibrated = any("calibrated" in text.answer for text in texts)
    for one in every:
        assert one.attribution.error < 0.02
        total = sum(word.score for word in one.words)
        assert total == pytest.approx(one.attribution.scores.sum(), abs=1e-6)
        for word in one.words:
            assert one.texts[word.part][word.start : word.end].strip()
        if (
            kind in ("single", "relation") and not calibrated
        ):  # The value is what the answer's score is made of.
            chance = 1 / (1 + np.exp(-one.attribution.value))
            assert chance == pytest.approx(one.decision.told["score"], abs=1e-4)
    if kind == "ner":
        assert [one.decision.told for text in texts for one in text.explanations] == [
            entity for text in texts for entity in text.answer["entities"]
        ]


def test_a_long_text_is_explained_in_the_window_of_each_entity(trained_run):
    forget_precision()
    predictor = load_predictor(trained_run("ner", "bert"))
    text = "chen wei lives in oslo " * 14
    (found,) = explain(predictor, predictor.task.read_texts([text], None))
    assert len(found.answer["entities"]) == len(found.explanations) >= 2
    for one in found.explanations:
        entity = one.decision.told
        starts = [word.start for word in one.words]
        assert starts[0] <= entity["start"] < entity["end"] <= one.words[-1].end
        assert len(starts) < len(text.split())  # Of one window only.


def test_a_whole_manual_is_not_printed_again():
    told = {"answer": "nine\n hours", "start": 7, "end": 18, "score": 0.5}
    assert told_in_words(told) == '"nine hours"'
    assert _in_a_line("It lasts\r\nlong.") == "It lasts long."
    assert len(_in_a_line("It lasts\nlong. " * 1000)) < 500


def test_answers_and_missing_answers_are_explained(questions, tmp_path, capsys):
    forget_precision()
    rows = question_rows(8, seed=5)
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert main(["explain", str(questions), "--file", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["texts"]) == len(rows)
    for row, text in zip(rows, found["texts"], strict=True):
        (one,) = text["explanations"]
        assert one["texts"] == {"question": row["question"], "context": row["context"]}
        assert {word["part"] for word in one["words"]} == {"question", "context"}
        assert one["of"]["answer"] == text["answer"]["answer"]
        assert one["convergence_error"] < 0.05
    (row,) = question_rows(1, seed=6)
    words = ["--question", row["question"], "--context", row["context"]]
    assert main(["explain", str(questions), *words]) == 0
    assert "convergence error" in capsys.readouterr().out


def test_the_command_prints_json_and_writes_a_page(planted, tmp_path, capsys):
    forget_precision()
    page = tmp_path / "why.html"
    text = planted_rows(1)[0]["text"] + " <b>&"
    words = ["--text", text, "--output", str(page), "--occlusion"]
    assert main(["explain", str(planted), *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (one,) = found["texts"][0]["explanations"]
    assert one["difference"] == pytest.approx(one["value"] - one["empty_value"])
    error = abs(one["sum"] - one["difference"]) / max(abs(one["difference"]), 0.01)
    assert one["convergence_error"] == pytest.approx(error)
    assert one["sum"] == pytest.approx(sum(word["score"] for word in one["words"]), abs=1e-6)
    for word in one["words"]:
        assert text[word["start"] : word["end"]] == word["text"]
        assert "occlusion" in word
    html = page.read_text("utf-8")
    assert "&lt;" in html and "<b>&" not in html
    path = write_jsonl(tmp_path / "rows.jsonl", planted_rows(3))
    assert main(["explain", str(planted), "--file", path]) == 0
    assert "comprehensiveness" in capsys.readouterr().out


def test_an_exported_folder_is_refused(planted, tmp_path, capsys):
    folder = shutil.copytree(planted, tmp_path / "exported")
    record = json.loads((folder / "run.json").read_text()) | {"export": {"precision": "fp32"}}
    (folder / "run.json").write_text(json.dumps(record))
    assert main(["explain", str(folder), "--text", "hello"]) == 2
    assert "has no gradients" in capsys.readouterr().err


def test_a_task_that_does_not_tell_its_decisions_is_refused():
    class Silent:
        name, can_explain = "ner", False

    with pytest.raises(UserError, match="nothing to explain"):
        check_task(Silent)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", "hello", "--max-steps", "3"], "--max-steps 3 is too small"),
        (["--text", "hello", "--tolerance", "2"], "--tolerance 2"),
        (["--text", "hello", "--seed", "-1"], "--seed -1 is too small"),
        (["--text", "hello", "--output", "why.txt"], "must end in .html"),
        (["--text", "hello", "--text-pair", "you"], "single texts"),
        (["--text", " "], "--text is empty"),
        (["--text", "hello", "--question", "who?"], "--question is for question answering"),
    ],
)
def test_wrong_flags_are_refused(planted, words, message, capsys):
    assert main(["explain", str(planted), *words]) == 2
    assert message in capsys.readouterr().err


def test_there_is_no_flag_for_files_of_exported_folders(capsys):
    with pytest.raises(SystemExit):
        main(["explain", "--help"])
    told = capsys.readouterr().out
    assert "--base-model" in told and "--precision" not in told
