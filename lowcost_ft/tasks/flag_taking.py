"""The flags that a task adds to `predict` and `evaluate`, and what they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

__all__ = ["FlagTaking"]


class FlagTaking:
    """The part of a task that takes the flags which it brings (see `flags.py`).

    Attributes:
        predict_flags: A frozen dataclass. Its fields are the flags that the task adds to
            `lowcost-ft predict`, and their docstrings the text of `--help`. `load_predictor` takes
            them by the same names.
        evaluate_flags: The same for `lowcost-ft evaluate`.
        input_flags: Flags that give the input or another run, which a predictor in Python does not
            take; with each, what to do there instead.
    """

    predict_flags: ClassVar[type | None] = None
    evaluate_flags: ClassVar[type | None] = None
    input_flags: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def flag_examples(cls, flags: Any, *, text: str | None, json: bool) -> list[Any] | None:
        """The examples that the task's own flags of `predict` give.

        Args:
            flags: An instance of `predict_flags`.
            text: The value of `--text`.
            json: Whether answers are printed as JSON.

        Returns:
            The examples; None if the input is --text, --file or standard input.

        Raises:
            UserError: The flags contradict one another, or their values are not an input.
        """
        return None

    @classmethod
    def keeps_adapter(cls, flags: Any) -> bool:
        """Whether `lowcost-ft predict` keeps an adapter beside the weights of its base model.

        Otherwise the adapter is added to them, which is a little faster, but two runs can then not
        share weights.

        Args:
            flags: An instance of `predict_flags`.
        """
        return False

    def use(self, flags: Any) -> list[str]:
        """Takes the flags that decide how scores become answers.

        Args:
            flags: An instance of `predict_flags`, or of `evaluate_flags` to score.

        Returns:
            What is wrong with them, in words for the user.
        """
        return []

    def predict_answers(
        self,
        predictor: Any,
        examples: Sequence[Any],
        flags: Any,
        *,
        open_run: Callable[[str], Any],
    ) -> list[dict[str, Any]]:
        """The answers that `lowcost-ft predict` prints, one for each example.

        A task may do more than run the model, such as run another one first.

        Args:
            predictor: The run of this task (`pipeline.predictor.Predictor`).
            examples: The input.
            flags: An instance of `predict_flags`.
            open_run: Loads another run's folder in the same way.
        """
        answers: list[dict[str, Any]] = predictor.predict(examples)
        return answers
