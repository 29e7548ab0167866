"""Loads a run folder, or an exported one, to predict."""

from pathlib import Path
from typing import Any

from lowcost_ft.config.arguments import to_path
from lowcost_ft.errors import UserError
from lowcost_ft.models.families import longest_input
from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.loading import forward_module, load_tokenizer, load_trained
from lowcost_ft.models.merging import is_mergeable, merge_adapter
from lowcost_ft.models.onnx_model import load_exported
from lowcost_ft.models.pooled_states import keep_states
from lowcost_ft.models.positions import text_limits_of
from lowcost_ft.models.quantization import compute_dtype, weight_bytes
from lowcost_ft.pipeline.confidence import NOVELTY_FILE, load_novelty
from lowcost_ft.pipeline.predictor import Predictor
from lowcost_ft.record.environment import int8_instructions
from lowcost_ft.record.run_file import load_run
from lowcost_ft.scores.calibration import ScoreMap
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.flags import input_problems, own_flags
from lowcost_ft.training.setup import build_accelerator, process_precision, set_num_threads

__all__ = ["load_predictor"]


def load_predictor(
    folder: str | Path,
    *,
    base_model: str | None = None,
    trust_remote_code: bool = False,
    num_threads: int | None = None,
    keep_adapter: bool = False,
    precision: str | None = None,
    **flags: Any,
) -> Predictor:
    """Loads a run folder, or what `lowcost-ft export` made of one.

    In float32 on a CPU, an adapter that can be merged is added to the weights in memory. That saves
    about a tenth of the work, and changes logits by rounding. ONNX Runtime runs an exported folder,
    on the CPU.

    Args:
        folder: The `--output-dir` of a completed run, of `lowcost-ft merge` or of
            `lowcost-ft export`.
        base_model: Where the run's base model lies now, if it has moved.
        trust_remote_code: Whether the base model's own Python code may run.
        num_threads: CPU threads; see `set_num_threads`.
        keep_adapter: Whether the adapter stays beside the weights, as in training.
        precision: Which file of an exported folder is run: "fp32", "fp16" or "int8". Default: the
            first of fp32, int8 and fp16 that is there.
        **flags: The task's own flags of `lowcost-ft predict`, such as `threshold` of text
            classification.

    Raises:
        UserError: The folder is not a completed run; its model cannot be loaded; its task has no
            such flag; or a flag gives the input, which the predictor is called with instead.
    """
    folder = to_path(folder, "folder")
    run = load_run(folder)
    task = task_class(run["task"]).from_record(run)
    own = own_flags(run["task"], flags)
    if problems := [*input_problems(run["task"], flags), *task.use(own)]:
        raise UserError(problems)
    if not (task.scores_follow_thresholds and task.decides_otherwise(run)):
        task.score_map = ScoreMap.from_record(run.get("calibration"))
    novelty = load_novelty(Path(folder), run.get("novelty"))
    # Tokenizers of Marian have two sentencepiece models, and those of M2M100 one.
    files = ("tokenizer.json", "source.spm", "sentencepiece.bpe.model")
    if not any((Path(folder) / name).is_file() for name in files):
        # transformers would make up a tokenizer that knows no word, and predict with it.
        raise UserError(f"{folder} lacks tokenizer.json: restore the run folder, or train again")
    set_num_threads(num_threads, local_processes=1)
    accelerator = build_accelerator(mixed_precision=process_precision())
    tokenizer = load_tokenizer(
        str(folder), trust_remote_code=trust_remote_code, **task.tokenizer_options
    )
    loaded: dict[str, Any] = {"run": run, "task": task, "tokenizer": tokenizer, "flags": own}
    loaded["accelerator"] = accelerator
    if run.get("export"):
        if base_model is not None:
            raise UserError(
                f"--base-model {base_model}: {folder} holds the whole model, and needs no other; "
                "leave the flag out"
            )
        exported = load_exported(
            folder, run, precision=precision, trust_remote_code=trust_remote_code
        )
        notices = _other_cpu(run, exported.precision)
        longest = longest_input(exported.config)
        return Predictor(model=exported.eval(), longest=longest, notices=notices, **loaded)
    if precision is not None:
        raise UserError(
            f"--precision {precision}: {folder} is not an exported folder, and has one precision; "
            "leave the flag out, or run lowcost-ft export first"
        )
    dtype = compute_dtype(accelerator.mixed_precision)
    model = load_trained(
        folder, run, base_model=base_model, trust_remote_code=trust_remote_code, dtype=dtype
    )
    # In half precision, adding the adapter would lose some of its digits.
    exact = accelerator.device.type == "cpu" and accelerator.mixed_precision == "no"
    if exact and not keep_adapter and is_mergeable(model):
        model = merge_adapter(model)
    hold_frozen_weights(model, dtype)
    notices = []
    if novelty is None and (run.get("novelty") or {}).get("threshold") is not None:
        notices.append(
            f"{folder} lacks {NOVELTY_FILE}, so that texts unlike the training data are not flagged"
        )
    called = forward_module(model).to(accelerator.device).eval()
    if novelty is not None and keep_states(called) is None:
        novelty = None
    task.take_model(model.config, model_id=str(folder))
    task.take_tokenizer(tokenizer, model_id=str(folder))
    limits = text_limits_of(model)
    task.check_written_length(limits.written, model_id=str(folder))
    return Predictor(
        model=called,
        novelty=novelty,
        # A quantized layer keeps notes beside its weights, and foreign code may keep anything.
        concurrent=not weight_bytes(model)[0] and not trust_remote_code,
        longest=limits.read,
        notices=notices,
        **loaded,
    )


def _other_cpu(run: dict[str, Any], precision: str) -> list[str]:
    """A notice if this CPU computes 8-bit products otherwise than the one that measured them."""
    there, here = run["export"].get("int8_instructions"), int8_instructions()
    if precision != "int8" or bool(there) == bool(here):
        return []
    return [
        f"the int8 model was measured on a CPU with {there or 'no'} instructions for 8-bit "
        f"products, and this one has {here or 'none'}: answers and speed may be others here. "
        "Export again on this machine, or take --precision fp32"
    ]
