"""A model sees the same words in a file and in a text, and its answers are of the file's words."""

import json
import random
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import call_recipe, flags

from lowcost_ft import load_predictor
from lowcost_ft.models.loading import load_tokenizer
from lowcost_ft.scores.metrics import score_entities
from lowcost_ft.tasks.ner import NerExample, NerTask, text_example
from lowcost_ft.tasks.ner.tagging import tags_to_spans
from lowcost_ft.tasks.ner.word_notices import word_notice
from lowcost_ft.tasks.ner.word_pieces import cut_words, is_learned, join_tags, spread_tags

LABELS = ["O", "B-x", "I-x", "B-y", "I-y"]


def of_file(words, tags=None):
    return NerExample(words=tuple(words), tags=None if tags is None else tuple(tags), source="test")


@pytest.fixture(scope="module")
def tokenizers(tiny_model):
    return {
        family: load_tokenizer(tiny_model(family), words=True)
        for family in ("bert", "roberta", "xlm-roberta", "llama")
    }


@settings(max_examples=150, deadline=None)
@given(
    words=st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
            st.sampled_from(
                ["5,453.87", "U.S.", "Jean-Luc", "AT&T", "01/03/2020", "东京", "http://t.co/a"]
            ),
        ),
        min_size=1,
        max_size=12,
    ),
    family=st.sampled_from(["bert", "roberta", "xlm-roberta", "llama"]),
)
def test_words_and_the_text_of_the_words_are_the_same_input(tokenizers, words, family):
    task = NerTask(LABELS, causal=family == "llama")
    as_words, as_text = (
        task.featurize([example], tokenizers[family], max_length=24)
        for example in (of_file(words), text_example(" ".join(words)))
    )
    for name in ("input_ids", "starts"):
        assert getattr(as_words, name).tolist() == getattr(as_text, name).tolist(), name
    for name in ("words", "word_starts"):
        assert as_words[name].tolist() == as_text[name].tolist(), name


def test_every_piece_of_an_entity_has_a_label(tokenizers):
    task = NerTask(LABELS)
    example = of_file(
        ["Jean-Luc", "P.", "paid", "5,453.87", "AT&T"], ["B-x", "I-x", "O", "B-y", "B-y"]
    )
    features = task.featurize([example], tokenizers["bert"], max_length=64)
    labels = features["token_labels"][features["words"] >= 0]
    expected = "B-x I-x I-x I-x I-x O B-y I-y I-y I-y I-y B-y I-y I-y"
    assert " ".join(LABELS[label] for label in labels) == expected
    assert features.weights.tolist() == [14.0]


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "a.b", "5,453.87", "东京"]), st.sampled_from(LABELS)),
        min_size=1,
    )
)
def test_tags_of_words_are_the_same_after_cutting_and_joining(pairs):
    words, tags = zip(*pairs, strict=True)
    legal = ["O"] * len(tags)
    for start, end, label in tags_to_spans(tags):
        legal[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    pieces = cut_words(words)
    assert join_tags(spread_tags(legal, pieces.words), pieces.words, len(words)) == legal


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        ("O B-x I-x O O", "O B-x O"),  # an entity may end inside a word
        ("O O O B-x I-x", "O O I-x"),  # what begins inside of one is not the word's
        ("O B-x O B-y I-y", "O B-x I-y"),
        ("B-x I-x I-x I-x B-x", "B-x I-x B-x"),
        ("O O O O O", "O O O"),
    ],
)
def test_a_word_has_the_tag_of_its_first_piece(pieces, joined):
    assert join_tags(pieces.split(), (0, 1, 1, 1, 2), 3) == joined.split()


def test_only_the_first_piece_of_a_word_outside_of_entities_is_learned():
    words = (0, 0, 0, 1, 1, 2)
    assert is_learned(["O", "B-x", "O"], words) == [True, False, False, True, True, True]


def test_answers_are_of_the_words_of_the_file():
    task = NerTask(LABELS)
    example = of_file(["in", "U.S.", "today"])
    predictions = {
        "label": np.array([0, 1, 2, 2, 2, 0]),
        "score": np.array([0.9, 0.9, 0.8, 0.5, 1.0, 0.9], np.float32),
    }
    assert task.present([example], predictions) == [
        {"tokens": ["in", "U.S.", "today"], "tags": ["O", "B-x", "O"]}
    ]
    (answer,) = task.answer([example], predictions)
    assert answer["entities"] == [
        {"start": 3, "end": 7, "label": "x", "text": "U.S.", "score": 0.8}
    ]
    assert task.losses([of_file(example.words, ["O", "B-x", "O"])], predictions).shape == (1,)


