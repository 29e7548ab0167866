"""What the keys and values that a model keeps while it writes take in memory."""

from dataclasses import dataclass
from typing import Any

__all__ = ["CacheSize", "cache_size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSize:
    """Bytes of a model's keys and values.

    Attributes:
        per_written: Bytes of one token that the decoder has read or written.
        per_read: Bytes of one token that the encoder has read; 0 for decoders.
        largest_layer: Share of the whole that one layer has: it is copied as it grows.
    """

    per_written: int
    per_read: int
    largest_layer: float

    def of_row(self, prompt: int, new: int, beams: int = 1) -> int:
        """Of one row at its longest.

        Args:
            prompt: Tokens of its input.
            new: Tokens to write at most.
            beams: Texts that are written of it at once.
        """
        if self.per_read:
            whole = beams * (self.per_read * prompt + self.per_written * (new + 1))
        else:
            whole = beams * self.per_written * (prompt + new)
        return int(whole * (1 + self.largest_layer))


def cache_size(config: Any, element_size: int) -> CacheSize:
    """The size of a model's keys and values, without building it.

    A sliding window makes the real one smaller.

    Args:
        config: Configuration of the model.
        element_size: Bytes of a number in the precision that it computes in.
    """
    text = config.get_text_config(decoder=True)
    layers = getattr(text, "num_decoder_layers", None) or text.num_hidden_layers
    heads = text.num_attention_heads
    width = getattr(text, "d_kv", None) or getattr(text, "head_dim", None)
    width = width or text.hidden_size // heads
    kept = getattr(text, "num_key_value_heads", None) or heads
    token = 2 * layers * kept * width * element_size
    return CacheSize(
        per_written=token,
        per_read=token if config.is_encoder_decoder else 0,
        largest_layer=1 / layers,
    )
