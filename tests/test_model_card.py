"""The card is valid for the Hub, says what `run.json` says, and its code runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from peft import LoraConfig, get_peft_model
from tiny import make_tiny
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from lowcost_ft.record.model_card import model_card, write_model_card
from lowcost_ft.record.reload_code import reload_code

NER_LABELS = ["O", "B-per", "I-per", "B-org", "I-org"]
ODD_LABELS = ['say "no"', "it's", "a|b", "line\nend", "```", "\ud83d", "质量"]


def make_run(**changes: Any) -> dict[str, Any]:
    run: dict[str, Any] = {
        "schema_version": 1,
        "status": "completed",
        "task": "ner",
        "model_id": "google-bert/bert-base-uncased",
        "method": "lora",
        "seed": 3,
        "labels": NER_LABELS,
        "problem_type": None,
        "pad_token_id": None,
        "word_splitting": "unicode-v1",
        "config": {"train_file": "/home/ann/secret project/train.conll", "lora_r": 16}
        | {"max_length": 64, "learning_rate": 0.001},
        "versions": {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2"},
        "hardware": {"cpu": "A CPU", "cores": 2, "threads": 2, "ram_bytes": 8e9, "gpus": []},
        "data": {"rows": {"train": 3394, "validation": 512, "test": 1287}, "pairs": False},
        "parameters": {"total": 1000, "trainable": 25},
        "train": {
            "seconds": 61.6,
            "epochs": 3.0,
            "optimizer_steps": 639,
            "examples": 10182,
            "effective_batch_size": 16,
            "real_tokens_per_second": 1318.2,
            "padding_share": 0.04,
            "peak_memory_bytes": 431_000_000,
            "peak_memory_source": "cpu_allocator",
        },
        "evaluation": {
            "validation": {"f1": 0.5},
            "test": {
                "precision": 0.5,
                "recall": 0.4,
                "f1": 0.444,
                "f1_ci95": [0.42, 0.47],
                "per_entity": {
                    "org": {"precision": 0.25, "recall": 0.2, "f1": 0.22, "support": 40},
                    "per": {"precision": 0.8, "recall": 0.7, "f1": 0.75, "support": 60},
                },
                "examples": 1287,
            },
        },
    }
    return run | changes


def front_matter(text: str) -> dict[str, Any]:
    _, header, _ = text.split("---\n", 2)
    loaded = yaml.safe_load(header)
    assert isinstance(loaded, dict)
    return loaded


def code_of(text: str) -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


def test_front_matter() -> None:
    text = model_card(make_run(), name="ner-lora")
    header = front_matter(text)
    assert header["base_model"] == "google-bert/bert-base-uncased"
    assert header["base_model_relation"] == "adapter"
    assert (header["library_name"], header["pipeline_tag"]) == ("peft", "token-classification")
    assert header["metrics"] == ["f1", "precision", "recall"]
    results = ModelCard(text).data.eval_results
    assert results is not None
    found = {result.metric_type: (result.metric_value, result.dataset_split) for result in results}
    assert found == {"f1": (0.444, "test"), "precision": (0.5, "test"), "recall": (0.4, "test")}


def test_local_names_stay_out_of_the_card(tmp_path: Path) -> None:
    base = tmp_path / "ann" / "base"
    base.mkdir(parents=True)
    text = model_card(make_run(model_id=str(base)), name="ner-lora")
    header = front_matter(text)
    assert "base_model" not in header  # the Hub refuses a card whose base model is a folder
    assert "/ann" not in text
    assert "secret project" not in text
    assert "`train.conll`" in text
    assert "for `base`" in text


def test_a_student_names_its_teachers_without_their_folders() -> None:
    taught = {"teacher_weight": 0.5, "teacher_temperature": 2.0, "teacher_states": 0.0}
    taught |= {"teachers": 2, "texts": 104, "unlabelled_texts": 24}
    run = make_run(method="full", config={"teacher": "/home/ann/runs/one, runs/two/"})
    text = model_card(run | {"train": {"extensions": {"distillation": taught}}}, name="x")
    assert (
        "- Teacher: the answers of `one`, `two` were learned beside the labels (weight 0.5, "
        "temperature 2, hidden states 0), and for 24 texts without labels\n"
    ) in text
    assert "/ann" not in text


def test_hub_dataset_is_named() -> None:
    header = front_matter(model_card(make_run(config={"dataset": "leondz/wnut_17"}), name="x"))
    assert header["datasets"] == ["leondz/wnut_17"]
    assert header["model-index"][0]["results"][0]["dataset"]["type"] == "leondz/wnut_17"


def test_text_says_what_was_recorded() -> None:
    text = model_card(make_run(), name="ner-lora")
    for part in (
        "| test split, 1,287 sentences | score | 95% interval |",
        "| entity F1 | 0.444 | 0.420 to 0.470 |",
        "| `org` | 0.250 | 0.200 | 0.220 | 40 |",
        "3,394 training examples of `train.conll`, and 512 of it for validation",
        "LoRA, rank 16",
        "25 of 1,000 (2.5%)",
        "3 epochs, 639 optimizer steps of up to 16 examples",
        "Peak learning rate: 0.001",
        "Training time: 62 s",
        "1,318 tokens/s, without the 4% padding",
        "Peak memory: 0.43 GB (main memory",
        "A CPU, 2 threads",
        "lowcost-ft predict",
        "The weakest label is `org`",
    ):
        assert part in text, part


def test_a_rate_of_its_own_for_the_head_is_told() -> None:
    run = make_run()
    for head, told in ((0.001, "0.001\n"), (0.0005, "0.001, head 0.0005\n")):
        run["config"] |= {"learning_rate": 0.001, "head_learning_rate": head}
        assert f"Peak learning rate: {told}" in model_card(run, name="x")


def test_scores_name_the_test_file_and_labels_without_examples() -> None:
    row = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    run = make_run(config={"train_file": "a/train.conll", "test_file": "b/other.conll"})
    run["evaluation"]["test"]["per_entity"]["never"] = row
    text = model_card(run, name="x")
    assert front_matter(text)["model-index"][0]["results"][0]["dataset"]["name"] == "other.conll"
    assert "The weakest label is `org`" in text
    assert "1 label does not occur in the test split" in text


def test_trusted_code_stays_trusted() -> None:
    config = {"trust_remote_code": True}
    assert '"trust_remote_code": True' in code_of(model_card(make_run(config=config), name="x"))
    full = code_of(model_card(make_run(config=config, method="full"), name="x"))
    assert full.count("RUN, trust_remote_code=True") == 2


def test_no_test_split_no_scores_and_sample_data() -> None:
    text = model_card(make_run(evaluation={"validation": {"f1": 0.5}, "test": None}), name="x")
    assert "There was no test split" in text
    assert front_matter(text)["model-index"][0]["results"][0]["dataset"]["split"] == "validation"
    text = model_card(make_run(evaluation={}, train={}, parameters={}, config={}), name="x")
    assert "was not scored" in text
    assert "made-up messages" in text
    assert "model-index" not in front_matter(text)


def test_undefined_scores() -> None:
    scores = {"mse": None, "pearson": 0.0, "pearson_ci95": [0.0, 0.0], "examples": 3}
    run = make_run(task="classification", problem_type="regression", labels=[])
    text = model_card(run | {"evaluation": {"test": scores}}, name="x")
    assert "| mean squared error | undefined |  |" in text
    assert "the model has learned nothing" in text
    assert front_matter(text)["metrics"] == ["pearsonr"]


def test_odd_labels_keep_card_and_tables_whole(tmp_path: Path) -> None:
    row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    scores = {"accuracy": 1.0, "per_class": dict.fromkeys(ODD_LABELS, row)}
    run = make_run(
        task="classification",
        labels=ODD_LABELS,
        problem_type="single_label_classification",
        evaluation={"test": scores},
    )
    card = write_model_card(tmp_path, run)
    assert card == tmp_path / "README.md"
    text = card.read_text("utf-8")
    lines = code_of(text).splitlines()
    code = "\n".join(lines[lines.index('RUN = "."') : lines.index("settings = {")])
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    assert namespace["labels"] == ODD_LABELS
    assert text.count("| 1.000 | 1.000 | 1.000 | 1 |") == len(ODD_LABELS)


CASES = {
    "ner, adapter": ("bert", "ner", None, "lora"),
    "ner, full": ("bert", "ner", None, "full"),
    "ner, decoder": ("llama", "ner", None, "lora"),
    "ner, byte-level": ("roberta", "ner", None, "lora"),
    "single label": ("bert", "classification", "single_label_classification", "lora"),
    "several labels": ("bert", "classification", "multi_label_classification", "lora"),
    "regression": ("bert", "classification", "regression", "lora"),
    "regression, full": ("bert", "classification", "regression", "full"),
    "decoder": ("llama", "classification", "single_label_classification", "lora"),
    "decoder, full": ("llama", "classification", "single_label_classification", "full"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pair", [False, True], ids=["one text", "pair"])
def test_code_reloads_the_trained_model(
    case: str,
    pair: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    family, task, problem_type, method = CASES[case]
    if pair and task == "ner":
        pytest.skip("NER reads one text")
    base = make_tiny(family, tmp_path / "base")
    labels = [] if problem_type == "regression" else NER_LABELS
    settings: dict[str, Any] = {"num_labels": len(labels) or 1}
    if labels:
        settings["id2label"] = dict(enumerate(labels))
        settings["label2id"] = {label: index for index, label in enumerate(labels)}
    extra = {"add_prefix_space": True} if family == "roberta" else {}
    tokenizer = AutoTokenizer.from_pretrained(base, **extra)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
        settings["pad_token_id"] = tokenizer.pad_token_id
    auto = AutoModelForTokenClassification
    if task == "classification":
        auto, settings["problem_type"] = AutoModelForSequenceClassification, problem_type
    torch.manual_seed(0)
    model = auto.from_pretrained(base, dtype=torch.float32, **settings)
    if method == "lora":
        kind = "TOKEN_CLS" if task == "ner" else "SEQ_CLS"
        head = ["score"] if family == "llama" else ["classifier"]
        targets = ["q_proj"] if family == "llama" else ["query"]
        lora = LoraConfig(
            task_type=kind, target_modules=targets, modules_to_save=head, init_lora_weights=False
        )
        model = get_peft_model(model, lora)
    folder = tmp_path / "run"
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    run = make_run(
        task=task,
        model_id=base,
        method=method,
        labels=labels,
        problem_type=problem_type,
        pad_token_id=settings.get("pad_token_id"),
        config={"max_length": 32},
        data={"pairs": pair},
    )
    code = code_of(write_model_card(folder, run).read_text("utf-8"))
    monkeypatch.chdir(folder)
    namespace: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    with torch.inference_mode():
        expected = model(**namespace["inputs"]).logits
        reloaded = namespace["model"](**namespace["inputs"]).logits
    weights = namespace["model"].state_dict()
    assert weights.keys() == model.state_dict().keys()
    differing = [
        name
        for name, weight in model.state_dict().items()
        if not torch.equal(weights[name], weight)
    ]
    # peft keeps the head that training began with beside the trained one; it is not used.
    assert [name for name in differing if ".original_module." not in name] == []
    # Not to the last bit: the kernels round by where in memory a file's weights come to lie.
    torch.testing.assert_close(reloaded, expected, rtol=1e-5, atol=1e-6)
    printed = capsys.readouterr().out.splitlines()
    several = problem_type == "multi_label_classification"
    lines = 6 if task == "ner" else 1 + several
    assert len(printed) == lines + ("predict" in namespace)
    if several:
        chosen = [label for label, p in zip(labels, expected[0].sigmoid(), strict=True) if p >= 0.5]
        assert printed[1] == str(chosen)
    if task == "ner":
        check_word_tags(namespace, expected, last=family == "llama", printed=printed[:6])
    else:
        check_scores(namespace, expected, problem_type, pair)


@pytest.mark.parametrize("thresholds", [[0.3, 0.3, 0.3], [0.3, 0.9, 0.05]])
def test_the_code_decides_by_the_thresholds_of_the_run(
    thresholds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    kind = "multi_label_classification"
    run = make_run(
        task="classification", labels=["a", "b", "c"], problem_type=kind, thresholds=thresholds
    )
    code = reload_code(run)
    start = code.index("threshold")
    decision = code[start : code.index("print(", start)]
    found: dict[str, Any] = {"scores": torch.tensor([0.4, 0.8, 0.1])}
    exec(decision, found)
    scores = zip([0.4, 0.8, 0.1], thresholds, strict=True)
    assert found["chosen"] == [i for i, (score, least) in enumerate(scores) if score >= least]
    assert "thresholds were chosen on the validation split" in model_card(run, name="x")


def check_word_tags(
    namespace: dict[str, Any], logits: torch.Tensor, *, last: bool, printed: list[str]
) -> None:
    word_ids = namespace["inputs"].word_ids()
    for index, word in enumerate(namespace["words"]):
        positions = [at for at, found in enumerate(word_ids) if found == index]
        label = NER_LABELS[int(logits[0, positions[-1 if last else 0]].argmax())]
        assert printed[index] == f"{word} {label}"
    assert any(word_ids.count(index) > 1 for index in range(6))  # the choice made a difference


def check_scores(
    namespace: dict[str, Any], logits: torch.Tensor, problem_type: str | None, pair: bool
) -> None:
    text = "Where is my parcel?"
    inputs: Any = {"text": text, "text_pair": "Where is my order?"} if pair else text
    answer = namespace["predict"](inputs)
    rows = answer if isinstance(answer, list) else [answer]
    rows = rows[0] if isinstance(rows[0], list) else rows
    scores = namespace["scores"].tolist()
    if problem_type == "regression":
        expected = logits[0].tolist()
    elif problem_type == "multi_label_classification":
        expected = logits[0].sigmoid().tolist()
        assert len(rows) == len(NER_LABELS)
    else:
        expected = logits[0].softmax(-1).tolist()
    assert scores == pytest.approx(expected)
    assert max(row["score"] for row in rows) == pytest.approx(max(expected), abs=1e-5)


def test_labels_that_training_lacked_are_told_apart_from_weak_ones() -> None:
    row = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 4}
    table = {"per": row, "new": row | {"precision": 0.0, "recall": 0.0, "f1": 0.0}}
    text = model_card(make_run(evaluation={"test": {"f1": 0.4, "per_entity": table}}), name="x")
    assert "The weakest label is `per`" in text
    assert "1 labels of the test split did not occur in training" in text
    assert "cannot give them: `new`" in text
