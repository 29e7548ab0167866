"""One setting: its default, the values that it can have, and whether it decides the result."""

import math
from dataclasses import Field, dataclass, field, fields
from typing import Any

__all__ = ["Bounds", "bounds_of", "deciding", "setting"]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The numbers that a setting can be."""

    at_least: float | None = None
    above: float | None = None
    below: float | None = None

    def problem(self, value: float) -> str | None:
        """What is wrong with a value; None if nothing is."""
        if not math.isfinite(value):
            return "is not a finite number"
        if self.at_least is not None and self.below is not None:
            inside = self.at_least <= value < self.below
            return None if inside else f"must be at least {self.at_least} and below {self.below}"
        if self.above is not None and self.below is not None:
            inside = self.above < value < self.below
            return None if inside else f"must be above {self.above} and below {self.below}"
        if self.at_least is not None and value < self.at_least:
            return f"is too small: it must be at least {self.at_least}"
        if self.above is not None and value <= self.above:
            return f"must be above {self.above}"
        return None


def setting(
    default: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    decides: bool = True,
) -> Any:
    """A field of a settings dataclass.

    Args:
        default: Its default.
        at_least: The smallest number that it can be.
        above: A number that it must be above.
        below: A number that it must be below.
        decides: Whether another value gives another trained model, so that a stopped run cannot go
            on with it.
    """
    bounds = Bounds(at_least=at_least, above=above, below=below)
    return field(default=default, metadata={"bounds": bounds, "decides": decides})


def bounds_of(described: Field) -> Bounds:
    """The numbers that a field can hold: any finite one, unless the field has bounds."""
    return described.metadata.get("bounds", Bounds())


def deciding(settings: Any) -> list[str]:
    """Names of the fields of a settings dataclass that decide the result."""
    return [f.name for f in fields(settings) if f.metadata.get("decides", True)]
