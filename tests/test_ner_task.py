"""Words and sub-words, windows, decoding: every word is labelled, predicted and scored once."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowcost_ft.data.features import IGNORED_LABEL, collate
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.pipeline.predicting import check_same, predict
from lowcost_ft.tasks.ner import NerExample, NerTask, special_tokens, text_example
from lowcost_ft.tasks.ner.legal_tags import TagOrder
from lowcost_ft.training.setup import build_accelerator

LABELS = ["O", "B-x", "I-x", "B-y", "I-y"]
NOTHING = "\u200b"
"""BERT's normalizer removes it: a word without sub-words."""
LONG = "warrantymonitorsprinter"
"""Not in any tiny vocabulary as a whole."""
WORDS = ("anna", "Oslo", "A1234", LONG, "?", NOTHING, "质")


def example(words, tags=None):
    tags = tags or [LABELS[1 + index % 4] for index in range(len(words))]
    return NerExample(words=tuple(words), tags=tuple(tags), source="test")


@pytest.fixture(scope="module")
def tokenizers(tiny_model):
    return {
        family: load_tokenizer(tiny_model(family), words=True)
        for family in ("bert", "roberta", "xlm-roberta", "llama", "gpt2", "gemma")
    }


def row(features, index):
    return slice(features.starts[index], features.starts[index + 1])


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "llama", "gpt2", "gemma"])
@pytest.mark.parametrize("causal", [False, True])
def test_one_sub_word_of_each_word_has_its_label(tokenizers, family, causal):
    tokenizer = tokenizers[family]
    words, tags = ("the", LONG, "lamp"), ("O", "B-x", "I-y")
    task = NerTask(LABELS, causal=causal)
    features = task.featurize([example(words, tags)], tokenizer, max_length=64)
    assert features.input_ids.tolist() == tokenizer(list(words), is_split_into_words=True).input_ids
    prefix, suffix = special_tokens(tokenizer)
    pieces = [
        len(tokenizer(["a", word], is_split_into_words=True, add_special_tokens=False).input_ids)
        - len(tokenizer(["a"], is_split_into_words=True, add_special_tokens=False).input_ids)
        for word in words
    ]
    assert pieces[1] > 2
    expected = [IGNORED_LABEL] * len(prefix)
    for tag, count in zip(tags, pieces, strict=True):
        ignored = [IGNORED_LABEL] * (count - 1)
        label = [LABELS.index(tag)]
        expected += ignored + label if causal else label + ignored
    expected += [IGNORED_LABEL] * len(suffix)
    assert features["token_labels"].tolist() == expected
    assert features["words"][features["words"] >= 0].tolist() == [0, 1, 2]
    assert ((features["words"] >= 0) == (features["token_labels"] >= 0)).all()
    assert features.weights.tolist() == [3.0]


def test_special_tokens_are_those_of_one_sequence(tokenizers):
    bert = tokenizers["bert"]
    assert special_tokens(bert) == ([bert.cls_token_id], [bert.sep_token_id])
    assert special_tokens(tokenizers["llama"]) == ([tokenizers["llama"].bos_token_id], [])
    assert special_tokens(tokenizers["gpt2"]) == ([], [])


def test_a_word_without_sub_words_is_outside_and_still_scored(tokenizers):
    task = NerTask(LABELS)
    examples = [example([NOTHING, "anna"], ["B-x", "B-y"]), example([NOTHING], ["B-x"])]
    features = task.featurize(examples, tokenizers["bert"], max_length=16)
    assert features["words"][features["words"] >= 0].tolist() == [1]
    assert features.weights.tolist() == [1.0, 0.0]
    predictions = task.new_predictions(features)
    predictions["label"][1] = LABELS.index("B-y")
    assert task.tags(examples, predictions) == [["O", "B-y"], ["O"]]
    scores = task.score(examples, predictions)
    assert scores["recall"] == pytest.approx(1 / 3)
    assert scores["precision"] == 1.0


