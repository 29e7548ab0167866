"""The flags of `predict` that relation extraction brings."""

from dataclasses import dataclass

from lowcost_ft.config.reading import PairWindow
from lowcost_ft.config.setting import setting

__all__ = ["RelationFlags"]


@dataclass(frozen=True, kw_only=True)
class RelationFlags:
    """Where the entities come from, and which of them can be related."""

    ner: str | None = None
    """Folder of a completed NER run that finds the entities first. Without it, texts mark a pair:
    <e1>Ada</e1> works for <e2>Acme</e2>."""
    pair_window: PairWindow | None = setting(None, at_least=0)
    """With --ner: which entities can be related: sentence, text, or a number of characters
    between them. Default: as in training."""
