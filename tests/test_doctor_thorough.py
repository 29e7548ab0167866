"""`doctor --thorough`: labels judged by adapters that were trained on the other rows."""

import json

import numpy as np
import pytest
import torch
from small_runs import write_jsonl

import lowcost_ft.doctor.adapters as adapters
from lowcost_ft.commands.main import main
from lowcost_ft.doctor.adapters import AdapterSettings, adapter_probabilities
from lowcost_ft.doctor.reading import read_data

WORDS = {"refund": "money", "status": "parcel", "other": "hello"}
THINGS = ("lamp", "chair", "table", "kettle", "sofa", "carpet", "mirror", "shelf", "clock", "vase")


def texts():
    return [
        {"text": f"{word} {word} {thing} {word}", "label": label}
        for label, word in WORDS.items()
        for thing in THINGS
    ]


def sentences():
    """Names are of people in one half of the sentences and of places in the other."""
    return [
        {"tokens": ["the", thing, *end], "tags": ["O", "O", "O", tag]}
        for thing in THINGS
        for end, tag in ((["of", "Anna"], "B-person"), (["in", "Berlin"], "B-place"))
    ]


def read(tmp_path, rows):
    return read_data({"train": write_jsonl(tmp_path / "train.jsonl", rows)})


@pytest.mark.parametrize("rows", [texts(), sentences()], ids=["texts", "entities"])
def test_no_adapter_judges_a_row_that_it_has_learned_from(tmp_path, tiny_model, monkeypatch, rows):
    data = read(tmp_path, rows)
    seen = []

    def one_fold(data, used, held_out, settings):
        seen.append((set(used), set(held_out)))
        return whole(data, used, held_out, settings)

    whole = adapters._one_fold
    monkeypatch.setattr(adapters, "_one_fold", one_fold)
    folds = np.arange(len(rows)) % 3
    trusted = np.arange(len(rows)) != 4
    settings = AdapterSettings(model_id=tiny_model("bert"), max_length=16, max_steps=2)
    found = adapter_probabilities(data, settings, folds, trusted)
    choices = sum(len(row.get("tokens", "x")) for row in rows)
    assert found.shape == (choices, len(data.labels))
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert all(not used & held_out and 4 not in used for used, held_out in seen)
    assert set().union(*(held_out for _, held_out in seen)) == set(range(len(rows)))


def test_a_label_that_the_other_rows_lack_has_no_probability(tmp_path, tiny_model):
    rows = [*texts(), {"text": "odd", "label": "rare"}]
    data = read(tmp_path, rows)
    folds = np.append(np.arange(len(rows) - 1) % 2, 2)
    settings = AdapterSettings(model_id=tiny_model("bert"), max_length=16, max_steps=1)
    found = adapter_probabilities(data, settings, folds)
    assert found[-1, data.labels.index("rare")] == 0
    assert found[-1].sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("rows", "only"),
    [
        ([{"text": "one", "label": "a"}, {"text": "two", "label": "b"}], "b"),
        ([sentences()[0], {"tokens": ["no", "name"], "tags": ["O", "O"]}], "O"),
    ],
    ids=["texts", "entities"],
)
def test_rows_with_a_single_label_are_no_reason_to_stop(tmp_path, tiny_model, rows, only):
    data = read(tmp_path, rows)
    settings = AdapterSettings(model_id=tiny_model("bert"), max_length=16, max_steps=1)
    found = adapter_probabilities(data, settings, np.arange(2))
    assert found[0].tolist() == [float(label == only) for label in data.labels]


def test_a_word_of_a_file_is_judged_by_its_first_piece(tmp_path, tiny_model, monkeypatch):
    rows = sentences()
    rows[0]["tokens"][0] = "5,453.87"
    rows[1]["tokens"][1] = "\N{ZERO WIDTH JOINER}"
    data = read(tmp_path, rows)
    monkeypatch.setattr(adapters, "answers_of", numbered_answers)
    settings = AdapterSettings(model_id=tiny_model("bert"), max_length=16, max_steps=1)
    found = adapter_probabilities(data, settings, np.array([0, 0, *[1] * 18]))
    assert found.shape == (80, len(data.labels))
    # "5,453.87" is five pieces, so the next word is the sixth choice.
    sure = found[:8, 0]
    assert np.all(np.diff(sure[:2]) > 0)
    other = sure[1] / (1 - sure[1]) / (sure[0] / (1 - sure[0]))
    assert np.log(other) == pytest.approx(5 * 0.1, abs=1e-5)


def numbered_answers(accelerator, model, teacher, logits, answered, **options):
    """The logit of the first tag grows by 0.1 with each choice."""
    logits[:, teacher.order[0]] = 0.1 * np.arange(len(logits))
    return iter(())


def test_the_threads_of_the_command_train(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        settings = AdapterSettings(model_id=tiny_model("bert"), max_length=16, max_steps=1)
        adapter_probabilities(read(tmp_path, texts()), settings, np.arange(30) % 2)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_wrong_label_is_doubted_most(tmp_path, tiny_model, capsys):
    rows = texts()
    rows[3]["label"] = "status"
    file, scores = write_jsonl(tmp_path / "train.jsonl", rows), tmp_path / "scores.jsonl"
    words = ["doctor", file, "--model-id", tiny_model("bert"), "--max-length", "16"]
    words += ["--scores", str(scores), "--thorough", "--max-steps", "60"]
    assert main(words) == 0
    assert "epoch" not in capsys.readouterr().out  # What a training prints is not of interest.
    found = [json.loads(line)["score"] for line in scores.read_text().splitlines()]
    assert int(np.argmax(found)) == 3


def test_entities_are_judged_by_what_was_learned(tmp_path, tiny_model):
    rows = sentences()
    rows[6]["tags"] = ["O", "O", "O", "B-place"]
    file, scores = write_jsonl(tmp_path / "train.jsonl", rows), tmp_path / "scores.jsonl"
    words = ["doctor", file, "--model-id", tiny_model("bert"), "--max-length", "16"]
    words += ["--scores", str(scores), "--thorough", "--max-steps", "60"]
    assert main(words) == 0
    found = [json.loads(line) for line in scores.read_text().splitlines()]
    assert max(range(len(found)), key=lambda n: found[n]["wrong_type"]) == 6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--thorough", "--no-model"], "--thorough trains a model: leave out --no-model"),
        (["--max-steps", "3"], "--max-steps needs --thorough"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(tmp_path, capsys, flags, message):
    file = write_jsonl(tmp_path / "train.jsonl", texts())
    assert main(["doctor", file, *flags]) == 2
    assert message in capsys.readouterr().err
