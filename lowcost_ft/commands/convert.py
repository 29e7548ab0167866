"""`lowcost-ft convert`: labelled data of any form in another."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from lowcost_ft.config.reading import InputOptions, LabelOptions, ProblemType, reading_of
from lowcost_ft.data.rows import counted
from lowcost_ft.screen import print_json, say

__all__ = ["Convert", "convert"]


@dataclass(frozen=True, kw_only=True)
class Convert(InputOptions, LabelOptions):
    """Write labelled data of any form as JSONL, CoNLL, or tasks for Label Studio or doccano."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """File or folder, in any form that training reads."""
    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """File to write, which must not exist yet."""
    to: Literal["jsonl", "conll", "label_studio", "doccano"] | None = None
    """What to write. Default: by the extension of OUT; .json is for Label Studio."""
    problem_type: ProblemType | None = None
    """What the labels are. Needed only where they could be several things."""
    labels: bool = True
    """Convert labels, too. Off: only the texts are read, and become tasks to label."""
    json: bool = False
    """Print what was written as one JSON object."""
    debug: bool = False
    """Show a traceback with each error."""


def convert(command: Convert) -> None:
    """Writes the file and says what is in it.

    Raises:
        UserError: A flag or the data are wrong.
    """
    from lowcost_ft.pipeline.convert import convert_file

    done = convert_file(
        command.source,
        command.target,
        to=command.to,
        reading=reading_of(command),
        labelled=command.labels,
    )
    for notice in done.notices:
        say(f"note: {notice}")
    if command.json:
        print_json(vars(done))
    else:
        parts = [counted(done.rows, "row")]
        if done.entities:
            parts.append(f"{done.entities:,} {'entity' if done.entities == 1 else 'entities'}")
        if done.relations:
            parts.append(f"{done.relations:,} relation{'' if done.relations == 1 else 's'}")
        print(f"{command.target}: {', '.join(parts)}")