def best_context(word_ids, windows, causal):
    """For each word all windows that show most context around its labelled token."""
    best = {}
    for position, word in enumerate(word_ids):
        if word is None or (not causal and word in best):
            continue
        contexts = {}
        for index, (start, end) in enumerate(windows):
            if start <= position < end:
                sides = (position - start, end - 1 - position)
                contexts[index] = sides[0] if causal else min(sides)
        best[word] = {i for i, size in contexts.items() if size == max(contexts.values())}
    return best


@settings(max_examples=60, deadline=None)
@given(
    sentences=st.lists(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=25), min_size=1, max_size=4
    ),
    max_length=st.integers(8, 24),
    overlap=st.one_of(st.none(), st.integers(0, 12)),
    family=st.sampled_from(["bert", "xlm-roberta", "llama"]),
)
def test_windows_label_and_predict_every_word_once_where_it_has_most_context(
    tokenizers, sentences, max_length, overlap, family
):
    tokenizer, causal = tokenizers[family], family == "llama"
    examples = [example(words) for words in sentences]
    task = NerTask(LABELS, causal=causal, window_overlap=overlap)
    features = task.featurize(examples, tokenizer, max_length=max_length)
    prefix, suffix = special_tokens(tokenizer)
    assert features.lengths.max() <= max_length
    assert features.num_examples == len(examples)
    owned = features["words"][features["words"] >= 0]
    assert len(set(owned.tolist())) == len(owned)

    all_tags = [tag for item in examples for tag in item.tags]
    for position in np.flatnonzero(features["words"] >= 0):
        tag = all_tags[features["words"][position]]
        assert features["token_labels"][position] == LABELS.index(tag)
    assert (features["token_labels"][features["words"] < 0] == IGNORED_LABEL).all()

    for number, item in enumerate(examples):
        encoding = tokenizer(list(item.words), is_split_into_words=True, add_special_tokens=False)
        ids, word_ids = encoding.input_ids, encoding.word_ids()
        rows = features.rows_of(np.array([number]))
        begins = [place == 0 for place in range(len(rows))]
        assert features["first_windows"][rows].tolist() == begins
        # Where each window lies in the sentence follows from its size and the overlap.
        size = max_length - len(prefix) - len(suffix)
        step = size - min(max_length // 4 if overlap is None else overlap, size - 1)
        starts = [
            max(0, min(index * step, len(ids) - size)) if len(rows) > 1 else 0
            for index in range(len(rows))
        ]
        windows = [(start, min(start + size, len(ids))) for start in starts]
        assert windows[-1][1] == len(ids)
        best = best_context(word_ids, windows, causal)
        seen = set()
        for index, (start, end) in zip(rows, windows, strict=True):
            tokens = features.input_ids[row(features, index)].tolist()
            assert tokens == [*prefix, *ids[start:end], *suffix]
            words = features["words"][row(features, index)]
            for column in np.flatnonzero(words >= 0):
                word = int(words[column] - features["word_starts"][number])
                assert word_ids[start + column - len(prefix)] == word
                assert windows.index((start, end)) in best[word]
                seen.add(word)
        assert seen == {word for word in word_ids if word is not None}


@settings(max_examples=30, deadline=None)
@given(
    sentences=st.lists(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=30), min_size=1, max_size=5
    ),
    max_length=st.integers(8, 20),
)
def test_perfect_logits_give_back_all_tags(tokenizers, sentences, max_length):
    """Through windows, padding, decoding and assembly: what is labelled is what is scored."""
    task = NerTask(LABELS)
    examples = [
        example(
            words,
            ["O" if word == NOTHING else LABELS[1 + 2 * (i % 2)] for i, word in enumerate(words)],
        )
        for words in sentences
    ]
    features = task.featurize(examples, tokenizers["bert"], max_length=max_length)
    predictions = task.new_predictions(features)
    for rows in np.array_split(np.arange(len(features.lengths)), 3):
        if not len(rows):
            continue
        batch = collate(features, rows, pad_token_id=0)
        labels = batch["token_labels"]
        # Where there is no label, the logits say something that must not be read.
        logits = torch.nn.functional.one_hot(labels.where(labels >= 0, 4), 5) * 20.0
        decoded = {name: value.numpy() for name, value in task.decode(logits).items()}
        task.store(predictions, decoded, batch, features.examples[rows])
    assert task.tags(examples, predictions) == [list(item.tags) for item in examples]
    if any(tag != "O" for item in examples for tag in item.tags):
        assert task.score(examples, predictions)["f1"] == 1.0
    assert [len(row["tags"]) for row in task.present(examples, predictions)] == [
        len(words) for words in sentences
    ]


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_sentence_that_fits_is_predicted_as_without_windows(tiny_model, tokenizers, family):
    tokenizer = tokenizers[family]
    built = build_model(
        tiny_model(family), head="token", labels=LABELS, pad_token_id=tokenizer.pad_token_id
    )
    task = NerTask(LABELS, causal=family == "llama")
    sentences = [["anna", "lives", "in", "Oslo"], ["the", LONG, "?"], ["hello"] * 40]
    examples = [example(words, ["O"] * len(words)) for words in sentences]
    whole = [len(tokenizer(words, is_split_into_words=True).input_ids) for words in sentences]
    fits = max(whole[:2])

    def predicted(max_length):
        features = task.featurize(examples, tokenizer, max_length=max_length)
        predictions = predict(
            build_accelerator(),
            forward_module(built.model),
            task,
            features,
            pad_token_id=tokenizer.pad_token_id,
            micro_batch_tokens=32,
        )
        return features, predictions

    windowed, short = predicted(fits)
    unwindowed, long = predicted(max(whole))
    assert len(unwindowed.lengths) == 3
    assert len(windowed.lengths) > 3
    words = sum(map(len, sentences[:2]))
    np.testing.assert_allclose(short["score"][:words], long["score"][:words], atol=1e-6)
    assert (short["label"][:words] == long["label"][:words]).all()
    # Words of the long one are predicted, from less context.
    assert (short["score"][words:] > 0).all()
    assert not np.allclose(short["score"][words:], long["score"][words:], atol=1e-6)


