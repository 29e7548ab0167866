"""Settings whose value is a text with parts: lists with commas, sizes with units."""

import re

__all__ = ["parse_bytes", "split_list", "split_seeds"]


def split_list(text: str | None) -> tuple[str, ...] | None:
    """Splits a comma-separated flag: `"query, value"` gives `("query", "value")`."""
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())


def parse_bytes(text: str) -> int:
    """Reads a size: `8GiB` is 2^33 bytes, `900MB` 900 million, `8G` like `8GiB`.

    Raises:
        ValueError: It is none.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([KMGT]?)(i?B?)\s*", text, re.IGNORECASE)
    if match is None or (not match[2] and match[3].lower().startswith("i")):
        raise ValueError(f"{text!r} is not a size: write it like 8GiB or 900MB (K, M, G or T)")
    base = 1000 if match[3].lower() == "b" else 1024
    return int(float(match[1]) * base ** " KMGT".index(match[2].upper() or " "))


def split_seeds(text: str) -> tuple[int, ...]:
    """Reads `0,1,2`.

    Raises:
        ValueError: There is none, one is no whole number from 0 on, or one comes twice.
    """
    parts = split_list(text) or ()
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} is not a list of seeds: write whole numbers as in 0,1,2")
    seeds = tuple(map(int, parts))
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{text!r} names a seed twice: give each once")
    return seeds
