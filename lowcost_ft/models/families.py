"""The one table of architecture facts: where each family keeps its layers, heads and linear layers.

Nothing else in the package may know a module name of a particular architecture. The facts are
those of transformers 5; `tests/test_families.py` compares every line with the installed classes.
"""

from collections.abc import Iterable
from typing import Any

from lowcost_ft.models.family import Family

__all__ = ["FAMILIES", "find_family", "known_families", "longest_input"]


_BERT_TARGETS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_BERT_IA3 = ("attention.self.key", "attention.self.value", "output.dense")
# `classifier_dropout` is unset in published BERT configurations and then follows the hidden one.
_BERT_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")

_BART_TARGETS = (
    *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
    *(f"encoder_attn.{name}_proj" for name in ("q", "k", "v", "out")),
    "fc1",
    "fc2",
)
_BART_DROPOUT = ("dropout", "attention_dropout", "activation_dropout", "classifier_dropout")

_LLAMA_TARGETS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
_LLAMA_IA3 = ("self_attn.k_proj", "self_attn.v_proj", "mlp.down_proj")
# The token classification head drops 0.1 of its input unless `classifier_dropout` says otherwise.
_LLAMA_DROPOUT = ("attention_dropout", "classifier_dropout")


def _bert_like(
    name: str,
    *model_types: str,
    embeddings: tuple[str, ...] = ("embeddings",),
    positions_after_padding: bool = False,
) -> Family:
    return Family(
        name=name,
        model_types=model_types,
        layers="encoder.layer",
        head_names=("classifier",),
        lora_targets=_BERT_TARGETS,
        ia3_targets=_BERT_IA3,
        dropout_fields=_BERT_DROPOUT,
        embeddings=embeddings,
        takes_prefix=True,
        post_norm=True,
        learned_positions=True,
        positions_after_padding=positions_after_padding,
    )


def _llama_like(name: str, *model_types: str) -> Family:
    return Family(
        name=name,
        model_types=model_types,
        layers="layers",
        head_names=("score",),
        lora_targets=_LLAMA_TARGETS,
        ia3_targets=_LLAMA_IA3,
        dropout_fields=_LLAMA_DROPOUT,
        embeddings=("embed_tokens",),
        causal=True,
        takes_prefix=True,
        attention=_LLAMA_TARGETS[:4],
        backbone="model",
    )


def _bart_like(
    name: str, *model_types: str, learned_positions: bool = True, embeddings: tuple[str, ...] = ()
) -> Family:
    return Family(
        name=name,
        model_types=model_types,
        layers="decoder.layers",
        encoder_layers="encoder.layers",
        head_names=("classification_head", "qa_outputs"),
        lora_targets=_BART_TARGETS,
        ia3_targets=(
            *("self_attn.k_proj", "self_attn.v_proj", "encoder_attn.k_proj"),
            *("encoder_attn.v_proj", "fc2"),
        ),
        dropout_fields=_BART_DROPOUT,
        embeddings=("encoder", "decoder.embed_tokens", "decoder.embed_positions", *embeddings),
        learned_positions=learned_positions,
    )


