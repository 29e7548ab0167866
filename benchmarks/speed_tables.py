"""The tables of speed, from what `compare_speed.py` and `compare_inference.py` left."""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.report.labels import short_model
from lowcost_ft.report.tables import markdown_text

RESULTS = Path(__file__).resolve().parent / "results"
SPEED = RESULTS / "speed"
USUAL = {
    "wnut17-trainer-peft-tuned": "Trainer + peft, tuned,",
    "wnut17-trainer-peft": "Trainer + peft",
}
CACHED = {
    "wnut17-lora-cached3": "the top three layers",
    "wnut17-lora-cached3-nodropout": "the top three layers, without dropout",
    "wnut17-lora-cached2-fast": "the top two layers at a rate of 2e-3",
}
ARMS = {
    "textbook-full": "full, every text padded to --max-length: the usual listing",
    "trainer-peft": "Trainer + peft, LoRA on query and value",
    "trainer-peft-tuned": "the same, tuned: texts of like length together",
    "ours-full": "full",
    "ours-lora-query-value": "LoRA on query and value",
    "ours-lora-query-value-int8": "the same, on integers (--quantization int8)",
    "ours-lora-query-value-compiled": "the same, compiled (--torch-compile)",
    "ours-lora": "LoRA on all linear layers",
    "ours-lora-large-step": "the same, 160 examples a step",
    "ours-lora-top": "LoRA on all linear layers of the top {trainable_layers}",
    "ours-lora-top-cached": "the same, layers below cached",
    "ours-lora-top-cached-int8": "the same, on integers (--quantization int8)",
}


OTHER_WAYS = {
    "ours-int8": "As after a training with `--quantization int8`",
    "exported-fp32": "Exported to ONNX in float32",
    "exported-int8": "Exported to ONNX in int8",
}
RATIOS = {
    "over_tuned_trainer_peft": "x tuned Trainer + peft",
    "over_trainer_peft": "x Trainer + peft",
}
"""What a speed is compared with; the tuned one first, where it was measured."""


def training_overview() -> str:
    """How fast each way trains on each machine, as multiples of Trainer + peft there.

    Two in one cell are of the tuned and of the plain one.
    """
    results = [_read(file) for file in _files("speed")]
    columns = [f"{_data(result)}, {_machine(result)}" for result in results]
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name in ARMS:
        if not name.startswith("ours"):
            continue
        arms = [(result["arms"].get(name, {}), result) for result in results]
        cells = [
            " / ".join(f"{arm[ratio]:.2f}x" for ratio in RATIOS if ratio in arm) for arm, _ in arms
        ]
        if any(cells):
            label = _arm(name, next(result for arm, result in arms if arm))
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def speed_sentences() -> str:
    """Training and prediction, measured in turns with the usual ways."""
    return "\n".join([training_overview(), "", *(f"- {line}" for line in inference_lines())])


def inference_lines() -> list[str]:
    """One sentence a result."""
    return [_inference_line(_read(file)) for file in _files("inference")]


def speed_tables() -> str:
    """All arms, for the benchmarks' README."""
    tables = [_training_table(_read(file)) for file in _files("speed")]
    inference = [_inference_line(_read(file)) for file in _files("inference")]
    profiles = [_profile_line(_read(file)) for file in _files("profile")]
    compiled = [_compiled_line(_read(file)) for file in _files("compiled")]
    return "\n\n".join([*tables, *profiles, *_time_to_score(), *compiled, *inference])


def operator_table() -> str:
    """Operations of a step on a GPU, as `operator_count.py` counted them."""
    result = _read(SPEED / "operators.json")
    shapes = result["operations"]
    methods = list(dict.fromkeys(name for counts in shapes.values() for name in counts))
    lines = ["| | " + " | ".join(shapes) + " |", "|---|" + "---|" * len(shapes)]
    for method in methods:
        cells = []
        for counts in shapes.values():
            total = sum(counts.get(method, {}).values())
            share = total / sum(counts["full"].values())
            cells.append(f"{total:,} ({share:.2f}x)" if total else "")
        lines.append(f"| {method.replace('-', ' ').replace('query ', 'query, ')} | ")
        lines[-1] += " | ".join(cells) + " |"
    lines += [
        "",
        f"A step of one micro-batch of {result['rows']} texts of {result['tokens']} tokens, the "
        "update included; in brackets as a multiple of full fine-tuning.",
    ]
    return "\n".join(lines)


