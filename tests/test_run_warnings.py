"""Warnings at the end of a run that learned nothing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_runs import call_recipe, flags

from lowcost_ft import ClassificationTask, NerTask
from lowcost_ft.pipeline.run_warnings import checksums, run_warnings, unmoved_parts


def warned(problem_type, split, examples, scores, predictions=None, labels=("a", "b"), **options):
    """The warnings of a run that the task was asked about."""
    if problem_type is None:
        task = NerTask(["O", "B-x", "I-x"])
    else:
        task = ClassificationTask(list(labels), problem_type=problem_type)
    return run_warnings(*task.doubts(split, examples, scores, predictions or {}), **options)


def labelled(*labels):
    return [SimpleNamespace(label=label) for label in labels]


NER = [SimpleNamespace(tags=("O", "B-x")), SimpleNamespace(tags=("O",))]
SINGLE, MULTI = "single_label_classification", "multi_label_classification"


@pytest.mark.parametrize(
    ("problem_type", "examples", "scores", "message"),
    [
        (None, NER, {"f1": 0.0}, "none of the entities in the test split"),
        (None, NER, {"f1": 0.01}, None),
        (SINGLE, labelled("a", "a", "b"), {"accuracy": 2 / 3}, "always predicting 'a' (0.667"),
        (SINGLE, labelled("a", "a", "b"), {"accuracy": 1.0}, None),
        (SINGLE, labelled("a", "a"), {"accuracy": 1.0}, None),
        (MULTI, labelled(("a",), ()), {"micro_f1": 0.0}, "none of the labels"),
        (MULTI, labelled((), ()), {"micro_f1": 0.0}, None),
        ("regression", labelled(1.0, 3.0), {"mse": 1.0}, "always predicting the mean"),
        ("regression", labelled(1.0, 3.0), {"mse": 0.9}, None),
    ],
)
def test_a_model_that_learned_nothing(problem_type, examples, scores, message):
    warnings = warned(problem_type, "test", examples, scores)
    if message is None:
        assert warnings == []
    else:
        (warning,) = warnings
        assert message in warning
        assert "--learning-rate" in warning
        assert "--warmup-ratio of 0.1" in warning
        (warning,) = warned(problem_type, "test", examples, scores, warmup_ratio=0.1)
        assert "--warmup-ratio" not in warning


def test_several_labels_are_judged_by_their_scores():
    examples = labelled(("a",), ("b",), (), ("a",))

    def warnings(micro_f1, scores):
        return warned(
            MULTI,
            "test",
            examples,
            {"micro_f1": micro_f1},
            {"scores": np.array(scores)},
        )

    told_apart = [[0.3, 0.1], [0.1, 0.3], [0.1, 0.1], [0.3, 0.1]]
    (warning,) = warnings(0.0, told_apart)
    assert "the scores reach 1.000 with another one" in warning
    assert "--threshold" in warning
    assert "--learning-rate" not in warning
    assert warnings(0.9, told_apart) == []
    # The same for every text: what `a` alone for all of them scores, too.
    (warning,) = warnings(4 / 7, [[0.3, 0.1]] * 4)
    assert (
        "neither labels nor their scores are better than always giving the same labels" in warning
    )
    assert "--learning-rate" in warning


def test_a_split_that_can_score_nothing():
    (warning,) = warned(None, "validation", NER[1:], {"f1": 0.0})
    assert warning.startswith("the validation split contains no entities")


def test_parts_that_did_not_move():
    module = torch.nn.ModuleDict({"lora_A": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 2)})
    module["lora_A"].bias.requires_grad_(False)
    before = checksums(module.named_parameters())
    assert set(before) == {"lora_A.weight", "head.weight", "head.bias"}
    assert unmoved_parts(before, before, ["head"]) == ["adapter", "head"]
    with torch.no_grad():
        module["head"].bias += 1
    assert unmoved_parts(before, checksums(module.named_parameters()), ["head"]) == ["adapter"]
    warnings = warned(None, "test", NER, {"f1": 0.0}, unmoved=["adapter"], bad_steps=2)
    assert "did not change the adapter" in warnings[0]
    assert "2 steps were skipped" in warnings[1]


def test_a_recipe_says_so_at_its_end(tmp_path, tiny_model, small_files, capsys):
    """One step, in which the warm-up begins at a rate of zero."""
    arguments = flags(model_id=tiny_model("bert"), max_steps=1, output_dir=tmp_path / "run")
    assert call_recipe("lora_ner", *arguments, *flags(**small_files["ner"], warmup_ratio=0.99)) == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "training did not change the adapter and the head" in run["warnings"][0]
    printed = " ".join(capsys.readouterr().out.split())
    assert "warning: training did not change" in printed