FAMILIES: tuple[Family, ...] = (
    _bert_like("BERT", "bert"),
    Family(
        name="DistilBERT",
        model_types=("distilbert",),
        layers="transformer.layer",
        head_names=("pre_classifier", "classifier"),
        lora_targets=(
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
            "ffn.lin1",
            "ffn.lin2",
        ),
        ia3_targets=("attention.k_lin", "attention.v_lin", "ffn.lin2"),
        dropout_fields=("dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout"),
        post_norm=True,
        learned_positions=True,
    ),
    # RoBERTa's and ELECTRA's sequence head is one module, `classifier`, with a `dense` inside.
    _bert_like("RoBERTa", "roberta", "xlm-roberta", positions_after_padding=True),
    # The projection is there where the embeddings are narrower than the layers.
    _bert_like("ELECTRA", "electra", embeddings=("embeddings", "embeddings_project")),
    Family(
        name="ALBERT",
        model_types=("albert",),
        layers="encoder.albert_layer_groups",
        head_names=("classifier",),
        lora_targets=(
            "albert_layers.*.attention.query",
            "albert_layers.*.attention.key",
            "albert_layers.*.attention.value",
            "albert_layers.*.attention.dense",
            "albert_layers.*.ffn",
            "albert_layers.*.ffn_output",
        ),
        ia3_targets=(
            "albert_layers.*.attention.key",
            "albert_layers.*.attention.value",
            "albert_layers.*.ffn_output",
        ),
        dropout_fields=(
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "classifier_dropout_prob",
        ),
        post_norm=True,
        shared_layers=True,
        learned_positions=True,
    ),
    Family(
        name="DeBERTa-v2/v3",
        model_types=("deberta-v2",),
        layers="encoder.layer",
        # The pooler is outside the backbone, new, and of no use unless it is trained.
        head_names=("pooler", "classifier"),
        lora_targets=(
            "attention.self.query_proj",
            "attention.self.key_proj",
            "attention.self.value_proj",
            # Present where positions have projections of their own (`share_att_key=False`).
            "attention.self.pos_key_proj",
            "attention.self.pos_query_proj",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        ),
        ia3_targets=("attention.self.key_proj", "attention.self.value_proj", "output.dense"),
        dropout_fields=(
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "pooler_dropout",
            "cls_dropout",
        ),
        post_norm=True,
        after_first_layer=("encoder.conv",),  # In some of the published v2 models.
        learned_positions=True,
    ),
    Family(
        name="ModernBERT",
        model_types=("modernbert",),
        layers="layers",
        # Masked language models carry weights for `head`; other checkpoints leave it new.
        head_names=("head", "classifier"),
        lora_targets=("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"),
        ia3_targets=("attn.Wqkv", "mlp.Wo"),
        dropout_fields=(
            "attention_dropout",
            "embedding_dropout",
            "mlp_dropout",
            "classifier_dropout",
        ),
    ),
    Family(
        name="GPT-2",
        model_types=("gpt2",),
        layers="h",
        # `score` classifies sequences, `classifier` tokens.
        head_names=("score", "classifier"),
        lora_targets=("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
        ia3_targets=("attn.c_attn", "mlp.c_proj"),
        dropout_fields=("embd_pdrop", "attn_pdrop", "resid_pdrop", "classifier_dropout"),
        embeddings=("wte", "wpe", "drop"),
        causal=True,
        takes_prefix=True,
        learned_positions=True,
    ),
    _llama_like("Llama", "llama"),
    _llama_like("Qwen2", "qwen2"),
    _llama_like("Qwen3", "qwen3"),
    _llama_like("Gemma", "gemma", "gemma2", "gemma3_text"),
    Family(
        name="T5",
        model_types=("t5", "mt5"),
        layers="decoder.block",
        encoder_layers="encoder.block",
        head_names=("classifier", "classification_head", "qa_outputs"),
        # `wi` in T5, `wi_0` and `wi_1` in T5 1.1, FLAN-T5 and mT5.
        lora_targets=(
            *(f"layer.*.SelfAttention.{name}" for name in "qkvo"),
            *(f"layer.*.EncDecAttention.{name}" for name in "qkvo"),
            *(f"layer.*.DenseReluDense.{name}" for name in ("wi", "wi_0", "wi_1", "wo")),
        ),
        ia3_targets=(
            *("layer.*.SelfAttention.k", "layer.*.SelfAttention.v", "layer.*.EncDecAttention.k"),
            *("layer.*.EncDecAttention.v", "layer.*.DenseReluDense.wo"),
        ),
        dropout_fields=("dropout_rate", "classifier_dropout"),
        embeddings=("encoder", "decoder.embed_tokens"),
    ),
    _bart_like("BART", "bart", embeddings=("decoder.layernorm_embedding",)),
    _bart_like("mBART", "mbart", embeddings=("decoder.layernorm_embedding",)),
    # Sinusoidal positions, of which Marian and Pegasus keep a table, and NLLB makes more.
    _bart_like("Marian", "marian"),
    _bart_like("Pegasus", "pegasus"),
    _bart_like("NLLB", "m2m_100", learned_positions=False),
)


def find_family(config: Any) -> Family | None:
    """Finds the family of a model configuration.

    Args:
        config: Anything with a `model_type`, usually a `transformers.PreTrainedConfig`.

    Returns:
        The family, or None where the table has no entry for this `model_type`.
    """
    model_type = getattr(config, "model_type", None)
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    return None


def longest_input(config: Any) -> int | None:
    """Tokens of the longest text that a model has positions for; None where none is known.

    Args:
        config: Configuration of a model. Of a family that is not in the table, `position_limit`
            reads it off the model.
    """
    family = find_family(config)
    # DeBERTa's positions are relative, unless the embeddings have some, too.
    if family is None or not family.learned_positions:
        return None
    if not getattr(config, "position_biased_input", True):
        return None
    count = int(config.max_position_embeddings)
    return count - (config.pad_token_id or 0) - 1 if family.positions_after_padding else count


def is_causal(config: Any) -> bool:
    """Whether a model reads from left to right, so that only a text's last token has seen it all.

    Args:
        config: Configuration of a model; of an unknown family, its `is_decoder` decides.
    """
    family = find_family(config)
    return family.causal if family else bool(getattr(config, "is_decoder", False))


def known_families(families: Iterable[Family] = FAMILIES) -> str:
    """Lists the families for a message: `BERT, DistilBERT, ...`."""
    return ", ".join(family.name for family in families)
