"""Pairs of texts that are almost alike, found by MinHash without comparing all of them."""

import re
import zlib
from collections.abc import Iterator, Sequence

__all__ = ["near_pairs"]

NEAR = 0.8
"""Share of common letter sequences from which on two texts are near duplicates."""

_LETTERS = 4
_HASHES = 64
_MOST_ALIKE = 200
"""Candidates that a text is compared with: of a form letter there may be thousands."""

_BETWEEN = re.compile(r"[\W_]+")


def near_pairs(
    texts: Sequence[str], *, border: int | None = None
) -> Iterator[tuple[int, int, float]]:
    """Pairs of texts with a Jaccard similarity of at least `NEAR`.

    Texts are compared as sets of four letters in a row, without case and punctuation. Candidates
    come from MinHash with banding (Broder, 1997; datasketch); their exact similarity decides.

    Args:
        texts: Any texts; those that are shorter than a sequence are compared whole.
        border: Only pairs of a text before this number with one from it on.

    Yields:
        The smaller number, the larger one, and their similarity.
    """
    from datasketch import MinHash, MinHashLSH

    # Equal sets share one entry, so that a text that stands there a thousand times costs nothing.
    owners: dict[frozenset[bytes], list[int]] = {}
    for number, text in enumerate(texts):
        if found := _sequences(text):
            owners.setdefault(found, []).append(number)

    def across(first: list[int], second: list[int]) -> Iterator[tuple[int, int]]:
        """Each number before the border, with the first one behind it."""
        after = [number for number in second if border is not None and number >= border]
        yield from (
            (one, after[0]) for one in first if after and border is not None and one < border
        )

    for numbers in owners.values():
        alone = ((numbers[0], other) for other in numbers[1:])
        for one, two in alone if border is None else across(numbers, numbers):
            yield one, two, 1.0
    different = list(owners)
    if len(different) < 2:
        return
    index = MinHashLSH(threshold=NEAR, num_perm=_HASHES, weights=(0.3, 0.7))
    hashes = MinHash.bulk(different, num_perm=_HASHES, hashfunc=zlib.crc32)
    for number, minhash in enumerate(hashes):
        for candidate in index.query(minhash)[:_MOST_ALIKE]:
            one_set, two_set = different[candidate], different[number]
            if min(len(one_set), len(two_set)) < NEAR * max(len(one_set), len(two_set)):
                continue
            likeness = len(one_set & two_set) / len(one_set | two_set)
            if likeness >= NEAR:
                first, second = owners[one_set], owners[two_set]
                if border is None:
                    yield min(first[0], second[0]), max(first[0], second[0]), likeness
                    continue
                for one, two in (*across(first, second), *across(second, first)):
                    yield one, two, likeness
        index.insert(number, minhash, check_duplication=False)


def _sequences(text: str) -> frozenset[bytes]:
    plain = _BETWEEN.sub(" ", text.casefold()).strip()
    if not plain:
        return frozenset()
    count = max(1, len(plain) - _LETTERS + 1)
    return frozenset(plain[i : i + _LETTERS].encode("utf-8", "replace") for i in range(count))