def invoices(count, seed):
    """Sentences with words that a text has in pieces."""
    draw = random.Random(seed)
    for _ in range(count):
        amount = draw.choice(("5,453.87", "1,200.10", "9,870.00"))
        date = draw.choice(("01/03/2020", "28/12/2015", "17/06/2024"))
        code = draw.choice(("AY-740/80", "AY-357/87", "BX-112/05"))
        yield [
            *(("Paid", "O"), (amount, "B-AMOUNT"), ("on", "O"), (date, "B-DATE")),
            *(("for", "O"), (code, "B-CODE")),
        ]


@pytest.fixture(scope="module")
def invoice_run(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("invoices")
    files = {}
    for seed, (name, count) in enumerate({"train": 96, "validation": 16, "test": 16}.items()):
        lines = [
            "".join(f"{word} {tag}\n" for word, tag in sentence)
            for sentence in invoices(count, seed)
        ]
        (folder / f"{name}.conll").write_text("\n".join(lines), "utf-8")
        files[f"{name}_file"] = str(folder / f"{name}.conll")
    values = {"model_id": tiny_model("bert"), "output_dir": folder / "run", "max_length": 64}
    values |= {"num_train_epochs": 14, "batch_size": 8, "learning_rate": 5e-3}
    values |= {"dropout": 0.0, "lora_dropout": 0.0}
    assert call_recipe("lora_ner", *flags(**values, **files)) == 0
    return folder / "run"


def test_a_tagger_that_was_trained_on_words_finds_the_entities_of_texts(invoice_run):
    predictor = load_predictor(invoice_run)
    sentences = list(invoices(16, 2))
    answers = predictor([" ".join(word for word, _ in sentence) for sentence in sentences])
    found = [[(e["text"], e["label"]) for e in answer["entities"]] for answer in answers]
    true = [[(w, tag[2:]) for w, tag in sentence if tag != "O"] for sentence in sentences]
    assert predictor.run["evaluation"]["test"]["f1"] == 1.0
    assert found == true
    assert predictor.notices == []
    # Words or text: the answer is the same, the file's words are those of the file.
    assert predictor.predict([of_file(w for w, _ in s) for s in sentences]) == answers
    lines = (invoice_run / "predictions.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["tokens"] for row in rows] == [[w for w, _ in s] for s in sentences]
    scores = score_entities([row["tags"] for row in rows], [row["true_tags"] for row in rows])
    assert scores["f1"] == predictor.run["evaluation"]["test"]["f1"]


def test_the_record_and_the_card_say_what_the_words_are(invoice_run):
    run = json.loads((invoice_run / "run.json").read_text("utf-8"))
    assert (run["word_splitting"], run["file_words"]) == ("unicode-v2", "split")
    card = (invoice_run / "README.md").read_text("utf-8")
    assert "`5,453.87` is five words" in card


def test_a_run_saved_before_sees_words_as_the_file_has_them_and_says_so(invoice_run, tmp_path):
    folder = shutil.copytree(invoice_run, tmp_path / "run")
    run = json.loads((folder / "run.json").read_text("utf-8"))
    del run["file_words"]
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    predictor = load_predictor(folder)
    example = of_file(["Paid", "5,453.87"])
    assert predictor.task.pieces(example).texts == example.words
    predictor.predict([example])
    assert len(predictor.notices) == 1
    assert '1 of the words are several words in a text ("5,453.87")' in predictor.notices[0]
    predictor(["Paid 5,453.87"])
    predictor(["Paid 5,453.87"])
    assert len(predictor.notices) == 2
    assert "finds fewer entities in texts" in predictor.notices[1]


@pytest.mark.parametrize(
    "run",
    [
        {"config": {"train_file": "a.conll"}, "file_words": "split"},
        {"config": {"train_file": None, "dataset": None}},  # the embedded sample
    ],
)
def test_nothing_is_said_where_the_words_are_alike(run):
    examples = [text_example("Paid 5,453.87"), of_file(["5,453.87"])]
    assert word_notice(run | {"word_splitting": "unicode-v1"}, examples) is None


def test_nothing_is_said_of_words_that_a_text_has_too():
    run = {"config": {"train_file": "a.conll"}, "word_splitting": "unicode-v1"}
    assert word_notice(run, [of_file(["Paid", "5"])]) is None
