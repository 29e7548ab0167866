"""Augmented texts: what spans cover afterwards, for texts that hypothesis makes up."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import call_recipe, flags
from small_training import Trainer
from test_loss_extensions import DiedError, train  # noqa: F401
from transformers import AutoTokenizer

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.augmentation import WAYS, mentions
from lowcost_ft.data.text_edits import SpannedText, edited, joined
from lowcost_ft.errors import UserError
from lowcost_ft.models.masked_model import masked_model, word_guesses, word_substitutes
from lowcost_ft.tasks.classification import ClassificationTask, TextExample
from lowcost_ft.tasks.ner import NerExample, NerTask
from lowcost_ft.tasks.ner.tagging import entities_to_tags, span_problems
from lowcost_ft.training.checkpoint_files import newest_checkpoint
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import build_extensions

KNOWN = {"person": ["Ann Lee", "李明", "Zoë"], "place": ["Oslo", "New York City"]}
WORDS = [
    "hello",
    "where",
    "is",
    "my",
    "Order,",
    "number 12.",
    "Über;",
    "请问",
    "订单。",
    "a",
    "U.S.",
]
WORDS += ["straße", "İstanbul", "e-mail", "it's", "(now)", "\n", "  "]


@st.composite
def spanned_texts(draw):
    """Words and entities in any order, with or without blanks between them."""
    text, spans = "", []
    for _ in range(draw(st.integers(1, 9))):
        label = draw(st.sampled_from([None, None, *KNOWN]))
        part = draw(st.sampled_from(WORDS if label is None else KNOWN[label]))
        if label is not None:
            spans.append((len(text), len(text) + len(part), label))
        text += part + draw(st.sampled_from([" ", " ", " ", ""]))
    return SpannedText(text, tuple(spans))


def covered(spanned):
    return [(label, spanned.text[start:end]) for start, end, label in spanned.spans]


@given(spanned_texts(), st.integers(0, 99), st.sampled_from(sorted(WAYS)))
def test_spans_follow_to_the_character(spanned, seed, name):
    share = (0.1, 0.5, 1.0)[seed % 3]
    after = WAYS[name](spanned, np.random.default_rng(seed), share, KNOWN)
    again = WAYS[name](spanned, np.random.default_rng(seed), share, KNOWN)
    assert after == again
    if after is None:
        return
    assert after != spanned
    assert after.text.strip()
    assert all(start < end <= len(after.text) for start, end, _ in after.spans)
    assert all(one[1] <= other[0] for one, other in pairwise(after.spans))
    before, now = covered(spanned), covered(after)
    if name in ("delete", "swap"):
        assert now == before
    elif name == "segments":
        assert sorted(now) == sorted(before)
        assert sorted(after.text.split()) == sorted(spanned.text.split()) or "" in KNOWN
    elif name == "entities":
        assert [label for label, _ in now] == [label for label, _ in before]
        assert all(text in KNOWN[label] for label, text in now)
        assert now != before
    elif name == "case":
        assert [t.casefold() for _, t in now] == [t.casefold() for _, t in before]
    else:
        for (label, text), (same, mistyped) in zip(before, now, strict=True):
            assert label == same
            assert abs(len(text) - len(mistyped)) <= len(text.split())
            assert (text[0], text[-1]) == (mistyped[0], mistyped[-1])


def test_edits_move_the_spans_behind_them_and_grow_those_around_them():
    spanned = SpannedText("to Ann in Oslo now", ((3, 6, "person"), (10, 14, "place")))
    after = edited(spanned, [(3, 6, "Chen Wei"), (12, 13, "ll"), (15, 18, "")])
    assert after.text == "to Chen Wei in Osllo "
    assert covered(after) == [("person", "Chen Wei"), ("place", "Osllo")]
    with pytest.raises(AssertionError, match="across the edge"):
        edited(spanned, [(5, 8, "x")])
    assert covered(joined([spanned, spanned], "; ")) == covered(spanned) * 2
    assert mentions([spanned, after]) == {"person": ["Ann", "Chen Wei"], "place": ["Oslo", "Osllo"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("delete", "word"),
        ("swap", "same same"),
        ("typos", "an it is"),
        ("segments", "no punctuation here"),
        ("entities", "nothing to replace"),
        ("case", "12 34"),
    ],
)
def test_what_finds_nothing_to_change_says_so(name, text):
    assert WAYS[name](SpannedText(text), np.random.default_rng(0), 0.5, KNOWN) is None


def test_a_word_gets_one_capital_however_it_is_written():
    spanned = SpannedText("don't cafe\u0301s Jane's", ((13, 17, "person"),))
    found = [WAYS["case"](spanned, np.random.default_rng(seed), 0.1, KNOWN) for seed in range(30)]
    assert {after.text for after in found if after is not None} == {
        "don't cafe\u0301s jane's",
        "DON'T CAFE\u0301S JANE'S",
        "Don't Cafe\u0301s Jane's",
    }


NER = NerTask(["O", "B-person", "I-person", "B-place", "I-place"])


def ner_example(spanned):
    """The example of a text with entities; None where two of them lie in one word."""
    if span_problems(spanned.text, spanned.spans):
        return None
    words, offsets, tags, widened = entities_to_tags(spanned.text, spanned.spans)
    found = NerExample(words=words, tags=tags, source="x", text=spanned.text, offsets=offsets)
    return None if widened or not words else found


@given(spanned_texts(), st.integers(0, 99), st.sampled_from(sorted(WAYS)))
def test_tags_follow_the_spans_of_texts_and_of_words(spanned, seed, name):
    example = ner_example(spanned)
    if example is None:
        return
    as_words = replace(example, text=None, offsets=None)
    for one in (example, as_words):
        (found,) = NER.spanned_texts(one)
        assert NER.with_texts(one, [found]) == one
        changed = WAYS[name](found, np.random.default_rng(seed), 0.5, KNOWN)
        other = changed and NER.with_texts(one, [changed])
        if not other:
            continue
        (again,) = NER.spanned_texts(other)
        assert covered(again) == covered(changed)
        assert len(other.words) == len(other.tags)
        assert (other.text is None) == (one.text is None)


def test_words_with_blanks_inside_stay_as_they_are():
    assert NER.spanned_texts(NerExample(words=("a b", "c"), tags=("O", "O"), source="x")) == ()


def test_a_pair_of_texts_keeps_its_label():
    task = ClassificationTask(["yes", "no"])
    pair = TextExample(text="one text", text_pair="another text", label="yes", source="x")
    first, second = task.spanned_texts(pair)
    assert (first.text, second.text) == ("one text", "another text")
    changed = task.with_texts(pair, [first, SpannedText("other")])
    assert changed == replace(pair, text_pair="other")


@pytest.fixture(scope="module")
def made(tiny_model):
    """`made(task, **settings)`: the augmentation of a run on 20 rows, and its rows before."""

    def make(task, family="bert", **settings):
        if (task, family) not in trainers:
            trainers[task, family] = Trainer(tiny_model, Path("unused"), task, family)
        trainer = trainers[task, family]
        model_id = tiny_model(family)
        context = TrainingContext(
            settings=RunConfig(task=task, model_id=model_id, max_length=32, **settings),
            model=None,
            task=trainer.task,
            features=trainer.features,
            pad_token_id=0,
            examples=trainer.examples,
            tokenizer=trainer.tokenizer,
        )
        return build_extensions(context), trainer.features

    trainers = {}
    return make


def of_examples(made, examples, **settings):
    """The first epoch of some examples of text classification."""
    extensions, features = made("classification", **settings)
    extensions._all[0].__init__(replace(extensions._all[0]._context, examples=examples))
    return extensions.epoch(features, 0)


def same(one, other):
    return np.array_equal(one.input_ids, other.input_ids) and np.array_equal(
        one.starts, other.starts
    )


def test_texts_of_an_epoch_depend_on_seed_and_epoch_alone(made):
    ways = "entities,swap,delete,typos"
    extensions, plain = made("ner", augment=ways)
    epochs = [extensions.epoch(plain, number) for number in range(3)]
    again, _ = made("ner", augment=ways)
    for number in (2, 0, 1):
        assert same(again.epoch(plain, number), epochs[number])
    assert not same(epochs[0], epochs[1])
    assert not same(epochs[0], plain)
    assert all(epoch.num_examples == plain.num_examples for epoch in epochs)
    other, _ = made("ner", augment=ways, seed=1)
    assert not same(other.epoch(plain, 0), epochs[0])
    record = extensions.record(2)["augmentation"]
    assert (record["ways"], record["share"], record["texts"]) == (ways.split(","), 0.5, 20)
    assert len(record["changed"]) == 2
    assert 3 <= sum(record["changed"][0].values()) <= 17
    everything, _ = made("ner", augment="swap", augment_share=1.0)
    everything.epoch(plain, 0)
    assert everything.record(1)["augmentation"]["changed"][0]["swap"] > 15
    assert (
        build_extensions(  # A plan without data knows lengths alone: these are the longest.
            replace(extensions._all[0]._context, examples=None, tokenizer=None)
        ).epoch(plain, 0)
        is plain
    )


def test_entities_of_a_list_are_taken_beside_those_of_the_data(made, tmp_path):
    file = tmp_path / "list.tsv"
    file.write_text("person\tzzz qqq\n\nplace\tvvv\n", "utf-8")
    settings = {"augment": "entities", "augment_entities": str(file), "augment_share": 1.0}
    extensions, _ = made("ner", **settings)
    known = extensions._all[0]._known
    assert known["person"][-1] == "zzz qqq"
    assert "vvv" in known["place"]
    numbers = extensions.numbers()["augmentation"]
    extensions._all[0].load({}, numbers)
    file.write_text("person\tother\n", "utf-8")
    with pytest.raises(UserError, match="has changed since the checkpoint"):
        made("ner", **settings)[0]._all[0].load({}, numbers)
    file.write_text("person\nbrand\tAcme\nplace\t \n", "utf-8")
    with pytest.raises(UserError) as caught:
        made("ner", **settings)
    assert [problem.split(": ")[0][-2:] for problem in caught.value.problems] == [":1", ":2", ":3"]
    with pytest.raises(UserError, match="cannot read"):
        made("ner", augment="entities", augment_entities=str(tmp_path / "missing"))


def test_what_finds_nothing_is_refused(made):
    with pytest.raises(UserError, match="the training data has no entities"):
        made("classification", augment="entities")
    with pytest.raises(UserError, match="reads capital and small letters alike"):
        made("classification", augment="case")
    # However few texts there are; and of few that can be changed, none may be drawn.
    few = [TextExample(text=t, text_pair=None, label="a", source="x") for t in ("hello", "thanks")]
    with pytest.raises(UserError, match="found nothing to change in 2 training texts"):
        of_examples(made, few, augment="segments")
    of_examples(made, few, augment="typos", augment_share=1e-6)
    extensions, plain = made("classification", augment="segments", augment_share=1.0)
    with pytest.raises(UserError, match="found nothing to change in 20 training texts"):
        extensions.epoch(plain, 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"augment": "swap,nonsense"}, "'nonsense' is unknown; known: entities, delete, swap"),
        ({"augment": ","}, "--augment names nothing"),
        ({"augment": "swap,swap"}, "names a way twice"),
        ({"augment": "swap", "augment_share": 1.5}, "--augment-share 1.5 is not a share"),
        ({"augment_share": 0.5}, "--augment-share needs --augment"),
        ({"augment": "swap", "augment_entities": "x"}, "is for --augment entities"),
        (
            {"augment": "swap", "cache_frozen_layers": True, "trainable_layers": 1},
            "--augment makes other texts in each epoch",
        ),
    ],
)
def test_what_cannot_be_obeyed_is_refused(values, message):
    with pytest.raises(UserError, match=message) as caught:
        RunConfig(**values)
    assert len(caught.value.problems) == 1


def test_a_stopped_run_goes_on_to_the_same_bits(train, tmp_path):  # noqa: F811
    settings = {"task": "ner", "augment": "entities,delete"}
    whole = train("whole", **settings)
    assert sum(whole.extensions.record(3)["augmentation"]["changed"][2].values()) > 0
    with pytest.raises(DiedError):
        train("stopped", dies_after=5, **settings)
    checkpoint = newest_checkpoint(tmp_path / "stopped" / "checkpoints", print)
    resumed = train("stopped", resume=checkpoint, scores=(0.2, 0.3, 0.4), **settings)
    for name, weight in whole.weights().items():
        assert torch.equal(weight, resumed.weights()[name]), name


def test_a_recipe_records_what_was_changed_and_knows_its_memory(tiny_model, small_files, tmp_path):
    values = {"model_id": tiny_model("bert"), "output_dir": tmp_path / "run", "max_length": 48}
    values |= {"augment": "entities,typos,segments", "augment_share": 0.9, "batch_size": 8}
    values |= {"num_train_epochs": 2, "adversarial": "fgm", "ema": 0.9, **small_files["ner"]}
    assert call_recipe("lora_ner", *flags(**values)) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    found = record["train"]["extensions"]
    assert found["adversarial"] == {"kind": "fgm", "epsilon": 0.01}
    assert found["weight_average"] == {"decay": 0.9, "steps": 20}
    assert [set(epoch) <= {"entities", "typos"} for epoch in found["augmentation"]["changed"]]
    assert found["augmentation"]["texts"] == 80
    assert record["train"]["predicted_peak_memory_bytes"] == pytest.approx(
        record["train"]["peak_memory_bytes"], rel=1e-3
    )
    assert record["train"]["examples"] == 160


def test_a_model_guesses_words_that_are_whole_and_outside_of_entities(made):
    settings = {"augment": "masked-model", "augment_share": 1.0, "augment_strength": 0.3}
    settings |= {"ema": 0}
    extensions, plain = made("ner", family="roberta", **settings)
    (trick,) = extensions._all
    assert {len(variants) for variants in trick._substitutes} == {4}
    changed = 0
    for (text,), variants in zip(trick._texts, trick._substitutes, strict=True):
        for edits in variants:
            for start, end, word in edits:
                assert word.isalpha()
                assert word.casefold() != text.text[start:end].casefold()
                assert all(end <= first or last <= start for first, last, _ in text.spans)
                changed += 1
    assert changed > 40
    again, _ = made("ner", family="roberta", **settings)
    for number in (0, 1):
        assert same(extensions.epoch(plain, number), again.epoch(plain, number))
    numbers = extensions.numbers()["augmentation"]
    with pytest.raises(UserError, match="guesses other words on this machine"):
        trick.load({}, numbers | {"guesses": "else"})


def test_a_text_about_the_mask_token_is_not_guessed_in(tiny_model):
    folder = tiny_model("roberta")
    model, tokenizer = masked_model(folder), AutoTokenizer.from_pretrained(folder)
    texts = [SpannedText("where is my parcel"), SpannedText("where does <mask> mean something")]
    options = {"max_length": 32}
    plain, masked = word_substitutes(model, tokenizer, texts, seed=0, share=0.5, **options)
    assert any(plain) and not any(masked)
    plain, masked = word_guesses(model, tokenizer, texts, most=2, **options)
    assert plain and not masked


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_model_that_cannot_guess_is_refused(made, family):
    with pytest.raises(UserError, match="--augment masked-model: "):
        made("classification", family=family, augment="masked-model")
