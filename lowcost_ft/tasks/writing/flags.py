"""The flags of `predict` and `evaluate` that tasks bring whose answer is a text."""

from dataclasses import dataclass

from lowcost_ft.config.setting import setting

__all__ = ["WritingFlags"]


@dataclass(frozen=True, kw_only=True)
class WritingFlags:
    """How texts are written, where it shall differ from the training's validation."""

    num_beams: int | None = setting(None, at_least=1)
    """Beams of the search; 1 is greedy. Default, as for the next flags: as in training, where that
    fits to the flags that are given (beams are not drawn)."""
    temperature: float | None = setting(None, at_least=0)
    """0: the most probable token. Above: tokens are drawn."""
    sample_top_k: int | None = setting(None, at_least=1)
    """Draw only from this many of the most probable tokens."""
    sample_top_p: float | None = setting(None, above=0, below=1)
    """Draw only from the most probable tokens that together have this probability."""
    length_penalty: float | None = setting(None)
    """Beams are ranked by their log probability divided by their length to this power."""
    no_repeat_ngram_size: int | None = setting(None, at_least=0)
    """Never write a sequence of this many tokens twice."""
    max_target_length: int | None = setting(None, at_least=2)
    """Longest text to write, in tokens. The limit of the input stays as in training."""
    generation_seed: int | None = setting(None, at_least=0)
    """Seed of drawn tokens."""
