"""The table of docs/extensions.md: which training extension works with what."""

from lowcost_ft.config.tasks import task_names, task_settings, unusable_settings
from lowcost_ft.tasks import task_class
from lowcost_ft.training.extensions.base import Extension
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.extensions.registry import EXTENSIONS, numbers_choices

__all__ = ["cells", "extension_table"]


def cells(extension: type[Extension]) -> dict[str, bool]:
    """Column -> whether an extension works with it; `tests/test_extension_table.py` tries each."""
    # Only the package's own: tests register more.
    own = [name for name in task_names() if task_settings(name).module.startswith("lowcost_ft.")]
    tasks = {task_settings(name).title: _serves(extension, name) for name in own}
    return tasks | {
        "regression": not extension.needs_choices,
        "`--cache-frozen-layers`": not Extensions([extension.__new__(extension)]).changes_inputs,
        "FSDP": extension.split_models,
    }


def _serves(extension: type[Extension], name: str) -> bool:
    task = task_class(name).for_planning(["a", "b"])
    if set(extension.needs_settings) & set(unusable_settings(name)):
        return False
    return (
        (task.has_choices or not extension.needs_choices)
        and (numbers_choices(task) or not extension.numbers_choices)
        and (task.can_edit or not extension.edits_texts)
        and (task.labels_whole_texts or not extension.needs_whole_text_labels)
        and (task.can_label or not extension.takes_answers)
    )


def extension_table() -> str:
    """A row an extension."""
    shown = {e.flag(): cells(e) for e in EXTENSIONS if e.setting}
    columns = list(next(iter(shown.values())))
    lines = [f"| flag | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for flag, found in shown.items():
        words = ["yes" if found[column] else "no" for column in columns]
        lines.append(f"| `{flag}` | {' | '.join(words)} |")
    return "\n".join(lines)
