"""`lowcost-ft merge`: parity, drift, and a folder that plain transformers loads."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification

from lowcost_ft.commands.main import main
from lowcost_ft.models.merging import parity_gap
from lowcost_ft.pipeline.confidence import save_novelty
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.scores.novelty import Novelty


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_merged_run_is_a_plain_model(trained_run, tmp_path, capsys, quantization):
    folder = trained_run("ner", "bert", quantization=quantization)
    target = tmp_path / "merged"
    arguments = ["merge", str(folder), "--output-dir", str(target), "--max-drift", "1", "--json"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out.splitlines()[-1])
    assert report["parity_gap"] <= 1e-4
    assert "drift: " in printed.err
    if quantization == "none":
        assert report["changed"] == 0
    assert {"config.json", "model.safetensors", "run.json", "tokenizer.json"} <= {
        path.name for path in target.iterdir()
    }
    model = AutoModelForTokenClassification.from_pretrained(target).eval()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not getattr(model.config, "quantization_config", None)
    predictor = load_predictor(target)
    ids = torch.tensor([[2, 40, 50, 3]])
    assert torch.equal(predictor.model(input_ids=ids).logits, model(input_ids=ids).logits)
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]
    # The card has the name of the folder that it ends in, and says how the weights came about.
    card = (target / "README.md").read_text()
    weights = {"none": "the rest frozen", "nf4": "its linear layers in 4 bits"}[quantization]
    assert "\n# merged\n" in card and "\n- name: merged\n" in card
    assert "This LoRA fine-tuned version of `bert`" in card
    method = next(line for line in card.splitlines() if line.startswith("- Method: "))
    assert method.startswith("- Method: LoRA, rank 32") and weights in method
    assert method.endswith("; merged into the weights since")


def test_too_much_drift_leaves_nothing(trained_run, tmp_path, capsys):
    folder = trained_run("ner", "bert", quantization="nf4")
    code = main(["merge", str(folder), "--output-dir", str(tmp_path / "out"), "--max-drift", "0"])
    # Few words of the tiny split may change, or none.
    error = capsys.readouterr().err
    assert code == (2 if "more than --max-drift" in error else 0)
    assert (tmp_path / "out").exists() == (code == 0)


def test_what_cannot_be_merged(trained_run, tmp_path, capsys):
    folder = trained_run("ner", "bert", method="full")
    assert main(["merge", str(folder), "--output-dir", str(tmp_path / "out")]) == 2
    assert "there is nothing to merge" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_merged_run_still_knows_texts_unlike_its_training_data(trained_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_run("ner", "bert"), run)
    record = json.loads((run / "run.json").read_text())
    record["novelty"] = {"threshold": 0.5}
    (run / "run.json").write_text(json.dumps(record))
    known = Novelty(
        references=np.ones((1, 32), np.float16),
        mean=np.zeros(32, np.float32),
        scale=1.0,
        threshold=0.5,
    )
    save_novelty(run, known)
    assert main(["merge", str(run), "--output-dir", str(tmp_path / "out")]) == 0
    assert load_predictor(tmp_path / "out").novelty.threshold == 0.5


def test_no_number_is_within_no_tolerance():
    whole = torch.tensor([1.0, -torch.inf])
    assert parity_gap(whole, whole) == 0
    for other in (torch.nan, torch.inf):
        assert parity_gap(whole, torch.tensor([other, -torch.inf])) == torch.inf
