"""Adapters from a file, and virtual tokens, through a recipe: run, reloaded, merged, or refused."""

import json

import pytest
import torch
from small_runs import call_recipe, flags

from lowcost_ft.commands.main import main
from lowcost_ft.config.run import RunConfig
from lowcost_ft.models.loading import build_model, forward_module
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.training.resume import run_settings
from lowcost_ft.training.setup import build_accelerator

LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["query", "value"]}


@pytest.fixture
def recipe(tmp_path, tiny_model, small_files):
    """Runs three steps of a recipe; `file` is what its `--adapter-config` holds."""

    def run(name="lora_ner", family="bert", file=None, **values):
        if file is not None:
            values["adapter_config"] = tmp_path / "adapter.json"
            text = file if isinstance(file, str) else json.dumps(file)
            values["adapter_config"].write_text(text)
        values |= {"model_id": tiny_model(family), "output_dir": tmp_path / "run"}
        values |= {"max_steps": 3, "batch_size": 8, "max_length": 48, "learning_rate": 3e-3}
        values |= small_files["ner" if name.endswith("ner") else "single"]
        return call_recipe(name, *flags(**values))

    return run


def assert_reloads(folder, test_file):
    """The reloaded run gives the predictions that were written after training."""
    run = json.loads((folder / "run.json").read_text())
    predictor = load_predictor(folder)
    assert predictor.evaluate(test_file) == run["evaluation"]["test"]
    texts = [" ".join(row["tokens"]) for row in read(test_file)] if run["task"] == "ner" else None
    answers = predictor(texts or [row["text"] for row in read(test_file)])
    for answer, row in zip(answers, read(folder / "predictions.jsonl"), strict=True):
        if texts is None:
            assert (answer["label"], answer["score"]) == (row["label"], pytest.approx(row["score"]))
        else:
            begins = [tag[2:] for tag in row["tags"] if tag.startswith("B-")]
            assert [entity["label"] for entity in answer["entities"]] == begins
    return run


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


IA3 = {"peft_type": "IA3", "target_modules": ["key", "value", "intermediate.dense"]}
IA3 |= {"feedforward_modules": ["intermediate.dense"]}
FROM_FILE = [
    ("lora_ner", "bert", LORA | {"task_type": "TOKEN_CLS"}, {}),
    ("lora_ner", "bert", LORA | {"init_lora_weights": "pissa"}, {}),
    ("lora_classification", "gpt2", LORA | {"target_modules": ["c_attn"]}, {}),
    ("lora_classification", "bert", IA3, {}),
    ("lora_ner", "llama", {"peft_type": "IA3"}, {"quantization": "nf4"}),
    ("lora_ner", "bert", {"peft_type": "LOHA", "target_modules": ["query"]}, {}),
    ("lora_ner", "bert", {"peft_type": "ADALORA", "target_modules": "all-linear"}, {}),
]


@pytest.mark.parametrize(("name", "family", "file", "more"), FROM_FILE)
def test_an_adapter_from_a_file(tmp_path, recipe, small_files, capfd, name, family, file, more):
    assert recipe(name, family, file=file, **more) == 0
    run = assert_reloads(
        tmp_path / "run", small_files["ner" if name.endswith("ner") else "single"]["test_file"]
    )
    assert run["method"] == file["peft_type"].lower()
    saved = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert saved["peft_type"] == file["peft_type"]
    heads = {"gpt2": ["score"], "llama": ["score"]}.get(family, ["classifier"])
    pooler = ["bert.pooler"] if name == "lora_classification" and family == "bert" else []
    assert saved["modules_to_save"] == [*pooler, *heads]
    if isinstance(file.get("target_modules"), list):
        assert set(saved["target_modules"]) == set(file["target_modules"])
    elif family == "llama":  # The family's own: keys, values, and the feed-forward's output.
        assert all(part in saved["target_modules"] for part in ("k_proj", "v_proj", "down_proj"))
        assert "q_proj" not in saved["target_modules"]
    target = tmp_path / "merged"
    merge = ["merge", str(tmp_path / "run"), "--output-dir", str(target), "--max-drift", "1"]
    assert main(merge) == 0  # Compares the logits, to 1e-4.
    assert (target / "config.json").exists()
    assert capfd.readouterr().err.count("warning") == 0


VIRTUAL = [
    ("lora_ner", "bert", {"method": "prompt"}),
    ("lora_ner", "llama", {"method": "prompt", "quantization": "8bit"}),
    ("lora_classification", "bert", {"method": "prompt", "gradient_checkpointing": True}),
    ("lora_ner", "bert", {"method": "prefix", "quantization": "nf4"}),
    ("lora_classification", "llama", {"method": "prefix"}),
]


@pytest.mark.parametrize(("name", "family", "more"), VIRTUAL)
def test_virtual_tokens(tmp_path, recipe, small_files, capfd, name, family, more):
    assert recipe(name, family, num_virtual_tokens=6, **more) == 0
    kind = "ner" if name.endswith("ner") else "single"
    run = assert_reloads(tmp_path / "run", small_files[kind]["test_file"])
    assert run["method"] == more["method"]
    saved = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert saved["num_virtual_tokens"] == 6
    train = run["train"]
    predicted, measured = train["predicted_peak_memory_bytes"], train["peak_memory_bytes"]
    assert predicted == pytest.approx(measured, rel=2e-2)
    capfd.readouterr()
    assert main(["merge", str(tmp_path / "run"), "--output-dir", str(tmp_path / "merged")]) == 2
    assert "use the adapter as it is" in capfd.readouterr().err
    assert not (tmp_path / "merged").exists()


