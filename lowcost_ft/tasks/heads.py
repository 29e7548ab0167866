"""The one table of heads: what transformers and peft call the model that ends in one."""

from dataclasses import dataclass
from typing import Any

__all__ = ["HEADS", "Head", "find_head", "suited_head"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of a task model, and who knows it by which name."""

    name: str
    """Name of the head, as a task gives it."""
    title: str
    """What people call it."""
    auto_class: str
    """The class of transformers that loads a model with it."""
    peft_task: str
    """The member of peft's `TaskType`."""
    pipeline: str
    """The task of `transformers.pipeline`, and on the Hub."""
    new: bool = True
    """Whether a pretrained model lacks it, so that it is trained in full and saved; else it belongs
    to the pretrained weights, and stays as they are."""
    modules: tuple[str, ...] = ()
    """Modules that it brings, where they are called alike in all families; the table of families
    names the others."""
    per_text: bool = False
    """Whether it answers once a text, from one place of it."""
    outputs: tuple[str, ...] = ("logits",)
    """What the model's outputs are called."""

    @property
    def model_class(self) -> Any:
        """The auto class itself."""
        import transformers  # Here, so that the table can be read without it.

        return getattr(transformers, self.auto_class)

    @property
    def peft_class(self) -> str:
        """Name of peft's class that loads an adapter and its base model at once."""
        return self.auto_class.replace("AutoModel", "AutoPeftModel")

    @property
    def task_type(self) -> Any:
        """Peft's word for it."""
        from peft import TaskType

        return TaskType[self.peft_task]


HEADS = {
    head.name: head
    for head in (
        Head(
            name="token",
            title="token classification",
            auto_class="AutoModelForTokenClassification",
            peft_task="TOKEN_CLS",
            pipeline="token-classification",
        ),
        Head(
            name="sequence",
            title="sequence classification",
            auto_class="AutoModelForSequenceClassification",
            peft_task="SEQ_CLS",
            pipeline="text-classification",
            per_text=True,
        ),
        Head(
            name="question_answering",
            title="question answering",
            auto_class="AutoModelForQuestionAnswering",
            peft_task="QUESTION_ANS",
            pipeline="question-answering",
            modules=("qa_outputs",),
            outputs=("start_logits", "end_logits"),
        ),
        Head(
            name="causal_lm",
            title="language modelling",
            auto_class="AutoModelForCausalLM",
            peft_task="CAUSAL_LM",
            pipeline="text-generation",
            modules=("lm_head",),
            new=False,
        ),
        Head(
            name="seq2seq_lm",
            title="text-to-text",
            auto_class="AutoModelForSeq2SeqLM",
            peft_task="SEQ_2_SEQ_LM",
            pipeline="text2text-generation",
            modules=("lm_head",),
            new=False,
        ),
    )
}


def find_head(name: str) -> Head:
    """The entry of a head.

    Raises:
        ValueError: There is none of this name.
    """
    if name not in HEADS:
        raise ValueError(f"unknown head {name!r}; known: {', '.join(HEADS)}")
    return HEADS[name]


def suited_head(name: str, config: Any) -> str:
    """The head that a model has for what a head is for: a language model may be an encoder-decoder.

    Args:
        name: Name of an entry.
        config: The model's configuration.
    """
    if name == "causal_lm" and getattr(config, "is_encoder_decoder", False):
        return "seq2seq_lm"
    return name
