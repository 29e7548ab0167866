"""Prompts of classification: templates, the words of labels, the head that begins as them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import call_recipe, flags, same_weights, text_rows, trained, write_jsonl
from test_model_card import code_of
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

import lowcost_ft as ft
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import build_model
from lowcost_ft.pipeline import cross_validation
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.pipeline.merge import merge_run
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.label_words import label_words, word_tokens
from lowcost_ft.tasks.classification.prompting import ClassificationPrompting
from lowcost_ft.tasks.classification.prompts import Prompt, prompted_places, settle_prompt
from lowcost_ft.training.training_length import num_epochs

TEMPLATE = "Text: {source}\nLabel:"
ROWS = text_rows(24)


def example(text: str, pair: str | None = None) -> TextExample:
    return TextExample(text=text, text_pair=pair, label=None, source="rows:1")


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Any) -> Any:
    return AutoTokenizer.from_pretrained(tiny_model("llama"))


def settled(tokenizer: Any, template: str, chat: str = "auto") -> Prompt:
    return settle_prompt(template, ["no", "yes"], tokenizer, chat_template=chat, model_id="m")


@pytest.mark.parametrize(
    ("template", "text", "words"),
    [
        ("{source} It is", "{source} It is", (" no", " yes")),
        ("{source}? ", "{source}?", (" no", " yes")),
        ("{source}\n", "{source}\n", ("no", "yes")),
        ("文本：{source}\n类别：", "文本：{source}\n类别：", ("no", "yes")),  # noqa: RUF001
        ("({labels}) {source} {text_pair}:", "(no, yes) {source} {text_pair}:", (" no", " yes")),
    ],
)
def test_a_label_follows_the_template_as_its_language_writes_it(tokenizer, template, text, words):
    assert settled(tokenizer, template) == Prompt("<|begin_of_text|>" + text, words)


def test_in_a_chat_the_label_is_what_the_assistant_replies(tokenizer, tmp_path):
    file = tmp_path / "chat.jinja"
    file.write_text(
        "{% for turn in messages %}<{{ turn['role'] }}>{{ turn['content'] }}\n{% endfor %}"
    )
    found = settled(tokenizer, "Is it? {source}", str(file))
    assert found == Prompt("<user>Is it? {source}\n<assistant>", ("no", "yes"))
    file.write_text(file.read_text().replace("['content']", "['content'] | upper"))
    with pytest.raises(UserError, match=r"changes \{source\}|leaves out"):
        settled(tokenizer, "{source}", str(file))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("pair", [None, "The parcel went to Lagos instead of London. " * 3])
def test_long_texts_are_cut_and_never_the_prompt(tiny_model, side, pair):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("llama"), truncation_side=side)
    prompt = settled(tokenizer, "<{source}|" + "{text_pair}|" * bool(pair) + " so:")
    text = "  Anna Berg ordered two blue lamps from the shop in Oslo on Monday. " * 2
    whole, cut = (
        prompt.fill_all([example(text, pair)], tokenizer, max_length=length)[0]
        for length in (500, 50)
    )
    assert not whole.cut and cut.cut and whole.text.startswith("<|begin_of_text|><  Anna")
    ids = tokenizer(cut.text, add_special_tokens=False)["input_ids"]
    assert 40 < len(ids) <= 50 and cut.text.endswith("| so:")
    for given, (start, end, skipped) in zip((text, pair), cut.places, strict=False):
        kept = cut.text[start:end]
        assert kept and given[skipped:].startswith(kept)
        assert (skipped > 0) == (side == "left")
    # Each token of a text is known by its place in the text as it was given.
    places = prompted_places(cut, tokenizer)
    seen = [place for place in places if place is not None]
    assert len(places) == len(ids) and {place[0] for place in seen} == set(range(1 + bool(pair)))
    for number, start, end in seen:
        assert not (text, pair)[number][start:end][0].isspace()
    with pytest.raises(UserError, match="leaves no room for the text beside its prompt"):
        prompt.fill_all([example(text, pair)], tokenizer, max_length=5)


def test_long_texts_are_told_by_us_and_not_by_transformers(tiny_model, caplog):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("llama"), model_max_length=16)
    prompt = settled(tokenizer, "{source} so:")
    logging.enable_propagation()
    try:
        assert prompt.fill_all([example("blue lamps " * 30)], tokenizer, max_length=12)[0].cut
    finally:
        logging.disable_propagation()
    assert not caplog.records


def test_a_pair_needs_two_places_and_one_text_one(tokenizer):
    for template, given in (("{source}", ("a", "b")), ("{source} {text_pair}", ("a", None))):
        with pytest.raises(UserError, match=r"rows:1: is .*, and --prompt-template has"):
            settled(tokenizer, template).fill_all([example(*given)], tokenizer, max_length=99)


def test_words_of_labels_are_given_in_the_flag_or_a_file(tmp_path):
    labels = ["a=b", "card_arrival", "Sci-Tech"]
    assert label_words(None, labels) == ["a=b", "card arrival", "Sci Tech"]
    assert label_words("Sci-Tech=science", labels)[2] == "science"
    file = tmp_path / "words.tsv"
    file.write_text("a=b\tequal  sides\n\nSci-Tech\t科学\n", "utf-8")
    assert label_words(str(file), labels) == ["equal sides", "card arrival", "科学"]
    file.write_text("a=b equal\nother\tx\nSci-Tech\ty\nSci-Tech\tz\n", "utf-8")
    with pytest.raises(UserError) as caught:
        label_words(str(file), labels)
    told = caught.value.problems
    assert [f"words.tsv:{line}" in one for line, one in zip((1, 2, 4), told, strict=True)]
    assert "not a label, a tab and its words" in told[0].replace("is ", "")
    assert "is not a label of the data" in told[1] and "occurs twice" in told[2]


def test_labels_need_words_of_their_own(tokenizer):
    prompt = Prompt("{source}:", (" refund", " refund"))
    with pytest.raises(UserError, match='labels "a", "b" have the same words'):
        word_tokens(prompt, ["a", "b"], tokenizer)
    turned = Prompt("{source}:", (" refund card", " card refund"))
    with pytest.raises(UserError, match="whatever their order"):
        word_tokens(turned, ["a", "b"], tokenizer)
    with pytest.raises(UserError, match="does not know ''"):
        word_tokens(Prompt("{source}:", (" ", " refund")), ["-", "b"], tokenizer)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gemma"])
def test_the_head_scores_labels_as_the_language_model_scores_their_words(tiny_model, family):
    """Llama's output layer is one of its own here; that of the others is the embedding's."""
    folder = tiny_model(family)
    language_model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokens = [[300], [17, 250], [44]]
    built = build_model(
        folder, head="sequence", labels=["a", "b", "c"], head_tokens=tokens, pad_token_id=0
    )
    ids = torch.tensor([[5, 60, 7, 123, 9]])
    with torch.no_grad():
        found = built.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        logits = language_model(input_ids=ids).logits[0, -1]
    expected = torch.stack([logits[few].mean() for few in tokens])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert any("1 of 3 labels have words of several tokens" in one for one in built.notices)


def test_a_model_without_a_word_for_it_is_refused(tiny_model, tmp_path):
    given: dict[str, Any] = {"head": "sequence", "labels": ["a", "b"], "head_tokens": [[1], [2]]}
    with pytest.raises(UserError, match="choose a decoder of a family"):
        build_model(tiny_model("bert"), **given)
    names = {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model("llama"), **names)
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="has a head for classification already"):
        build_model(str(tmp_path), **given)
    model.model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"hold no lm_head\.weight"):
        build_model(str(tmp_path), **given)


def config_of(tiny_model: Any, folder: Path, **values: Any) -> ft.RunConfig:
    values = {"train_file": write_jsonl(folder / "train.jsonl", ROWS), **values}
    values = {"prompt_template": TEMPLATE, "max_length": 32, "batch_size": 8, **values}
    values = {"model_id": tiny_model("llama"), "validation_share": 0, **values}
    return ft.RunConfig(task="classification", **values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"prompt_template": "Label:"}, "must say once where the text goes"),
        ({"prompt_template": "{source} one of {label}:"}, "{label} stands for nothing"),
        ({"model_id": "bert"}, "does not go on from a text as a decoder"),
        ({"pooling": "mean"}, "--pooling mean reads all tokens"),
        ({"label_words": "lost=gone"}, "'lost' is not a label of the data"),
        ({"problem_type": "multi_label_classification"}, "is for one label a text"),
        ({"prompt_template": None, "label_words": "refund=money"}, "--label-words needs --prompt"),
        ({"prompt_template": None, "chat_template": "plain"}, "--chat-template needs --prompt"),
        ({"prompt_template": None, "max_steps": 0}, "would answer at random"),
        ({"method": "prefix", "max_steps": 0}, "the vectors of --method prefix"),
        ({"prompt_template": "{source}\\nLabel:"}, "holds a backslash and an n"),
        ({"prompt_template": TEMPLATE * 2}, "must say once where the text goes"),
    ],
)
def test_what_does_not_go_together_is_refused(tiny_model, tmp_path, values, told):
    if "model_id" in values:
        values["model_id"] = tiny_model(values["model_id"])
    config = config_of(tiny_model, tmp_path, output_dir=str(tmp_path / "run"), **values)
    with pytest.raises(UserError, match=told):
        trained(config)


def test_a_head_that_was_trained_before_answers_without_training(tiny_model, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(tiny_model("bert"), checkpoint)
    labels = sorted({row["label"] for row in ROWS})
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, **names).eval()
    model.save_pretrained(checkpoint)
    values = {"model_id": str(checkpoint), "prompt_template": None, "max_steps": 0}
    trained(config_of(tiny_model, tmp_path, output_dir=str(tmp_path / "run"), **values))
    texts = [row["text"] for row in ROWS[:6]]
    batch = AutoTokenizer.from_pretrained(checkpoint)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).logits.argmax(-1).tolist()
    answers = load_predictor(tmp_path / "run")(texts)
    assert [labels.index(answer["label"]) for answer in answers] == expected


TRAINED: dict[str, Any] = {"max_steps": 6, "learning_rate": 3e-3}
TRAINED |= {"label_words": "refund=money,None=no"}
"""Settings of a run of a few steps, whose words have one token each or several."""


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory, tiny_model: Any) -> Path:
    """A run of the settings in `TRAINED`."""
    folder = tmp_path_factory.mktemp("prompted")
    return trained(config_of(tiny_model, folder, output_dir=str(folder / "run"), **TRAINED))[0]


def test_a_trained_run_reloads_by_the_code_of_its_card(prompted, monkeypatch, capsys):
    run = json.loads((prompted / "run.json").read_text("utf-8"))
    assert run["prompt"]["text"] == "<|begin_of_text|>" + TEMPLATE
    assert run["prompt"]["label_words"] == [" no", " delivery", " money"]
    train = run["train"]
    assert train["predicted_peak_memory_bytes"] == pytest.approx(
        train["peak_memory_bytes"], rel=0.01
    )
    card = (prompted / "README.md").read_text("utf-8")
    assert "It reads one prompt" in card and "pipeline(" not in card
    monkeypatch.chdir(prompted)
    namespace: dict[str, Any] = {}
    exec(compile(code_of(card), "README.md", "exec"), namespace)
    answer = load_predictor(prompted)(["Where is my parcel?"])[0]
    assert run["labels"][int(namespace["scores"].argmax())] == answer["label"]
    assert float(namespace["scores"].max()) == pytest.approx(answer["score"], abs=1e-5)


def test_a_merged_model_says_the_same(prompted, tmp_path):
    texts = [row["text"] for row in ROWS]
    merge_run(prompted, tmp_path / "merged")
    before, after = (load_predictor(folder)(texts) for folder in (prompted, tmp_path / "merged"))
    assert [one["label"] for one in before] == [one["label"] for one in after]
    assert np.allclose([x["score"] for x in before], [x["score"] for x in after], atol=1e-4)


def test_a_step_may_be_cut(prompted, tiny_model, tmp_path):
    values = TRAINED | {"gradient_accumulation_steps": 4, "output_dir": str(tmp_path / "run")}
    assert same_weights(prompted, trained(config_of(tiny_model, tmp_path, **values))[0])


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(prompted, tiny_model, tmp_path):
    config = config_of(tiny_model, tmp_path, output_dir=str(tmp_path / "run"), **TRAINED)
    asked = iter([False, False, False, True])
    with ft.start_run(config) as run:
        data = ft.load_data(run)
        ft.train(run, ft.build(run, data), data, pause=lambda _: next(asked))
    folder, record = trained(replace(config, resume=True))
    assert record["train"]["resumed_at_steps"] == [3]
    assert same_weights(prompted, folder, tolerance=0)


def test_without_steps_the_language_model_itself_is_scored(tiny_model, tmp_path, capsys):
    test = write_jsonl(tmp_path / "test.jsonl", text_rows(12, seed=1))
    words = flags(
        model_id=tiny_model("gpt2"),
        train_file=write_jsonl(tmp_path / "train.jsonl", ROWS),
        test_file=test,
        output_dir=tmp_path / "run",
        prompt_template=TEMPLATE,
        max_steps=0,
        max_length=32,
    )
    assert call_recipe("prompt_classification", *words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "training none (--max-steps 0): the pretrained model is scored as it is" in printed
    run = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert run["train"]["optimizer_steps"] == 0
    assert not any("training did not change" in one for one in run["warnings"])
    assert "not trained (zero-shot)" in (tmp_path / "run" / "README.md").read_text("utf-8")
    model = AutoModelForCausalLM.from_pretrained(tiny_model("gpt2")).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("gpt2"))
    tokens = [tokenizer(word)["input_ids"] for word in run["prompt"]["label_words"]]
    rows = [
        json.loads(line)
        for line in (tmp_path / "run" / "predictions.jsonl").read_text("utf-8").splitlines()
    ]
    for row in rows:
        ids = tokenizer(TEMPLATE.replace("{source}", row["text"]), return_tensors="pt")
        with torch.no_grad():
            logits = model(**ids).logits[0, -1]
        scores = torch.stack([logits[few].mean() for few in tokens]).softmax(-1)
        assert run["labels"][int(scores.argmax())] == row["label"]


def test_the_recipe_compares_training_with_none(tiny_model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cross_validation, "FOLDS", 1)
    words = flags(
        model_id=tiny_model("llama"),
        train_file=write_jsonl(tmp_path / "train.jsonl", ROWS[:16]),
        output_dir=tmp_path / "run",
        num_train_epochs=1,
        max_length=32,
    )
    assert call_recipe("prompt_classification", *words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "choice: --max-steps 0: accuracy" in printed
    assert "choice: the settings as they are: accuracy" in printed


def test_few_rows_are_read_often_and_many_twice(tiny_model, tmp_path):
    config = config_of(tiny_model, tmp_path)
    assert [num_epochs(config, rows) for rows in (4, 16, 32, 1000)] == [12, 12, 6, 2]
    plain = config_of(tiny_model, tmp_path, prompt_template=None)
    assert ClassificationPrompting.usual_epochs(plain, 16) is None
