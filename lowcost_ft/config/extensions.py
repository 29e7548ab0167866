"""Settings of the training extensions, each under the flag that turns the extension on.

What they exclude is said by the extensions themselves (`training/extensions/`). Their default is
None, but for `ema`: a run that was stopped before a setting existed goes on without it.
"""

from dataclasses import dataclass
from typing import Literal

from lowcost_ft.config.setting import setting

__all__ = ["TRAINED_FIRST", "ExtensionConfig"]

TRAINED_FIRST = "auto"
"""The value of `--teacher` for one that is trained before its student."""


@dataclass(frozen=True, kw_only=True)
class ExtensionConfig:
    """What a training step does beyond the plain loss."""

    label_smoothing: float | None = setting(None, above=0, below=1)
    """Learn from targets that spread this share of the probability over all classes, such as
    0.1. It keeps a model from being too sure."""
    focal_gamma: float | None = setting(None, above=0)
    """Focal loss, with gamma such as 2: weigh each class decision by (1 - p)^gamma, where p is the
    probability of the right class. Rare and hard classes then count more."""
    ema: float | Literal["auto"] = setting("auto", at_least=0, below=1)
    """Score and save an average of the weights instead of the last ones. Each step keeps this
    share of the average, such as 0.99 (less in the first steps). 0: the last weights. auto: 0.99
    for LoRA and its variants (not AdaLoRA) in NER, text classification and relation extraction,
    without --contrastive and --adapter-config, else 0."""
    mixup: float | None = setting(None, above=0)
    """For text classification: mix the last hidden states of two texts, and their labels, in
    shares drawn from Beta(a, a) with this a, such as 0.4. An example of --batch-size is then a pair
    of texts."""
    consistency: Literal["r-drop"] | None = None
    """Run each text twice under dropout and learn that the two answers should agree (R-Drop).
    --dropout auto is then the model's own."""
    consistency_weight: float | None = setting(None, above=0)
    """How much the disagreement counts beside the loss. Default: 1."""
    adversarial: Literal["fgm", "pgd", "freelb"] | None = None
    """Learn from inputs that are shifted towards a higher loss: fgm takes one step, pgd several,
    freelb several and learns from each. With --trainable-layers the input of the first trained
    layer is shifted, else the embeddings of the tokens."""
    adversarial_epsilon: float | None = setting(None, above=0)
    """The largest shift of a text's input, as a share of its length as a vector. Default: 0.01."""
    adversarial_steps: int | None = setting(None, at_least=1)
    """Steps of pgd and freelb. Default: 3."""
    augment: str | None = None
    """Comma-separated ways in which training texts are changed anew in each epoch, each text in one
    of them: entities (others of their type), delete, swap, typos, case, segments, masked-model
    (words that the model itself guesses). Validation and test texts are not changed."""
    augment_share: float | None = setting(None, above=0)
    """Share of the training texts that are changed in an epoch. Default: 0.5."""
    augment_strength: float | None = setting(None, above=0)
    """Share of a text's words that delete, swap, typos and masked-model change, at least one.
    Default: 0.1."""
    augment_entities: str | None = None
    """File with entities beside those of the training data: on each line a type, a tab, and an
    entity."""
    contrastive: Literal["auto", "cosine", "heads", "prototypes"] | None = None
    """For few labels, with --pooling mean: train the states of texts, and fit the head at the end.
    cosine: states of one class should point the same way, those of two classes at right angles.
    heads: a linear head that was fitted to the pretrained model's states of other texts should find
    a text's class. prototypes: a text should be nearer to the mean of its class in the pretrained
    model than to the other means. auto: cosine for up to 8 classes, else heads. An example of
    --batch-size is then a group of texts."""
    contrastive_group: int | None = setting(None, at_least=4)
    """Texts of a group, an even number. Default: 8."""
    teacher: str | None = None
    """Folder of a finished run whose answers are learned beside the labels (distillation), or
    several folders, separated by commas, whose mean answers are learned. The model that learns is
    --student-model, else the first teacher's lower layers; do not give --model-id. auto, for the
    distill recipes alone: LoRA trains one first, with --model-id and the same flags."""
    student_model: str | None = None
    """The model that learns from --teacher: a name on the Hub, or a folder."""
    student_layers: int | None = setting(None, at_least=1)
    """How many of the teacher's lower layers the student has. Default: half of them."""
    unlabelled_file: str | None = None
    """File with texts without labels. With --teacher, its answers to them are learned; otherwise a
    first run with the same settings labels them, and its surest answers train beside the labelled
    rows (pseudo-labels)."""
    labelled_by: str | None = None
    """Folder of the finished run that labels --unlabelled-file. Default: it is trained first,
    beside the run's own folder. If all rows train, add further runs after commas: the threshold is
    chosen on their validation rows."""
    pseudo_label_score: float | None = setting(None, above=0, below=1)
    """Accuracy (or F1) that sure answers of the first run must reach on validation rows. It decides
    how sure an answer must be to become a label. Default: 0.8."""
    teacher_weight: float | None = setting(None, above=0)
    """Weight of the teacher's answer to a labelled text, from 0 to 1; the label has the rest.
    Default: 0.5."""
    teacher_temperature: float | None = setting(None, above=0)
    """The logits of teacher and student are divided by this number, so that unlikely classes count,
    too. Default: 2."""
    teacher_states: float | None = setting(None, at_least=0)
    """Weight of the distance between the last hidden states of the two. Default: 1 where both
    have the same tokens and width, else 0."""
