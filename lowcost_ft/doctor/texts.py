"""Texts that a model reads badly: damaged, marked up, too long, or unlike the others."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from lowcost_ft.data.findings import DROP, Change, Finding, FoundRow
from lowcost_ft.data.languages import language_of, script_of
from lowcost_ft.data.rows import counted, shown
from lowcost_ft.doctor.checked_data import CheckedData, CheckedSplit

__all__ = ["check_languages", "check_lengths", "check_too_long", "check_writing"]

_USUAL_LIMIT = 512
"""Tokens of the longest text that encoders usually take."""
_MARKUP = re.compile(
    r"</?(?:a|b|i|p|br|div|span|strong|em|ul|li|td|tr|table|img|h[1-6]|font|script|style)\b[^>]*>"
    r"|&(?:amp|lt|gt|quot|nbsp|apos|#\d{2,5});",
    re.IGNORECASE,
)


def check_writing(data: CheckedData) -> list[Finding]:
    """Damaged encoding and markup."""
    from ftfy import TextFixerConfig, fix_text
    from ftfy.badness import is_bad

    # Only what is damage: typographic quotes and wide letters are left as they were written.
    config = TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        fix_line_breaks=False,
        remove_terminal_escapes=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )

    def repaired(text: str) -> str | None:
        if text.isascii():
            return None
        new = fix_text(text, config)
        if new != text:
            return new
        return text if "\ufffd" in text or is_bad(text) else None

    def unmarked(text: str) -> str | None:
        found = _MARKUP.search(text)
        return None if found is None else found[0]

    def damage(split: CheckedSplit, place: int, text: str, new: str) -> tuple[str, Any, Any]:
        if new == text:
            return f"{shown(text)}: letters are lost", None, None
        return f"{shown(text)} was {shown(new)}", new, _with_text(data, split, place, text, new)

    return [
        *_texts(
            data,
            repaired,
            damage,
            kind="damaged_text",
            severity="moderate",
            what="whose encoding is damaged",
            why="a model sees letters that no other text has",
        ),
        *_texts(
            data,
            unmarked,
            lambda split, place, text, found: (f"{shown(found)} in {shown(text)}", None, None),
            kind="markup",
            severity="minor",
            what="with markup",
            why="a model spends tokens on it, and may learn it in place of the text",
        ),
    ]


def _texts(
    data: CheckedData,
    fault_of: Callable[[str], str | None],
    tell: Callable[[CheckedSplit, int, str, str], tuple[str, Any, Any]],
    *,
    kind: str,
    severity: str,
    what: str,
    why: str,
) -> list[Finding]:
    findings = []
    for split in data.splits.values():
        rows = []
        for example, place in zip(split.examples, split.places, strict=True):
            faults = [(text, fault_of(text)) for text in data.kind.every_text_of(example)]
            found = [tell(split, place, text, f) for text, f in faults if f is not None]
            if not found:
                continue
            told, suggested, _ = found[0]
            changes = {n: v for *_, change in found if change for n, v in change.items()}
            rows.append(
                FoundRow(
                    place=place,
                    split=split.name,
                    told=told,
                    suggested=suggested,
                    change=changes or None if split.name == "train" else None,
                )
            )
        if rows:
            findings.append(
                Finding(
                    kind=kind,
                    severity="moderate" if severity == "moderate" else "minor",
                    title=f"{counted(len(rows), 'row')} of {split.name} {what}",
                    why=why,
                    rows=rows,
                )
            )
    return findings


def _with_text(
    data: CheckedData, split: CheckedSplit, place: int, old: str, new: str
) -> Change | None:
    return data.kind.with_text(split.rows, place, data.reading, old=old, new=new)


def check_too_long(
    data: CheckedData,
    count_tokens: Callable[[Sequence[tuple[str, ...]]], Sequence[int]],
    limit: int,
    *,
    what: str = "longer than",
    most: int | None = _USUAL_LIMIT,
) -> list[Finding]:
    """Texts that lose their end at `--max-length`, with the share lost of each class.

    Args:
        data: The data.
        count_tokens: Tokens of each text (or pair of texts) of a list.
        limit: `--max-length`.
        what: How their rows differ from the others, before the limit.
        most: The longest `--max-length` to propose; None: any.
    """
    findings = []
    for split in data.splits.values():
        lengths = count_tokens([data.kind.texts_of(example) for example in split.examples])
        rows = []
        lost: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for example, place, length in zip(split.examples, split.places, lengths, strict=True):
            for name in data.kind.classes(example):
                total[name] += length
                lost[name] += max(0, length - limit)
            if length > limit:
                share = 1 - limit / length
                told = f"{length:,} tokens, {share:.0%} beyond {limit}"
                rows.append(
                    FoundRow(place=place, split=split.name, score=round(share, 4), told=told)
                )
        if not rows:
            continue
        worst = sorted((n for n in lost if lost[n]), key=lambda n: -lost[n] / total[n])[:5]
        shares = ", ".join(f"{name} {lost[name] / total[name]:.0%}" for name in worst)
        rows.sort(key=lambda row: (-row.score, row.place))
        findings.append(
            Finding(
                kind="too_long",
                severity="moderate" if len(rows) > 0.05 * len(lengths) else "minor",
                title=f"{counted(len(rows), 'row')} of {split.name} {what} --max-length "
                f"{limit}" + (f"; lost by class: {shares}" if shares else ""),
                why="what stands beyond it is cut off, or cut into windows",
                rows=rows,
                command=f"--max-length {_enough(max(lengths), most)}",
            )
        )
    return findings


def _enough(longest: int, most: int | None) -> int:
    """A multiple of 32 that holds the longest text, if that is not too much."""
    enough = -(-longest // 32) * 32
    return enough if most is None else min(enough, most)


def check_lengths(data: CheckedData) -> list[Finding]:
    """Texts that are far longer or shorter than the others of their split."""
    import numpy as np

    findings = []
    for split in data.splits.values():
        sizes = np.array([sum(map(len, data.kind.texts_of(e))) for e in split.examples])
        if len(sizes) < 50:
            continue
        logs = np.log(np.maximum(sizes, 1))
        middle = np.median(logs)
        spread = max(1.4826 * float(np.median(np.abs(logs - middle))), 0.1)
        far = np.flatnonzero((np.abs(logs - middle) > 5 * spread) | (sizes < 2))
        if len(far):
            usual = int(np.exp(middle))
            rows = [
                FoundRow(
                    place=split.places[i],
                    split=split.name,
                    told=f"{counted(int(sizes[i]), 'character')}; {usual:,} are usual",
                    change=DROP,
                )
                for i in sorted(far, key=lambda i: -abs(logs[i] - middle))
            ]
            findings.append(
                Finding(
                    kind="unusual_length",
                    severity="minor",
                    title=f"{counted(len(rows), 'row')} of {split.name} of unusual length",
                    why="several texts in one field, or a field that was cut, look like this",
                    rows=rows,
                    on_request=True,
                )
            )
    return findings


def check_languages(data: CheckedData) -> list[Finding]:
    """Texts in another script or language than most of their split."""
    findings = []
    for split in data.splits.values():
        found: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for example, place in zip(split.examples, split.places, strict=True):
            text = "\n".join(data.kind.texts_of(example))
            if script := script_of(text):
                found["script"].append((place, script))
                if script == "Latin" and (language := language_of(text)):
                    found["language"].append((place, language))
        for what, told in found.items():
            counts = Counter(name for _, name in told)
            usual, number = counts.most_common(1)[0]
            # A mixture is meant; single strangers are not.
            others = [(place, name) for place, name in told if counts[name] < 0.05 * number]
            if others:
                names = Counter(name for _, name in others)
                listed = ", ".join(f"{name} {count:,}" for name, count in names.most_common(5))
                findings.append(
                    Finding(
                        kind=f"other_{what}",
                        severity="minor",
                        title=f"{counted(len(others), 'row')} of {split.name} in another {what} "
                        f"than {usual}: {listed}",
                        why="a model learns little from single texts that it may not even read",
                        rows=[
                            FoundRow(place=place, split=split.name, told=name, change=DROP)
                            for place, name in others
                        ],
                        on_request=True,
                    )
                )
    return findings
