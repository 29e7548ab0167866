"""Numbers in words, with their units; a number that is not known is an empty text."""

__all__ = [
    "count_text",
    "memory_text",
    "ratio_text",
    "score_text",
    "seconds_text",
    "speed_text",
]


def memory_text(num_bytes: float | None) -> str:
    """`391 MB`, from 10 GB on `12.3 GB` (10^6, 10^9 bytes)."""
    if num_bytes is None:
        return ""
    if num_bytes >= 1e10:
        return f"{num_bytes / 1e9:,.1f} GB"
    if num_bytes >= 1e7:
        return f"{num_bytes / 1e6:,.0f} MB"
    return f"{num_bytes / 1e6:,.2f} MB"


def score_text(score: float | None, interval: tuple[float, float] | None = None) -> str:
    """`0.438 (0.401 to 0.475)`."""
    if score is None:
        return ""
    return f"{score:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def speed_text(tokens_per_second: float | None) -> str:
    """`1,098 tokens/s`."""
    return "" if tokens_per_second is None else f"{tokens_per_second:,.0f} tokens/s"


def seconds_text(seconds: float | None) -> str:
    """`1,882 s`; below 10 seconds `2.5 s`, below one `0.563 s`."""
    if seconds is None:
        return ""
    return f"{seconds:,.{0 if seconds >= 10 else 1 if seconds >= 1 else 3}f} s"


def ratio_text(value: float | None, reference: float | None) -> str:
    """`0.70x`: a value as a multiple of another."""
    if value is None or not reference:
        return ""
    return f"{value / reference:.2f}x"


def count_text(value: float | None) -> str:
    """`23,238,938`."""
    return "" if value is None else f"{value:,.0f}"
