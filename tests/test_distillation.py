"""Distillation: equation, texts without labels, cuts, memory, resume, students, refusals."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import RECIPES, call_recipe, flags, text_rows, write_jsonl
from small_training import Trainer
from test_simulated_step import Case, assert_equal, config
from test_steps import gradient, make_runner
from tiny import FAMILY_NAMES, make_tiny
from torch.nn import functional

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import collate, model_inputs
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.stored_states import StoredStates, open_stored
from lowcost_ft.models.base import load_base_model
from lowcost_ft.models.shortened import keep_lower_layers
from lowcost_ft.pipeline.data import load_data
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.pipeline.start import start_run
from lowcost_ft.pipeline.student import with_teacher
from lowcost_ft.pipeline.teaching import weighted
from lowcost_ft.tasks.classification import TextExample
from lowcost_ft.tasks.ner import NerExample
from lowcost_ft.training.checkpoint_files import newest_checkpoint
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.extensions.teaching import Teaching
from lowcost_ft.training.progress import TrainResult

MULTI = {"problem_type": "multi_label_classification"}
WEIGHTED = {"class_weights": [0.5, 2.0, 3.0]}


def stored(*shape, dtype=torch.float32, seed=0):
    flat = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return StoredStates(flat=flat, dtype=dtype, num_bytes=flat.nbytes)


def teaching_of(task, features, *, width=None, silent=()):
    """Made-up answers of a teacher, which does not make some of the choices."""
    numbers, _ = task.choice_numbers(features, np.arange(len(features.lengths)))
    logits = stored(int(numbers.max()) + 1, len(task.labels))
    logits.flat[list(silent)] = torch.nan
    features = weighted(task, features, ~logits.flat.isnan().any(-1).numpy())
    states = stored(len(features.input_ids), width, dtype=torch.float16, seed=1) if width else None
    return Teaching(
        examples=[],
        features=features,
        logits=logits,
        states=states,
        digest="made up",
        num_teachers=1,
        num_unlabelled=0,
    )


def taught(runner, features, *, width=None, silent=(), **settings):
    teaching = teaching_of(runner.task, features, width=width, silent=silent)
    context = TrainingContext(
        settings=RunConfig(task=runner.task.name, teacher="t", **settings),
        model=runner.model,
        task=runner.task,
        features=features,
        pad_token_id=runner.pad_token_id,
        teaching=teaching,
    )
    runner.extensions = build_extensions(context)
    runner.extensions.begin(10)
    runner.features = runner.extensions.epoch(features, 0)
    return teaching


def by_hand(runner, teaching, *, a, t, w):
    """The loss of all rows, from its definition."""
    rows = np.arange(len(runner.features.lengths))
    batch = collate(runner.features, rows, pad_token_id=runner.pad_token_id)
    caught = []
    hook = runner.model.base_model.register_forward_hook(lambda m, i, o: caught.append(o[0]))
    outputs = runner.task.forward(runner.model, model_inputs(batch, runner.features))
    hook.remove()
    choices = runner.task.choices(outputs, batch)
    numbers, known = runner.task.choice_numbers(runner.features, rows)
    total, count = 0.0, 0.0
    for place, number in enumerate(numbers):
        if number < 0:
            continue
        own, given = choices.logits[place], teaching.logits.flat[number]
        if choices.yes_or_no:
            p, q = (own / t).sigmoid(), (given / t).sigmoid()
            apart = (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).mean()
            label = functional.binary_cross_entropy_with_logits(own, choices.labels[place])
            share = 1.0
        else:
            p, q = (own / t).softmax(-1), (given / t).softmax(-1)
            apart, share = (q * (q / p).log()).sum(), 1.0
            if known[place]:
                right = choices.labels[place]
                share = 1.0 if choices.weights is None else choices.weights[right]
                label = -own.log_softmax(-1)[right] * share
        if given.isnan().any():
            total = total + ((1 - a) * label if known[place] else 0)
            count = count + (share if known[place] else 0)
            continue
        total = total + (
            (1 - a) * label + a * share * t**2 * apart if known[place] else t**2 * apart
        )
        count = count + share
    for row, (start, length) in enumerate(
        zip(runner.features.starts, runner.features.lengths, strict=False)
    ):
        if w:
            given = teaching.states.flat[start : start + length].float()
            near = functional.cosine_similarity(caught[0][row, :length], given, dim=-1)
            total = total + w * runner.features.weights[row] * (1 - near).mean()
    return total / count


@pytest.mark.parametrize(
    ("name", "options", "unlabelled"),
    [
        ("ner", {}, True),
        ("classification", WEIGHTED, True),
        ("classification", MULTI, False),
    ],
)
def test_the_loss_is_the_equation_however_a_step_is_cut(tmp_path, name, options, unlabelled):
    runner = make_runner(tmp_path, "bert", name, **options)
    features = runner.features
    if unlabelled:
        features = with_unlabelled(runner, tmp_path, name)
    values = {"teacher_weight": 0.7, "teacher_temperature": 3.0, "teacher_states": 0.5}
    width = runner.model.config.hidden_size
    silent = (0, 1, runner.task.num_choices(features) - 1)
    teaching = taught(runner, features, width=width, silent=silent, **values)
    expected = by_hand(runner, teaching, a=0.7, t=3.0, w=0.5)
    expected.backward()
    right = torch.cat([p.grad.flatten() for p in runner.trainable])
    for parameter in runner.trainable:
        parameter.grad = None
    for cuts in (1, 2, 5):
        found, loss = gradient(runner, cuts)
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
        assert (found - right).norm() / right.norm() < 1e-5


def test_a_word_that_the_teacher_does_not_see_is_not_learned_from_it(tmp_path, tiny_model):
    joiner = "\u200d"  # Nothing to BERT's tokenizer.
    rows = [
        {"tokens": ["anna", joiner, "in", "oslo"], "tags": ["B-person", "O", "O", "B-place"]},
        {"tokens": ["my", "parcel", joiner], "tags": ["O", "O", "O"]},
    ]
    shared = {"train_file": write_jsonl(tmp_path / "train.jsonl", rows * 10), "max_steps": 1}
    shared |= {"validation_file": shared["train_file"], "max_length": 48, "batch_size": 4}
    first = flags(model_id=tiny_model("bert"), output_dir=tmp_path / "teacher", **shared)
    assert call_recipe("lora_ner", *first) == 0
    config = RunConfig(
        task="ner",
        method="full",
        teacher=str(tmp_path / "teacher"),
        student_model=tiny_model("roberta"),
        output_dir=str(tmp_path / "student"),
        **shared,
    )
    with start_run(config) as run:
        teaching = load_data(run, with_test=False).teaching
    assert teaching.logits.flat.isnan().any(-1).nonzero().flatten().tolist() == [
        number for start in range(0, 70, 7) for number in (start + 1, start + 6)
    ]


def with_unlabelled(runner, folder, name):
    """The runner's texts, and two without a label."""
    from test_steps import make_task

    from lowcost_ft.models.loading import load_tokenizer

    tokenizer = load_tokenizer(make_tiny("bert", folder), words=name == "ner")
    _, examples = make_task(name, False)
    if name == "ner":
        more = [NerExample(words=("where", "is", "it"), tags=None, source="u")] * 2
    else:
        more = [TextExample(text="where is it", label=None, source="u")] * 2
    return runner.task.featurize([*examples, *more], tokenizer, max_length=32)


