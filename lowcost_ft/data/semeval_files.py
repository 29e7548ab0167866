"""SemEval-2010 task 8 as its organisers gave it out: numbered sentences, relations, comments."""

import re

from lowcost_ft.data.rows import LINE_BREAK, Row, shown

__all__ = ["is_semeval", "read_semeval"]

_SENTENCE = re.compile(r"(\d+)\t([^\t]*<e1>[^\t]*</e1>[^\t]*)")
_COMMENT = re.compile(r"comment:", re.IGNORECASE)


def is_semeval(first_line: str) -> bool:
    """Whether a file begins with a number, a tab, and a sentence that marks `<e1>`."""
    return _SENTENCE.fullmatch(first_line.strip()) is not None


def read_semeval(path: str, text: str, problems: list[str]) -> list[Row]:
    """Rows `{"id", "text"}`, with `label` and `comment` where the file has them.

    Args:
        path: For the messages.
        text: The content: blocks of three lines, of which a file without labels has the first.
        problems: Gets a line for each line that is none of the three.
    """
    rows: list[Row] = []
    for number, line in enumerate(LINE_BREAK.split(text), 1):
        line = line.strip()
        if not line:
            continue
        source = f"{path}:{number}"
        values = rows[-1].values if rows else {"comment": ""}
        if sentence := _SENTENCE.fullmatch(line):
            words = sentence[2].strip()
            if len(words) > 1 and words[0] == words[-1] == '"':
                words = words[1:-1]
            rows.append(Row({"id": int(sentence[1]), "text": words}, source))
        elif _COMMENT.match(line) and "comment" not in values:
            values["comment"] = line.partition(":")[2].strip()
        elif "label" not in values and "comment" not in values and "\t" not in line:
            values["label"] = line
        else:
            problems.append(
                f"{source}: {shown(line)} is neither a numbered sentence with <e1> and <e2>, nor "
                "the relation or the comment below one; correct it"
            )
    return rows
