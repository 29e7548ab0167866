"""A tokenizer with fewer pieces, which cuts the texts it was trimmed for as before.

Why that holds. WordPiece takes the longest piece that fits, and a piece that was the longest stays
it when others go. BPE applies the first merge that fits, and every merge that was ever applied
makes a part of a piece that stays, so that it stays too. Unigram takes the path with the best
score, which stays the best when other paths go; what an unknown character costs there depends on
the piece of the lowest score, which stays as well.

Sources: Wu et al. (2016), arXiv 1609.08144 (WordPiece); Sennrich et al. (2016), arXiv 1508.07909
(BPE); Kudo (2018), arXiv 1804.10959 (Unigram).
"""

import copy
import re
from collections import defaultdict
from collections.abc import Collection
from typing import Any

from lowcost_ft.errors import UserError

__all__ = ["pieces_to_keep", "trimmed"]

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_BLANK = "▁"
"""What stands for a blank in front of a word."""


def pieces_to_keep(
    tokenizer: dict[str, Any], used: Collection[int], *, below: int = 0
) -> list[int]:
    """The ids that must stay, ascending.

    Besides those that are used: special and added tokens, bytes, single characters (so that any
    text can still be cut), and with BPE the pieces that those are merged from.

    Args:
        tokenizer: The content of `tokenizer.json`.
        used: Ids that the texts need.
        below: All ids below this one stay, for models that number positions from the padding
            token's id on.

    Raises:
        UserError: The tokenizer is of another kind than WordPiece, BPE or Unigram.
    """
    model = tokenizer["model"]
    ids = _ids(model)
    names = {number: piece for piece, number in ids.items()}
    keep = {number for number in used if number in names}
    keep |= {number for number in names if number < below}
    keep |= {one["id"] for one in tokenizer["added_tokens"]}
    keep |= _ids_in(tokenizer.get("post_processor"))
    keep |= {number for piece, number in ids.items() if _is_small(piece, model)}
    if model["type"] == "Unigram":
        vocab = model["vocab"]
        keep |= {min(range(len(vocab)), key=lambda number: vocab[number][1])}
        keep |= {model["unk_id"]} - {None}
    elif model.get("unk_token") in ids:
        keep.add(ids[model["unk_token"]])
    if model["type"] == "BPE":
        keep |= _merged_from({names[number] for number in keep if number in names}, model, ids)
    return sorted(keep)


def trimmed(tokenizer: dict[str, Any], keep: list[int]) -> dict[str, Any]:
    """The content of `tokenizer.json` with the kept pieces alone, numbered in their old order.

    Args:
        tokenizer: The old content; it stays as it is.
        keep: Ids that stay, ascending, as `pieces_to_keep` gives them.
    """
    new = copy.deepcopy(tokenizer)
    model = new["model"]
    numbers = {old: number for number, old in enumerate(keep)}
    if model["type"] == "Unigram":
        size = len(model["vocab"])
        model["vocab"] = [model["vocab"][old] for old in keep if old < size]
        if model["unk_id"] is not None:
            model["unk_id"] = numbers[model["unk_id"]]
    else:
        ids = _ids(model)
        model["vocab"] = {piece: numbers[old] for piece, old in ids.items() if old in numbers}
    if model["type"] == "BPE":
        kept = model["vocab"]
        model["merges"] = [
            merge
            for merge in model["merges"]
            if all(part in kept for part in (*_parts(merge), _joined(merge, model)))
        ]
    for one in new["added_tokens"]:
        one["id"] = numbers[one["id"]]
    _renumber(new.get("post_processor"), numbers)
    if new.get("padding"):
        new["padding"]["pad_id"] = numbers[new["padding"]["pad_id"]]
    return new


def _ids(model: dict[str, Any]) -> dict[str, int]:
    """Piece -> its id."""
    if model["type"] == "Unigram":
        return {piece: number for number, (piece, _) in enumerate(model["vocab"])}
    if model["type"] not in ("WordPiece", "BPE"):
        raise UserError(
            f"--trim-vocabulary: the model's tokenizer is of the kind {model['type']}, and only "
            "WordPiece, BPE and Unigram are trimmed; leave the flag out"
        )
    return dict(model["vocab"])


def _is_small(piece: str, model: dict[str, Any]) -> bool:
    """Whether a piece is one character or one byte, apart from what marks its place in a word."""
    if _BYTE.fullmatch(piece):
        return True
    for mark in ("continuing_subword_prefix", "end_of_word_suffix"):
        if given := model.get(mark):
            piece = piece.removeprefix(given) if "prefix" in mark else piece.removesuffix(given)
    return len(piece) <= 1 or (len(piece) == 2 and piece[0] == _BLANK)


def _merged_from(pieces: set[str], model: dict[str, Any], ids: dict[str, int]) -> set[int]:
    """Ids of all pieces that some way of merging ends in one of the pieces."""
    ways: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for merge in model["merges"]:
        ways[_joined(merge, model)].append(_parts(merge))
    found, waiting = set(pieces), list(pieces)
    while waiting:
        for parts in ways[waiting.pop()]:
            new = set(parts) - found
            found |= new
            waiting += new
    return {ids[piece] for piece in found if piece in ids}


def _parts(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _joined(merge: Any, model: dict[str, Any]) -> str:
    left, right = _parts(merge)
    prefix = model.get("continuing_subword_prefix") or ""
    return left + right.removeprefix(prefix)


def _ids_in(post_processor: Any) -> set[int]:
    """Ids of the tokens that a post-processor puts around a text."""
    found: set[int] = set()
    _renumber(copy.deepcopy(post_processor), _Noting(found))
    return found


class _Noting(dict[int, int]):
    """Numbers that stay what they are, and are noted."""

    def __init__(self, found: set[int]) -> None:
        super().__init__()
        self._found = found

    def __missing__(self, number: int) -> int:
        self._found.add(number)
        return number


def _renumber(post_processor: Any, numbers: dict[int, int]) -> None:
    """Gives the tokens that a post-processor names their new ids, in place."""
    if not post_processor:
        return
    for one in post_processor.get("processors", ()):
        _renumber(one, numbers)
    for name in ("sep", "cls"):  # BERT's and RoBERTa's
        if name in post_processor:
            piece, number = post_processor[name]
            post_processor[name] = [piece, numbers[number]]
    special = post_processor.get("special_tokens")
    for one in special.values() if isinstance(special, dict) else ():
        one["ids"] = [numbers[number] for number in one["ids"]]
