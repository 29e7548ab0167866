"""Tokenized data is found again when nothing changed, and never otherwise."""

import dataclasses
import os
import time

import numpy as np
import pytest
from small_runs import ner_rows, text_rows

from lowcost_ft.data import feature_cache
from lowcost_ft.data.feature_cache import cached_features, feature_key
from lowcost_ft.data.features import Features
from lowcost_ft.models.loading import load_tokenizer
from lowcost_ft.tasks.classification import ClassificationTask, TextExample
from lowcost_ft.tasks.ner import NerExample, NerTask

TAGS = ["O", "B-person", "I-person", "B-place", "I-place"]


class Case:
    """Something to tokenize, and how often it was."""

    def __init__(self, model_id, kind, folder):
        self.tokenizer = load_tokenizer(model_id, words=kind == "ner")
        self.folder, self.said, self.calls = folder, [], 0
        if kind == "ner":
            self.task = NerTask(TAGS)
            self.examples = [
                NerExample(words=tuple(r["tokens"]), tags=tuple(r["tags"]), source="a")
                for r in ner_rows(9)
            ]
        else:
            self.task = ClassificationTask(["None", "delivery", "refund"])
            self.examples = [
                TextExample(text=r["text"], label=r["label"], source="a") for r in text_rows(9)
            ]

    def key(self, **changes):
        values = {"examples": self.examples, "task": self.task, "max_length": 16} | changes
        return feature_key(
            values["task"], values["examples"], self.tokenizer, max_length=values["max_length"]
        )

    def featurize(self):
        self.calls += 1
        return self.task.featurize(self.examples, self.tokenizer, max_length=16)

    def get(self):
        return cached_features(self.featurize, self.key(), folder=self.folder, say=self.said.append)


@pytest.fixture(params=["ner", "classification"])
def case(request, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "WORTH_KEEPING_SECONDS", 0.0)
    return Case(tiny_model("bert"), request.param, tmp_path / "cache")


def assert_same(one, other):
    for field in dataclasses.fields(Features):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "arrays":
            assert set(a) == set(b)
        pairs = [(a[name], b[name]) for name in a] if field.name == "arrays" else [(a, b)]
        for left, right in pairs:
            if isinstance(left, np.ndarray):
                assert left.dtype == right.dtype
                np.testing.assert_array_equal(left, right)
            else:
                assert left == right


def test_a_second_call_reads_what_the_first_left(case):
    first, second = case.get(), case.get()
    assert case.calls == 1
    assert_same(first, second)
    assert "kept in" in case.said[0] and "read from" in case.said[1]
    assert [f.suffix for f in case.folder.iterdir()] == [".safetensors"]


def test_whatever_matters_makes_another_key(case, tiny_model):
    key = case.key()
    assert case.key() == key
    assert case.key(max_length=17) != key
    assert case.key(examples=case.examples[:-1]) != key
    assert case.key(examples=case.examples[::-1]) != key
    elsewhere = [dataclasses.replace(e, source="b:7") for e in case.examples]
    assert case.key(examples=elsewhere) == key
    field = "tags" if isinstance(case.task, NerTask) else "label"
    unlabelled = [dataclasses.replace(e, **{field: None}) for e in case.examples]
    assert case.key(examples=unlabelled) != key
    if isinstance(case.task, NerTask):
        assert case.key(task=NerTask(TAGS, causal=True)) != key
        assert case.key(task=NerTask(TAGS, window_overlap=2)) != key
    else:
        labels = case.task.labels
        assert case.key(task=ClassificationTask(labels[::-1])) != key
        assert case.key(task=ClassificationTask(labels, class_weights=[1.0, 2.0, 3.0])) != key
    case.tokenizer = load_tokenizer(tiny_model("roberta"), words=isinstance(case.task, NerTask))
    assert case.key() != key


@pytest.mark.parametrize("damage", [b"", b"no tensors", "half", "other"])
def test_a_damaged_file_is_made_anew(case, damage):
    expected = case.get()
    (file,) = case.folder.iterdir()
    content = file.read_bytes()
    if damage == "half":
        damage = content[: len(content) // 2]
    elif damage == "other":
        damage = content.replace(b'"starts"', b'"strats"')
    file.write_bytes(damage)
    assert_same(case.get(), expected)
    assert_same(case.get(), expected)
    assert case.calls == 2


def test_what_is_quick_to_make_is_not_kept(case, monkeypatch):
    monkeypatch.setattr(feature_cache, "WORTH_KEEPING_SECONDS", 60.0)
    case.get()
    assert not case.folder.exists() and not case.said


def test_a_folder_that_cannot_be_written_stops_nothing(case):
    case.folder.write_text("a file")
    assert case.get().num_examples == 9
    assert "is not kept" in case.said[0]


def test_what_nobody_used_for_long_is_removed_and_told(case):
    case.get()
    (file,) = case.folder.iterdir()
    old = time.time() - (feature_cache.KEPT_DAYS + 1) * 86_400
    os.utime(file, (old, old))
    case.get()  # Used again: it stays.
    case.examples = case.examples[:5]
    case.get()
    assert file.exists()
    os.utime(file, (old, old))
    case.examples = case.examples[:3]
    case.get()
    assert not file.exists()
    assert any("1 files unused" in line for line in case.said)
