"""Lists of entities to put into texts: on each line a type, a tab, and an entity."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from lowcost_ft.errors import UserError

__all__ = ["read_entity_list"]


def read_entity_list(
    file: Path, labels: Sequence[str], *, flag: str = "--augment-entities"
) -> tuple[dict[str, list[str]], str]:
    """Reads a list of entities: on each line a type, a tab, and an entity.

    Args:
        file: The list, in UTF-8. Empty lines count nothing.
        labels: The types that the data has.
        flag: What names the file.

    Returns:
        The entities of each type, in their order, and the SHA-256 of the file.

    Raises:
        UserError: Every line that cannot be used.
    """
    try:
        content = file.read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{flag}: cannot read {file} ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{flag}: cannot read {file}, which is not UTF-8; convert it") from error
    found: dict[str, list[str]] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        label, tab, text = line.partition("\t")
        label, text = label.strip(), " ".join(text.split())
        if not tab or not label or not text:
            problems.append(f"{file}:{number}: write a type, a tab and an entity, PLACE<tab>Oslo")
        elif label not in labels:
            known = ", ".join(sorted(labels))
            problems.append(f"{file}:{number}: {label!r} is not a type of the data; those: {known}")
        else:
            found.setdefault(label, []).append(text)
    if problems:
        more = len(problems) - 5
        shown = problems[:5] + ([f"and {more:,} more lines like these"] if more > 0 else [])
        raise UserError(shown, total=len(problems))
    return found, hashlib.sha256(content).hexdigest()
