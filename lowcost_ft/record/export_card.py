"""What the card of an exported folder says besides: what each file costs; code for JavaScript."""

from lowcost_ft.record.reload_code import RunRecord, head_of
from lowcost_ft.tasks import task_class

__all__ = ["export_section", "javascript_code"]

_DTYPES = {"fp32": "fp32", "fp16": "fp16", "int8": "q8"}
"""Precision -> what transformers.js calls it."""


def export_section(run: RunRecord) -> str:
    """A table of the files: size, changed predictions, score and speed, and where it was measured.

    Args:
        run: The content of the `run.json` of an exported folder.
    """
    record = run["export"]
    metric = record["files"][0]["drift"]["metric"]
    lines = [
        f"| file | size | changed predictions | validation {metric} | texts/s | ms a text |",
        "|---|---|---|---|---|---|",
    ]
    for one in record["files"]:
        drift = one["drift"]
        name = f"`{one['file']}`" if one["file"] else f"{one['precision']}, not written"
        lines.append(
            f"| {name} | {one['bytes'] / 1e6:.1f} MB | {drift['drift']:.2%} | "
            f"{drift['score_after']:.4f} | {one['texts_per_second']:,.0f} | "
            f"{one['milliseconds']:.1f} |"
        )
    kind = record["int8_instructions"] or "no instructions for 8-bit products"
    threads = record["threads"]
    parts = [
        "\n".join(lines),
        f"Measured on {record['cpu']} ({kind}), {threads} thread{'s' * (threads != 1)}, on the "
        f"{record['validation_rows']:,} rows of the validation split. The trained model answers "
        f"{record['texts_per_second']:,.0f} texts/s there, with PyTorch.",
    ]
    for one in record["files"]:
        if one["reason"]:
            parts.append(f"{one['precision']} was not written: {one['reason']}.")
        elif one["float_layers"]:
            parts.append(
                f"{one['precision']} leaves {len(one['float_layers'])} of {one['layers']} layers "
                "in float32, since fewer predictions change then."
            )
    if any(one["file"] and one["precision"] == "int8" for one in record["files"]):
        parts.append(
            "The answers of int8 depend a little on what else is in a batch, and on the CPU."
        )
    return "\n\n".join(parts)


def javascript_code(run: RunRecord) -> str | None:
    """Code for transformers.js that loads the folder and predicts one text.

    Args:
        run: The content of the `run.json` of an exported folder.

    Returns:
        The code; None where its pipelines take no input of this kind.
    """
    example = task_class(run["task"]).script_example(run)
    if example is None:
        return None
    precision = next(one["precision"] for one in run["export"]["files"] if one["file"])
    task, dtype = head_of(run).pipeline, _DTYPES[precision]
    return f"""import {{ env, pipeline }} from "@huggingface/transformers";

env.localModelPath = "..";  // the folder that holds RUN
env.allowRemoteModels = false;
const predict = await pipeline("{task}", "RUN", {{ dtype: "{dtype}" }});
console.log(await predict({example}));"""
