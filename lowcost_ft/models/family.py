"""What must be known about an architecture; the table of all of them is `families.py`."""

from dataclasses import dataclass

__all__ = ["Family"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What must be known about one architecture to adapt it."""

    name: str
    """The name that users see."""
    model_types: tuple[str, ...]
    """Values of `config.model_type` that belong to this family."""
    layers: str
    """Path of the list of transformer layers, inside the backbone (`model.base_model`)."""
    head_names: tuple[str, ...]
    """Modules beside the backbone that a task model may own; a model has those of its own task."""
    lora_targets: tuple[str, ...]
    """All linear layers of attention and feed-forward, relative to one layer; `*` is any index."""
    ia3_targets: tuple[str, ...]
    """Linear layers that make keys, values, and, as the last, the output of the feed-forward."""
    dropout_fields: tuple[str, ...]
    """Configuration fields that hold a dropout probability, the head's included."""
    embeddings: tuple[str, ...] = ("embeddings",)
    """Modules inside the backbone that make the first layer's input; a model may lack some."""
    after_first_layer: tuple[str, ...] = ()
    """Modules inside the backbone that run between the first layer and the second."""
    causal: bool = False
    """Whether a token sees only what stands before it."""
    post_norm: bool = False
    """Whether an encoder's norms follow its sums, as BERT's do: too large steps collapse it."""
    takes_prefix: bool = False
    """Whether keys and values may be given that stand in front of the text's."""
    shared_layers: bool = False
    """Whether one set of weights serves all layers, so that no layer can be chosen by itself."""
    learned_positions: bool = False
    """Whether each position has a vector of its own, so that a text cannot be longer."""
    positions_after_padding: bool = False
    """Whether a text's positions are numbered from the padding token's number on."""
    attention: tuple[str, ...] = ()
    """Linear layers of queries, keys, values and the output of attention, relative to one layer;
    only where the configuration keeps the size of a head apart from the width (`head_dim`)."""
    encoder_layers: str | None = None
    """Path of the list of the encoder's layers, for an encoder-decoder: `layers` are then the
    decoder's, and the encoder runs before all of them."""
    backbone: str | None = None
    """What checkpoints call the backbone, where some task models of transformers call it otherwise:
    those must be told, or they read none of its weights and leave it random."""