@pytest.mark.parametrize("task", ["ner", "classification"])
def test_its_memory_is_predicted_as_it_is_measured(tiny_model, task):
    def extend(context):
        width = context.model.config.hidden_size
        teaching = teaching_of(context.task, context.features, width=width)
        return build_extensions(replace(context, teaching=teaching))

    case = Case(tiny_model("bert"), config(task, teacher="t", method="full"), extend=extend)
    assert_equal(case.predict(), case.measure())


class DiedError(Exception):
    """As if the machine had."""


def test_a_stopped_run_goes_on_to_the_same_bits(tiny_model, tmp_path):
    def run(name, *, resume=None, dies_after=None, digest="made up"):
        trainer = Trainer(tiny_model, tmp_path / name, "classification", "bert", method="full")
        teaching = teaching_of(trainer.task, trainer.features, width=32)
        settings = {"teacher": "t", "max_length": 32, "method": "full"}
        context = TrainingContext(
            settings=RunConfig(task="classification", **settings),
            model=trainer.built.model,
            task=trainer.task,
            features=trainer.features,
            pad_token_id=trainer.pad_token_id,
            teaching=replace(teaching, digest=digest),
        )
        extensions, after = build_extensions(context), []

        def note(number):
            after.append(number)
            if number == dies_after and len(after) > 2:  # A rehearsal has gone before.
                raise DiedError

        extensions.after_update = note
        torch.manual_seed(0)
        more = {"num_train_epochs": 3, "every": 2, "resume": resume, "result": TrainResult()}
        trainer((0.1, 0.2, 0.3), extensions=extensions, **more, **settings)
        return trainer.weights()

    whole = run("whole")
    with pytest.raises(DiedError):
        run("stopped", dies_after=5)
    checkpoint = newest_checkpoint(tmp_path / "stopped" / "checkpoints", print)
    with pytest.raises(UserError, match="the answers are not those that the run began with"):
        run("stopped", resume=checkpoint, digest="others")
    resumed = run("stopped", resume=checkpoint)
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_student_of_lower_layers_computes_what_they_do(tiny_model, tmp_path, family):
    def load(path):
        labels = ["a", "b"]
        return load_base_model(path, head="sequence", labels=labels, pad_token_id=1).model.eval()

    model = load(tiny_model(family))
    inputs = {"input_ids": torch.tensor([[5, 6, 7, 8]]), "attention_mask": torch.ones(1, 4).long()}
    with torch.no_grad():
        before = model.base_model(**inputs, output_hidden_states=True).hidden_states
    assert keep_lower_layers(model, None) == 1
    model.save_pretrained(tmp_path)
    again = load(str(tmp_path))
    with torch.no_grad():
        after = again.base_model(**inputs, output_hidden_states=True).hidden_states
    assert len(after) == 2
    torch.testing.assert_close(after[0], before[0])
    if again.config.model_type in (
        "bert",
        "distilbert",
        "roberta",
        "electra",
    ):  # No norm at the end
        torch.testing.assert_close(after[1], before[1])
    with pytest.raises(UserError, match="leave nothing out"):
        keep_lower_layers(model, 1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, tiny_model, small_files):
    """Flags for its data, and the folder of a run."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    shared = {"max_steps": 4, "batch_size": 8, **small_files["single"]}
    first = flags(model_id=tiny_model("bert"), output_dir=folder, learning_rate=1e-2, **shared)
    assert call_recipe("lora_classification", *first) == 0
    return shared, folder


def run_of(folder):
    return json.loads((folder / "run.json").read_text())


def test_texts_without_labels_are_learned_and_answers_are_kept(teacher, tmp_path, capsys):
    shared, folder = teacher
    extra = tmp_path / "extra.jsonl"
    write_jsonl(extra, [{"text": row["text"]} for row in text_rows(24, seed=7)] + [{"text": " "}])
    found = []
    for name in ("one", "two"):
        options = flags(**shared, teacher=folder, unlabelled_file=extra, output_dir=tmp_path / name)
        assert call_recipe("distill_classification", *options) == 0
        found.append(run_of(tmp_path / name))
    printed = capsys.readouterr().out
    assert "24 texts without labels (1 blank ones left out)" in printed
    assert "teacher: reusing the answers in" in printed
    told = found[0]["train"]["extensions"]["distillation"]
    assert (told["texts"], told["unlabelled_texts"], told["teachers"]) == (104, 24, 1)
    assert told["teacher_states"] == 1.0
    assert told["answers_bytes"] > 104 * 3 * 4
    assert (
        found[0]["train"]["loss_history"][0]["loss"]
        == (found[1]["train"]["loss_history"][0]["loss"])
    )
    assert found[0]["parameters"]["total"] < run_of(folder)["parameters"]["total"]
    predicted = found[0]["train"]["predicted_peak_memory_bytes"]
    assert predicted == pytest.approx(found[0]["train"]["peak_memory_bytes"], rel=0.02)


def test_an_ensemble_teaches_another_model(teacher, tmp_path, tiny_model, capsys):
    shared, folder = teacher
    options = flags(
        **shared,
        teacher=f"{folder},{folder}",
        student_model=tiny_model("llama"),
        output_dir=tmp_path / "student",
        method="lora",
    )
    assert call_recipe("distill_classification", *options) == 0
    told = run_of(tmp_path / "student")["train"]["extensions"]["distillation"]
    assert (told["teachers"], told["teacher_states"]) == (2, 0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "lora"}, "which no adapter could be loaded on later"),
        ({"teacher": "nowhere"}, "--teacher: run folder nowhere does not exist"),
        ({"model_id": "bert-base-cased"}, "the model that learns is --student-model"),
        ({"pooling": "mean"}, "was trained without --pooling mean, and the student begins with"),
        ({"student_layers": 9}, "--student-layers: 9 layers of a model that has 3"),
        ({"teacher_weight": 1.5}, "--teacher-weight 1.5 is not a share"),
        ({"student_model": "x", "student_layers": 1}, "both name the student"),
        ({"augment": "typos"}, "--teacher answers the same ones"),
        ({"cache_frozen_layers": True, "trainable_layers": 1}, "not with --teacher"),
        ({"labelled_by": "x", "unlabelled_file": "x"}, "its answers are learned as they are"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(teacher, tmp_path, capsys, changes, message):
    shared, folder = teacher
    values = {**shared, "teacher": folder, "output_dir": tmp_path / "out", **changes}
    assert call_recipe("distill_classification", *flags(**values)) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_teacher_of_other_labels_or_another_task_is_refused(teacher, tmp_path, capsys):
    _, folder = teacher
    rows = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(12)]
    write_jsonl(tmp_path / "train.jsonl", rows)
    options = flags(
        train_file=tmp_path / "train.jsonl", teacher=folder, output_dir=tmp_path / "out"
    )
    assert call_recipe("distill_classification", *options) == 2
    assert "it lacks a, b; it has None, delivery, refund besides" in " ".join(
        capsys.readouterr().err.split()
    )
    assert call_recipe("distill_ner", *flags(teacher=folder, output_dir=tmp_path / "out")) == 2
    assert "a run for classification, and this one is for ner" in " ".join(
        capsys.readouterr().err.split()
    )
    assert len((RECIPES / "distill_ner.py").read_text().splitlines()) < 120


def test_a_teacher_with_vectors_in_front_of_its_text_teaches_another_model(
    teacher, tmp_path, tiny_model, capsys
):
    shared = teacher[0] | {"max_length": 48}
    prefix = tmp_path / "prefix"
    first = flags(model_id=tiny_model("bert"), output_dir=prefix, method="prefix", **shared)
    assert call_recipe("lora_classification", *first) == 0
    capsys.readouterr()
    options = flags(**shared, teacher=prefix, output_dir=tmp_path / "student")
    assert call_recipe("distill_classification", *options) == 2
    assert "its adapter is not part of the weights" in " ".join(capsys.readouterr().err.split())
    options += flags(student_model=tiny_model("bert"))
    assert call_recipe("distill_classification", *options) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "states are not compared: the teacher has vectors in front of its text" in printed
    # What is kept are the answers that the teacher gives.
    kept = open_stored(Path(printed.split("of disk in ")[1].split()[0]) / "logits")
    predictor = load_predictor(prefix)
    given = predictor.predict(predictor.read(shared["train_file"]))
    best, labels = kept.flat.softmax(-1).max(-1), run_of(tmp_path / "student")["labels"]
    assert [labels[index] for index in best.indices] == [one["label"] for one in given]
    assert best.values.tolist() == pytest.approx([one["score"] for one in given], abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "lora"}, "which no adapter could be loaded on later"),
        ({"augment": "typos"}, "--teacher answers the same ones"),
        ({"cache_frozen_layers": True, "trainable_layers": 1}, "not with --teacher"),
        ({"trainable_layers": 4}, "made of the teacher's 3 lower layers"),
        ({"trainable_layers": 3, "student_layers": 2}, "3 is more than the 2 of the student"),
        ({"student_layers": 6}, "--student-layers: 6 layers of a model that has 6"),
    ],
)
def test_what_no_student_can_be_is_told_before_a_teacher_is_trained(tmp_path, changes, message):
    values = {"task": "classification", "method": "full", "teacher": "auto", **changes}
    with pytest.raises(UserError) as caught:
        config = RunConfig(output_dir=str(tmp_path / "student"), **values)
        with_teacher(config, lambda _: pytest.fail("a teacher is trained"))
    assert message in str(caught.value)


def test_without_a_teacher_one_is_trained_first(tmp_path, tiny_model, small_files, capsys):
    shared = {"max_steps": 2, "batch_size": 8, **small_files["single"]}
    options = flags(**shared, model_id=tiny_model("bert"), output_dir=tmp_path / "student")
    options += flags(student_layers=1, teacher_weight=0.3)
    assert call_recipe("distill_classification", *options) == 0
    first, then = run_of(tmp_path / "student-teacher"), run_of(tmp_path / "student")
    assert (first["config"]["teacher"], first["config"]["method"]) == (None, "lora")
    assert then["config"]["teacher"] == str(tmp_path / "student-teacher")
    assert then["parameters"]["total"] < first["parameters"]["total"]
    options = flags(**shared, teacher="auto", output_dir=tmp_path / "plain")
    assert call_recipe("lora_classification", *options) == 2
    assert "is for the distill recipes" in " ".join(capsys.readouterr().err.split())
    assert call_recipe("lora_classification", *flags(teacher_weight=0.3)) == 2
    assert "--teacher-weight needs --teacher" in capsys.readouterr().err


@pytest.mark.parametrize("teacher", ["auto", None])
def test_a_teacher_that_is_there_is_taken_and_told(tmp_path, monkeypatch, capsys, teacher):
    monkeypatch.setattr("lowcost_ft.pipeline.student._is_complete", lambda folder: True)
    values = {"task": "classification", "method": "full", "teacher": teacher}
    config = RunConfig(output_dir=str(tmp_path / "student"), **values)
    settled = with_teacher(config, lambda _: pytest.fail("another teacher is trained"))
    assert settled.teacher == str(tmp_path / "student-teacher")
    assert "student-teacher, which is there already" in capsys.readouterr().err
