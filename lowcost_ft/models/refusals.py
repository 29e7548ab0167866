"""What cannot be built, with the reason; most of it is known before a weight is read."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.methods import METHODS, find_method
from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.families import find_family
from lowcost_ft.models.family import Family
from lowcost_ft.models.quantization import Quantization, settle_quantization
from lowcost_ft.tasks.heads import find_head

__all__ = ["check_arguments", "check_layers", "check_length", "check_method", "check_token_ids"]
__all__ += ["method_problem", "tokens_notice", "unknown_notice"]


def check_length(max_length: int, longest: int | None, model_id: str) -> None:
    """Refuses texts that are longer than the model has positions for.

    Args:
        max_length: As in `--max-length`.
        longest: Tokens that the model has positions for; None if there is no limit.
        model_id: For the message.

    Raises:
        UserError: It is too long.
    """
    if longest is not None and max_length > longest:
        raise UserError(
            f"max_length: {max_length:,} tokens are more than {model_id!r} has positions for; "
            f"lower it to {longest:,}"
        )


def check_token_ids(ids: Any, config: Any, tokenizer: Any, model_id: str) -> None:
    """Refuses texts with tokens that the model has no embedding for.

    Args:
        ids: Numbers of all tokens, an array.
        config: The model's configuration.
        tokenizer: The tokenizer.
        model_id: For the message.

    Raises:
        UserError: Names some of the tokens.
    """
    count = _num_embeddings(config)
    if count is None or not len(ids) or int(ids.max()) < count:
        return
    beyond = sorted({int(number) for number in ids[ids >= count]})
    tokens = tokenizer.convert_ids_to_tokens(beyond[:5])
    shown = ", ".join(f"{t!r} ({n})" for t, n in zip(tokens, beyond, strict=False))
    raise UserError(
        f"model_id: the texts hold {len(beyond)} tokens for which {model_id!r} has no embedding, "
        f"such as {shown}: it has {count:,}, and its tokenizer makes numbers up to {beyond[-1]}. "
        "Take the tokenizer that belongs to the model (remove tokens that were added to it), or "
        "give the model embeddings for them (resize_token_embeddings) and save it"
    )


def tokens_notice(config: Any, tokenizer: Any) -> str | None:
    """A message about a tokenizer that knows more tokens than the model; None if it does not."""
    count = _num_embeddings(config)
    most = max(tokenizer.get_vocab().values(), default=-1)
    if count is None or most < count:
        return None
    return (
        f"the tokenizer has tokens up to number {most:,}, and the model embeddings for {count:,}: "
        "your texts hold none of the others, and a text that does cannot be predicted"
    )


_MANY_UNKNOWN = 0.05


def unknown_notice(input_ids: Any, tokenizer: Any, model_id: str) -> str | None:
    """A message about texts that a tokenizer cannot read; None where it can read most of them.

    Args:
        input_ids: All tokens of the training data, `(tokens,)`.
        tokenizer: The model's.
        model_id: For the message.
    """
    unknown = tokenizer.unk_token_id
    # Some decoders have one token for this and for the end of a text.
    if unknown is None or unknown in (tokenizer.eos_token_id, tokenizer.pad_token_id):
        return None
    share = float((input_ids == unknown).mean()) if len(input_ids) else 0.0
    if share < _MANY_UNKNOWN:
        return None
    return (
        f"{share:.0%} of the training tokens are unknown to the tokenizer of {model_id}, which "
        f"reads them all as {tokenizer.unk_token}: the model cannot tell such words apart; choose "
        "one for the language of your texts with --model-id"
    )


def _num_embeddings(config: Any) -> int | None:
    found = getattr(config.get_text_config(), "vocab_size", None)
    return found if isinstance(found, int) else None


def method_problem(
    method: str,
    *,
    family: Family | None,
    head: str,
    quantization: str,
    trainable_layers: int | None,
) -> str | None:
    """Why a method cannot train a model, or None. Nothing has to be loaded to know it.

    Args:
        method: A value of `--method`.
        family: The model's entry in the table of families; None for an unknown architecture.
        head: Name of an entry of the table of heads.
        quantization: How the frozen weights will be held.
        trainable_layers: As in `--trainable-layers`.
    """
    entry = find_method(method)
    if entry is None:
        return None
    name = family.name if family else None
    if quantization != "none" and not entry.quantized:
        if method == "full":
            return f"full cannot train {quantization} weights, which have no gradient"
        return (
            f"{method} moves a part of the frozen weights into the adapter, so {quantization} "
            "weights would have to be rounded again; loftq starts from the error of the rounding"
        )
    if method == "loftq" and quantization == "none":
        return "loftq makes up for quantization: add --quantization nf4, or use lora"
    if not find_head(head).new and (entry.virtual_tokens or method == "head"):
        if method == "head":
            return "head trains a new head, and a language model has none; take lora"
        return (
            f"{method} puts vectors in front of the text, which writing it token by token does "
            "not know; take lora"
        )
    if trainable_layers is not None and not entry.layers:
        return f"{method} does not train layers: leave --trainable-layers out"
    # Others load an int8 run on the weights that were not rounded, and so does the model card.
    in_full = quantization in ("none", "int8")
    if method in ("bias", "oft", "olora") and name == "GPT-2" and in_full:
        return (
            f"peft's {method} does not know GPT-2's layers, which hold their weights transposed; "
            "use lora or layernorm"
        )
    if method == "ia3" and family is None:
        return "ia3 must know which layers make keys, values and the feed-forward's output"
    if method == "prefix" and (family is None or not family.takes_prefix):
        return f"prefix needs a model that takes keys and values from outside; {name} does not"
    if method in ("prefix", "prompt") and find_head(head).peft_task == "QUESTION_ANS":
        return (
            f"{method} goes through peft's own forward pass, which drops token_type_ids for "
            "question answering and gives logits for its vectors too; take lora"
        )
    if method == "prompt" and find_head(head).per_text and (family is None or family.causal):
        return (
            "prompt gives the model vectors instead of tokens, so that a decoder mistakes the "
            "padding at the end for the last token of the text"
        )
    return None


def check_method(
    method: str,
    config: Any,
    model_id: str,
    *,
    head: str,
    quantization: Quantization,
    trainable_layers: int | None,
    gradient_checkpointing: bool,
    field: str = "method",
) -> None:
    """Refuses what cannot work, before any weight is read; `field` is the setting to name."""
    stored = getattr(config, "quantization_config", None)
    problem = method_problem(
        method,
        family=find_family(config),
        head=head,
        quantization=settle_quantization(quantization, stored, model_id),
        trainable_layers=trainable_layers,
    )
    if method == "loftq" and stored is not None:
        problem = "loftq needs the weights before they were quantized: name that checkpoint"
    if method == "prefix" and gradient_checkpointing:
        problem = "prefix hands keys and values to the layers, which checkpointing would drop"
    if problem:
        raise UserError(f"{field}: {problem}")


def check_arguments(
    method: str,
    lora_r: int,
    lora_dropout: float,
    dropout: float | None,
    target_modules: Sequence[str] | None,
) -> None:
    """Refuses arguments of `build_model` that have no meaning, all at once."""
    problems = []
    entry = find_method(method)
    if entry is None:
        known = ", ".join(known.name for known in METHODS)
        problems.append(f"method: unknown value {method!r}; known: {known}")
    if lora_r < 1:
        problems.append(f"lora_r: {lora_r} is below 1; give a rank such as 16")
    for name, value in (("lora_dropout", lora_dropout), ("dropout", dropout)):
        if value is not None and not 0 <= value < 1:
            problems.append(f"{name}: {value} is not a probability; give 0 or more and less than 1")
    if target_modules is not None and entry is not None and not entry.targets:
        problems.append(f"target_modules: has no effect with method {method}; leave it out")
    if target_modules is not None and not target_modules:
        problems.append("target_modules: is empty; name at least one module, or leave it out")
    if problems:
        raise UserError(problems)


def check_layers(model: Any, family: Family | None, trainable_layers: int | None) -> int:
    """Returns the number of layers; refuses a number of trainable ones that cannot be obeyed."""
    if family is None or family.shared_layers:
        count = int(getattr(model.config.get_text_config(), "num_hidden_layers", 0))
        if trainable_layers is not None:
            reason = (
                f"{family.name} uses one shared layer over and over"
                if family
                else f"the layers of model type {model.config.model_type!r} are not known"
            )
            raise UserError(f"trainable_layers: {reason}; leave it out")
        return count
    count = len(layer_list(model, family))
    if trainable_layers is not None and not 1 <= trainable_layers <= count:
        raise UserError(
            f"trainable_layers: {trainable_layers} is not between 1 and {count}, the number of "
            f"layers of this model"
        )
    return count
