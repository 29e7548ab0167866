"""Text classification by a prompt: the head of a decoder begins as the words of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Features
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.label_words import (
    NO_WORDS,
    label_words,
    telling_words,
    word_tokens,
)
from lowcost_ft.tasks.classification.prompts import (
    Prompt,
    settle_prompt,
    template_problems,
    unknown_places,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ClassificationPrompting"]

_TEXTS_READ = 192
"""Texts that a run reads in all where there are few (docs/few-labels.md)."""
_LEAST_EPOCHS, _MOST_EPOCHS = 2, 12


class ClassificationPrompting(Task):
    """The part of the task that asks a decoder which label's words come next.

    Attributes:
        text_prompt: What stands around the texts; None: the model reads them alone.
    """

    labels: list[str]
    problem_type: str | None
    text_prompt: Prompt | None = None
    _chat_template: str | None = None

    def ask(self, config: RunConfig, *, causal: bool) -> None:
        """Takes the prompt of a run that begins.

        Args:
            config: Its settings.
            causal: Whether the model is a decoder.

        Raises:
            UserError: Every setting that does not fit.
        """
        if config.prompt_template is None:
            alone = []
            if config.contrastive is not None:
                if self.problem_type != "single_label_classification":
                    alone.append(
                        f"--contrastive needs one label a text, and this is {self.problem_type}; "
                        "leave it out, or train with recipes/lora_classification.py"
                    )
                telling_words(config.label_words, self.labels)  # Refuses what cannot be used.
            elif config.label_words is not None:
                alone.append("--label-words needs --prompt-template or --contrastive")
            if config.chat_template != "auto":
                alone.append("--chat-template needs --prompt-template")
            if alone:
                raise UserError(alone)
            return
        problems = template_problems(config.prompt_template)
        if unknown := unknown_places(config.prompt_template):
            problems.append(
                f"--prompt-template: {', '.join(unknown)} stands for nothing; braces may hold "
                "{source}, {text_pair} and {labels}"
            )
        if not causal:
            problems.append(
                f"--prompt-template: {config.model_id!r} does not go on from a text as a decoder "
                "does; choose one, such as SmolLM2, Llama, Qwen or Gemma, or leave the flag out"
            )
        if self.problem_type != "single_label_classification":
            problems.append(
                "--prompt-template is for one label a text, of whose words one comes next; this is "
                f"{self.problem_type}: leave it out, or train with "
                "recipes/lora_gpt_classification.py"
            )
        if config.pooling == "mean":
            problems.append(
                "--pooling mean reads all tokens, and --prompt-template the last one, which the "
                "label's words follow; leave one of them out"
            )
        try:
            words = label_words(config.label_words, self.labels)
        except UserError as error:
            problems += error.problems
        if problems:
            raise UserError(problems)
        self.text_prompt = Prompt(config.prompt_template, tuple(words))
        self._chat_template = config.chat_template

    def label_texts(self, given: str | None, examples: Sequence[TextExample]) -> list[TextExample]:
        """The words of each label that say something, as texts with this label.

        Raises:
            UserError: `--label-words` names some, and the data are pairs of texts.
        """
        if any(example.text_pair is not None for example in examples):
            if given not in (None, NO_WORDS):
                raise UserError(
                    "--label-words: the data are pairs of texts, which words of a label do not "
                    "resemble; leave it out"
                )
            return []
        return [
            TextExample(text=words, label=label, source=f"the label {label!r}")
            for label, words in telling_words(given, self.labels).items()
        ]

    def take_tokenizer(self, tokenizer: PreTrainedTokenizerBase, *, model_id: str) -> None:
        """Settles the prompt of a run that begins, and which tokens its head begins as."""
        if self.text_prompt is None or self._chat_template is None:
            return
        self.text_prompt = settle_prompt(
            self.text_prompt.text,
            self.text_prompt.words,
            tokenizer,
            chat_template=self._chat_template,
            model_id=model_id,
        )
        self.head_tokens = word_tokens(self.text_prompt, self.labels, tokenizer)

    def record(self) -> dict[str, Any]:
        """What the model reads, and what it says."""
        if self.text_prompt is None:
            return {}
        return {
            "prompt": {"text": self.text_prompt.text, "label_words": list(self.text_prompt.words)}
        }

    @staticmethod
    def recorded_prompt(run: Mapping[str, Any]) -> Prompt | None:
        """The prompt of a run that is over."""
        found = run.get("prompt")
        return found and Prompt(found["text"], tuple(found["label_words"]))

    @classmethod
    def usual_epochs(cls, config: RunConfig, examples: int) -> int | None:
        """Few with a prompt, since the head need not be learned from nothing."""
        if config.prompt_template is None:
            return None
        return min(max(_LEAST_EPOCHS, -(-_TEXTS_READ // examples)), _MOST_EPOCHS)

    def cut_notice(
        self, split: str, examples: int, features: Features, *, max_length: int, end: str
    ) -> str:
        """See `Task.cut_notice`: the prompt stays whole."""
        told = super().cut_notice(split, examples, features, max_length=max_length, end=end)
        if self.text_prompt is None:
            return told
        return f"{told} (--max-length holds the prompt, too, which stays whole)"
