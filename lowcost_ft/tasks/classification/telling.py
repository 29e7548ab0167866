"""What a model for text classification is and does, in words and in code."""

import pprint
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowcost_ft.data.rows import listed, on_one_line
from lowcost_ft.scores.thresholds import best_micro_f1, constant_micro_f1
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.card import PipelineCode, RunRecord, TaskCard

__all__ = ["ClassificationTelling"]

_CLEARLY = 0.9
"""The best threshold, known afterwards, is a little better than chance on any scores."""


def _kind(run: RunRecord) -> str:
    return run.get("problem_type") or "single_label_classification"


class ClassificationTelling(Task):
    """The part of the task that speaks to people."""

    @classmethod
    def card(cls, run: RunRecord, max_length: int) -> TaskCard:
        """Its words in a model card."""
        labels, kind = run["labels"], _kind(run)
        limits = []
        if run.get("thresholds"):
            limits.append(
                "A label is given from a threshold of its score on. The thresholds were chosen on "
                "the validation split, whose score is therefore a little too high; texts of "
                "another kind may need others (`lowcost-ft predict --threshold`)."
            )
        if kind != "regression":
            limits.append("It has no answer for texts that fit none of its labels.")
        if run.get("prompt"):
            words = [word.strip() for word in run["prompt"]["label_words"]]
            limits.append(
                f"It reads one prompt, which is in `run.json` under `prompt`; its head began as "
                f"the words {listed(words)}. A text is cut so that both have {max_length} tokens."
            )
        else:
            limits.append(f"A text is cut off after {max_length} tokens.")
        if kind == "regression":
            goal = "predicts a number for a text"
        elif kind == "multi_label_classification":
            goal = f"gives a text any number of {len(labels)} labels"
        else:
            goal = f"gives a text one of {len(labels)} labels"
        return TaskCard(goal=goal, known=frozenset(labels), limits=limits)

    @classmethod
    def answer_code(cls, run: RunRecord, max_length: int) -> str:
        """Code that predicts a text with `model` and `tokenizer`."""
        inputs = '"Where is my parcel?"'
        if run.get("data", {}).get("pairs"):
            inputs += ', "Where is my order?"'
        read, options = "", f"truncation=True, max_length={max_length}"
        if run.get("prompt"):
            read, inputs, options = _prompt_code(run), "text", "add_special_tokens=False"
        scale = {
            "regression": "",
            "multi_label_classification": ".sigmoid()",
            "single_label_classification": ".softmax(-1)",
        }[_kind(run)]
        show = "print(scores.item())"
        if scale:
            show = (
                "print({model.config.id2label[i]: score for i, score in "
                "enumerate(scores.tolist())})"
            )
        if _kind(run) == "multi_label_classification":
            show += "\n" + _decision_code(run)
        comment, mean = "", ""
        if _is_pooled(run):
            comment = (
                "# The head reads the mean of a text's tokens, which is the mean of their logits.\n"
                "# With several texts at once, padding must be left out of it.\n"
            )
            mean = ".mean(0)"
        return f"""{read}inputs = tokenizer(
    {inputs}, {options}, return_tensors="pt"
)
{comment}with torch.inference_mode():
    scores = model(**inputs).logits[0]{mean}{scale}
{show}"""

    @classmethod
    def settings_code(cls, run: RunRecord) -> list[str]:
        """Settings that the model's configuration needs beside its labels."""
        return [f'"problem_type": "{_kind(run)}"']

    @classmethod
    def pipeline_code(cls, run: RunRecord) -> PipelineCode | None:
        """How a pipeline is called; none averages over the tokens, or knows a prompt."""
        if _is_pooled(run) or run.get("prompt"):
            return None
        example = '"Where is my parcel?"'
        if run.get("data", {}).get("pairs"):
            example = '{"text": "Where is my parcel?", "text_pair": "Where is my order?"}'
        if _kind(run) == "multi_label_classification":
            comment, arguments = "# The scores of all labels as a pipeline:", ["top_k=None"]
        else:
            comment, arguments = "# The same as a pipeline:", []
        return PipelineCode(comment=comment, arguments=arguments, example=example)

    @classmethod
    def script_example(cls, run: RunRecord) -> str | None:
        """See `Telling.script_example`: a pair of texts or a prompt is not taken there."""
        other = run["data"]["pairs"] or run.get("prompt")
        return None if other else super().script_example(run)

    @classmethod
    def example_flags(cls, run: RunRecord) -> list[str]:
        """Flags of `predict` with a text that shows what a new run does."""
        second = ["--text-pair", "It has not come."] if run["data"]["pairs"] else []
        return ["--text", "Where is my parcel?", *second]

    @staticmethod
    def answer_text(answer: Mapping[str, Any]) -> str:
        """An answer for the terminal: labels with their scores, or the number, before the text."""
        text = answer["text"]
        if "text_pair" in answer:
            text += f"  |  {answer['text_pair']}"
        if "id" in answer:
            text = f"[{answer['id']}] {text}"
        if "label" not in answer:
            return f"{answer['score']:.4f}  {text}"
        labels, scores = answer["label"], answer["score"]
        if not isinstance(labels, list):
            labels, scores = ([], []) if labels is None else ([labels], [scores])
        pairs = zip(map(on_one_line, labels), scores, strict=True)
        told = ", ".join(f"{name} {score:.2f}" for name, score in pairs)
        return f"{told or '(no label)'}  {text}"

    def doubts(
        self,
        split: str,
        examples: Sequence[Any],
        scores: Mapping[str, Any],
        predictions: Predictions,
    ) -> tuple[list[str], str | None]:
        """See `Task.doubts`."""
        if self.problem_type == "multi_label_classification":
            return self._multi_label_doubts(split, examples, scores, predictions.get("scores"))
        if self.problem_type == "regression":
            variance = float(np.var([example.label for example in examples]))
            if variance > 0 and scores["mse"] >= variance:
                return [], (
                    f"on the {split} split the model is no better than always predicting the mean"
                )
            return [], None
        counts = Counter(example.label for example in examples)
        label, count = counts.most_common(1)[0]
        if len(counts) > 1 and scores["accuracy"] <= count / len(examples):
            return [], (
                f"on the {split} split the model is no better than always predicting {label!r} "
                f"({count / len(examples):.3f} accuracy)"
            )
        return [], None

    def _multi_label_doubts(
        self,
        split: str,
        examples: Sequence[Any],
        scores: Mapping[str, Any],
        found: np.ndarray | None,
    ) -> tuple[list[str], str | None]:
        if found is None:
            if any(example.label for example in examples) and scores["micro_f1"] == 0:
                return [], f"the model found none of the labels in the {split} split"
            return [], None
        truth = np.array([[label in (e.label or ()) for label in self.labels] for e in examples])
        constant, reachable = constant_micro_f1(truth), best_micro_f1(found, truth)
        if scores["micro_f1"] <= constant < reachable * _CLEARLY:
            return [
                f"on the {split} split the thresholds find no more than the same labels for every "
                f"text would (micro F1 {scores['micro_f1']:.3f}), though the scores reach "
                f"{reachable:.3f} with another one: choose them on more validation rows, or give "
                f"`lowcost-ft predict` a --threshold"
            ], None
        if scores["micro_f1"] <= constant and (truth != truth[0]).any():
            return [], (
                f"on the {split} split neither labels nor their scores are better than always "
                f"giving the same labels (micro F1 {constant:.3f})"
            )
        return [], None


