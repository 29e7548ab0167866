"""The one exception for mistakes that a user can mend."""

from collections.abc import Sequence

__all__ = ["UserError"]


class UserError(ValueError):
    """Something in the user's configuration, files or environment that the user can mend.

    Recipes and the command line print its text and exit with code 2, without a traceback.

    Attributes:
        problems: Every problem found, each saying what is wrong, where, and how to fix it.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        listed = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems:\n{listed}"
