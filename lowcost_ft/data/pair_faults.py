"""Pairs of texts that do not belong together, found by plain checks."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lowcost_ft.data.language_codes import SCRIPT_OF, TWO_SCRIPTS, language_name
from lowcost_ft.data.languages import language_of, script_of
from lowcost_ft.data.rows import Row, counted, file_of

__all__ = ["PairFault", "fault_notices", "pair_faults"]

_SHORT = 20
"""Characters below which a length says little, which are added to both sides."""

_LEAST_FACTOR = 2.0
_DEVIATIONS = 5.0
_COPIED_LETTERS = 12
"""Names and numbers are rightly the same in both languages; a longer text is not."""

_SURE_SHARE = 0.6
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class PairFault:
    """One kind of fault with its rows.

    Attributes:
        kind: Its name for programs.
        title: What is wrong, as the end of "12 of 300 pairs ...".
        places: Numbers of the rows, from 0, the surest first.
    """

    kind: str
    title: str
    places: tuple[int, ...]


def pair_faults(
    rows: Sequence[Row],
    *,
    source_language: str | None = None,
    target_language: str | None = None,
    translated: bool = True,
) -> list[PairFault]:
    """Pairs that look wrong, by kind; kinds without any are not there.

    Args:
        rows: Rows with "source" and "target", as `text_pairs.read_pairs` gives them.
        source_language: Code of the source's language; None: that of most sources.
        target_language: The same of the targets.
        translated: Whether one text is the translation of the other, so that lengths and languages
            are compared; if not, only copies and repeated rows are looked for.
    """
    pairs = [(str(row.values["source"]), str(row.values["target"])) for row in rows]
    found = []
    if translated:
        found.append(
            ("length_ratio", "have sides whose lengths do not fit together", _odd_lengths(pairs))
        )
    copied = [
        place
        for place, (source, target) in enumerate(pairs)
        if _plain(source) == _plain(target)
        and sum(map(str.isalpha, source)) >= _COPIED_LETTERS * translated
    ]
    found.append(("copied_source", "have a target that copies the source", copied))
    if translated:
        for side, code in (("source", source_language), ("target", target_language)):
            texts = [pair[side == "target"] for pair in pairs]
            expected, places = _other_language(texts, code)
            title = f"have a {side} that does not look like {expected}"
            found.append((f"{side}_language", title, places))
    seen: Counter[tuple[str, str]] = Counter()
    repeated = []
    for place, (source, target) in enumerate(pairs):
        key = (_plain(source), _plain(target))
        if seen[key]:
            repeated.append(place)
        seen[key] += 1
    found.append(("duplicate_pair", "repeat an earlier pair", repeated))
    return [
        PairFault(kind=kind, title=title, places=tuple(places))
        for kind, title, places in found
        if places
    ]


def fault_notices(rows: Sequence[Row], faults: Sequence[PairFault]) -> list[str]:
    """What the user is told of faults: how many rows each kind has, and the first of them."""
    notices = []
    for fault in faults:
        first = sorted(fault.places)[:_SHOWN]
        places = ", ".join(rows[place].source for place in first)
        more = "" if len(fault.places) <= _SHOWN else ", ..."
        notices.append(
            f"{file_of(rows[0].source)}: {len(fault.places):,} of {counted(len(rows), 'pair')} "
            f"{fault.title}: {places}{more}"
        )
    return notices


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _odd_lengths(pairs: Sequence[tuple[str, str]]) -> list[int]:
    """Pairs whose ratio of lengths is far from the usual one of the data, the oddest first.

    Source:
        Gale and Church (1993), A Program for Aligning Sentences in Bilingual Corpora: translations
        have lengths in characters whose ratio varies little. The usual ratio is a median here, and
        its spread the median absolute deviation, so that odd pairs do not hide one another.
    """
    if len(pairs) < 2:
        return []
    ratios = [math.log((len(t) + _SHORT) / (len(s) + _SHORT)) for s, t in pairs]
    middle = _median(ratios)
    spread = 1.4826 * _median([abs(ratio - middle) for ratio in ratios])
    limit = max(math.log(_LEAST_FACTOR), _DEVIATIONS * spread)
    odd = [place for place, ratio in enumerate(ratios) if abs(ratio - middle) > limit]
    return sorted(odd, key=lambda place: -abs(ratios[place] - middle))


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _other_language(texts: Sequence[str], code: str | None) -> tuple[str, list[int]]:
    """What the texts should be in, and those that are in something else beyond doubt."""
    found: list[Any] = [(script_of(text), language_of(text)) for text in texts]
    languages = Counter(language for _, language in found if language)
    expected = language_name(code)
    if expected is None and languages:
        name, count = languages.most_common(1)[0]
        expected = name if count >= _SURE_SHARE * languages.total() else None
    script = SCRIPT_OF.get(expected or "")
    if script is None:
        scripts = Counter(script for script, _ in found if script)
        if expected is not None and expected not in TWO_SCRIPTS:
            script = "Latin"
        elif scripts:
            name, count = scripts.most_common(1)[0]
            script = name if count >= _SURE_SHARE * scripts.total() else None
    # A Japanese name or heading may be without kana.
    usual = {script, "Han"} if script == "Japanese" else {script}
    known = {language for language in languages if language == expected}
    places = [
        place
        for place, (own_script, own_language) in enumerate(found)
        if (script and own_script and own_script not in usual)
        # A language whose common words are not known cannot be told from its neighbours.
        or (known and own_language and own_language != expected)
    ]
    return expected or f"text in {script} letters", places
