"""The table of docs/trust.md: which command works with which task and which kind of model."""

from lowcost_ft.config.tasks import task_names, task_settings
from lowcost_ft.tasks import task_class

__all__ = ["trust_table"]

MODELS = ("encoder", "decoder", "8-bit and 4-bit weights", "prompt and prefix tuning")
"""All of them work with each command: `tests/test_explain.py` and its neighbours try them."""


def trust_table() -> str:
    """A row a command, a column a task and a kind of model."""
    # Only the package's own: tests register more.
    names = [n for n in task_names() if task_settings(n).module.startswith("lowcost_ft.")]
    titles = [task_settings(name).title for name in names]
    lines = [f"| command | {' | '.join([*titles, *MODELS])} |"]
    lines.append("|---" * (1 + len(titles) + len(MODELS)) + "|")
    for command, works in {"explain": lambda kind: kind.can_explain}.items():
        cells = ["yes" if works(task_class(name)) else "no" for name in names]
        lines.append(f"| `{command}` | {' | '.join(cells + ['yes'] * len(MODELS))} |")
    return "\n".join(lines)
