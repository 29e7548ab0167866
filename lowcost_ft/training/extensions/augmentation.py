"""Training texts that are changed anew in each epoch; what is said of them follows.

What becomes of a text depends on the seed, the epoch and its number alone: with the chance
`--augment-share` it is changed in one of the ways that are asked for (`data/augmentation.py`),
drawn among those that find something to change. Validation and test never pass here.
"""

import os
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowcost_ft.config.values import split_list
from lowcost_ft.errors import UserError
from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from transformers import PreTrainedTokenizerBase

    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.data.features import Features
    from lowcost_ft.data.text_edits import Edit, SpannedText

__all__ = ["DEFAULT_SHARE", "DEFAULT_STRENGTH", "Augmentation"]

DEFAULT_SHARE = 0.5
"""Share of the texts that are changed in an epoch."""
DEFAULT_STRENGTH = 0.1
"""Share of a text's words that are changed."""
_TRIES = 8
"""Times that each way is tried at a text before it is said to find nothing in it."""

_GUESSED: dict[Any, Any] = {}
"""The last guesses, since a run makes its extensions several times: to plan memory and to train."""


class Augmentation(Extension):
    """Makes the rows of each epoch from changed texts."""

    name = "augmentation"
    setting = "augment"
    own_settings = ("augment_share", "augment_strength", "augment_entities")
    edits_texts = True
    split_models = True

    def __init__(self, context: TrainingContext) -> None:
        from lowcost_ft.data.augmentation import MASKED_MODEL, mentions

        settings = context.settings
        self._context = context
        self._ways = list(split_list(settings.augment) or ())
        self._share = settings.augment_share or DEFAULT_SHARE
        self._strength = settings.augment_strength or DEFAULT_STRENGTH
        self._texts: list[tuple[SpannedText, ...]] = []
        self._counts: dict[int, Counter[str]] = {}
        self._digest = ""
        self._known: dict[str, list[str]] = {}
        if context.examples is not None:
            self._texts = [context.task.spanned_texts(example) for example in context.examples]
            self._known = mentions(text for texts in self._texts for text in texts)
        # Where the texts of each example begin, counted over all.
        self._first = list(accumulate(map(len, self._texts), initial=0))
        self._guesses = ""
        self._substitutes: list[list[list[Edit]]] = []
        if "case" in self._ways and context.tokenizer is not None:
            _check_case(context.tokenizer, settings.model_id)
        if "entities" in self._ways and context.examples is not None:
            self._find_entities()
        if MASKED_MODEL in self._ways and context.examples is not None:
            self._guess_words()

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """Unknown ways, shares above 1, and what keeps the rows of the data."""
        from lowcost_ft.data.augmentation import MASKED_MODEL, WAYS

        if not cls.asked_for(config):
            return []
        known = (*WAYS, MASKED_MODEL)
        ways = list(split_list(config.augment) or ())
        problems = [
            f"--augment: {way!r} is unknown; known: {', '.join(known)}"
            for way in ways
            if way not in known
        ]
        if not ways:
            problems.append(f"--augment names nothing; known: {', '.join(known)}")
        if len({*ways}) < len(ways):
            problems.append("--augment names a way twice: name each once")
        for flag, value in (
            ("--augment-share", config.augment_share),
            ("--augment-strength", config.augment_strength),
        ):
            if value is not None and value > 1:
                problems.append(f"{flag} {value:g} is not a share: give a number up to 1")
        if config.augment_entities is not None and "entities" not in ways:
            problems.append("--augment-entities is for --augment entities: add it there")
        if config.cache_frozen_layers:
            problems.append(
                "--augment makes other texts in each epoch, and --cache-frozen-layers keeps what "
                "the frozen layers give for the same ones: leave one of them out"
            )
        return problems

    @classmethod
    def of(cls, context: TrainingContext) -> "Augmentation":
        """The extension of a run.

        Raises:
            UserError: The list of entities cannot be read, or there are none to replace.
        """
        return cls(context)

    def _find_entities(self) -> None:
        """Adds those of the file to those of the data.

        Raises:
            UserError: As `of` says.
        """
        if not self._known:
            raise UserError(
                "--augment entities: the training data has no entities to replace; take other "
                "ways, or none (--augment None)"
            )
        from lowcost_ft.data.entity_list import read_entity_list

        settings = self._context.settings
        if settings.augment_entities is not None:
            file = Path(settings.augment_entities).expanduser()
            types = {label: self._context.task.listed_type(label) for label in self._known}
            listed, self._digest = read_entity_list(file, [*dict.fromkeys(types.values())])
            for label, kind in types.items():
                texts = [*self._known[label], *listed.get(kind, ())]
                self._known[label] = list(dict.fromkeys(texts))
        if all(len(texts) < 2 for texts in self._known.values()):
            raise UserError(
                "--augment entities: the training data has one entity of each type, so that there "
                "is no other to take; give some with --augment-entities, or take other ways, or "
                "none (--augment None)"
            )

    def _guess_words(self) -> None:
        """Lets the model guess words for all texts, unless it has just done so.

        Raises:
            UserError: The model has no head to guess with, or several processes might guess
                differently.
        """
        from lowcost_ft.models.masked_model import digest_of, masked_model, word_substitutes

        settings, tokenizer = self._context.settings, self._context.tokenizer
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError(
                "--augment masked-model: several processes might guess different words; run it in "
                "one process, or take other ways"
            )
        assert tokenizer is not None
        texts = [text for texts in self._texts for text in texts]
        asked = (settings.model_id, settings.revision, settings.seed, self._strength, tuple(texts))
        if asked not in _GUESSED:
            if tokenizer.mask_token_id is None:
                raise UserError(
                    f"--augment masked-model: {settings.model_id} has no mask token; take other "
                    "ways"
                )
            model = masked_model(settings.model_id, revision=settings.revision)
            _GUESSED.clear()
            _GUESSED[asked] = word_substitutes(
                model,
                tokenizer,
                texts,
                seed=settings.seed,
                share=self._strength,
                max_length=settings.max_length,
            )
        self._substitutes = _GUESSED[asked]
        self._guesses = digest_of(self._substitutes)

    def epoch(self, features: "Features", number: int) -> "Features":
        """The tokens of this epoch's texts.

        Raises:
            UserError: No text of the data can be changed in any of the ways.
        """
        context = self._context
        if context.examples is None:  # Only lengths are known, and these are the longest.
            return features
        assert features is context.features, "augmentation comes first"
        assert context.tokenizer is not None
        counts: Counter[str] = Counter()
        changed = [self._changed(place, number, counts) for place in range(len(self._texts))]
        if not counts and number == 0 and not self._finds_anything():
            raise UserError(
                f"--augment {context.settings.augment}: found nothing to change in "
                f"{len(changed):,} training texts; take other ways"
            )
        self._counts[number] = counts
        return context.task.featurize(
            changed, context.tokenizer, max_length=context.settings.max_length
        )

    def _changed(self, place: int, epoch: int, counts: "Counter[str]") -> Any:
        """An example of an epoch; notes the way in which it was changed."""
        import numpy as np

        assert self._context.examples is not None
        example, texts = self._context.examples[place], self._texts[place]
        random = np.random.default_rng([self._context.settings.seed, epoch, place])
        if not texts or random.random() >= self._share:
            return example
        for index in random.permutation(len(self._ways)):
            way = self._ways[index]
            found = self._in_one_way(way, place, texts, random)
            other = found and self._context.task.with_texts(example, found)
            if other is not None:
                counts[way] += 1
                return other
        return example

    def _finds_anything(self) -> bool:
        """Whether any text can be changed: of few, it may be by chance that none was."""
        import numpy as np

        assert self._context.examples is not None
        for place, texts in enumerate(self._texts):
            random = np.random.default_rng(place)
            for way in self._ways * _TRIES if texts else ():
                found = self._in_one_way(way, place, texts, random)
                if found and self._context.task.with_texts(self._context.examples[place], found):
                    return True
        return False

    def _in_one_way(
        self,
        way: str,
        place: int,
        texts: "Sequence[SpannedText]",
        random: "np.random.Generator",
    ) -> "list[SpannedText] | None":
        """The texts of an example, one of them changed; None where the way finds nothing."""
        from lowcost_ft.data.augmentation import MASKED_MODEL, WAYS
        from lowcost_ft.data.text_edits import edited

        for index in random.permutation(len(texts)):
            if way == MASKED_MODEL:
                variants = self._substitutes[self._first[place] + index]
                edits = variants[random.integers(len(variants))]
                other = edited(texts[index], edits) if edits else None
            else:
                other = WAYS[way](texts[index], random, self._strength, self._known)
            if other is not None:
                return [*texts[:index], other, *texts[index + 1 :]]
        return None

    def numbers(self) -> dict[str, Any]:
        """What the list of entities held, and what words were guessed."""
        return {"entities": self._digest, "guesses": self._guesses}

    def load(self, tensors: "dict[str, torch.Tensor]", numbers: dict[str, Any]) -> None:
        """Goes on with the same list of entities and the same guesses.

        Raises:
            UserError: The file holds something else now, or the model guesses otherwise.
        """
        if numbers["guesses"] != self._guesses:
            raise UserError(
                "--augment masked-model: the model guesses other words on this machine than on the "
                "one that the run began on: go on there, or start a new run without --resume"
            )
        if numbers["entities"] != self._digest:
            raise UserError(
                f"{self._context.settings.augment_entities} has changed since the checkpoint: put "
                "it back, or start a new run without --resume"
            )

    def record(self, epochs: int) -> dict[str, Any]:
        """How many texts were changed in which way, by epoch."""
        return {
            "ways": self._ways,
            "share": self._share,
            "strength": self._strength,
            "texts": len(self._texts),
            "changed": [dict(self._counts[n]) for n in range(epochs) if n in self._counts],
        }


def _check_case(tokenizer: "PreTrainedTokenizerBase", model_id: str) -> None:
    """Refuses another case of letters for a model that does not see it."""
    written = ("Where Is My Order", "where is my order", "WHERE IS MY ORDER")
    if len({tuple(tokenizer(text)["input_ids"]) for text in written}) == 1:
        raise UserError(
            f"--augment case: {model_id} reads capital and small letters alike, so that it would "
            "change nothing; take other ways"
        )
