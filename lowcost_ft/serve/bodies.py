"""The bodies of requests and answers, as the OpenAPI document describes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

__all__ = [
    "BLANK",
    "AnswersBody",
    "AnswersReply",
    "ClassScore",
    "ClassifyBody",
    "ClassifyReply",
    "ErrorReply",
    "HealthReply",
    "InferenceBody",
    "InfoReply",
    "LoadBody",
    "PredictBody",
    "SetupBody",
    "StudioBody",
    "UnloadBody",
    "WebhookBody",
]

Name = Annotated[str, Field(description="Name of a model, as /info lists them.")]
Fields = Annotated[
    dict[str, Any],
    Field(description="Fields of an input, such as text, text_pair, question and context."),
]
Text = Annotated[str, Field(pattern=r"\S")]
"""A text that is not blank."""

BLANK = "string_pattern_mismatch"
"""What pydantic calls the fault of a blank text."""


def _told(shape: str, *, blank: str | None = BLANK) -> WrapValidator:
    """Says of a value that fits none of several types what to give, and not what each lacks.

    Args:
        shape: What to give.
        blank: The fault that is told otherwise.
    """

    def check(value: Any, validate: Any) -> Any:
        try:
            return validate(value)
        except ValidationError as error:
            if any(one["type"] == blank for one in error.errors()):
                raise
            raise PydanticCustomError("shape", "give {shape}", {"shape": shape}) from None

    return WrapValidator(check)


class _Body(BaseModel):
    """A field that is not known is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


class InferenceBody(_Body):
    """Hugging Face's inference API."""

    inputs: Annotated[
        str | Fields | list[str | Fields],
        _told("a text, an object with fields such as text and text_pair, or a list of these"),
    ]
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description=(
            "Entities: aggregation_strategy, ignore_labels. Classes: top_k, function_to_apply. "
            "Questions: handle_impossible_answer."
        ),
    )
    model: Name | None = None


class PredictBody(_Body):
    """Text Embeddings Inference."""

    inputs: Annotated[
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=2)]
        | Annotated[
            list[Annotated[list[Text], Field(min_length=1, max_length=2)]], Field(min_length=1)
        ],
        _told("a text, a pair [a, b], or a batch of lists of one text or two"),
    ] = Field(description="A text, a pair [a, b], or a batch of lists of one text or two.")
    truncate: bool | None = Field(
        default=False, description="Cut off what is too long; else it is refused with 413."
    )
    truncation_direction: Literal["Left", "Right", "left", "right"] = "Right"
    raw_scores: bool = Field(default=False, description="Logits instead of probabilities.")
    model: Name | None = None


class ClassifyBody(_Body):
    """vLLM's classification API."""

    input: Annotated[
        Text | Annotated[list[Text], Field(min_length=1)],
        _told("a text or a list of texts; numbers of tokens are not read"),
    ]
    model: Name | None = None
    truncate_prompt_tokens: Literal[-1] | None = Field(
        default=None, description="-1 cuts off what is too long; else it is refused with 413."
    )


class AnswersBody(_Body):
    """This server's own form, with several models at once."""

    inputs: Annotated[
        list[str | list[str] | Fields],
        Field(min_length=1),
        _told("a list of texts, of lists of texts, or of objects with fields such as text"),
    ]
    models: Annotated[list[Name], Field(min_length=1)] | None = Field(
        default=None, description="Default: the only model."
    )


FolderName = Annotated[
    Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")],
    _told("the name of a folder below --models-dir, of letters, digits and . _ -", blank=None),
]


class LoadBody(_Body):
    """vLLM's way to add an adapter; it comes from the folder that the operator named."""

    lora_name: FolderName
    lora_path: str | None = Field(
        default=None, description="If given, the same name: a path is refused."
    )


class UnloadBody(_Body):
    """vLLM's way to remove an adapter."""

    lora_name: Name


class _StudioBody(BaseModel):
    """What Label Studio sends has more fields than we need."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class StudioBody(_StudioBody):
    """Label Studio's tasks."""

    tasks: list[dict[str, Any]]
    label_config: str | None = None


class SetupBody(_StudioBody):
    """Label Studio connects a project."""

    schema_: str | None = Field(default=None, alias="schema")


class WebhookBody(_StudioBody):
    """Label Studio says what was done."""

    action: str


class ErrorReply(BaseModel):
    """Why there is no answer."""

    error: str
    error_type: str


class ClassScore(BaseModel):
    """A class and its score."""

    score: float | None
    label: str


class ClassifyItem(BaseModel):
    """The classes of one input."""

    index: int
    label: str
    probs: list[float | None]
    num_classes: int


class Usage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: None = None


class ClassifyReply(BaseModel):
    """What vLLM answers."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[ClassifyItem]
    usage: Usage


class AnswersReply(BaseModel):
    """Answers by model, in the order of the inputs, as `lowcost-ft predict --json` gives them."""

    answers: dict[str, list[dict[str, Any]]]
    notes: dict[str, list[str]] = Field(
        description="What to know, such as that a text was too long and lost its end."
    )


class HealthReply(BaseModel):
    """That the server lives; Label Studio reads these fields."""

    status: Literal["UP"]
    model_class: str


class InfoReply(BaseModel):
    """The models and the limits; the fields before `models` are those of the first one."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model_id: str | None
    model_sha: str | None
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int | None
    max_client_batch_size: int
    auto_truncate: bool
    version: str
    models: list[dict[str, Any]]
