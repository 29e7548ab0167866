"""A conversation with a trained model: its turns, and replies that arrive piece by piece."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from lowcost_ft.errors import UserError
from lowcost_ft.models.generation.streaming import StreamedText, stream
from lowcost_ft.pipeline.predictor import Predictor

__all__ = ["Conversation"]


class Conversation:
    """The turns of a user and a model.

    Attributes:
        turns: Role and text of each turn, the system's first.
        left_out: Whether the last prompt had no room for the oldest turns.
        shortened: Whether it had no room for the beginning of the user's last turn.
    """

    def __init__(self, predictor: Predictor, *, system: str | None = None) -> None:
        """
        Args:
            predictor: A run whose task is to talk.
            system: The text of the system's turn, which comes first; None: there is none.

        Raises:
            UserError: The run's task is another one.
        """
        if not predictor.task.talks:
            raise UserError(
                f"the run's task is {predictor.run['task']}, which does not talk: "
                "use `lowcost-ft predict`, or give a run of a dialogue"
            )
        self._predictor = predictor
        self._first = [] if system is None else [("system", system)]
        self._replies = 0
        self.turns: list[tuple[str, str]] = []
        self.left_out = self.shortened = False
        self.start_again()

    def start_again(self) -> None:
        """Forgets all turns except the system's."""
        self.turns = list(self._first)
        self.left_out = self.shortened = False

    def reply(self, text: str) -> Iterator[str]:
        """Yields the model's reply in pieces, as they are written.

        The user's turn and the pieces that were taken become part of the conversation. The oldest
        turns are left out of the prompt if it has no room for them.

        Args:
            text: What the user says.

        Raises:
            UserError: The prompt cannot be made.
        """
        predictor = self._predictor
        task: Any = predictor.task
        config = predictor.run["config"]
        limit = min(config["max_length"], predictor.longest or config["max_length"])
        turns = [*self.turns, ("user", text)]
        try:
            prompt, cuts = task.encoding(predictor.tokenizer, limit).prompt(turns)
        except ValueError as error:
            raise UserError(f"the model cannot read this conversation [{error}]") from error
        self.left_out, self.shortened = "turns" in cuts, "inputs" in cuts
        streamed = StreamedText(predictor.tokenizer)
        tokens = stream(
            predictor.model,
            np.asarray(prompt, np.int64),
            task.generation(),
            pad_token_id=int(predictor.tokenizer.pad_token_id),
            number=self._replies,
            precision=predictor.accelerator.autocast,
        )
        try:
            for token in tokens:
                if piece := streamed.add(token):
                    yield piece
            if piece := streamed.finish():
                yield piece
        finally:  # This also runs if the caller stops taking pieces.
            self._replies += 1
            self.turns = [*turns, ("assistant", streamed.text)]
