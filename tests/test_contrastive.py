"""Few labels: groups of texts, the cosine loss, the head at the end, runs without validation."""

import json
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForTokenClassification
from sklearn.linear_model import LogisticRegression
from small_runs import call_recipe, flags, text_rows, write_jsonl
from small_training import Trainer
from test_extensions import Stop
from test_model_card import code_of
from test_steps import make_runner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import few_shot

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.batching import like_lengths
from lowcost_ft.data.features import collate
from lowcost_ft.data.groups import deal_folds, deal_groups, grouped_features
from lowcost_ft.errors import UserError
from lowcost_ft.models.existing_head import output_path
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.planning.simulated_step import heaviest_of
from lowcost_ft.tasks.classification import ClassificationTask
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.training.checkpoint_files import newest_checkpoint
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.class_references import held_out_heads
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.extensions.contrastive import (
    Contrastive,
)
from lowcost_ft.training.extensions.contrastive_losses import cosine_loss, head_loss, prototype_loss
from lowcost_ft.training.extensions.registry import rate_factor
from lowcost_ft.training.step_plan import costliest_steps, planned_steps
from lowcost_ft.training.training_length import num_epochs

ROWS = text_rows(24)


@pytest.mark.parametrize(
    "classes", [[0] * 8 + [1] * 8, [0] * 20 + [1] * 3, list(range(9)) * 3, [0, 1, 2]]
)
def test_groups_hold_every_text_and_several_classes_evenly(classes):
    classes = np.array(classes)
    first, again, other = (deal_groups(classes, 8, seed=[0, epoch]) for epoch in (0, 0, 1))
    assert np.array_equal(first, again) and first.shape == other.shape
    assert not np.array_equal(first, other)
    assert set(first.ravel()) == set(range(len(classes)))
    for group in classes[first]:
        names, counts = np.unique(group, return_counts=True)
        assert len(names) == min(4, len(set(classes))) and counts.max() - counts.min() <= 1


def test_the_texts_of_a_group_become_lines_like_any_other(tmp_path):
    features = make_runner(tmp_path, "bert", "classification").features
    groups = np.array([[3, 5, 1, 0], [2, 4, 7, 6]])
    grouped = grouped_features(features, groups)
    assert grouped.lengths.sum() == len(grouped.input_ids)
    assert list(grouped.widths) == [4 * features.lengths[group].max() for group in groups]
    for rows in ([0], [1, 0]):
        found = collate(grouped, np.array(rows), pad_token_id=0)
        expected = collate(features, groups[rows].ravel(), pad_token_id=0)
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            assert torch.equal(found[name], expected[name])
    assert grouped.read_examples(1) == [2, 4, 7, 6]


def test_the_loss_is_that_of_all_pairs_of_a_group():
    torch.manual_seed(0)
    states, classes = torch.randn(2, 4, 5), torch.tensor([[0, 0, 1, 1], [2, 2, 2, 0]])
    expected = 0.0
    for group, names in zip(states, classes, strict=True):
        errors: dict[bool, list[torch.Tensor]] = {True: [], False: []}
        for i in range(4):
            for j in range(i):
                same = bool(names[i] == names[j])
                cosine = torch.cosine_similarity(group[i], group[j], dim=0)
                errors[same].append((cosine - int(same)) ** 2)
        expected += sum(torch.stack(found).mean() / 2 for found in errors.values())
    torch.testing.assert_close(cosine_loss(states.flatten(0, 1), classes), expected)


def test_prototypes_are_compared_with_every_text():
    torch.manual_seed(0)
    states, prototypes = torch.randn(6, 5), torch.nn.functional.normalize(torch.randn(4, 5))
    classes = torch.tensor([[0, 3, 1], [2, 2, 0]])
    cosines = torch.cosine_similarity(states[:, None], prototypes[None], dim=-1)
    expected = torch.nn.functional.cross_entropy(20 * cosines, classes.flatten())
    torch.testing.assert_close(prototype_loss(states, classes, prototypes), 2 * expected)


