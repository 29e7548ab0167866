"""Every family, method and precision, tried for real on tiny models: `make support`.

A case is built, trained for three steps, saved, reloaded in a fresh process, and merged; LoRA on
float32 is exported as well. What came of it is kept in `benchmarks/support.json`, from which the
tables of docs/methods.md are made.

    python tests/support_matrix.py            # all cases; writes benchmarks/support.json
    python tests/support_matrix.py export     # only what is exported; the rest stays as it is
    python tests/support_matrix.py reload DIR # the fresh process
"""

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "support.json"
QUANTIZATIONS = ("none", "int8", "8bit", "nf4")
LABELS = ["red", "green", "blue"]
HEADS = {
    "ner": ("token", LABELS),
    "classification": ("sequence", LABELS),
    "question_answering": ("question_answering", ["start", "end"]),
}
"""Task -> the head that it has, and its outputs."""
TEXTS = ("Anna Berg ordered two lamps.", "Where is my parcel from Oslo? I want my money back.")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One cell of the table."""

    family: str
    task: str
    quantization: str
    method: str

    @property
    def name(self) -> str:
        """As a folder's name."""
        return f"{self.family}-{self.task}-{self.quantization}-{self.method}"


def all_cases() -> list[Case]:
    """Families x tasks x precisions for LoRA, and every method on an encoder and a decoder."""
    from tiny import ENCODERS, FAMILY_NAMES, TOKEN_FAMILIES

    from lowcost_ft.config.methods import METHODS

    families_of = {
        "ner": TOKEN_FAMILIES,
        "classification": FAMILY_NAMES,
        # Gemma has none in transformers.
        "question_answering": (*ENCODERS, "gpt2", "llama", "qwen2", "qwen3"),
    }
    cases = [
        Case(family=family, task=task, quantization=quantization, method="lora")
        for family in FAMILY_NAMES
        for task in HEADS
        if family in families_of[task]
        for quantization in QUANTIZATIONS
    ]
    cases += [
        Case(family=family, task=task, quantization=quantization, method=method.name)
        for method in METHODS
        if method.name != "lora"
        for family in ("bert", "llama")
        for task in HEADS
        if family in families_of[task]
        for quantization in ("none", "nf4")
    ]
    return cases


def diagonal(cases: list[Case]) -> list[Case]:
    """Few of the cases that hold every family, task and precision, and every method."""
    families = [case for case in cases if case.method == "lora"]
    methods = [case for case in cases if case.method != "lora"]
    # Steps that have no common factor with the number of tasks and precisions go round them all.
    return families[::5] + methods[::7]


def run_cases(
    cases: Iterable[Case],
    folder: Path,
    tiny_model: Callable[[str], str],
    *,
    device: str = "cpu",
    export: bool = False,
) -> dict[str, dict[str, Any]]:
    """Trains, saves and merges the cases, and reloads them all in one fresh process.

    Args:
        cases: The cases.
        folder: Where their runs are saved.
        tiny_model: Gives the folder of a family's model.
        device: Where they are trained.
        export: Whether those that can be are exported too, which takes seconds for each.

    Returns:
        By the case's name: `result` ("works", or why not), `merged` (the same for the merge) and,
        where it was asked for, `exported`.
    """
    outcomes = {}
    for case in cases:
        outcomes[case.name] = train_case(case, folder / case.name, tiny_model, device=device)
        if export:
            outcomes[case.name]["exported"] = export_case(case, folder / case.name)
    command = [sys.executable, __file__, "reload", str(folder), device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, difference in json.loads(done.stdout.splitlines()[-1]).items():
        # Those two are saved in another form than they train in (`models/adapter_starts.py`).
        restated = name.endswith(("-pissa", "-olora"))
        limit = 1e-2 if device != "cpu" else 1e-4 if restated else 0.0
        if not difference <= limit:
            outcomes[name]["result"] = f"the reloaded model differs by {difference:.2g}"
    return outcomes


def batch(tokenizer: Any, device: str) -> dict[str, Any]:
    encoded = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    return {name: encoded[name].to(device) for name in ("input_ids", "attention_mask")}


def logits_of(outputs: Any) -> Any:
    """The logits of a task model, those of first and last tokens side by side."""
    import torch

    if "start_logits" not in outputs:
        return outputs.logits
    return torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)


