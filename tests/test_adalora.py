"""AdaLoRA in our own step: its penalty once a step, its ranks taken away, saved and resumed."""

import json

import pytest
import torch
from peft import AutoPeftModelForTokenClassification
from safetensors.torch import load_file
from small_runs import call_recipe, flags

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer, save_model
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.training.extensions.adalora import AdaLora
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.extensions.weight_average import WeightAverage

LABELS = ["O", "B-person", "I-person"]


def extension_of(model):
    context = TrainingContext(settings=None, model=model, task=None, features=None, pad_token_id=0)
    return AdaLora.of(context)


def build(folder, **options):
    built = build_model(folder, head="token", labels=LABELS, method="adalora", lora_r=4, **options)
    steps = extension_of(built.model)
    assert steps is not None
    return built.model, steps


def singular_values(model):
    return {n: p for n, p in model.named_parameters() if ".lora_E." in n}


def one_step(model, steps, number, ids):
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    logits = forward_module(model)(input_ids=ids).logits
    target = torch.arange(ids.numel()) % 3
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target)
    (loss + steps.penalty()).backward()
    optimizer.step()
    steps.after_update(number)
    optimizer.zero_grad()


def test_the_penalty_is_that_of_peft(tiny_model):
    model, steps = build(tiny_model("bert"), dropout=0.0)
    ids = torch.tensor([[2, 40, 50, 3]])
    labels = torch.tensor([[0, 1, 2, 0]])
    with_penalty = model(input_ids=ids, labels=labels).loss
    plain = forward_module(model)(input_ids=ids, labels=labels).loss
    torch.testing.assert_close(with_penalty - plain, steps.penalty(), rtol=1e-4, atol=1e-5)
    assert steps.penalty() > 0


def test_only_adalora_has_such_steps(tiny_model):
    built = build_model(tiny_model("bert"), head="token", labels=LABELS)
    assert extension_of(built.model) is None
    assert extension_of(built.model.get_base_model()) is None


def test_an_average_of_the_weights_which_would_keep_all_ranks_is_refused(tiny_model):
    model, _ = build(tiny_model("bert"))
    settings = RunConfig(task="ner", method="adalora", ema=0.9)
    context = TrainingContext(
        settings=settings, model=model, task=None, features=None, pad_token_id=0
    )
    with pytest.raises(UserError, match=r"--ema 0.9: AdaLoRA takes ranks away in the end"):
        WeightAverage.of(context)


def test_ranks_are_taken_away_and_those_left_are_saved(tiny_model, tmp_path):
    folder = tiny_model("bert")
    model, steps = build(folder, dropout=0.0)
    ids = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))
    total = 20
    steps.begin(total)
    for number in range(1, total + 1):
        one_step(model, steps, number, ids)
    values = singular_values(model)
    kept = sum(int((value != 0).sum()) for value in values.values())
    assert {len(value) for value in values.values()} == {6}  # Half as many ranks again.
    assert kept == 4 * len(values)
    assert len({int((value != 0).sum()) for value in values.values()}) > 1  # Not all alike.

    save_model(model, load_tokenizer(folder), tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert sum(len(t) for name, t in saved.items() if name.endswith("lora_E")) == kept
    plain = AutoPeftModelForTokenClassification.from_pretrained(str(tmp_path), num_labels=3).eval()
    with torch.no_grad():
        expected = model.eval()(input_ids=ids).logits
        torch.testing.assert_close(plain(input_ids=ids).logits, expected, rtol=1e-5, atol=1e-5)


def test_the_allocator_goes_on_from_its_state(tiny_model):
    ids = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))
    model, steps = build(tiny_model("bert"), dropout=0.0)
    steps.begin(20)
    for number in range(1, 9):
        one_step(model, steps, number, ids)
    resumed, resumed_steps = build(tiny_model("bert"), dropout=0.0)
    resumed_steps.begin(20)
    resumed.load_state_dict(model.state_dict())
    copied = {name: tensor.clone() for name, tensor in steps.tensors().items()}
    resumed_steps.load(copied, steps.numbers())
    for number in range(9, 13):
        one_step(model, steps, number, ids)
        one_step(resumed, resumed_steps, number, ids)
    values, others = singular_values(model), singular_values(resumed)
    assert any((value == 0).any() for value in values.values())
    for name, value in values.items():
        assert torch.equal(value, others[name])


def test_a_checkpoint_of_before_there_were_extensions_is_understood(tiny_model):
    _, steps = build(tiny_model("bert"), dropout=0.0)

    class Older:
        state = {"rank_pattern": {"a": [True, False]}}  # noqa: RUF012

        def tensors(self, name):
            return {"ipt.a": torch.ones(2)} if name == "adalora" else {}

    Extensions([steps]).load(Older())
    assert steps.numbers() == {"rank_pattern": {"a": [True, False]}}
    assert steps.tensors()["ipt.a"].tolist() == [1, 1]
    steps.begin(20)
    assert (steps.numbers(), steps.tensors()) == ({"rank_pattern": None}, {})


def test_a_recipe_takes_ranks_away_however_its_steps_are_cut(tiny_model, small_files, tmp_path):
    values = {"model_id": tiny_model("bert"), "method": "adalora", "lora_r": 4, "max_steps": 20}
    values |= {"batch_size": 8, "dropout": 0.0, "optimizer": "sgd", "learning_rate": 0.05}
    losses = []
    for pieces in (1, 4):
        folder = tmp_path / str(pieces)
        cut = {"gradient_accumulation_steps": pieces, "output_dir": folder}
        assert call_recipe("lora_ner", *flags(**values, **cut, **small_files["ner"])) == 0
        run = json.loads((folder / "run.json").read_text())
        assert run["method"] == "adalora"
        losses.append([point["loss"] for point in run["train"]["loss_history"]])
        saved = load_file(folder / "adapter_model.safetensors")
        assert sum(len(t) for name, t in saved.items() if name.endswith("lora_E")) <= 4 * 18
        scores = load_predictor(folder).evaluate(small_files["ner"]["test_file"])
        assert scores["f1"] == run["evaluation"]["test"]["f1"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
