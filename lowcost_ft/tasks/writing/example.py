"""What a model is given to write from, and what it should write."""

from dataclasses import dataclass

__all__ = ["Turn", "WritingExample"]

Turn = tuple[str, str]
"""Who speaks ("system", "user" or "assistant") and what is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingExample:
    """An input and its target.

    Attributes:
        turns: The conversation so far; for translation and summarization one turn of the user, with
            the row's text alone. It ends with a turn of the user.
        target: What the model should write next; None where that is not known.
        references: All texts that would be right, the target among them; empty without any.
        source: File and line.
        row_id: What the row's column "id" holds, to be told beside the answer.
    """

    turns: tuple[Turn, ...]
    target: str | None
    references: tuple[str, ...] = ()
    source: str
    row_id: str | int | float | None = None

    @property
    def text(self) -> str:
        """The last thing that was said to the model."""
        return self.turns[-1][1] if self.turns else ""
