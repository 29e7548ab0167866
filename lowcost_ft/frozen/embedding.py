"""Embeddings of texts and of words by a pretrained model as it is, without any training."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from lowcost_ft.data.batching import CPU_INFERENCE_TOKENS, cut_step
from lowcost_ft.models.base import load_base_model
from lowcost_ft.models.positions import position_limit
from lowcost_ft.models.tokenizers import load_tokenizer

__all__ = ["Embedder", "load_embedder"]

_TOKENIZED_AT_ONCE = 1000
_BEFORE = 32
"""Most words that are read again before a further window of a long sentence."""


@dataclass(frozen=True)
class Embedder:
    """A pretrained model whose states describe texts and words.

    Attributes:
        backbone: The model without a head, in evaluation mode.
        tokenizer: Its tokenizer.
        max_length: Tokens after which a text is cut.
        micro_batch_tokens: Padded tokens that run at once; the result does not depend on it.
    """

    backbone: Any
    tokenizer: Any
    max_length: int
    micro_batch_tokens: int = CPU_INFERENCE_TOKENS

    def texts(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """The mean of each text's states in the last layer, scaled to length 1.

        This is how sentence-transformers pools (Reimers and Gurevych, 2019).

        Args:
            texts: The texts.
            pairs: The second text of each, where they are pairs.

        Returns:
            `(texts, hidden)`, float32; zeros for a text without tokens.
        """
        ids: list[list[int]] = []
        for start in range(0, len(texts), _TOKENIZED_AT_ONCE):
            part = slice(start, start + _TOKENIZED_AT_ONCE)
            second = () if pairs is None else (list(pairs[part]),)
            ids += self.tokenizer(
                list(texts[part]), *second, truncation=True, max_length=self.max_length
            )["input_ids"]
        found = np.zeros((len(ids), self.backbone.config.hidden_size), np.float32)
        for rows, states, mask in self._run(ids, (-1,)):
            summed = (states[0] * mask[:, :, None]).sum(1)  # (B, H)
            mean = summed / mask.sum(1, keepdim=True).clamp(min=1)
            found[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return found

    def words(
        self, sentences: Sequence[Sequence[str]], layers: Sequence[int] = (-1,)
    ) -> tuple[np.ndarray, np.ndarray]:
        """The mean of the states of each word's tokens, one layer beside the other.

        What lies beyond `max_length` is read in further windows, each of which begins some words
        earlier.

        Args:
            sentences: The words of each.
            layers: Numbers of layers: 0 is the embedding, -1 the last layer.

        Returns:
            `(words of all sentences, layers x hidden)`, float32, zeros for a word without tokens;
            and whether each word was seen.
        """
        found, seen = self._window(sentences, layers)
        first = np.cumsum([0, *map(len, sentences)])
        begun = dict.fromkeys(range(len(sentences)), 0)
        while True:
            # The number of a sentence, the word to go on with, and how many are read again.
            left: dict[int, int] = {}
            before: dict[int, int] = {}
            for row, start in begun.items():
                known = np.flatnonzero(seen[first[row] : first[row + 1]])
                following = int(known[-1]) + 1 if len(known) else 0
                if start < following < len(sentences[row]):
                    left[row] = following
                    before[row] = min(_BEFORE, (following - start) // 2)
            if not left:
                return found, seen
            windows = [sentences[row][start - before[row] :] for row, start in left.items()]
            states, in_window = self._window(windows, layers)
            place = 0
            for (row, start), words in zip(left.items(), windows, strict=True):
                inside = slice(place + before[row], place + len(words))
                found[first[row] + start : first[row + 1]] = states[inside]
                seen[first[row] + start : first[row + 1]] = in_window[inside]
                place += len(words)
            begun = left

    def _window(
        self, sentences: Sequence[Sequence[str]], layers: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same of the words up to `max_length`; zeros for the others."""
        ids: list[list[int]] = []
        owners: list[list[int | None]] = []
        for start in range(0, len(sentences), _TOKENIZED_AT_ONCE):
            encoded = self.tokenizer(
                [list(words) for words in sentences[start : start + _TOKENIZED_AT_ONCE]],
                is_split_into_words=True,
                truncation=True,
                max_length=self.max_length,
            )
            ids += encoded["input_ids"]
            owners += [encoded.word_ids(i) for i in range(len(encoded["input_ids"]))]
        first = np.zeros(len(sentences) + 1, np.int64)
        np.cumsum([len(words) for words in sentences], out=first[1:])
        hidden = self.backbone.config.hidden_size
        found = np.zeros((int(first[-1]), hidden * len(layers)), np.float32)
        seen = np.zeros(int(first[-1]), bool)
        for rows, states, _ in self._run(ids, layers):
            joined = torch.cat(states, -1).numpy()  # (B, T, layers x H)
            for place, row in enumerate(rows):
                tokens = [t for t, word in enumerate(owners[row]) if word is not None]
                words, starts, counts = np.unique(
                    [owners[row][t] for t in tokens], return_index=True, return_counts=True
                )
                if not len(words):
                    continue
                at = first[row] + words.astype(np.int64)
                sums = np.add.reduceat(joined[place, tokens], starts, axis=0)
                found[at] = sums / counts[:, None]
                seen[at] = True
        return found, seen

    def _run(
        self, ids: Sequence[Sequence[int]], layers: Sequence[int]
    ) -> Iterator[tuple[np.ndarray, list[torch.Tensor], torch.Tensor]]:
        """The states of each micro-batch: its rows, `(B, T, H)` a layer, and its mask."""
        lengths = np.array([len(row) for row in ids], np.int64)
        batches = cut_step(
            np.flatnonzero(lengths), lengths, micro_batch_tokens=self.micro_batch_tokens
        )
        device = next(self.backbone.parameters()).device
        pad = self.tokenizer.pad_token_id
        with tqdm(
            total=int(lengths.sum()), desc="embedding", unit="token", unit_scale=True,
            file=sys.stderr, disable=None, leave=False,
        ) as bar, torch.inference_mode():  # fmt: skip
            for rows in batches:
                width = int(lengths[rows].max())
                input_ids = torch.full((len(rows), width), pad)
                mask = torch.zeros((len(rows), width))
                for place, row in enumerate(rows):
                    input_ids[place, : lengths[row]] = torch.tensor(ids[row])
                    mask[place, : lengths[row]] = 1
                states = self.backbone(
                    input_ids=input_ids.to(device),
                    attention_mask=mask.long().to(device),
                    output_hidden_states=True,
                ).hidden_states
                yield rows, [states[layer].float().cpu() for layer in layers], mask
                bar.update(int(lengths[rows].sum()))


def load_embedder(
    model_id: str,
    *,
    words: bool = False,
    max_length: int = 256,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Embedder:
    """Loads a pretrained model to embed with.

    Args:
        model_id: Name on the Hub, or a folder.
        words: Whether words are embedded (`Embedder.words`) and not texts.
        max_length: Tokens after which a text is cut; fewer where the model has no positions for so
            many.
        revision: Branch, tag or commit on the Hub.
        trust_remote_code: Whether the model's own Python code may run.

    Raises:
        UserError: The model or its tokenizer is missing or of no known kind.
    """
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    tokenizer = load_tokenizer(model_id, words=words, **options)
    # The head is not used; with two labels it is the smallest that any model can have.
    base = load_base_model(
        model_id, head="sequence", labels=("0", "1"), pad_token_id=tokenizer.pad_token_id,
        keep_head=True, **options,
    )  # fmt: skip
    limit = position_limit(base.model)
    model = base.model
    backbone = getattr(model, model.base_model_prefix)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Embedder(
        backbone.eval().to(device),
        tokenizer,
        min(max_length, limit) if limit else max_length,
    )