def test_predicted_tags_are_made_legal():
    task = NerTask(LABELS)
    item = example(["a"] * 5, ["O"] * 5)
    predictions = {"label": np.array([2, 1, 2, 4, 4]), "score": np.ones(5, np.float32)}
    # What continues nothing is no entity, in the answer as in the score.
    assert task.tags([item], predictions) == [["O", "B-x", "I-x", "O", "O"]]


def test_answers_hold_characters_of_the_text_and_mean_probabilities():
    task = NerTask(LABELS)
    examples = [text_example("  Ana Sá, Oslo"), example(["to", "Rome"], ["O", "O"])]
    assert examples[0].words == ("Ana", "Sá", ",", "Oslo")
    predictions = {
        "label": np.array([1, 2, 0, 3, 0, 3]),
        "score": np.array([0.5, 0.75, 0.9, 1.0, 0.9, 0.25], np.float32),
    }
    first, second = task.answer(examples, predictions)
    assert first["text"] == "  Ana Sá, Oslo"
    assert first["entities"] == [
        {"start": 2, "end": 8, "label": "x", "text": "Ana Sá", "score": 0.625},
        {"start": 10, "end": 14, "label": "y", "text": "Oslo", "score": 1.0},
    ]
    assert second == {
        "text": "to Rome",
        "entities": [{"start": 3, "end": 7, "label": "y", "text": "Rome", "score": 0.25}],
    }


