"""Which flag to change first where a step needs too much memory."""

from lowcost_ft.config.methods import find_method
from lowcost_ft.config.run import RunConfig
from lowcost_ft.memory.simulate import MemoryPrediction

__all__ = ["part_to_change"]


def part_to_change(config: RunConfig, prediction: MemoryPrediction) -> str:
    """Which flag saves most of what a step needs."""
    parts = prediction.parts
    building = prediction.building
    if building is not None and building.needed_bytes >= prediction.needed_bytes:
        if building.parts["weights"] > building.peak_bytes / 2:
            return "frozen layers: a model with a smaller vocabulary or narrower layers"
        return "frozen layers: a lower --micro-batch-tokens"
    moving = parts.get("activations", 0) + parts.get("temporary", 0)
    state = parts.get("gradients", 0) + parts.get("optimizer", 0)
    weights = parts.get("weights", 0)
    if state > max(moving, weights) and config.method == "full":
        return "gradients and optimizer: --method lora"
    if weights > moving and config.stream_frozen_layers:
        return "weights: a lower --trainable-layers (another model)"
    method = find_method(config.method)
    rounds = method is not None and method.quantized and config.quantization == "none"
    if weights > moving and rounds:
        return "weights: --quantization nf4 (rounds them)"
    if not config.gradient_checkpointing and weights > moving / 4:
        return "activations: a lower --micro-batch-tokens, then --gradient-checkpointing"
    return "activations: a lower --micro-batch-tokens"
