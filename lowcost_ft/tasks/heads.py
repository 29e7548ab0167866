"""The one table of heads: what transformers and peft call the model that ends in one."""

from dataclasses import dataclass
from typing import Any

__all__ = ["HEADS", "Head", "find_head", "suited_head"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a task model, and its names in transformers, in peft and on the Hub."""

    name: str
    """The name that tasks use."""
    title: str
    """The name that users read."""
    auto_class: str
    """The class of transformers that loads a model with it."""
    peft_task: str
    """The member of peft's `TaskType`."""
    pipeline: str
    """The task of `transformers.pipeline`, and on the Hub."""
    new: bool = True
    """Whether a pretrained model lacks it, so that it is trained in full and saved. Otherwise it is
    one of the pretrained weights and treated like them."""
    modules: tuple[str, ...] = ()
    """Its modules, if they have the same names in all families; otherwise the table of families has
    the names."""
    per_text: bool = False
    """Whether it gives one output for each text, not one for each token."""
    outputs: tuple[str, ...] = ("logits",)
    """Names of the model's outputs."""

    @property
    def model_class(self) -> Any:
        """The class `auto_class` of transformers."""
        import transformers  # Imported here, so that the table does not need it.

        return getattr(transformers, self.auto_class)

    @property
    def peft_class(self) -> str:
        """Name of peft's class that loads an adapter and its base model at once."""
        return self.auto_class.replace("AutoModel", "AutoPeftModel")

    @property
    def task_type(self) -> Any:
        """The member `peft_task` of peft's `TaskType`."""
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
    """Looks a head up.

    Raises:
        ValueError: No head has this name.
    """
    if name not in HEADS:
        raise ValueError(f"unknown head {name!r}; known: {', '.join(HEADS)}")
    return HEADS[name]


def suited_head(name: str, config: Any) -> str:
    """The head that suits a model: a language model may be an encoder-decoder.

    Args:
        name: Name of an entry.
        config: The model's configuration.
    """
    if name == "causal_lm" and getattr(config, "is_encoder_decoder", False):
        return "seq2seq_lm"
    return name
