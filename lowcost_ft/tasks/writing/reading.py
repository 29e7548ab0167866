"""Rows in one form -> examples of the tasks whose answer is a text."""

from collections.abc import Sequence

from lowcost_ft.data.rows import Row
from lowcost_ft.tasks.writing.example import Turn, WritingExample

__all__ = ["dialogue_examples", "pair_examples"]


def pair_examples(rows: Sequence[Row]) -> list[WritingExample]:
    """Examples of rows as `data.text_pairs.read_pairs` returns them."""
    return [
        WritingExample(
            turns=(("user", row.values["source"].strip()),),
            target=row.values.get("target"),
            references=tuple(row.values.get("references") or ()),
            source=row.source,
            row_id=row.values.get("id"),
        )
        for row in rows
    ]


def dialogue_examples(rows: Sequence[Row], *, labelled: bool) -> list[WritingExample]:
    """Examples of rows as `data.dialogues.read_dialogues` returns them.

    Args:
        rows: The rows.
        labelled: Whether the last turn is the assistant's, to be learned.
    """
    examples = []
    for row in rows:
        turns: list[Turn] = [(turn["role"], turn["content"]) for turn in row.values["messages"]]
        target = turns.pop()[1] if labelled else None
        examples.append(
            WritingExample(
                turns=tuple(turns),
                target=target,
                references=tuple(row.values.get("references") or ()),
                source=row.source,
                row_id=row.values.get("id"),
            )
        )
    return examples