def test_what_changes_are_entities_and_not_the_many_words_outside():
    task = NerTask(LABELS)
    examples = [example(["a"] * 6, ["O"] * 6), example(["b"] * 2, ["O"] * 2)]
    labels = {
        "before": [1, 2, 0, 3, 0, 0, 0, 0],
        # One entity is shorter, one the same, one has another type, and one is new.
        "after": [1, 0, 0, 3, 0, 0, 0, 1],
        "typed": [1, 2, 0, 1, 0, 0, 0, 0],
        "none": [0] * 8,
    }
    found = {
        name: {"label": np.array(ids), "score": np.ones(8, np.float32)}
        for name, ids in labels.items()
    }
    changed = {
        name: task.changed(examples, found["before"], found[name]).tolist() for name in found
    }
    assert changed["before"] == [False, False]
    assert sorted(changed["after"]) == [False, True, True, True]
    assert sorted(changed["typed"]) == [False, True, True]
    assert changed["none"] == [True, True]
    assert task.changed(examples, found["none"], found["none"]).tolist() == []


def test_the_loss_is_a_sum_over_labelled_tokens():
    task = NerTask(LABELS)
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 5)
    labels = torch.tensor([[1, -100, 0], [-100, 4, -100]])
    expected = -sum(logits.log_softmax(-1)[i, j, labels[i, j]] for i, j in ((0, 0), (0, 2), (1, 1)))
    torch.testing.assert_close(task.loss(logits, {"token_labels": labels}), expected)
    nothing = torch.full((2, 3), -100)
    assert task.loss(logits, {"token_labels": nothing}).item() == 0.0


def test_unlabelled_examples_have_words_and_no_labels(tokenizers):
    task = NerTask(LABELS)
    features = task.featurize([text_example("Oslo, please")], tokenizers["bert"], max_length=16)
    assert (features["token_labels"] == IGNORED_LABEL).all()
    assert features["words"][features["words"] >= 0].tolist() == [0, 1, 2]


def test_how_wrong_a_sentence_is():
    task = NerTask(LABELS)
    true = [("O", LABELS[1]), ("O",), ()]
    examples = [NerExample(words=("a",) * len(t), tags=t, source="t") for t in true]
    predictions = {
        "label": np.array([0, 0, 3]),
        "score": np.array([0.8, 0.75, 1.0], np.float32),
    }
    # Right at 0.8; wrong at 0.75, so that 0.25 at most was left for the truth; wrong and certain.
    least = [-np.log(0.8) - np.log(0.25), -np.log(np.finfo(np.float32).eps), 0.0]
    np.testing.assert_allclose(task.losses(examples, predictions), least, rtol=1e-6)


def test_a_type_that_the_model_does_not_know_is_predicted_and_has_no_loss(tokenizers):
    task = NerTask(LABELS)
    examples = [example(["anna", "Oslo", "lamp"], ["B-x", "B-new", "I-new"])]
    features = task.featurize(examples, tokenizers["bert"], max_length=16)
    assert features["words"][features["words"] >= 0].tolist() == [0, 1, 2]
    assert features["token_labels"][features["token_labels"] >= 0].tolist() == [LABELS.index("B-x")]
    assert features.weights.tolist() == [1.0]
    predictions = {"label": np.array([1, 1, 0]), "score": np.array([0.5, 0.9, 0.9], np.float32)}
    assert task.losses(examples, predictions) == pytest.approx([-np.log(0.5)])
    scores = task.score(examples, predictions)
    assert scores["per_entity"]["new"]["support"] == 1
    assert (scores["precision"], scores["recall"]) == (0.5, 0.5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), tokens=st.integers(1, 4), starts=st.booleans())
def test_the_best_legal_tags_are_those_of_a_search_over_all(seed, tokens, starts):
    order = TagOrder(LABELS)
    scores = np.random.default_rng(seed).normal(size=(tokens, len(LABELS)))

    def legal(path):
        tags = [LABELS[place] for place in path]
        follow = all(a[1:] == b[1:] for a, b in pairwise(tags) if b[0] == "I")
        return follow and not (starts and tags[0][0] == "I")

    paths = [path for path in product(range(len(LABELS)), repeat=tokens) if legal(path)]
    best = max(paths, key=lambda path: scores[range(tokens), path].sum())
    assert order.best(scores, starts).tolist() == list(best)
    for path in product(range(len(LABELS)), repeat=tokens):
        assert order.is_legal(np.array(path), starts) == legal(path)