@pytest.mark.parametrize("classes", [[0, 1] * 9, [0, 0, 1, 1, 2], [0] * 20 + [1, 1, 2, 3]])
def test_a_text_is_compared_with_a_head_that_has_not_seen_it(classes):
    classes = np.array(classes)
    texts = np.arange(len(classes))
    folds = deal_folds(classes, texts, seed=0)
    assert np.array_equal(folds, deal_folds(classes, texts, seed=0))
    assert np.array_equal(folds == -1, np.bincount(classes)[classes] == 1)
    assert set(folds) - {-1} == set(range(folds.max() + 1)) and folds.max() < 8
    states = torch.from_numpy(np.random.default_rng(0).normal(size=(len(classes), 5))).float()
    heads = held_out_heads(states, classes, folds, len(set(classes)))
    groups = np.arange(len(classes) // 2 * 2).reshape(-1, 2)
    numbers, given = torch.from_numpy(classes[groups]), torch.from_numpy(folds[groups])
    loss = head_loss(states[groups.ravel()], numbers, heads, given)
    points = torch.nn.functional.normalize(states, dim=-1)
    expected = 0.0
    for text in groups.ravel():
        fold = max(folds[text], 0)  # For the only text of a class, any head will do.
        others = folds != fold
        model = LogisticRegression(C=10, max_iter=1000).fit(points[others], classes[others])
        expected -= model.predict_log_proba(points[text : text + 1])[0, classes[text]] / 2
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_equal_texts_share_a_fold_and_single_ones_have_one_if_their_label_is_a_text():
    classes = np.array([0, 0, 0, 1, 1, 1, 2])
    texts = np.array([5, 5, 8, 7, 9, 7, 3])
    for seed in range(5):
        folds = deal_folds(classes, texts, seed=seed)
        assert folds[0] == folds[1] != folds[2] and folds[3] == folds[5] != folds[4]
        assert folds[6] == -1
        assert deal_folds(classes, texts, seed=seed, known={2})[6] >= 0
    # All texts of a class are the same: no head may do without them.
    assert list(deal_folds(np.array([0, 0, 1, 1]), np.array([4, 4, 1, 2]), seed=0)[:2]) == [-1, -1]


def test_the_costliest_step_is_that_of_most_tokens_in_all_parts(tiny_model, tmp_path, pooled):
    trainer = Trainer(tiny_model, tmp_path, "classification", "bert", dropout=0.0)
    config = settings("cosine", batch_size=1)
    extension = Contrastive.of(context_of(trainer, config, "cpu"))
    epoch = extension.epoch(trainer.features, 0)
    # One long text and short ones; all of middle length.
    parts = np.full_like(epoch.parts, 20)
    parts[0] = [30, 3, 3, 3]
    starts = np.concatenate([[0], np.cumsum(parts.sum(1))])
    ids = np.ones(int(starts[-1]), np.int32)
    wide = replace(epoch, parts=parts, starts=starts, input_ids=ids, token_type_ids=None)
    steps = list(planned_steps(wide, replace(config, num_train_epochs=1), 1))
    (costly,) = costliest_steps(iter(steps))
    assert 0 not in costly.rows
    assert costly.padded_tokens == 80 and costly.features.shapes(costly.rows) == [(4, 20)]
    first = next(step for step in steps if 0 in step.rows)
    assert first.features.shapes(first.rows) == [(1, 30), (3, 3)] and first.padded_tokens == 39
    assert heaviest_of([np.array([0]), np.array([1])], wide)[0] == [0]


@pytest.mark.parametrize("lengths", [[9], [4, 4, 4], [70, 11, 12, 42, 32, 20], [1, 200, 2, 199]])
def test_texts_run_in_the_parts_that_cost_least(lengths):
    lengths = np.array(lengths)
    parts = like_lengths(lengths, a_part=32)
    assert sorted(np.concatenate(parts)) == list(range(len(lengths)))

    def cost(parts: list[np.ndarray]) -> int:
        return sum(int(lengths[part].max()) * len(part) + 32 for part in parts)

    order = np.argsort(-lengths)
    places = range(1, len(lengths))
    cuts = [cut for count in range(len(lengths)) for cut in combinations(places, count)]
    assert cost(parts) == min(cost(np.split(order, cut)) for cut in cuts)


def test_with_dropout_or_shared_weights_all_texts_of_a_micro_batch_run_at_once(
    tiny_model, tmp_path, pooled
):
    trainer = Trainer(tiny_model, tmp_path, "classification", "bert", dropout=0.1)
    context = context_of(trainer, settings("cosine"), "cpu")
    assert not Contrastive.of(context).epoch(trainer.features, 0).apart
    without = Trainer(tiny_model, tmp_path / "without", "classification", "bert", dropout=0.0)
    context = context_of(without, settings("cosine"), "cpu")
    assert Contrastive.of(context).epoch(without.features, 0).apart
    # Processes that share the weights must all run the same passes.
    context = replace(context, sharded=True)
    assert not Contrastive.of(context).epoch(without.features, 0).apart


@pytest.fixture
def pooled(monkeypatch):
    """Text classification with a head on each token, whose logits are averaged."""
    monkeypatch.setattr(ClassificationTask, "head", "token")


KINDS = pytest.mark.parametrize("kind", ["cosine", "heads", "prototypes"])


def settings(kind: Any, **values: Any) -> RunConfig:
    return RunConfig(pooling="mean", contrastive=kind, contrastive_group=4, **values)


def context_of(trainer: Trainer, config: RunConfig, device: str = "") -> TrainingContext:
    return TrainingContext(
        settings=config,
        model=trainer.built.model,
        task=trainer.task,
        features=trainer.features,
        pad_token_id=trainer.pad_token_id,
        examples=trainer.examples,
        device=device,
    )


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_pooled_logits_are_those_of_the_mean_state(tmp_path, pooled, family):
    runner = make_runner(tmp_path, family, "classification")
    rows = np.arange(6)
    layer = runner.model.get_submodule(output_path(runner.model, 3))
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    logits, batch = runner.evaluate(runner.features, rows)
    hook.remove()
    mask = batch["attention_mask"][:, :, None].float()
    mean = (seen[0] * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(logits, layer(mean).detach(), rtol=1e-5, atol=1e-6)


@KINDS
def test_the_gradient_of_a_step_does_not_depend_on_its_cut(tiny_model, tmp_path, pooled, kind):
    trainer = Trainer(tiny_model, tmp_path, "classification", "bert", dropout=0.0)
    torch.manual_seed(0)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    config = settings(kind, batch_size=4)
    runner = make_runner(tmp_path, "bert", "classification")
    runner.model, runner.task = trainer.model.train(), trainer.task
    runner.trainable = [p for p in trainer.model.parameters() if p.requires_grad]
    found = []
    # On a CPU, texts of like length run together: that changes nothing either.
    for pieces, device in ((1, ""), (2, ""), (4, ""), (1, "cpu"), (2, "cpu")):
        runner.extensions = Extensions([Contrastive.of(context_of(trainer, config, device))])
        cut = settings(kind, batch_size=4, gradient_accumulation_steps=pieces)
        step = next(planned_steps(trainer.features, cut, 1, epoch_rows=runner.extensions.epoch))
        assert [len(share) for share in step.micro_batches] == [pieces]
        assert step.padded_tokens >= step.real_tokens
        assert step.features.apart == (device == "cpu")
        runner.features = step.features
        loss = runner.backward(step.micro_batches[0], step.weight)
        found.append((loss, torch.cat([p.grad.flatten() for p in runner.trainable])))
        for parameter in runner.trainable:
            parameter.grad = None
    (whole_loss, whole), *others = found
    assert whole.norm() > 0
    for loss, gradient in others:
        assert (gradient - whole).norm() / whole.norm() < 1e-5
        torch.testing.assert_close(loss, whole_loss, rtol=1e-5, atol=1e-6)


@KINDS
def test_a_run_that_was_stopped_goes_on_to_the_same_bits_and_the_same_head(
    tiny_model, tmp_path, pooled, kind
):
    config = settings(kind, batch_size=2)

    def run(name: str, *more: Any, resume: Any = None) -> Trainer:
        trainer = Trainer(tiny_model, tmp_path / name, "classification", "bert", dropout=0.0)
        extensions = Extensions([Contrastive.of(context_of(trainer, config)), *more])
        given = {name: getattr(config, name) for name in ("pooling", "contrastive", "batch_size")}
        torch.manual_seed(0)
        trainer(every=2, resume=resume, extensions=extensions, num_train_epochs=3, **given)
        return trainer

    whole = run("whole")
    with pytest.raises(KeyError, match="machine"):
        run("stopped", Stop())
    checkpoint = newest_checkpoint(tmp_path / "stopped" / "checkpoints", print)
    resumed = run("stopped", resume=checkpoint)
    for name, weight in whole.weights().items():
        assert torch.equal(weight, resumed.weights()[name]), name


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, tiny_model: Any) -> Path:
    """A run of the recipe on nothing but 24 training rows."""
    folder = tmp_path_factory.mktemp("few")
    train = write_jsonl(folder / "train.jsonl", ROWS)
    words = flags(
        model_id=tiny_model("bert"),
        train_file=train,
        output_dir=folder / "run",
        max_length=32,
        num_train_epochs=2,
    )
    assert call_recipe("few_shot_classification", *words) == 0
    return folder / "run"


def test_without_a_validation_split_all_rows_train_and_the_card_says_so(few):
    run = json.loads((few / "run.json").read_text())
    assert run["data"]["rows"] == {"train": 24}
    assert list(run["evaluation"]) == ["train"] and run["evaluation"]["train"]["examples"] == 24
    train = run["train"]
    assert (train["best_epoch"], train["validation_history"]) == (None, [])
    assert train["extensions"]["contrastive"] == {
        "loss": "cosine",
        "texts": 8,
        "groups": 3,
        "label_texts": 3,
    }
    assert train["predicted_peak_memory_bytes"] == pytest.approx(
        train["peak_memory_bytes"], rel=0.01
    )
    card = (few / "README.md").read_text("utf-8")
    assert "what the model was trained on" in " ".join(card.split())
    assert "scored on nothing but what it was trained on" in " ".join(card.split())


def test_the_run_reloads_in_plain_peft_and_its_head_is_a_logistic_regression(few):
    run = json.loads((few / "run.json").read_text())
    predictor = load_predictor(few)
    texts = [row["text"] for row in ROWS]
    ours = predictor(texts)
    model = AutoPeftModelForTokenClassification.from_pretrained(
        str(few), num_labels=len(run["labels"]), dtype=torch.float32
    ).eval()
    layer = model.get_submodule(output_path(model, 3))
    states, found = [], []
    # The head learns from what labels are called, too.
    for text in [*texts, *(label.replace("_", " ") for label in run["labels"])]:
        inputs = predictor.tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        states.append(output.hidden_states[-1][0].mean(0).double().numpy())
        found.append(output.logits[0].mean(0).softmax(-1))
    for answer, scores in zip(ours, found[: len(texts)], strict=True):
        assert run["labels"][int(scores.argmax())] == answer["label"]
        assert float(scores.max()) == pytest.approx(answer["score"], abs=1e-5)
    scale = np.linalg.norm(states, axis=1).mean()
    classes = [run["labels"].index(row["label"]) for row in ROWS] + [0, 1, 2]
    head = LogisticRegression(C=10, max_iter=1000).fit(np.array(states) / scale, classes)
    assert np.allclose(layer.weight.detach().numpy(), head.coef_ / scale, atol=2e-3)


def test_the_code_of_the_card_gives_the_same_answer(few, monkeypatch, capsys):
    monkeypatch.chdir(few)
    namespace: dict[str, Any] = {}
    exec(compile(code_of((few / "README.md").read_text("utf-8")), "README.md", "exec"), namespace)
    answer = load_predictor(few)(["Where is my parcel?"])[0]
    assert float(namespace["scores"].max()) == pytest.approx(answer["score"], abs=1e-5)


def test_two_classes_have_two_outputs_of_opposite_weights(tiny_model, tmp_path):
    rows = [row for row in ROWS if row["label"] != "None"]
    words = flags(
        model_id=tiny_model("bert"),
        train_file=write_jsonl(tmp_path / "train.jsonl", rows),
        output_dir=tmp_path / "run",
        max_steps=2,
        contrastive="prototypes",
        augment="delete",
    )
    assert call_recipe("few_shot_classification", *words) == 0
    predictor = load_predictor(tmp_path / "run", keep_adapter=True)
    layer = predictor.model.get_submodule(output_path(predictor.model, 2))
    assert torch.equal(layer.weight[0], -layer.weight[1])


@pytest.mark.parametrize(
    ("given", "labels", "words"),
    [
        (None, ["card_arrival", "lost"], ["card arrival", "lost"]),
        (None, ["好", "差"], ["好", "差"]),
        (None, ["1 star", "5 stars", "C++", "C# jobs"], None),
        (None, ["1 star", "5 stars", "C++ jobs", "C# jobs"], "themselves"),
        (None, ["की बात", "का बात"], "themselves"),
        (None, ["3", "other"], None),
        (None, ["LABEL_0", "LABEL_1"], None),
        ("other=elsewhere,3=three", ["3", "other"], ["three", "elsewhere"]),
        ("3=3,4=😀", ["3", "4"], ["3", "😀"]),
        ("LABEL_0=late", ["LABEL_0", "LABEL_1"], ["late"]),
        ("good=fine", ["good", "bad"], ["fine", "bad"]),
        ("none", ["good", "bad"], None),
    ],
)
def test_labels_that_say_something_are_texts(given, labels, words):
    task = ClassificationTask(labels)
    row = {"text": "a", "label": labels[0], "source": "x"}
    told = task.label_texts(given, [TextExample(**row)])
    assert [example.text for example in told] == (labels if words == "themselves" else words or [])
    assert [example.label for example in told] == labels[: len(told)]
    pair = [TextExample(**row, text_pair="b")]
    if given in (None, "none"):
        assert task.label_texts(given, pair) == []
    else:
        with pytest.raises(UserError, match="pairs of texts"):
            task.label_texts(given, pair)


def few_words(folder: Path, model_id: Any, rows: list[dict[str, Any]], **given: Any) -> list[str]:
    """Flags of a short run of the recipe on these rows."""
    return flags(
        model_id=model_id,
        train_file=write_jsonl(folder / "train.jsonl", rows),
        output_dir=folder / "run",
        max_length=32,
        **given,
    )


@pytest.mark.parametrize(
    ("rows", "given", "told"),
    [
        (["good", "bad"], "good=🦄,bad=🦖", "--label-words: the tokenizer does not know all"),
        (["good", "bad"], "good=a card,bad=a card", "finds the same tokens in two of them"),
        (["good", "bad"], f"good={'a card ' * 20}", "some are longer than --max-length 32"),
        (["3", "5"], None, "do not count as texts of their classes, since a name says nothing"),
        (["退款", "投诉"], None, "do not count as texts of their classes: the tokenizer does not"),
    ],
)
def test_words_that_cannot_be_texts_are_refused_or_told(
    tiny_model, tmp_path, capsys, rows, given, told
):
    texts = [{"text": f"a card {n}", "label": rows[n % 2]} for n in range(8)]
    named = {} if given is None else {"label_words": given}
    words = few_words(tmp_path, tiny_model("bert"), texts, num_train_epochs=1, **named)
    assert call_recipe("few_shot_classification", *words) == (0 if given is None else 2)
    printed = capsys.readouterr()
    assert told in " ".join((printed.err + printed.out).split())


def test_a_resumed_run_refuses_other_words_of_labels(tiny_model, tmp_path, pooled):
    trainer = Trainer(tiny_model, tmp_path, "classification", "bert", dropout=0.0)
    context = context_of(trainer, settings("heads"))
    extension = Contrastive.of(context)
    tensors, numbers = extension.tensors(), extension.numbers()
    extension.load(tensors, numbers)
    with pytest.raises(UserError, match="--label-words: the words of labels are others"):
        extension.load(tensors, {"label_texts": "others"})


def test_a_run_without_texts_of_labels_has_another_head(tiny_model, tmp_path, few):
    words = few_words(tmp_path, tiny_model("bert"), ROWS, num_train_epochs=2, label_words="none")
    assert call_recipe("few_shot_classification", *words) == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["train"]["extensions"]["contrastive"]["label_texts"] == 0
    heads = [
        (predictor := load_predictor(folder, keep_adapter=True)).model.get_submodule(
            output_path(predictor.model, 3)
        )
        for folder in (few, tmp_path / "run")
    ]
    assert not torch.allclose(heads[0].weight, heads[1].weight, atol=1e-3)


def test_words_of_labels_that_are_not_there_are_refused(tiny_model, tmp_path, capsys):
    words = flags(
        model_id=tiny_model("bert"),
        train_file=write_jsonl(tmp_path / "train.jsonl", ROWS),
        output_dir=tmp_path / "run",
        label_words="Nowhere=a place",
    )
    assert call_recipe("few_shot_classification", *words) == 2
    assert "'Nowhere' is not a label of the data" in " ".join(capsys.readouterr().err.split())


def test_what_does_not_go_together_is_refused():
    for values, told in (
        ({"pooling": "model"}, "--contrastive needs --pooling mean"),
        ({"contrastive_group": 5}, "is odd"),
        ({"max_steps": 0}, "makes a head at the end"),
        ({"label_smoothing": 0.1, "class_weights": "balanced"}, "--label-smoothing, --class-weig"),
        ({"cache_frozen_layers": True, "trainable_layers": 1}, "the states of single texts"),
        ({"method": "prompt"}, "--method prompt leaves the layers"),
        ({"method": "head"}, "--method head leaves the layers"),
    ):
        with pytest.raises(UserError, match=told):
            RunConfig(**{"pooling": "mean", "contrastive": "cosine", **values})
    with pytest.raises(UserError, match="--contrastive-group needs --contrastive"):
        RunConfig(contrastive_group=8)
    with pytest.raises(UserError, match="--pooling is for text classification"):
        RunConfig(task="ner", pooling="mean")


def test_texts_of_one_label_or_several_are_refused(tiny_model, tmp_path, small_files, capsys):
    model_id = tiny_model("bert")
    same = write_jsonl(tmp_path / "same.jsonl", [{"text": f"a {n}", "label": "x"} for n in "abc"])
    words = flags(model_id=model_id, train_file=same, output_dir=tmp_path / "run")
    assert call_recipe("few_shot_classification", *words) == 2
    words = flags(model_id=model_id, output_dir=tmp_path / "run", **small_files["multi"])
    assert call_recipe("few_shot_classification", *words) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--contrastive needs one label a text" in told
    # The recipe sets the flag, so that it cannot be left out there.
    assert "train with recipes/lora_classification.py" in told


def test_the_benchmark_draws_by_the_seed_and_pairs_its_arms():
    rows = [(f"text {n}", "abc"[n % 3]) for n in range(60)]
    drawn = few_shot.draw(rows, 0)
    assert drawn == few_shot.draw(rows, 0) != few_shot.draw(rows, 1)
    assert sorted(label for _, label in drawn) == sorted("abc" * 8)
    results = [
        {"set": "x", "arm": arm, "seed": seed, "accuracy": accuracy, "cpu_seconds": 2.0}
        for arm, accuracies in (("ours", (0.8, 0.9)), ("head", (0.7, 0.6)))
        for seed, accuracy in enumerate(accuracies)
    ]
    first, second = few_shot.summary(results)
    assert first == "x, ours: 0.850 over 2 seeds, 2 s of CPU"
    assert "x, head: 0.650 over 2 seeds, 2 s of CPU; ours is higher by +0.200 (" in second


def test_few_texts_are_seen_more_often_and_at_a_higher_rate():
    config = RunConfig(pooling="mean", contrastive="auto", batch_size=2)
    assert [num_epochs(config, texts) for texts in (4, 16, 32, 96, 616)] == [12, 12, 6, 2, 2]
    assert [rate_factor(config, texts) for texts in (95, 96)] == [2.0, 1.0]
    assert rate_factor(RunConfig(), 96) == 1.0