def _files(kind: str) -> list[Path]:
    return sorted(SPEED.glob(f"{kind}-*.json"), key=lambda file: file.stem)


def _read(file: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return result


def _training_table(result: dict[str, Any]) -> str:
    measured = [r for r in RATIOS if any(r in arm for arm in result["arms"].values())]
    columns = ["", "tokens/s", "range", *(RATIOS[ratio] for ratio in measured)]
    columns += ["x usual listing", "padding", "of matrix rate", "peak memory"]
    lines = [
        f"**{_data(result)}, {_machine(result)}, {len(result['rounds'])} rounds**",
        "",
        "| " + " | ".join(columns).lstrip() + " |",
        "|" + "---|" * len(columns),
    ]
    usual = result["arms"].get("textbook-full", {}).get("real_tokens_per_second")
    for name, arm in result["arms"].items():
        speed, (low, high) = arm["real_tokens_per_second"], arm["range"]
        share = arm.get("share_of_matmul_rate")
        peak = arm.get("peak_memory_bytes")
        cells = [
            _arm(name, result),
            f"{speed:,.0f}",
            f"{low:,.0f} to {high:,.0f}",
            *(f"{arm[ratio]:.2f}" if ratio in arm else "" for ratio in measured),
            f"{speed / usual:.1f}" if usual else "",
            f"{arm.get('padding_share_of_an_epoch', arm['padding_share']):.1%}",
            f"{share:.0%}" if share else "",
            f"{peak / 1e6:,.0f} MB" if peak else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"The machine's own rate: {result['matmul_gflops']:,.0f} GFLOP/s in "
        f"{'float32' if result['precision'] == 'no' else result['precision']} matrix products.",
    ]
    return "\n".join(lines)


def _time_to_score() -> list[str]:
    """Trainer and ours, in the runs of a folder that have the same seed.

    A folder beside the suite's holds runs of another machine, since seconds of several machines do
    not compare.
    """
    return [
        line
        for folder in (RESULTS / "time_to_score", RESULTS)
        for name, label in USUAL.items()
        for line in _time_to_score_of(name, label, folder)
    ]


def _time_to_score_of(peer: str, peer_label: str, folder: Path) -> list[str]:
    usual = _runs_of(peer, folder)
    told = []
    for name, label in CACHED.items():
        cached = _runs_of(name, folder)
        seeds = [s for s in usual if s in cached and _machine(usual[s]) == _machine(cached[s])]
        if not seeds:
            continue
        ratios = [f"{_seconds(usual[s]) / _seconds(cached[s]):.1f}" for s in seeds]
        passed = [_passes(cached[s], usual[s]) for s in seeds]
        scores = mean_score(cached[s] for s in seeds)
        told.append(
            f"{label}: {scores}, {' and '.join(ratios)} times as fast (to the end of the first "
            f"epoch with a validation F1 as good as that of Trainer + peft: {' and '.join(passed)})"
        )
    if not told:
        return []
    ends = mean_score(usual.values())
    return [
        f"Time to a score (WNUT-17, {_machine(next(iter(usual.values())))}, the standard suite's "
        f"runs of three epochs): {peer_label} ends at a test F1 of {ends}. LoRA in the top layers "
        f"from cached frozen layers, building the cache included: {'; '.join(told)}."
    ]


def _runs_of(name: str, folder: Path) -> dict[int, dict[str, Any]]:
    files = sorted(folder.glob(f"{name}-seed?.json"))
    return {run["seed"]: run for run in map(_read, files)}


def _passes(run: dict[str, Any], usual: dict[str, Any]) -> str:
    """How many times as fast a run first has the validation score that another ends at."""
    target = usual["evaluation"]["validation"]["f1"]
    for epoch in run["train"]["validation_history"]:
        if epoch["f1"] >= target:
            seconds = epoch["seconds"] + run["train"]["cache_seconds"]
            return f"{_seconds(usual) / seconds:.1f}"
    return "never"


def _seconds(run: dict[str, Any]) -> float:
    return float(run["train"]["seconds"] + run["train"]["cache_seconds"])


def score_of(run: dict[str, Any]) -> float:
    """The score on the test split."""
    test = run["evaluation"]["test"]
    return float(test.get("f1", test.get("accuracy")))


def mean_score(runs: Iterable[dict[str, Any]]) -> str:
    """The mean over some runs, and each."""
    scores = [score_of(run) for run in runs]
    each = f" ({', '.join(f'{score:.3f}' for score in scores)})" * (len(scores) > 1)
    return f"{statistics.mean(scores):.3f}{each}"


def _inference_line(result: dict[str, Any]) -> str:
    speeds = result["real_tokens_per_second"]
    line = (
        f"Prediction of {result['texts']:,} texts ({markdown_text(result['config']['data'])}), "
        f"{_machine(result)}: {speeds['ours']:,} tokens/s, "
        f"{result['ours_over_pipeline']:.2f}x of `transformers.pipeline` with batches of "
        f"{result['config']['batch_size']} ({speeds['pipeline']:,}); the same entities in "
        f"{result['same_entities']:.1%} of the texts (`compare_inference.py`)."
    )
    for name, way in result.get("others", {}).items():
        f1 = result["f1"]
        scores = f", and an F1 of {f1[name]:.4f} to {f1['ours']:.4f}" if f1 else ""
        line += (
            f" {OTHER_WAYS[name]}: {way['over_pipeline']:.2f}x, with the same entities as ours in "
            f"{way['same_entities_as_ours']:.1%} of the texts{scores}."
        )
    return line


def _profile_line(result: dict[str, Any]) -> str:
    shares = ", ".join(f"{share:.0%} {kind}" for kind, share in result["shares"].items())
    machine, alone = result["machine_gflops"], result["matmul_gflops_alone"]
    in_steps = result["matmul_gflops_in_steps"] / machine
    arm = _arm(result["config"]["arm"], result)
    return (
        f"By the profiler ({_data(result)}, {_machine(result)}, `profile_step.py`), a step of "
        f"{arm} is {shares}. Its matrix products ran at {in_steps:.0%} of "
        f"the machine's rate; repeated alone, at the same sizes, at {alone / machine:.0%}."
    )


def _compiled_line(result: dict[str, Any]) -> str:
    plain, compiled = (
        result["arms"][f"ours-lora-query-value{end}"]["real_tokens_per_second"]
        for end in ("", "-compiled")
    )
    return (
        f"`--torch-compile` ({_data(result)}, {_machine(result)}, {len(result['rounds'])} rounds): "
        f"{compiled:,.0f} tokens/s, {compiled / plain:.2f}x of the speed without it, for LoRA on "
        "query and value."
    )


def _arm(name: str, result: dict[str, Any]) -> str:
    return ARMS.get(name, name).format(**result["config"])


def _data(result: dict[str, Any]) -> str:
    data = result["config"].get("train_file") or "the embedded sample"
    model = result["config"]["model_id"]
    if model != DEFAULT_MODEL_ID:
        data += f", {short_model(model)}{' with random weights' * model.startswith('random/')}"
    if (dropout := result["config"].get("dropout", "model")) != "model":
        data += f", dropout {dropout}" if dropout else ", without dropout"
    return markdown_text(data)


def _machine(result: dict[str, Any]) -> str:
    hardware = result["hardware"]
    threads = hardware["threads"]
    if hardware["gpus"]:
        return str(hardware["gpus"][0]["name"])
    return f"{hardware['cpu']}, {threads} thread{'s' * (threads != 1)}"