def test_tags_that_are_not_legal_together_become_the_most_probable_legal_ones():
    task = NerTask(LABELS)
    # Two rows of one sentence each; the second row goes on from a window before it.
    logits = torch.full((2, 5, len(LABELS)), -9.0)
    for place, (best, second) in enumerate(
        [("O", "O"), ("O", "B-x"), ("I-x", "O"), ("I-y", "I-x")]
    ):
        logits[:, place, LABELS.index(second)] = 3.0
        logits[:, place, LABELS.index(best)] = 4.0
    words = torch.tensor([[-1, 0, 1, 2, -1], [-1, -1, 3, 4, -1]])
    batch = {"words": words, "first_windows": torch.tensor([True, False])}
    found = task.decode_batch(logits, batch)
    names = [[LABELS[label] for label in row] for row in found["label"].tolist()]
    # O I-x I-y: a B-x in front and an I-x behind cost less than to give up all but the O's.
    assert names[0][1:4] == ["B-x", "I-x", "I-x"]
    assert names[1][2:4] == ["I-x", "I-x"]  # Nothing is known of the word in front.
    shares = logits.softmax(-1).gather(-1, found["label"].unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(found["score"], shares)
    each = NerTask(LABELS, tag_choice="each").decode_batch(logits, batch)
    assert each["label"].tolist() == logits.argmax(-1).tolist()
    # What a run from before does not say.
    assert NerTask.from_record({"labels": LABELS}).tag_choice == "each"
    for choice in ("legal", "each"):
        recorded = NerTask.from_record({"labels": LABELS, "tag_choice": choice})
        assert recorded.tag_choice == choice


def test_the_card_tells_which_tags_other_code_takes():
    run = {"labels": LABELS, "file_words": "split"}
    told = [NerTask.card(run | more, 99).limits for more in ({}, {"tag_choice": "legal"})]
    assert ["best tags that fit together" in " ".join(limits) for limits in told] == [False, True]


def test_a_piece_without_a_token_is_an_o_between_its_neighbours():
    task = NerTask(LABELS)
    logits = torch.full((1, 3, len(LABELS)), -9.0)
    logits[0, 0, LABELS.index("B-x")] = logits[0, 1, LABELS.index("I-x")] = 4.0
    logits[0, 1, LABELS.index("B-x")] = 3.0
    first = torch.tensor([True])
    for words, second in (([0, 1, -1], "I-x"), ([0, 2, -1], "B-x")):  # Piece 1 has no token.
        found = task.decode_batch(logits, {"words": torch.tensor([words]), "first_windows": first})
        assert [LABELS[label] for label in found["label"][0, :2].tolist()] == ["B-x", second]


def test_rows_without_pieces_and_outputs_that_are_no_numbers_are_decided_all_the_same():
    task = NerTask(LABELS)
    logits = torch.full((2, 3, len(LABELS)), float("nan"))
    words = torch.tensor([[-1, -1, -1], [0, 1, -1]])
    batch = {"words": words, "first_windows": torch.tensor([True, True])}
    found = task.decode_batch(logits, batch)
    assert found["label"].shape == (2, 3) and found["score"][1, 0].isnan()


def test_a_reloaded_model_may_decide_otherwise_where_two_answers_are_level():
    trained = {"label": np.array([0, 1, 2]), "score": np.array([0.9, 0.6, 0.9], np.float32)}
    level = {"label": np.array([0, 1, 0]), "score": np.array([0.9, 0.6, 0.1], np.float32)}
    check_same(trained, level, tolerance=1e-4)
    for label in ([0, 1, 0], [5, 5, 5]):
        other = {"label": np.array(label), "score": np.array([0.9, 0.7, 0.1], np.float32)}
        with pytest.raises(RuntimeError, match="does not predict what the trained one did"):
            check_same(trained, other, tolerance=1e-4)