PROMPT = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}
REFUSED = [
    (LORA | {"task_type": "SEQ_CLS"}, {}, "task_type SEQ_CLS is not this run's (TOKEN_CLS)"),
    (LORA | {"lora_alph": 4}, {}, "LORA has no field 'lora_alph'; did you mean 'lora_alpha'?"),
    (LORA | {"peft_type": "LORRA"}, {}, "peft_type 'LORRA' is not one of ADALORA,"),
    ({"r": 4}, {}, "peft_type 'None' is not one of"),
    ("[1]", {}, "adapter.json holds no JSON object"),
    ("{", {}, "adapter.json cannot be read as JSON"),
    (LORA | {"r": 0}, {}, "--adapter-config: peft cannot add LORA"),
    (LORA | {"target_modules": ["q_proj"]}, {}, "--adapter-config: peft cannot add LORA"),
    (LORA | {"bias": "all"}, {}, "bias 'all' would train the model's own biases"),
    (LORA | {"modules_to_save": ["nope"]}, {}, "the model has no 'nope'"),
    (LORA | {"init_lora_weights": "eva"}, {}, "cannot be computed from the weights alone"),
    ({"peft_type": "IA3", "target_modules": ["key"]}, {}, "should be a subset"),
    ({"peft_type": "POLY"}, {}, "POLY needs a task number"),
    ({"peft_type": "XLORA"}, {}, "XLORA cannot train a new head"),
    (LORA, {"lora_r": 3}, "remove --lora-r"),
    (LORA, {"method": "ia3"}, "cannot be used with --method ia3"),
    (LORA | {"init_lora_weights": "olora"}, {"quantization": "8bit"}, "8bit weights would have"),
    ({"peft_type": "HRA"}, {"quantization": "int8"}, "HRA reads the frozen weights, which int8"),
    ({"peft_type": "LOKR"}, {"quantization": "nf4"}, "LOKR reads the frozen weights, which nf4"),
    (
        LORA | {"init_lora_weights": "orthogonal"},
        {"quantization": "8bit"},
        "init_lora_weights 'orthogonal' reads the frozen weights",
    ),
    ({"peft_type": "BEFT"}, {"quantization": "int8", "family": "gpt2"}, "does not know GPT-2's"),
    (
        PROMPT | {"peft_type": "PREFIX_TUNING"},
        {"gradient_checkpointing": True},
        "--adapter-config: prefix hands keys and values to the layers",
    ),
    (PROMPT, {"name": "lora_classification", "family": "llama"}, "--adapter-config: prompt gives"),
    (PROMPT | {"num_virtual_tokens": 200}, {}, "take fewer --num-virtual-tokens"),
]


@pytest.mark.parametrize(("file", "more", "message"), REFUSED)
def test_what_cannot_be_obeyed_is_refused(tmp_path, recipe, capfd, file, more, message):
    assert recipe(file=file, **more) == 2
    printed = capfd.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["LORA", "BOFT", "LOHA", "LOKR", "VERA", "GRALORA"])
def test_adapters_on_int8_weights_compute_what_they_do_on_the_weights(tmp_path, tiny_model, kind):
    file = tmp_path / "adapter.json"
    file.write_text(json.dumps({"peft_type": kind}))
    outputs = []
    for quantization in ("none", "int8"):
        options = {"adapter_config": str(file), "quantization": quantization, "dropout": 0.0}
        made = build_model(tiny_model("bert"), head="sequence", labels=["a", "b"], **options)
        torch.manual_seed(0)
        for _, parameter in sorted(made.model.named_parameters()):
            if parameter.requires_grad:
                parameter.data += torch.randn_like(parameter) * 0.05
        ids = torch.arange(5, 25).view(2, 10)
        outputs.append(forward_module(made.model)(input_ids=ids).logits.detach())
    assert (outputs[1] - outputs[0]).norm() < 0.1 * outputs[0].norm()


def test_all_problems_of_a_file_are_told_at_once(recipe, capfd):
    assert recipe(file=LORA | {"rank": 4, "task_type": "CAUSAL_LM", "modules_to_save": ["x"]}) == 2
    assert "3 problems" in capfd.readouterr().err


def test_a_file_that_is_not_there(tmp_path, recipe, capfd):
    assert recipe(adapter_config=tmp_path / "nowhere.json") == 2
    assert "nowhere.json does not exist" in capfd.readouterr().err


def test_a_run_is_resumed_with_what_the_file_held(tmp_path):
    settings = []
    for name, file in (("a", LORA), ("b", LORA), ("c", LORA | {"lora_alpha": 9})):
        (tmp_path / name).write_text(json.dumps(file))
        config = RunConfig(task="ner", adapter_config=str(tmp_path / name))
        settings.append(run_settings(config, build_accelerator()))
    assert settings[0] == settings[1] != settings[2]


def test_the_adapter_of_another_run(tmp_path, recipe, trained_run):
    """Its folder will do: settings are taken from it, weights are not."""
    assert recipe(adapter_config=trained_run("ner", "bert")) == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["method"] == "lora"


def test_an_adapter_that_must_see_the_weights_is_trained_without_a_prediction(
    tmp_path, recipe, capfd
):
    assert recipe(file={"peft_type": "ADAMSS", "target_modules": ["query"]}) == 0
    assert "could not be predicted" in capfd.readouterr().out
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["train"]["predicted_peak_memory_bytes"] is None
