"""An exported folder, laid out so that ONNX Runtime, Optimum and transformers.js load it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowcost_ft.models.hub import quiet_libraries
from lowcost_ft.models.onnx_model import ONNX_FILES
from lowcost_ft.record.model_card import write_model_card
from lowcost_ft.record.run_file import RUN_FILE, write_json, write_run

__all__ = ["save_exported"]


def save_exported(
    folder: Path,
    scratch: Path,
    *,
    run: dict[str, Any],
    run_folder: str | Path,
    report: dict[str, Any],
    graphs: Mapping[str, Any],
    config: Any,
    tokenizer: Any,
) -> None:
    """Writes everything beside the folder, then moves it there; `run.json` comes last.

    Args:
        folder: The folder, without a model.
        scratch: A folder beside it.
        run: The run's record.
        run_folder: Its folder.
        report: What was measured; kept in `run.json` as `export`.
        graphs: Precision -> the ONNX model.
        config: The model's configuration.
        tokenizer: The tokenizer.
    """
    (scratch / "onnx").mkdir()
    for precision, graph in graphs.items():
        (scratch / ONNX_FILES[precision]).write_bytes(graph.SerializeToString())
    with quiet_libraries():
        config.save_pretrained(str(scratch))
        tokenizer.save_pretrained(str(scratch))
    _for_older_readers(scratch / "tokenizer_config.json")
    source = Path(run_folder).resolve().name
    config_of_run = run["config"]
    if config_of_run.get("pooling") == "mean":
        # The mean is part of the graph, which gives logits of texts.
        config_of_run = config_of_run | {"pooling": "model"}
    record = run | {
        "config": config_of_run,
        "exported_from": source,
        "merged_from": run.get("merged_from") or source,
        "trained_on": run.get("trained_on") or run.get("quantization", "none"),
        "quantization": "none",
        "novelty": {"reason": "an exported model gives no states that texts are compared by"},
        "export": {key: value for key, value in report.items() if key != "folder"},
    }
    write_run(scratch, record)
    write_model_card(scratch, record, name=folder.resolve().name)
    # The folder may have an `onnx` with other files, which stay.
    (folder / "onnx").mkdir(exist_ok=True)
    for file in (scratch / "onnx").iterdir():
        file.rename(folder / "onnx" / file.name)
    (scratch / "onnx").rmdir()
    for file in sorted(scratch.iterdir(), key=lambda path: (path.name == RUN_FILE, path.name)):
        file.rename(folder / file.name)


def _for_older_readers(path: Path) -> None:
    """Words that transformers 4 and transformers.js know, where transformers 5 writes new ones."""
    values = json.loads(path.read_text("utf-8"))
    if values.get("tokenizer_class") == "TokenizersBackend":
        values["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(values.get("extra_special_tokens"), list):
        values["additional_special_tokens"] = values.pop("extra_special_tokens")
    write_json(path, values)