def _is_pooled(run: RunRecord) -> bool:
    return (run.get("config") or {}).get("pooling") == "mean"


def _prompt_code(run: RunRecord) -> str:
    """How a text, or a pair, becomes what the model reads."""
    filled = '.replace("{source}", "Where is my parcel?")'
    if run["data"]["pairs"]:
        filled += '.replace("{text_pair}", "Where is my order?")'
    return f"""# What the model reads; it was trained on texts cut to fit its --max-length.
prompt = {run["prompt"]["text"]!r}
text = prompt{filled}
"""


def _decision_code(run: RunRecord) -> str:
    """How the scores become labels: by the thresholds that training chose, else by 0.5."""
    thresholds = [float(value) for value in run.get("thresholds") or [0.5]]
    if len(set(thresholds)) == 1:
        lines = [
            f"threshold = {thresholds[0]!r}",
            "chosen = [i for i, score in enumerate(scores) if score >= threshold]",
        ]
    else:
        listed = pprint.pformat(thresholds, width=88, compact=True)
        lines = [
            "# Of each label:",
            f"thresholds = {listed}",
            "pairs = zip(scores.tolist(), thresholds, strict=True)",
            "chosen = [i for i, (score, threshold) in enumerate(pairs) if score >= threshold]",
        ]
    return "\n".join([*lines, "print([model.config.id2label[i] for i in chosen])"])