def train_case(
    case: Case, folder: Path, tiny_model: Callable[[str], str], *, device: str
) -> dict[str, Any]:
    """Builds, trains, saves and merges one case."""
    import torch

    from lowcost_ft.errors import UserError
    from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer, save_model

    model_id = tiny_model(case.family)
    head, labels = HEADS[case.task]
    tokenizer = load_tokenizer(model_id)
    try:
        built = build_model(
            model_id,
            head=head,
            labels=labels,
            method=case.method,
            quantization=case.quantization,  # type: ignore[arg-type]
            lora_r=4,
            num_virtual_tokens=5,
            dropout=None if case.family.startswith(("llama", "qwen")) else 0.0,
            pad_token_id=tokenizer.pad_token_id,
        )
    except UserError as error:
        return {"result": str(error), "merged": None}
    model = built.model.to(device)
    module = forward_module(model)
    inputs = batch(tokenizer, device)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2)
    for _ in range(3):
        # An evaluation in between must not change what training computes.
        with torch.no_grad():
            module.eval()(**inputs)
        logits = logits_of(module.train()(**inputs))
        count, per_token = len(labels), case.task != "classification"
        expected = (2, inputs["input_ids"].shape[1], count) if per_token else (2, count)
        assert tuple(logits.shape) == expected, case.name
        target = torch.arange(logits.numel() // count, device=device) % count
        torch.nn.functional.cross_entropy(logits.reshape(-1, count), target).backward()
        gradients = {name: parameter.grad for name, parameter in trained.items()}
        optimizer.step()
        optimizer.zero_grad()
    # In the last step; in the first, half of LoRA's matrices wait for the other half.
    for name, gradient in gradients.items():
        assert gradient is not None and gradient.abs().max() > 0, (case.name, name)
    for name, parameter in model.named_parameters():
        assert torch.equal(before[name], parameter) != (name in trained), (case.name, name)
    with torch.no_grad():
        logits = logits_of(module.eval()(**inputs))
    save_model(model, tokenizer, folder)
    run = {
        "task": case.task,
        "model_id": model_id,
        "labels": labels,
        "quantization": built.quantization,
        "pad_token_id": tokenizer.pad_token_id,
        "config": {},
        "logits": logits.tolist(),
    }
    (folder / "case.json").write_text(json.dumps(run))
    merged = None if case.method == "full" else merge_case(folder, run, inputs, device)
    return {"result": "works", "merged": merged}


def merge_case(folder: Path, run: dict[str, Any], inputs: dict[str, Any], device: str) -> str:
    """Merges a saved adapter into the unquantized base model, and compares the two."""
    import torch

    from lowcost_ft.errors import UserError
    from lowcost_ft.models.loading import forward_module, load_trained
    from lowcost_ft.models.merging import MERGE_TOLERANCE, merge_adapter, parity_gap

    whole = load_trained(folder, run | {"quantization": "none"}).to(device)
    with torch.no_grad():
        beside = logits_of(forward_module(whole)(**inputs))
        try:
            merged = merge_adapter(whole)
        except UserError as error:
            return str(error)
        gap = parity_gap(beside, logits_of(merged(**inputs)))
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    return "works" if gap <= MERGE_TOLERANCE else f"differs by {gap:.2g}"


def export_case(case: Case, folder: Path) -> str | None:
    """Exports a saved adapter in float32; None for what is not tried.

    What can be merged into float32 weights is one and the same for the export.
    """
    import torch

    from lowcost_ft.errors import UserError
    from lowcost_ft.export.graph import build_graph
    from lowcost_ft.export.refusals import check_family, check_weights
    from lowcost_ft.models.loading import load_tokenizer, load_trained
    from lowcost_ft.models.merging import MERGE_TOLERANCE, merge_adapter, parity_gap
    from lowcost_ft.models.onnx_model import OnnxModel
    from lowcost_ft.models.saving import run_config
    from lowcost_ft.tasks.heads import find_head

    if case.method != "lora" or case.quantization != "none":
        return None
    run = json.loads((folder / "case.json").read_text())
    try:
        check_family(run_config(folder, run))
        whole = load_trained(folder, run)
        check_weights(whole)
    except UserError as error:
        return str(error)
    model, head = merge_adapter(whole), find_head(HEADS[case.task][0])
    encoded = load_tokenizer(str(folder))(list(TEXTS), padding=True, return_tensors="pt")
    outputs = head.outputs if head.per_text else ()
    graph = build_graph(
        model,
        lambda model, inputs: {name: model(**inputs)[name] for name in head.outputs},
        inputs=list(encoded),
        outputs=head.outputs,
        per_text=outputs,
    )
    exported = OnnxModel(graph.SerializeToString(), model.config, "fp32")
    real = encoded["attention_mask"].bool()
    with torch.no_grad():
        found = [vars(exported(**encoded)), model(**encoded)]
    gaps = []
    for name in head.outputs:
        pair = [one[name] for one in found]
        gaps.append(parity_gap(*(pair if head.per_text else [one[real] for one in pair])))
    return "works" if max(gaps) <= MERGE_TOLERANCE else f"differs by {max(gaps):.2g}"


def reload_cases(folder: Path, device: str) -> dict[str, float]:
    """Reloads every saved case; returns the largest difference of each one's logits."""
    import torch

    from lowcost_ft.models.loading import forward_module, load_tokenizer, load_trained

    differences = {}
    for file in sorted(folder.glob("*/case.json")):
        run = json.loads(file.read_text())
        model = forward_module(load_trained(file.parent, run)).to(device)
        with torch.no_grad():
            inputs = batch(load_tokenizer(str(file.parent)), device)
            logits = logits_of(model(**inputs)).cpu()
        differences[file.parent.name] = float((logits - torch.tensor(run["logits"])).abs().max())
    return differences


def outcomes_as_rows(
    cases: Iterable[Case], outcomes: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """One row a case, as `benchmarks/support.json` holds them."""
    return [asdict(case) | outcomes[case.name] for case in cases]


def main() -> None:
    from tiny import make_tiny

    folders: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="support-") as place:

        def tiny_model(family: str) -> str:
            if family not in folders:
                folders[family] = make_tiny(family, Path(place) / "models" / family)
            return folders[family]

        if sys.argv[1:2] == ["export"]:
            rows = json.loads(RESULTS.read_text("utf-8"))
            for row, case in zip(rows, all_cases(), strict=True):
                row["exported"] = None
                if case.method == "lora" and case.quantization == "none":
                    train_case(case, Path(place) / case.name, tiny_model, device="cpu")
                    row["exported"] = export_case(case, Path(place) / case.name)
        else:
            outcomes = run_cases(all_cases(), Path(place), tiny_model, export=True)
            rows = outcomes_as_rows(all_cases(), outcomes)
    lines = ",\n".join(json.dumps(row) for row in rows)
    RESULTS.write_text(f"[\n{lines}\n]\n", "utf-8")
    works = sum(row["result"] == "works" for row in rows)
    print(f"{works} of {len(rows)} cases work; the others are refused: {RESULTS}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["reload"]:
        print(json.dumps(reload_cases(Path(sys.argv[2]), sys.argv[3])))
    else:
        main()
