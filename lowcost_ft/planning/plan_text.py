"""A plan for the terminal: a bar for each part of the memory, and what was chosen to fit."""

from lowcost_ft.config.values import parse_bytes
from lowcost_ft.memory.operators import Target
from lowcost_ft.planning.budget import Plan, megabytes
from lowcost_ft.planning.simulated_building import CacheNeeds

__all__ = ["plan_text"]


_BAR = 34
"""Characters of the longest bar."""


def plan_text(
    found: Plan,
    target: Target,
    *,
    budget: int | None,
    cache: CacheNeeds | None,
    change: str,
    examples: int,
    disk_rate: str,
) -> list[str]:
    """Lines of at most 80 columns.

    Args:
        found: The plan.
        target: The hardware.
        budget: Bytes that it may need; None: any number.
        cache: What the output of the frozen layers takes, where it is kept.
        change: What to change first to save memory.
        examples: Number of examples in all splits, whose states go to disk.
        disk_rate: Speed of the disk, in bytes a second, as the user wrote it.
    """
    config, prediction = found.config, found.prediction
    where = "a GPU" if target.device == "cuda" else "a CPU"
    precision = {"no": "float32"}.get(target.mixed_precision, target.mixed_precision)
    quantized = "" if config.quantization == "none" else f" on {config.quantization} weights"
    lines = [
        f"{config.model_id}",
        f"{config.method}{quantized}, {config.task}, on {where}, {precision}",
        f"{config.batch_size} examples of up to {config.max_length} tokens a step, in "
        f"micro-batches of {config.settled_micro_batch_tokens:,} tokens",
        "",
    ]
    parts = dict(prediction.parts)
    if prediction.reserved_bytes > prediction.peak_bytes:
        parts["fragments"] = prediction.reserved_bytes - prediction.peak_bytes
    if prediction.context_bytes:
        parts["CUDA context"] = prediction.context_bytes
    largest = max(parts.values())
    for part, size in parts.items():
        bar = "#" * round(_BAR * size / largest)
        lines.append(f"  {part:<14}{megabytes(size):>12}  {bar}".rstrip())
    if prediction.paged_bytes:
        lines.append(
            f"  paged: {megabytes(prediction.paged_bytes)} more optimizer state, which is paged to "
            "the host"
        )
    lines.append(f"  {'needed':<14}{megabytes(prediction.needed_bytes):>12}")
    if budget is not None:
        lines.append(f"  {'budget':<14}{megabytes(budget):>12}")
    lines.append("")
    for choice in found.choices:
        value = "" if choice.value is True else f" {choice.value}"
        lines += [
            f"--{choice.setting.replace('_', '-')}{value}: {megabytes(choice.needed_bytes)}",
            f"  {choice.cost}",
        ]
    if cache is not None:
        lines += _cache_lines(found, cache, examples, disk_rate)
    lines += [
        f"arithmetic: {prediction.flops / 1e12:,.2f} TFLOP a step",
        f"to save memory, change first: {change}",
    ]
    return lines


def _cache_lines(found: Plan, cache: CacheNeeds, examples: int, disk_rate: str) -> list[str]:
    """What the output of the frozen layers takes."""
    building = found.prediction.building
    memory = f": {megabytes(building.needed_bytes)} needed" if building else " in memory"
    lines = [
        f"before training, frozen layers {'one at a time' if building else 'all'}{memory}",
        f"  disk: {megabytes(cache.kept_bytes)} for the states of {examples:,} examples"
        " (--examples)",
    ]
    if building is not None:
        lines += [
            f"    {megabytes(cache.disk_bytes)} at once; {megabytes(cache.weight_file_bytes)} of "
            f"weights and {megabytes(cache.state_bytes)} of states to move:",
            f"    {_duration(cache.disk_seconds(parse_bytes(disk_rate)))} at "
            f"{disk_rate} a second (--disk-rate)",
        ]
    if cache.host_bytes:
        lines.append(f"  memory of the GPU's host: {megabytes(cache.host_bytes)} of weights")
    return lines


def _duration(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 180 else f"{seconds / 60:,.0f} min"
