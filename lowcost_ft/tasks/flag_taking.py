"""What a task's own flags of `predict` and `evaluate` are, and what they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

__all__ = ["FlagTaking"]


class FlagTaking:
    """The part of a task that takes the flags which it brings (see `flags.py`).

    Attributes:
        predict_flags: A frozen dataclass, whose fields are the flags that the task brings to
            `lowcost-ft predict` and their docstrings what `--help` says of them. Also what
            `load_predictor` takes by these names.
        evaluate_flags: The same for `lowcost-ft evaluate`.
        input_flags: Flags that say what is predicted, or by which other run: those a predictor in
            Python does not take. Flag -> what to do there.
    """

    predict_flags: ClassVar[type | None] = None
    evaluate_flags: ClassVar[type | None] = None
    input_flags: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def flag_examples(cls, flags: Any, *, text: str | None, json: bool) -> list[Any] | None:
        """Examples that the task's own flags of `predict` give.

        Args:
            flags: An instance of `predict_flags`.
            text: What `--text` gives.
            json: Whether answers are printed as JSON.

        Returns:
            The examples; None where --text, --file or the lines of standard input are the input.

        Raises:
            UserError: The flags contradict one another, or their values are no input.
        """
        return None

    @classmethod
    def keeps_adapter(cls, flags: Any) -> bool:
        """Whether `lowcost-ft predict` leaves an adapter beside the weights of its base model.

        Else it is added to them, which is a little faster; two runs can then share no weights.

        Args:
            flags: An instance of `predict_flags`.
        """
        return False

    def use(self, flags: Any) -> list[str]:
        """Takes the flags that say how scores become answers.

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
        """What `lowcost-ft predict` prints, one answer an example.

        A task may do more than to ask the model, such as to ask another run first.

        Args:
            predictor: The run (`pipeline.predictor.Predictor`), whose task this is.
            examples: The input.
            flags: An instance of `predict_flags`.
            open_run: Loads another run's folder in the same way.
        """
        answers: list[dict[str, Any]] = predictor.predict(examples)
        return answers
