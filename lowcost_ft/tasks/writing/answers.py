"""What a model wrote: how it is asked to, how it is kept, and how it is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.generation import GenerationSettings, generation_problems, overridden
from lowcost_ft.data.features import Features
from lowcost_ft.data.languages import language_by_script
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.writing.example import WritingExample
from lowcost_ft.tasks.writing.flags import WritingFlags
from lowcost_ft.tasks.writing.telling import WritingTelling

if TYPE_CHECKING:
    import torch

__all__ = ["LIKELIHOOD", "WritingAnswers"]

LIKELIHOOD = "token_probability"
"""The geometric mean of the probability of each token of the target: 1 / perplexity."""


class WritingAnswers(WritingTelling):
    """The part of the tasks that writes and scores.

    Attributes:
        settings: What the run was settled on; see `WritingTask`.
        metrics: Which scores of texts count, the first for early stopping.
        decoder_start: The token that an encoder-decoder's decoder begins with.
    """

    metrics: ClassVar[tuple[str, ...]]
    settings: dict[str, Any]
    decoder_start: int | None
    _seed: int
    _longest: int | None
    _first: int | None
    _tokenizer: Any

    @property
    def end_token_ids(self) -> tuple[int, ...]:
        """Tokens any of which ends a text."""
        raise NotImplementedError

    def generation(self) -> GenerationSettings:
        """How texts are written."""
        names = ("num_beams", "temperature", "sample_top_k", "sample_top_p", "length_penalty")
        return GenerationSettings(
            max_new_tokens=self._longest or self.settings["max_target_length"],
            end_token_ids=self.end_token_ids,
            first_token_id=self._first,
            start_token_id=self.decoder_start,
            no_repeat_ngram_size=self.settings["no_repeat_ngram_size"],
            seed=self._seed,
            **{name: self.settings[name] for name in names},
        )

    def prompt(self, features: Features, example: int) -> np.ndarray:
        """The tokens that the model goes on from, for one example."""
        start = int(features.starts[example])
        return features.input_ids[start : start + int(features["prompt_tokens"][example])]

    def store_written(
        self, predictions: Predictions, example: int, tokens: Sequence[int], *, near_tie: bool
    ) -> None:
        """Keeps what was written for one example; see `Task.store_written`."""
        predictions["near_ties"][example] = near_tie
        length = min(len(tokens), predictions["tokens"].shape[1])
        predictions["tokens"][example, :length] = np.asarray(tokens[:length], np.int64) + 1
        predictions["written"][example] = 1

    def written_rows(self, features: Features) -> np.ndarray:
        """The validation examples that are written each time, drawn from the seed."""
        count = min(self.settings["generated_validation_rows"], features.num_examples)
        drawn = np.random.default_rng(self._seed).choice(features.num_examples, count, False)
        return np.sort(drawn)

    def use(self, flags: WritingFlags) -> list[str]:
        """Takes how texts are written; see `Task.use`."""
        given = {name: value for name, value in vars(flags).items() if value is not None}
        self._seed = given.pop("generation_seed", self._seed)
        self._longest = given.pop("max_target_length", None)
        self.settings = overridden(self.settings, given)
        return generation_problems(self.settings)

    def new_predictions(self, features: Features) -> Predictions:
        """Arrays for all examples. Tokens are kept with 1 added: 0 stands after the last."""
        count = features.num_examples
        return {
            "tokens": np.zeros((count, self.generation().max_new_tokens), np.int64),
            "written": np.zeros(count, np.int64),
            "near_ties": np.zeros(count, np.int64),
            "target_loss": np.zeros(count, np.float64),
            "target_tokens": np.zeros(count, np.int64),
        }

    def store(
        self,
        predictions: Predictions,
        decoded: dict[str, np.ndarray],
        batch: dict[str, torch.Tensor],
        examples: np.ndarray,
    ) -> None:
        """Keeps the losses of a micro-batch."""
        for name in ("target_loss", "target_tokens"):
            predictions[name][examples] = decoded[name]

    def texts(self, predictions: Predictions) -> list[str]:
        """What was written for each example; empty where nothing was."""
        rows = [[int(token) - 1 for token in row if token] for row in predictions["tokens"]]
        found = self._tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [text.strip() for text in found]

    def losses(self, examples: Sequence[WritingExample], predictions: Predictions) -> np.ndarray:
        """Mean loss of a token of each target."""
        tokens = predictions["target_tokens"]
        found: np.ndarray = predictions["target_loss"] / np.maximum(tokens, 1)
        return np.where(tokens > 0, found, np.nan)

    def changed(
        self, examples: Sequence[WritingExample], before: Predictions, after: Predictions
    ) -> np.ndarray:
        """Whether each text that both wrote differs."""
        both = (before["written"] > 0) & (after["written"] > 0)
        differs: np.ndarray = (before["tokens"] != after["tokens"]).any(axis=1)
        return differs[both]

    def score(
        self, examples: Sequence[WritingExample], predictions: Predictions, *, seed: int = 0
    ) -> dict[str, Any]:
        """Perplexity over all examples, and scores of the texts that were written."""
        from lowcost_ft.scores.texts import count_perplexity, count_texts, score_counted

        known = predictions["target_tokens"] > 0
        counted = {
            "perplexity": count_perplexity(
                predictions["target_loss"][known], predictions["target_tokens"][known]
            )
        }
        places = np.flatnonzero((predictions["written"] > 0) & known)
        chosen = [int(place) for place in places]
        if chosen:
            texts = self.texts(predictions)
            references = [list(examples[place].references) for place in chosen]
            # Where nobody says the language, the script does: a Chinese sentence is not one word.
            unsaid = language_by_script([texts_of[0] for texts_of in references])
            counted |= count_texts(
                [texts[place] for place in chosen],
                references,
                metrics=self.metrics,
                language=self.settings["target_language"] or unsaid,
            )
        scores = score_counted(counted, seed=seed)
        scores[LIKELIHOOD] = 1.0 / max(scores["perplexity"], 1.0)
        return (
            scores
            | {"examples": int(known.sum()), "written": len(places)}
            | {"near_ties": int(predictions["near_ties"].sum())}
        )
